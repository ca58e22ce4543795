//go:build e2e

package e2e_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/node/api/client"
)

// The customers of this test are told apart by their ports.
const poorPort, strangerIP = 5990, "127.0.0.79"

const poorCustomer = `
[[account]]
id         = "poor"
type       = "client"
currency   = "USD"
rate_table = "sell"

[[mapping_gateway]]
id      = "poor"
account = "poor"
addrs   = ["127.0.0.71"]
port    = 5990
`

// What is wrong gets a clear answer and changes nothing.
func TestBadInput(t *testing.T) {
	l := newLab(t, "1000", poorCustomer)
	l.vendor("vendor")
	before := l.entities()

	for name, c := range map[string]struct {
		prefix string
		status int
		reason string // of the CDR
		port   int
		edits  []string
	}{
		"no rate":       {prefix: "77", status: 503, reason: "no-rate"},
		"no money":      {prefix: "49", status: 402, reason: "no-money", port: poorPort},
		"malformed sdp": {prefix: "49", status: 400, edits: malformed()},
	} {
		t.Run(name, func(t *testing.T) { l.refused(t, c.prefix, c.port, c.edits, c.status, c.reason) })
	}
	t.Run("locked account", func(t *testing.T) {
		l.must("account", "lock", "acme")
		l.refused(t, "49", 0, nil, 403, "locked")
		l.must("account", "unlock", "acme")
	})
	t.Run("unknown source", func(t *testing.T) { l.stranger(t, "stranger") })
	t.Run("unknown source, malformed sdp", func(t *testing.T) { l.stranger(t, "mad stranger", malformed()...) })
	t.Run("rates", l.brokenRates)
	t.Run("token", l.wrongToken)
	t.Run("configuration", l.unknownKey)

	after := l.entities()
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if before[name] != after[name] {
			t.Errorf("%s changed:\n%s\n%s", name, before[name], after[name])
		}
	}
	if len(before) != len(after) {
		t.Errorf("%d objects before, %d after", len(before), len(after))
	}
	b := l.settled(10 * time.Second)
	l.balanced(b)
	if phones := l.finish(l.customers(traffic{prefix: "49", caller: "442079460000", cps: 3, calls: 3, talk: time.Second}),
		10*time.Second); len(phones) != 3 {
		t.Errorf("%d calls afterwards", len(phones))
	} else {
		for _, p := range phones {
			if p.done < 0 {
				t.Errorf("a good call afterwards fails: %+v", *p)
			}
		}
	}
}

// malformed makes an SDP that is none.
func malformed() []string { return []string{"m=audio [media_port] RTP/AVP 8 0", "m=audio RTP"} }

// refused makes a call on each node, which has to be refused, for free.
func (l *lab) refused(t *testing.T, prefix string, port int, edits []string, status int, reason string) {
	t.Helper()
	for i, m := range l.nodes {
		l.runs++
		from := port
		if from == 0 {
			from = customerPort + 100*l.runs
		}
		name := "refused-" + strings.ReplaceAll(t.Name(), "/", "-") + "-" + m.name
		s := l.sipp(name, "customer", edits, customerIP, from,
			m.sip(), "-key", "prefix", prefix, "-key", "caller", "442079460000", "-m", "1")
		s.wait(10 * time.Second)
		calls := s.calls()
		if len(calls) != 1 {
			t.Errorf("%s made %d calls: %s", name, len(calls), tail(s.log))
		}
		for id, p := range calls {
			if p.status != status {
				t.Errorf("call %d is answered with %d, want %d: %+v", i, p.status, status, *p)
			}
			if reason == "" {
				continue
			}
			within(t, 5*time.Second, "a CDR of the refusal", func() (bool, string) {
				cdrs := all(t, client.CDRQuery{}, m.api.CDRs)
				for k := range cdrs {
					if c := &cdrs[k]; c.SIPCallIDA == id {
						if c.Reason != reason || c.Fee != 0 || int(c.SIPStatus) != status {
							t.Errorf("CDR of the refusal: %+v", *c)
						}
						return true, ""
					}
				}
				return false, "no CDR of " + id
			})
		}
	}
}

