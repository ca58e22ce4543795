package guard

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"tandem/fsm"
)

func view() View {
	return View{
		Ingress: []Ingress{{ID: "acme", From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}, CPS: 10}},
		Peers:   []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")},
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
}

func TestKnown(t *testing.T) {
	g := New(nil)
	if g.Known(netip.MustParseAddr("192.0.2.1")) {
		t.Error("an empty guard knows somebody")
	}
	g.Configure(view(), time.Time{})
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "192.0.2.15": true, "192.0.2.16": false,
		"::ffff:192.0.2.1": true, "198.51.100.7": true, "198.51.100.8": false, "10.1.1.1": false,
	} {
		if got := g.Known(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Known(%s) = %v", addr, got)
		}
	}
	if !g.Trusted(netip.MustParseAddr("10.1.1.1")) || g.Trusted(netip.MustParseAddr("11.1.1.1")) {
		t.Error("trusted networks")
	}
	v := view()
	v.AnswerAll = true
	g.Configure(v, time.Time{})
	if !g.Trusted(netip.MustParseAddr("11.1.1.1")) || g.Known(netip.MustParseAddr("11.1.1.1")) {
		t.Error("strangers are to be answered, and stay strangers")
	}
}

// An ingress may send its limit at once and its limit a second from then on,
// and a new configuration does not fill its bucket.
func TestAdmit(t *testing.T) {
	g := New(nil)
	now := time.Unix(1000, 0)
	g.Configure(view(), now)
	src := netip.MustParseAddr("192.0.2.3")
	admit := func(n int) (ok int) {
		for range n {
			if g.Admit(now, src) {
				ok++
			}
		}
		return ok
	}
	if got := admit(20); got != 10 {
		t.Errorf("burst: %d admitted, want 10", got)
	}
	g.Configure(view(), now)
	if got := admit(20); got != 0 {
		t.Errorf("after reconfiguration: %d admitted, want 0", got)
	}
	now = now.Add(500 * time.Millisecond)
	if got := admit(20); got != 5 {
		t.Errorf("after half a second: %d admitted, want 5", got)
	}
	if g.Admit(now, netip.MustParseAddr("203.0.113.1")) {
		t.Error("an unknown source was admitted")
	}
}

// However many sources a flood has, a round makes a bounded number of reports,
// and they add up to what was refused.
func TestRoundIsBoundedAndComplete(t *testing.T) {
	g := New(nil)
	start := time.Unix(1000, 0)
	const sources, each = 10_000, 3
	for i := range sources {
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 5060)
		for range each {
			g.Refused(start, Refusal{Source: src, Reason: fsm.EndUnknownSource, Callee: fmt.Sprint(i)})
		}
	}
	loud := netip.MustParseAddrPort("198.18.0.1:5060")
	g.Refused(start, Refusal{Source: loud, Reason: fsm.EndCPS, Status: 503})
	if len(g.counts) > maxSources+2 {
		t.Errorf("%d sources are held, want at most %d", len(g.counts), maxSources+2)
	}
	reports := g.round(start.Add(time.Second))
	if len(reports) > maxReports+2 {
		t.Errorf("%d reports, want at most %d", len(reports), maxReports+2)
	}
	var sum uint32
	for _, r := range reports {
		sum += r.Count
		if r.First != time.Second || r.Last != time.Second {
			t.Errorf("ages %v, %v: want 1s", r.First, r.Last)
		}
	}
	if sum != sources*each+1 {
		t.Errorf("reports add up to %d, want %d", sum, sources*each+1)
	}
	if got := g.Totals()[fsm.EndUnknownSource]; got != sources*each {
		t.Errorf("total = %d", got)
	}
	if len(g.round(start)) != 0 {
		t.Error("a round without refusals made reports")
	}
}

// A phone that repeats its INVITE until it gives up made one call.
func TestRetransmissionsCountOnce(t *testing.T) {
	g := New(nil)
	now := time.Unix(1000, 0)
	src := netip.MustParseAddrPort("203.0.113.5:5060")
	say := func(packet string) {
		g.Refused(now, Refusal{Source: src, Reason: fsm.EndUnknownSource, Packet: []byte(packet)})
	}
	for _, after := range []time.Duration{0, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second} {
		now = now.Add(after)
		say("INVITE a")
	}
	say("INVITE b")
	if n := g.Totals()[fsm.EndUnknownSource]; n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
	now = now.Add(3 * seenFor)
	say("INVITE c")
	now = now.Add(seenFor + 1)
	say("INVITE a")
	if n := g.Totals()[fsm.EndUnknownSource]; n != 4 {
		t.Errorf("%d calls after a while, want 4", n)
	}
	for i := range 3 * maxSeen {
		say(fmt.Sprint("INVITE ", i))
	}
	if len(g.seen[0]) > maxSeen {
		t.Errorf("%d packets are remembered", len(g.seen[0]))
	}
}

func BenchmarkKnown(b *testing.B) {
	g := New(nil)
	g.Configure(view(), time.Now())
	src := netip.MustParseAddr("192.0.2.3")
	b.ReportAllocs()
	for b.Loop() {
		if !g.Known(src) {
			b.Fatal("unknown")
		}
	}
}
