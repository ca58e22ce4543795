//go:build e2e

package e2e_test

import "fmt"

// What the customers pay and what the carrier gets. "33" is a thousandth a
// second, billed by the second.
const (
	sellRates = `prefix,price,connect_fee,first,next,minimum
33,0.06,,1,1,
44,0.1005,,6,6,
49,0.0145,,1,1,
1,0.3333,0.05,60,60,
`
	buyRates = `prefix,price,first,next
1,0.2007,6,6
3,0.0111,1,1
4,0.0111,1,1
`
)

// objects is a customer with money, the carrier, and the way between them; more
// is appended. The tables' rates lie beside the file.
func (l *lab) objects(funds, more string) string {
	l.file("sell.csv", sellRates)
	l.file("buy.csv", buyRates)
	return fmt.Sprintf(`
[[rate_table]]
id         = "sell"
currency   = "USD"
rates_file = "sell.csv"

[[rate_table]]
id         = "buy"
currency   = "USD"
rates_file = "buy.csv"

[[account]]
id         = "acme"
type       = "client"
currency   = "USD"
rate_table = "sell"

[[account]]
id         = "carrier"
type       = "vendor"
currency   = "USD"
rate_table = "buy"

[[mapping_gateway]]
id      = "acme"
account = "acme"
addrs   = [%q]

[[routing_gateway]]
id       = "carrier"
account  = "carrier"
prefixes = [""]
addrs    = ["%s:%d"]

[[topup]]
account = "acme"
amount  = %q
key     = "first"
%s`, customerIP, vendorIP, vendorPort, funds, more)
}
