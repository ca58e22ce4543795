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

// What the killed node had is told apart; a failure counts unless the call was in
// set-up there.
func TestDivide(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(0, 0).Add(time.Duration(s * float64(time.Second))) }
	dead, alive := netip.MustParseAddrPort("127.0.0.11:5060"), netip.MustParseAddrPort("127.0.0.12:5060")
	f := fault{killed: at(10)}
	call := func(id string, target netip.AddrPort, from, to float64, status int) load.Outcome {
		return load.Outcome{CallID: id, Target: target, Start: at(from), Finished: at(to), Status: status, Setup: time.Second}
	}
	dropped := call("dropped", dead, 5, 10.5, 200)
	dropped.Cut = true
	all := []load.Outcome{
		call("over before", dead, 1, 5, 200),
		call("held", dead, 8, 12, 200),
		dropped,
		call("ringing", dead, 9.5, 15, 200),
		call("lost in set-up", dead, 9.9, 15, 408),
		call("while away", dead, 11, 15, 200),
		call("refused while away", dead, 11, 15, 503),
		call("elsewhere", alive, 8, 12, 200),
		call("failed elsewhere", alive, 9.9, 12, 504),
		{CallID: "bye lost", Target: alive, Start: at(1), Finished: at(2), Status: 200, ByeLost: true},
	}
	got := divide(all, dead, f)
	for _, c := range []struct {
		name string
		list []load.Outcome
		want string
	}{
		{"held", got.held, "held, dropped"},
		{"setting", got.setting, "ringing, lost in set-up"},
		{"failed", got.failed, "dropped, refused while away, failed elsewhere, bye lost"},
	} {
		var ids []string
		for _, o := range c.list {
			ids = append(ids, o.CallID)
		}
		if s := strings.Join(ids, ", "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
	if len(got.all) != len(all) || got.slowest != time.Second {
		t.Errorf("%d calls, slowest %v", len(got.all), got.slowest)
	}
}

// A dropped call and a silence that is too long break the promise.
func TestHeld(t *testing.T) {
	good := load.Outcome{Status: 200}
	cut, silent := good, good
	cut.Cut = true
	silent.RTP.LongestGap = 2 * gapLimit
	for name, tt := range map[string]struct {
		held []load.Outcome
		ok   bool
	}{
		"none": {nil, true}, "good": {[]load.Outcome{good}, true},
		"cut": {[]load.Outcome{good, cut}, false}, "silent": {[]load.Outcome{good, silent}, false},
	} {
		var v Verdict
		v.held(tally{held: tt.held}, fault{name: "n1"})
		if v.Kept() != tt.ok {
			t.Errorf("%s: %s", name, v.Text(render.Printer{}, false))
		}
	}
}

// A missing record and a second one are both seen.
func TestRecords(t *testing.T) {
	answered := func(id string) load.Outcome { return load.Outcome{CallID: id, Status: 200} }
	calls := tally{all: []load.Outcome{answered("a"), answered("b"), {CallID: "refused", Status: 402}}}
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
		v.records(calls, tt.cdrs, false)
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