// stranger calls from an address that nobody knows, and hears nothing.
func (l *lab) stranger(t *testing.T, name string, edits ...string) {
	s := l.sipp(name, "customer", edits, strangerIP, customerPort,
		l.nodes[0].sip(), "-key", "prefix", "49", "-key", "caller", "442079460000", "-m", "1", "-recv_timeout", "2500")
	s.wait(10 * time.Second)
	calls := s.calls()
	if len(calls) != 1 {
		t.Errorf("%d calls: %s", len(calls), tail(s.log))
	}
	for id, p := range calls {
		if p.answer >= 0 || p.refused >= 0 {
			t.Errorf("call %s got an answer: %+v", id, *p)
		}
	}
	if b, err := os.ReadFile(s.errs); err == nil && strings.Contains(string(b), "SIP/2.0 ") {
		t.Errorf("there was an answer:\n%s", b)
	}
}

// brokenRates imports a file with three wrong rows among right ones.
func (l *lab) brokenRates(t *testing.T) {
	before := l.must("rate", "export", "--table", "sell")
	file := l.file("broken.csv", "prefix,price,first,next\n33,0.07,1,1\n4x,0.07,1,1\n45,\"0,07\",1,1\n46,0.07,1,-1\n47,0.07,60,60\n")
	out, errs, code := l.command("rate", "import", file, "--table", "sell")
	for _, want := range []string{"3 rows wrong", "nothing was changed", "row 3", "prefix", "row 4", "price", "0,07", "row 5", "next"} {
		if !strings.Contains(errs, want) {
			t.Errorf("the error does not say %q", want)
		}
	}
	if code != 1 || out != "" || strings.Contains(errs, "row 6") {
		t.Errorf("exit code %d, output %q", code, out)
	}
	if after := l.must("rate", "export", "--table", "sell"); after != before {
		t.Errorf("the rates changed:\n%s", after)
	}
	t.Logf("\n%s", errs)
}

// wrongToken asks with a token that is none.
func (l *lab) wrongToken(t *testing.T) {
	good := l.token
	defer func() { l.token = good }()
	l.token = "tandem_0123456789_notthesecretofanybodyatall"
	out, errs, code := l.command("account", "topup", "acme", "5")
	if code == 0 || out != "" || !strings.Contains(errs, "token") {
		t.Errorf("exit code %d, output %q", code, out)
	}
	t.Logf("\n%s", errs)
}

// unknownKey starts a node whose file has a key that does not exist.
func (l *lab) unknownKey(t *testing.T) {
	text, err := os.ReadFile(l.dir + "/" + l.nodes[0].file())
	if err != nil {
		t.Fatal(err)
	}
	file := l.file("wrong.toml", "%s", strings.Replace(string(text), "[cluster]", "voice = \"yes\"\n\n[cluster]", 1))
	for _, args := range [][]string{{"config", "check", file}, {"serve", "--config", file}} {
		out, errs, code := l.command(args...)
		for _, want := range []string{"wrong.toml:", ":8: node.voice: unknown key", "8| voice = ", "| ~~~~~"} {
			if !strings.Contains(errs, want) {
				t.Errorf("the error does not say %q", want)
			}
		}
		if code != 1 || out != "" {
			t.Errorf("exit code %d, output %q", code, out)
		}
		t.Logf("\n%s", errs)
	}
}

// entities is everything that an operator has decided, and all money, as texts
// by name.
func (l *lab) entities() map[string]string {
	l.t.Helper()
	out := map[string]string{}
	add := func(kind, id string, v ...any) {
		b, err := json.Marshal(v)
		if err != nil {
			l.t.Fatal(err)
		}
		out[kind+" "+id] = string(b)
	}
	for _, a := range all(l.t, client.AccountQuery{}, l.api.Accounts) {
		add("account", a.ID, a.AccountSettings, a.Balance, a.Held)
	}
	for _, g := range all(l.t, client.GatewayQuery{}, l.api.MappingGateways) {
		add("mapping gateway", g.ID, g.MappingSettings)
	}
	for _, g := range all(l.t, client.GatewayQuery{}, l.api.RoutingGateways) {
		add("routing gateway", g.ID, g.RoutingSettings)
	}
	for _, r := range all(l.t, client.RateTableQuery{}, l.api.RateTables) {
		add("rate table", r.ID, r)
		csv, _, err := l.api.ExportRates(l.t.Context(), r.ID)
		if err != nil {
			l.t.Fatal(err)
		}
		add("rates", r.ID, string(csv))
	}
	for _, n := range all(l.t, client.NumberListQuery{}, l.api.NumberLists) {
		add("number list", n.Name, n)
	}
	params, err := l.api.Parameters(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, p := range params.Items {
		add("parameter", p.Name, p.Value)
	}
	return out
}
