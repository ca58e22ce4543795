package demo

import (
	"bytes"
	"fmt"
	"slices"

	"tandem/billing"
	"tandem/cmd/tandem/objects"
	"tandem/node/api/client"
)

// The money of the demo. Prices grow with the prefix, so that a wrong rate shows.
const (
	sellBase   = billing.Price(20_000_000) // 0.02 a minute
	buyBase    = billing.Price(14_000_000)
	priceStep  = billing.Price(17_000)
	prepaid    = 1000 * billing.Unit
	firstArea  = 100 // prefixes are numbers from here on
	splitDigit = "5" // carriers share the numbers: below it, and from it on
)

// area is the nth prefix of the rate tables.
func area(n int) string { return fmt.Sprint(firstArea + n) }

// business is what an operator would have loaded: customers and carriers with
// their rates and gateways.
func business(cfg Config) objects.Document {
	doc := objects.Document{
		RateTables: []objects.RateTable{
			{ID: "sell", RateTableSettings: client.RateTableSettings{Currency: "USD"}, RatesFile: "sell.csv", Rates: rates(cfg.Rates, sellBase)},
			{ID: "buy", RateTableSettings: client.RateTableSettings{Currency: "USD"}, RatesFile: "buy.csv", Rates: rates(cfg.Rates, buyBase)},
		},
	}
	for i, ip := range cfg.Customers {
		id := fmt.Sprintf("customer-%d", i+1)
		doc.Accounts = append(doc.Accounts, objects.Account{ID: id, AccountSettings: client.AccountSettings{
			Type: client.AccountClient, Currency: "USD", RateTable: "sell",
		}})
		doc.MappingGateways = append(doc.MappingGateways, objects.MappingGateway{ID: id, MappingSettings: client.MappingSettings{
			Account: id, Addrs: []string{ip.String()},
		}})
		doc.TopUps = append(doc.TopUps, objects.TopUp{Account: id, Amount: prepaid, Key: "demo-" + id})
	}
	for i, ip := range cfg.Vendor {
		id := fmt.Sprintf("carrier-%d", i+1)
		doc.Accounts = append(doc.Accounts, objects.Account{ID: id, AccountSettings: client.AccountSettings{
			Type: client.AccountVendor, Currency: "USD", RateTable: "buy",
		}})
		doc.RoutingGateways = append(doc.RoutingGateways, objects.RoutingGateway{ID: id, RoutingSettings: client.RoutingSettings{
			Account: id, Prefixes: share(i), Addrs: []string{fmt.Sprintf("%s:%d", ip, sipPort)},
		}})
	}
	return doc
}

// share is the first digits that a carrier takes: the first one those below
// splitDigit, the others the rest.
func share(carrier int) []string {
	var out []string
	for digit := '1'; digit <= '9'; digit++ {
		if (string(digit) < splitDigit) == (carrier == 0) {
			out = append(out, string(digit))
		}
	}
	return out
}

// rates is a rates file: per-second, and every third row with a connect fee and
// 30/6 increments.
func rates(n int, base billing.Price) []byte {
	prefixes := make([]string, n)
	for i := range prefixes {
		prefixes[i] = area(i)
	}
	slices.Sort(prefixes)
	var b bytes.Buffer
	b.WriteString("prefix,area,price,connect_fee,first,next\n")
	for i, p := range prefixes {
		fee, first, next := "0", 1, 1
		if i%3 == 0 {
			fee, first, next = "0.002", 30, 6
		}
		fmt.Fprintf(&b, "%s,Area %s,%s,%s,%d,%d\n", p, p, base+priceStep*billing.Price(i), fee, first, next)
	}
	return b.Bytes()
}

// callee is the number that the nth call goes to, all over the rate table.
func callee(n, rates int) string {
	const stride = 7919 // prime, so that all prefixes get their turn
	return fmt.Sprintf("%s%06d", area(n*stride%rates), n%1_000_000)
}
