package call

import (
	"net/netip"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

func TestMediaTimeout(t *testing.T) {
	bubble(t, "voice stops", "10", func(t *testing.T, w *world) {
		w.connect()
		stop := w.talk()
		pause(30 * time.Second)
		stop()
		pause(15 * time.Second)
		if w.one.count(sip.BYE) != 1 || w.caller.count(sip.BYE) != 1 {
			t.Errorf("BYEs: %d and %d", w.one.count(sip.BYE), w.caller.count(sip.BYE))
		}
		if cdr := w.ledger.lastCDR(t); cdr.Reason != fsm.EndMediaTimeout || w.stat(MediaTimeouts) != 1 {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	}, func(c *Config) { c.Media = media.Timeout{End: 10 * time.Second} })
	bubble(t, "off by default", "10", func(t *testing.T, w *world) {
		w.connect()
		pause(10 * time.Minute)
		if w.node.control.Live() != 1 {
			t.Error("a silent call was ended")
		}
		w.caller.sendBye()
		w.over()
	})
}

// TestMediaOff: the SDP of each side reaches the other one as it is.
func TestMediaOff(t *testing.T) {
	bubble(t, "bypass", "10", func(t *testing.T, w *world) {
		prefix, err := fsm.ParsePrefix("10.1.0.0/16")
		w.check(err)
		w.ledger.must(t, &fsm.PutMappingGateway{Gateway: fsm.MappingGateway{
			ID: "in", Account: "c1", Addrs: []fsm.Prefix{prefix}, Media: fsm.MediaOff,
		}})
		w.connect()
		offer, _ := w.one.last(sip.INVITE)
		if string(offer.Body) != w.caller.sdp || string(w.caller.final().Body) != w.one.sdp {
			t.Error("the SDP was touched")
		}
		w.caller.sendBye()
		w.over()
	})
}

// TestTrying: over TCP the caller learns at once that we have his INVITE; over UDP
// the commit comes first.
func TestTrying(t *testing.T) {
	for transport, want := range map[sip.Transport]string{
		sip.UDP: "submit StartCall", sip.TCP: "submit StartCall, A 100",
	} {
		b := newBench(t)
		b.invite.Source.Transport = transport
		if got := b.happen("invite"); got != want {
			t.Errorf("%s: %s, want %s", transport, got, want)
		}
	}
}

func TestWhoCalls(t *testing.T) {
	for _, tc := range []struct{ from, pai, uri, caller, callee string }{
		{"<sip:4930@x>;tag=1", "", "sip:4420@y", "4930", "4420"},
		{`"4" <sip:+4930@x>`, "<sip:1@x>", "sip:+4420;rn=1@y;user=phone", "+4930", "+4420;rn=1"},
		{"<sip:anonymous@anonymous.invalid>", "<sip:4931@x>", "tel:4420", "4931", "4420"},
		{"<sip:anonymous@anonymous.invalid>", "", "sip:y", "anonymous", ""},
		{"<sip:x.y>", "<tel:4932>", "sip:%%@", "4932", ""},
		{"nonsense", "", "nonsense", "", ""},
	} {
		req := &sip.Request{From: tc.from, URI: tc.uri}
		if tc.pai != "" {
			req.Headers.Add("P-Asserted-Identity", tc.pai)
		}
		if caller, callee := callerOf(req), calleeOf(req); caller != tc.caller || callee != tc.callee {
			t.Errorf("%+v: %q calls %q", tc, caller, callee)
		}
	}
}

// TestResolve: candidates with a name need an address from the cache.
func TestResolve(t *testing.T) {
	resolve := func(c *Config) {
		c.Resolve = func(host, _ string, _ uint64) []netip.AddrPort {
			if host != "gw.example" {
				return nil
			}
			return []netip.AddrPort{netip.MustParseAddrPort(gwOneAddr), netip.MustParseAddrPort(gwTwoAddr)}
		}
	}
	named := func(w *world, host string) {
		for _, id := range []string{"gw1", "gw2"} {
			w.ledger.must(w.t, &fsm.DeleteGateway{ID: id})
		}
		w.ledger.must(w.t, &fsm.PutRoutingGateway{Gateway: fsm.RoutingGateway{
			ID: "named", Account: "v1", Prefixes: []string{"44"}, Host: host,
		}})
	}
	bubble(t, "addresses in order", "10", func(t *testing.T, w *world) {
		named(w, "gw.example")
		w.mute(gwOneAddr)
		w.caller.call("4420")
		pause(4100 * time.Millisecond)
		w.two.says(200, true)
		settle()
		w.caller.want(100, 200)
		w.caller.sendBye()
		settle()
		if cdr := w.ledger.lastCDR(t); cdr.Egress != "named" || len(cdr.Attempts) != 2 {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	}, resolve)
	bubble(t, "unknown name", "10", func(t *testing.T, w *world) {
		named(w, "other.example")
		w.caller.call("4420")
		settle()
		w.caller.want(100, 503)
		if cdr := w.ledger.lastCDR(t); len(cdr.Attempts) != 1 || cdr.Attempts[0].Skipped != "unresolved" {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	}, resolve)
}

// TestMaxCalls: a full node refuses and says when to come back.
func TestMaxCalls(t *testing.T) {
	bubble(t, "full", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.gotten = nil
		w.caller.call("4421")
		settle()
		if res := w.caller.final(); res.Status != 503 || res.Headers.Get("Retry-After") != "5" {
			t.Errorf("got %d, %v", res.Status, res.Headers)
		}
		w.caller.sendBye()
		w.over()
	}, func(c *Config) { c.MaxCalls = 1 })
}
