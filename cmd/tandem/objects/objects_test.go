package objects_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/billing"
	"tandem/cmd/tandem/objects"
	"tandem/node/api/client"
)

const good = `
[[parameter]]
name = "SS_RING_TIMEOUT"
value = "40"

[[number_list]]
name = "whitelist"
numbers = ["13800138000"]

[[rate_table]]
id = "std"
currency = "USD"
rounding = { decimals = 4, mode = "half-up" }

[[account]]
id = "acme"
type = "client"
currency = "USD"
credit = 500            # a number or a text, exact either way
max_spend = "0.000001"
advance = "1m"
max_duration = 7200
rate_table = "std"

[[mapping_gateway]]
id = "in"
account = "acme"
addrs = ["127.0.0.51"]
[mapping_gateway.rules]
callee_plan = [{ from = "00", to = "" }]

[[routing_gateway]]
id = "out"
account = "telco"
prefixes = ["86"]
min_profit = -0.0145

[[package]]
id = "p100"
currency = "USD"
price = 9.9
time = "100m"

[[topup]]
account = "acme"
amount = 0.1
key = "first"
`

func TestParse(t *testing.T) {
	got, err := objects.Parse("t.toml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	want := objects.Document{
		Parameters:  []objects.Parameter{{Name: "SS_RING_TIMEOUT", Value: "40"}},
		NumberLists: []objects.NumberList{{Name: "whitelist", NumberListSettings: client.NumberListSettings{Numbers: []string{"13800138000"}}}},
		RateTables: []objects.RateTable{{ID: "std", RateTableSettings: client.RateTableSettings{
			Currency: "USD", Rounding: &client.Rounding{Decimals: 4, Mode: "half-up"},
		}}},
		Accounts: []objects.Account{{ID: "acme", AccountSettings: client.AccountSettings{
			Type: "client", Currency: "USD", Credit: 500 * billing.Unit, MaxSpend: 1, RateTable: "std",
			Advance: client.Seconds(time.Minute), MaxDuration: client.Seconds(2 * time.Hour),
		}}},
		MappingGateways: []objects.MappingGateway{{ID: "in", MappingSettings: client.MappingSettings{
			Account: "acme", Addrs: []string{"127.0.0.51"}, Rules: client.NumberRules{CalleePlan: []client.Transform{{From: "00"}}},
		}}},
		RoutingGateways: []objects.RoutingGateway{{ID: "out", RoutingSettings: client.RoutingSettings{
			Account: "telco", Prefixes: []string{"86"}, MinProfit: -14_500_000,
		}}},
		Packages: []objects.Package{{ID: "p100", PackageSettings: client.PackageSettings{
			Currency: "USD", Price: 9_900_000, Time: client.Seconds(100 * time.Minute),
		}}},
		TopUps: []objects.TopUp{{Account: "acme", Amount: 100_000, Key: "first"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Each bad document names the line and what is wrong in it.
func TestBadDocuments(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"unknown key", "credit =", "kredit =", "t.toml:19: account.kredit: unknown key\n"},
		{"comma", `"0.000001"`, `"0,000001"`, `t.toml:20`},
		{"seven decimals", `"0.000001"`, `"0.0000001"`, `t.toml:20`},
		{"duration", `"1m"`, `"soon"`, `"soon" is not a duration`},
		{"no id", `id = "in"`, ``, "mapping_gateway 1: id is missing"},
		{"twice", `name = "whitelist"`, "name = \"a\"\n[[number_list]]\nname = \"a\"", `number_list "a" is there twice`},
		{"syntax", `id = "in"`, `id = in`, "t.toml:26"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := objects.Parse("t.toml", []byte(strings.Replace(good, tt.old, tt.new, 1)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}
