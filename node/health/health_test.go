package health

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gateways answers checks as a test says.
type gateways struct {
	mu     sync.Mutex
	status map[netip.AddrPort]int
	asked  map[netip.AddrPort][]time.Time
}

func (g *gateways) probe(p Peer, done func(int)) {
	g.mu.Lock()
	g.asked[p.Addr] = append(g.asked[p.Addr], time.Now())
	status := g.status[p.Addr]
	g.mu.Unlock()
	wait := 10 * time.Millisecond
	if status == 408 {
		wait = 4 * time.Second
	}
	time.AfterFunc(wait, func() { done(status) })
}

func (g *gateways) say(addr netip.AddrPort, status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status[addr] = status
}

func startChecker(t *testing.T, resolve func(string, string, uint64) []netip.AddrPort) (*gateways, *Checker) {
	t.Helper()
	g := &gateways{status: map[netip.AddrPort]int{}, asked: map[netip.AddrPort][]time.Time{}}
	c, err := New(Config{Probe: g.probe, Resolve: resolve})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // the last answers
	})
	return g, c
}

func addr(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

// TestOutAndBack: three misses in a row take an address out, any answer but 408
// and 503 brings it back, and a gateway is down when all its addresses are.
func TestOutAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, c := startChecker(t, nil)
		one, two := addr("192.0.2.1:5060"), addr("192.0.2.2:5060")
		g.say(one, 408)
		g.say(two, 404)
		c.Configure([]Target{{Gateway: "gw", Via: "udp", Addrs: []netip.AddrPort{one, two}}}, 30*time.Second, 3)
		time.Sleep(90 * time.Second)
		if !c.PeerDown(one, "udp") || c.PeerDown(two, "udp") || c.Down("gw") {
			t.Error("one of two addresses is silent, and not just that is out")
		}
		g.say(two, 503)
		time.Sleep(90 * time.Second)
		if !c.Down("gw") {
			t.Error("both addresses are out, the gateway is not")
		}
		g.say(two, 501)
		time.Sleep(20 * time.Second)
		if c.Down("gw") {
			t.Error("an address is back, the gateway is not")
		}
		if n := c.Stats().Falls.Load(); n != 2 {
			t.Errorf("%d addresses fell, not 2", n)
		}
	})
}

// TestPauses: an address is asked once a period, never twice within 10 s.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, c := startChecker(t, nil)
		a := addr("192.0.2.1:5060")
		g.say(a, 200)
		c.Configure([]Target{
			{Gateway: "a", Via: "udp", Addrs: []netip.AddrPort{a}}, {Gateway: "b", Via: "udp", Addrs: []netip.AddrPort{a}},
		}, time.Second, 3)
		time.Sleep(10 * time.Minute)
		g.mu.Lock()
		defer g.mu.Unlock()
		times := g.asked[a]
		if len(times) < 45 || len(times) > 60 {
			t.Errorf("asked %d times in ten minutes", len(times))
		}
		for i := 1; i < len(times); i++ {
			if d := times[i].Sub(times[i-1]); d < minPeriod {
				t.Errorf("asked again after %s", d)
			}
		}
	})
}

func TestAlternateAddressAndNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := addr("192.0.2.7:5060")
		g, c := startChecker(t, func(host, via string, _ uint64) []netip.AddrPort {
			if host != "telco.example" || via != "tcp" {
				t.Errorf("resolved %s over %s", host, via)
			}
			return []netip.AddrPort{named}
		})
		sbc, check := addr("192.0.2.1:5060"), addr("192.0.2.9:5080")
		for _, a := range []netip.AddrPort{named, check} {
			g.say(a, 408)
		}
		c.Configure([]Target{
			{Gateway: "checked", Via: "udp", Addrs: []netip.AddrPort{sbc}, Check: check},
			{Gateway: "named", Via: "tcp", Host: "telco.example"},
		}, 30*time.Second, 3)
		time.Sleep(2 * time.Minute)
		if !c.Down("checked") || !c.Down("named") {
			t.Error("silent gateways are not down")
		}
		g.mu.Lock()
		if len(g.asked[sbc]) != 0 {
			t.Error("the address itself is asked, not its alternate")
		}
		g.mu.Unlock()
		c.Configure(nil, 0, 3)
		if c.Down("checked") || c.Down("named") {
			t.Error("a gateway that is not checked is down")
		}
	})
}
