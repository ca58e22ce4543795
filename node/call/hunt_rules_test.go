package call

import (
	"strings"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

// profile changes the profile of a gateway, or with an empty id of the ingress.
func (l *ledger) profile(t testing.TB, id string, change func(*fsm.Profile)) {
	t.Helper()
	if id == "" {
		g, _ := l.state.MappingGateway("in")
		change(&g.Profile)
		l.must(t, &fsm.PutMappingGateway{Gateway: g})
		return
	}
	g, _ := l.state.RoutingGateway(id)
	change(&g.Profile)
	l.must(t, &fsm.PutRoutingGateway{Gateway: g})
}

func (w *world) set(name, value string) {
	w.t.Helper()
	w.ledger.must(w.t, &fsm.SetParameter{Name: name, Value: value})
}

// TestHuntingRules is a table of F103-F108: what the first gateway did, what rules
// were set, and whether the second one was tried.
func TestHuntingRules(t *testing.T) {
	const (
		limit, connect = "SS_GATEWAY_SWITCH_LIMIT", "SS_GATEWAY_SWITCH_UNTIL_CONNECT"
		sdp, silence   = "SS_SIP_STOP_SWITCH_AFTER_SDP", "SS_SIP_USER_AGENT_STOP_SWITCH_AFTER_INVITE_TIMEOUT"
	)
	ringing := func(w *world) { w.one.says(180, false); settle() }
	early := func(w *world) { w.one.says(183, true); settle() }
	then := func(first func(*world), status int) func(*world) {
		return func(w *world) { first(w); w.one.says(status, false) }
	}
	with := func(change func(*fsm.Profile)) func(*world) {
		return func(w *world) { w.ledger.profile(w.t, "gw1", change) }
	}
	param := func(name, value string) func(*world) { return func(w *world) { w.set(name, value) } }
	says := func(status int) func(*world) { return func(w *world) { w.one.says(status, false) } }
	silent := func(w *world) { pause(5 * time.Second) }
	tooLong := func(w *world) { ringing(w); pause(61 * time.Second) }
	for name, tc := range map[string]struct {
		rule  func(*world)
		first func(*world)
		goes  bool
	}{
		"failure":                       {nil, says(503), true},
		"switch limit 0":                {param(limit, "0"), says(503), false},
		"switch limit 1":                {param(limit, "1"), says(503), true},
		"failure after ringing":         {nil, then(ringing, 503), true},
		"failure after ringing, off":    {with(func(p *fsm.Profile) { p.AfterRing = fsm.SwitchOff }), then(ringing, 503), false},
		"no answer":                     {nil, tooLong, false},
		"no answer, until connect":      {param(connect, "1"), tooLong, true},
		"no answer, gateway's own":      {with(func(p *fsm.Profile) { p.AfterRing = fsm.SwitchOn }), tooLong, true},
		"busy":                          {nil, says(486), false},
		"busy, until connect":           {param(connect, "1"), says(486), true},
		"busy, gateway's own":           {with(func(p *fsm.Profile) { p.AfterBusy = fsm.SwitchOn }), says(600), true},
		"busy, until connect but here":  {func(w *world) { w.set(connect, "1"); with(func(p *fsm.Profile) { p.AfterBusy = fsm.SwitchOff })(w) }, says(486), false},
		"failure after sdp":             {nil, then(early, 503), true},
		"failure after sdp, stop":       {param(sdp, "1"), then(early, 503), false},
		"failure after sdp, own":        {func(w *world) { w.set(sdp, "1"); with(func(p *fsm.Profile) { p.AfterSDP = fsm.SwitchOn })(w) }, then(early, 503), true},
		"silence":                       {nil, silent, true},
		"silence, stop":                 {param(silence, "1"), silent, false},
		"silence, gateway's own":        {with(func(p *fsm.Profile) { p.AfterTimeout = fsm.SwitchOff }), silent, false},
		"error list":                    {with(func(p *fsm.Profile) { p.ErrorCodes = "404" }), says(404), true},
		"error list with a minus":       {with(func(p *fsm.Profile) { p.ErrorCodes = "-503" }), says(503), false},
		"no ringing in time (progress)": {with(func(p *fsm.Profile) { p.Progress = 10 * time.Second }), func(w *world) { w.one.says(100, false); pause(11 * time.Second) }, true},
	} {
		bubble(t, name, "10", func(t *testing.T, w *world) {
			if tc.rule != nil {
				tc.rule(w)
			}
			if strings.HasPrefix(name, "silence") {
				w.mute(gwOneAddr)
			}
			w.caller.call("4420")
			settle()
			tc.first(w)
			settle()
			if goes := w.two.count(sip.INVITE) == 1; goes != tc.goes {
				t.Errorf("hunting goes on: %v, want %v", goes, tc.goes)
			}
			if w.two.count(sip.INVITE) == 1 {
				w.two.says(404, false)
				settle()
			}
			if w.caller.final().Status < 400 {
				t.Errorf("caller got %v", w.caller.statuses())
			}
			w.over()
		})
	}
}

// TestNoTurnAfterRTP: once the callee's side has been heard, the call stays there
// (F104).
func TestNoTurnAfterRTP(t *testing.T) {
	for value, want := range map[string]int{"1": 0, "0": 1} {
		bubble(t, value, "10", func(t *testing.T, w *world) {
			w.set("SS_GATEWAY_SWITCH_STOP_AFTER_RTP_START", value)
			w.caller.call("4420")
			settle()
			w.one.says(183, true)
			settle()
			stop := w.talk()
			pause(200 * time.Millisecond)
			stop()
			w.one.says(503, false)
			settle()
			if n := w.two.count(sip.INVITE); n != want {
				t.Errorf("%d more gateways tried, want %d", n, want)
			}
			if want == 1 {
				w.two.says(486, false)
			}
			w.over()
		})
	}
}

func TestTimerC(t *testing.T) {
	bubble(t, "a gateway that only goes on ringing", "10", func(t *testing.T, w *world) {
		g, _ := w.ledger.state.RoutingGateway("gw1")
		g.Ring = 10 * time.Minute
		w.ledger.must(t, &fsm.PutRoutingGateway{Gateway: g})
		w.caller.call("4420")
		settle()
		w.one.says(180, false)
		pause(170 * time.Second)
		w.one.says(180, false) // starts it anew
		pause(170 * time.Second)
		if w.one.count(sip.CANCEL) != 0 {
			t.Error("cancelled in spite of a 18x")
		}
		pause(11 * time.Second)
		if w.one.count(sip.CANCEL) != 1 {
			t.Error("not cancelled after Timer C")
		}
		w.over()
	})
}

// TestCauses: failures become what the tables of both gateways make of them (F027).
func TestCauses(t *testing.T) {
	bubble(t, "egress, then ingress", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.Causes = "404;3=604;1" })
		w.ledger.profile(t, "", func(p *fsm.Profile) { p.Causes = "604=484;28" })
		w.caller.call("4420")
		settle()
		w.one.says(404, false, header("Reason", "Q.850;cause=3"))
		settle()
		w.caller.want(100, 484)
		if got := w.caller.final().Headers.Get("Reason"); got != "Q.850;cause=28" {
			t.Errorf("reason %q", got)
		}
		if cdr := w.ledger.lastCDR(t); cdr.SIPStatus != 484 || cdr.Attempts[0].Status != 404 || cdr.Attempts[0].Q850 != 3 {
			t.Errorf("cdr: %d, %+v", cdr.SIPStatus, cdr.Attempts)
		}
		w.over()
	})
}

