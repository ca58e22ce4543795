package settings_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"tandem/billing"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

func parse(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
	settings.Bind(fs, client.MappingSettings{}, client.RoutingSettings{})
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestApplySetsWhatWasGiven(t *testing.T) {
	fs := parse(t, "--account=telco", "--prefixes", "86, 852", "--ring=40", "--min-profit=-0.001",
		"--callee-plan", "00:,0:86", "--deny-caller=999", "--disabled", "--priority=-3", "--max-calls=10")
	got := client.RoutingSettings{Account: "old", Host: "gw.example.net", MaxCPS: 7}
	if err := settings.Apply(fs, &got); err != nil {
		t.Fatal(err)
	}
	want := client.RoutingSettings{
		Account: "telco", Host: "gw.example.net", MaxCPS: 7, Prefixes: []string{"86", "852"},
		Ring: client.Seconds(40e9), MinProfit: -1_000_000, Disabled: true, Priority: -3, MaxCalls: 10,
		Rules: client.NumberRules{
			DenyCaller: []string{"999"}, CalleePlan: []client.Transform{{From: "00"}, {From: "0", To: "86"}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestApplyRefusesFlagsOfAnotherKind(t *testing.T) {
	fs := parse(t, "--account=acme", "--prefixes=86")
	err := settings.Apply(fs, &client.MappingSettings{})
	if err == nil || err.Error() != "--prefixes does not belong here" {
		t.Error(err)
	}
}

func TestBadValuesNameTheFlag(t *testing.T) {
	for arg, want := range map[string]string{
		"--min-profit=0,0145": "price", "--ring=soon": `not a duration`, "--max-calls=-1": "invalid syntax", "--callee-plan=x": "want FROM:TO",
	} {
		fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
		settings.Bind(fs, client.RoutingSettings{})
		err := fs.Parse([]string{arg})
		flag, _, _ := strings.Cut(arg, "=")
		if err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

// What a change is undone by brings the old settings back.
func TestUndo(t *testing.T) {
	before := client.AccountSettings{
		Type: "client", Currency: "USD", Credit: 5 * billing.Unit, AllowCallee: []string{"86", "44"}, Name: "Acme & Sons", Advance: client.Seconds(90e9),
	}
	after := before
	after.Credit, after.AllowCallee, after.Name, after.Advance, after.Locked = 0, nil, "", 0, true
	changes := settings.Diff(before, after)
	undo := settings.Undo(changes)
	if want := "--name='Acme & Sons' --credit=5.00 --locked=false --advance=1m30s --allow-callee=86,44"; undo != want {
		t.Fatalf("undo %s\nwant %s", undo, want)
	}
	fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
	settings.Bind(fs, client.AccountSettings{})
	if err := fs.Parse(strings.Split(strings.ReplaceAll(strings.ReplaceAll(undo, "'", ""), "Acme & Sons", "Acme"), " ")); err != nil {
		t.Fatal(err)
	}
	if err := settings.Apply(fs, &after); err != nil {
		t.Fatal(err)
	}
	after.Name = before.Name
	if d := cmp.Diff(before, after); d != "" {
		t.Error(d)
	}
	if len(settings.Diff(before, before)) != 0 {
		t.Error("a value differs from itself")
	}
}
