package demo

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/cmd/tandem/render"
	"tandem/node/api/client"
	"tandem/node/load"
)

// Only calls that the killed node had in progress while it was away are set
// apart; every other failure counts.
func TestDivide(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(0, 0).Add(time.Duration(s * float64(time.Second))) }
	dead, alive := netip.MustParseAddrPort("127.0.0.11:5060"), netip.MustParseAddrPort("127.0.0.12:5060")
	f := fault{killed: at(10), restarted: at(20), ready: 2 * time.Second}
	call := func(id string, target netip.AddrPort, from, to float64, status int) load.Outcome {
		return load.Outcome{CallID: id, Target: target, Start: at(from), Finished: at(to), Status: status, Setup: time.Second}
	}
	all := []load.Outcome{
		call("over before", dead, 1, 5, 200),
		call("struck", dead, 8, 12, 200),
		call("refused while down", dead, 9.9, 15, 0),
		call("after the return", dead, 22.5, 25, 200),
		call("failed after the return", dead, 23, 25, 503),
		call("elsewhere", alive, 8, 12, 200),
		call("failed elsewhere", alive, 11, 12, 504),
		{CallID: "cut", Target: alive, Start: at(1), Finished: at(2), Status: 200, Cut: true},
		{CallID: "bye lost", Target: alive, Start: at(1), Finished: at(2), Status: 200, ByeLost: true},
	}
	got := divide(all, dead, f)
	ids := func(list []load.Outcome) string {
		var out []string
		for _, o := range list {
			out = append(out, o.CallID)
		}
		return strings.Join(out, ", ")
	}
	if s := ids(got.struck); s != "struck, refused while down" {
		t.Errorf("struck: %s", s)
	}
	if s := ids(got.failed); s != "failed after the return, failed elsewhere, cut, bye lost" {
		t.Errorf("failed: %s", s)
	}
	if len(got.calm)+len(got.struck) != len(all) || got.slowest != time.Second {
		t.Errorf("%d calm, slowest %v", len(got.calm), got.slowest)
	}
}

// A missing record and a second one are both seen.
func TestRecords(t *testing.T) {
	answered := func(id string) load.Outcome { return load.Outcome{CallID: id, Status: 200} }
	calls := tally{calm: []load.Outcome{answered("a"), answered("b"), {CallID: "refused", Status: 402}}}
	good := []client.CDR{{SIPCallIDA: "a"}, {SIPCallIDA: "b"}, {SIPCallIDA: "b", Amends: 2}}
	for name, tt := range map[string]struct {
		cdrs []client.CDR
		ok   bool
	}{
		"one each": {good, true},
		"missing":  {good[:1], false},
		"twice":    {append([]client.CDR{{SIPCallIDA: "a"}}, good...), false},
	} {
		var v Verdict
		v.records(calls, tt.cdrs)
		if v.Kept() != tt.ok {
			t.Errorf("%s: %s", name, v.Text(render.Printer{}, false))
		}
	}
}

func TestVerdictText(t *testing.T) {
	v := Verdict{Checks: []Check{{Name: "ledger", OK: true, Text: "zero"}, {Name: "voice", Info: true, Text: "heard"}, {Name: "records", Text: "1 missing"}}}
	want := `VERDICT
 ok     ledger           zero
 -      voice            heard
 FAILED records          1 missing
`
	if got := v.Text(render.Printer{}, false); got != want {
		t.Errorf("got\n%s", got)
	}
	if v.Kept() {
		t.Error("kept")
	}
}

// All numbers that are called have a rate, and both carriers get their share.
func TestBusiness(t *testing.T) {
	const rows = 2000
	cfg := Config{Rates: rows}
	cfg.complete()
	doc := business(cfg)
	priced := map[string]bool{}
	for line := range strings.SplitSeq(string(doc.RateTables[0].Rates), "\n") {
		prefix, _, _ := strings.Cut(line, ",")
		priced[prefix] = true
	}
	served := map[string]int{}
	for n := range rows {
		number := callee(n, rows)
		if !priced[number[:3]] && !priced[number[:4]] {
			t.Fatalf("%s has no rate", number)
		}
		for _, g := range doc.RoutingGateways {
			for _, p := range g.Prefixes {
				if strings.HasPrefix(number, p) {
					served[g.ID]++
				}
			}
		}
	}
	if served["carrier-1"]+served["carrier-2"] != rows || served["carrier-1"] == 0 || served["carrier-2"] == 0 {
		t.Errorf("carriers get %v of %d", served, rows)
	}
}
