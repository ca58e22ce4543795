//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"tandem/node/api/client"
)

// Gateways of the peers' test, by what their carriers do. All fall back to the
// carrier that takes every number. sipp takes media ports at the same distance.
const (
	tcpPort     = vendorPort + 4*(1+iota) // answers over TCP
	heldPort                              // is put on hold
	ringPort                              // rings until it is cancelled
	brokenPort                            // 503
	busyPort                              // 486
	silencePort                           // never says a word
)

func peerGateways() string {
	text := ""
	for _, g := range []struct {
		id, prefix string
		port       int
		more       string
	}{
		{"tcp", "441", tcpPort, `via = "tcp"`},
		{"held", "442", heldPort, ""},
		{"rings", "443", ringPort, ""},
		{"broken", "444", brokenPort, ""},
		{"busy", "445", busyPort, ""},
		{"silent", "446", silencePort, ""},
	} {
		text += fmt.Sprintf("[[routing_gateway]]\nid = %q\naccount = \"carrier\"\nprefixes = [%q]\naddrs = [\"%s:%d\"]\n%s\n",
			g.id, g.prefix, vendorIP, g.port, g.more)
	}
	return text
}

// What peers do beside answering and hanging up, and over which transport.
func TestPeers(t *testing.T) {
	l := newLab(t, "1000", "\n"+peerGateways())
	l.vendor("vendor")
	l.carrier("vendor-tcp", "vendor", tcpPort, nil, "-t", "t1")
	held := l.carrier("vendor-held", "held", heldPort, nil)
	ringing := l.carrier("vendor-ringing", "ringing", ringPort, nil)
	broken := l.carrier("vendor-broken", "busy", brokenPort, []string{"STATUS", "503"})
	busy := l.carrier("vendor-busy", "busy", busyPort, []string{"STATUS", "486"})
	silent, err := net.ListenPacket("udp", fmt.Sprintf("%s:%d", vendorIP, silencePort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })

	t.Run("customer over tcp", func(t *testing.T) {
		l.works(t, traffic{prefix: "49", args: []string{"-t", "t1"}}, "carrier")
	})
	t.Run("carrier over tcp", func(t *testing.T) { l.works(t, traffic{prefix: "441"}, "tcp") })
	t.Run("hold and resume", func(t *testing.T) {
		l.works(t, traffic{prefix: "442", scenario: "hold"}, "held")
		l.heard(t, held, func(p *phone) bool { return p.bye >= 0 })
	})
	t.Run("cancel", func(t *testing.T) {
		l.fails(t, traffic{prefix: "443", scenario: "cancel"}, 487, "rings")
		l.heard(t, ringing, func(p *phone) bool { return p.cut >= 0 && p.status == 487 })
	})
	t.Run("fail-over on 503", func(t *testing.T) {
		l.works(t, traffic{prefix: "444"}, "broken", "carrier")
		l.heard(t, broken, func(p *phone) bool { return p.status == 503 })
	})
	t.Run("no fail-over on 486", func(t *testing.T) {
		l.fails(t, traffic{prefix: "445"}, 486, "busy")
		l.heard(t, busy, func(p *phone) bool { return p.status == 486 })
	})
	t.Run("fail-over without an answer", func(t *testing.T) {
		for _, p := range l.works(t, traffic{prefix: "446"}, "silent", "carrier") {
			if d := p.setUp(); d < firstAnswer-margin || d > firstAnswer+2*margin {
				t.Errorf("the next carrier was tried after %v, want %v", d, firstAnswer)
			}
		}
	})
	l.balanced(l.settled(10 * time.Second))
}

// firstAnswer is how long a carrier may take to its first provisional response.
const firstAnswer = 4 * time.Second

// place makes one call through each node, and checks that the CDRs name the
// gateways that were tried.
func (l *lab) place(t *testing.T, c traffic, tried []string) map[string]*phone {
	t.Helper()
	c.caller, c.cps, c.calls, c.talk = "442079460000", 3, 3, time.Second
	phones := l.finish(l.customers(c), 20*time.Second)
	if len(phones) != c.calls {
		t.Errorf("%d calls of %d", len(phones), c.calls)
	}
	b := l.settled(10 * time.Second)
	for id := range phones {
		cdrs := b.byCall[id]
		if len(cdrs) != 1 {
			t.Errorf("call %s has %d CDRs", id, len(cdrs))
			continue
		}
		if got := gateways(cdrs[0].Attempts); got != fmt.Sprint(tried) {
			t.Errorf("gateways %v were tried, want %v: %+v", got, tried, cdrs[0])
		}
	}
	return phones
}

func gateways(attempts []client.Attempt) string {
	names := []string{}
	for _, a := range attempts {
		names = append(names, a.Gateway)
	}
	return fmt.Sprint(names)
}

// works is place for calls that are answered and end well.
func (l *lab) works(t *testing.T, c traffic, tried ...string) map[string]*phone {
	t.Helper()
	phones := l.place(t, c, tried)
	for id, p := range phones {
		if p.done < 0 {
			t.Errorf("call %s did not work: %+v", id, *p)
		}
	}
	return phones
}

// fails is place for calls that end with a status.
func (l *lab) fails(t *testing.T, c traffic, status int, tried ...string) {
	t.Helper()
	for id, p := range l.place(t, c, tried) {
		if p.status != status {
			t.Errorf("call %s ends with %d, want %d: %+v", id, p.status, status, *p)
		}
	}
}

// heard checks what a carrier has seen of the three calls.
func (l *lab) heard(t *testing.T, carrier *sipp, fine func(*phone) bool) {
	t.Helper()
	calls := carrier.calls()
	if len(calls) != len(l.nodes) {
		t.Errorf("%s got %d calls", carrier.name, len(calls))
	}
	for id, p := range calls {
		if !fine(p) {
			t.Errorf("%s saw of call %s only %+v", carrier.name, id, *p)
		}
	}
}