func TestRedirect(t *testing.T) {
	contacts := func(values ...string) func(*sip.Response) {
		return func(res *sip.Response) {
			res.Headers = nil
			for _, v := range values {
				res.Headers.Add("Contact", v)
			}
		}
	}
	recurse := func(p *fsm.Profile) { p.Redirect = fsm.RedirectRecurse }
	bubble(t, "by q, within the number that was rated", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", recurse)
		three := w.phone("10.2.0.3:5060")
		w.caller.call("4420")
		settle()
		w.one.says(302, false, contacts("<sip:4420@10.2.0.4>;q=0.1", "<sip:900@10.2.0.3>;q=1", "<sip:4420@10.2.0.3>;q=0.7",
			"<sip:4420@127.0.0.1>", "<sip:4420@10.2.0.1:5060>", "<sip:4420@name.example>"))
		settle()
		if three.count(sip.INVITE) != 1 {
			t.Fatal("the best contact was not tried")
		}
		three.says(302, false, contacts("<sip:4420@10.2.0.1:5060>", "<sip:4420@10.2.0.3>")) // round and round
		settle()
		pause(5 * time.Second) // nobody is at the last one
		if w.two.count(sip.INVITE) != 1 || w.one.count(sip.INVITE) != 1 || three.count(sip.INVITE) != 1 {
			t.Error("not the next gateway after that")
		}
		w.two.says(486, false)
		settle()
		cdr := w.ledger.lastCDR(t)
		if len(cdr.Attempts) != 4 || cdr.Attempts[1].Gateway != "gw1" || cdr.Attempts[2].Status != 408 {
			t.Errorf("attempts: %+v", cdr.Attempts)
		}
		w.over()
	})
	bubble(t, "to the caller", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.Redirect = fsm.RedirectPass })
		w.caller.call("4420")
		settle()
		w.one.says(302, false, contacts("<sip:4421@10.9.0.1>"))
		settle()
		w.caller.want(100, 302)
		if got := w.caller.final().Headers.Get("Contact"); got != "<sip:4421@10.9.0.1>" {
			t.Errorf("contact %q", got)
		}
		w.over()
	})
}

// TestAddressDown: of several addresses those that are down are passed over, and
// if all are, the first one is tried.
func TestAddressDown(t *testing.T) {
	for down, want := range map[string]string{gwOneAddr: gwTwoAddr, gwTwoAddr: gwOneAddr, "": gwOneAddr, "both": gwOneAddr} {
		bubble(t, "down "+down, "10", func(t *testing.T, w *world) {
			g, _ := w.ledger.state.RoutingGateway("gw1")
			two, _ := w.ledger.state.RoutingGateway("gw2")
			g.Addrs = append(g.Addrs, two.Addrs...)
			w.ledger.must(t, &fsm.PutRoutingGateway{Gateway: g})
			w.caller.call("4420")
			settle()
			for _, p := range []*phone{w.one, w.two} {
				if tried := p.count(sip.INVITE) == 1; tried != (p.addr.String() == want) {
					t.Errorf("%s tried: %v", p.addr, tried)
				}
			}
			w.caller.tx.Cancel()
			settle()
			for _, p := range []*phone{w.one, w.two} {
				if p.count(sip.INVITE) == 1 {
					p.says(486, false)
				}
			}
			w.over()
		}, func(c *Config) {
			c.PeerDown = func(addr netAddrPort, _ string) bool { return addr.String() == down || down == "both" }
		})
	}
}
