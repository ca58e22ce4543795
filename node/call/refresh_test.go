package call

import (
	"slices"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

// header adds a header to a message of a phone.
func header(name, value string) func(*sip.Response) {
	return func(res *sip.Response) { res.Headers.Add(name, value) }
}

func inviteHeader(name, value string) func(*sip.InviteSpec) {
	return func(s *sip.InviteSpec) { s.Pass.Add(name, value) }
}

// agrees answers an UPDATE as a peer with session timers does.
func agrees(req *sip.Request) *sip.Response {
	res := req.Response(200, "")
	res.Headers.Add("Session-Expires", req.Headers.Get("Session-Expires"))
	return res
}

// connectTimed brings a call up with headers on both sides.
func (w *world) connectTimed(in []func(*sip.InviteSpec), out ...func(*sip.Response)) {
	w.t.Helper()
	w.caller.call("4420", in...)
	settle()
	w.one.says(200, true, out...)
	settle()
	w.caller.want(100, 200)
}

func timed(expires string) []func(*sip.InviteSpec) {
	return []func(*sip.InviteSpec){inviteHeader("Supported", "timer"), inviteHeader("Session-Expires", expires)}
}

func TestSessionTimerNegotiation(t *testing.T) {
	bubble(t, "each leg has its own", "10", func(t *testing.T, w *world) {
		w.connectTimed(timed("600;refresher=uac"), header("Session-Expires", "900;refresher=uas"))
		if got := w.caller.final().Headers.Get("Session-Expires"); got != "600;refresher=uac" {
			t.Errorf("caller's session is %q", got)
		}
		if !w.caller.final().Headers.HasTag("Require", "timer") {
			t.Error("a caller who refreshes must be told so by Require")
		}
		out, _ := w.one.last(sip.INVITE)
		if out.Headers.Get("Session-Expires") != "1800" || out.Headers.Get("Min-SE") != "90" || !out.Headers.HasTag("Supported", "timer") {
			t.Errorf("callee is offered %v", out.Headers)
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "too small", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", timed("60")...)
		settle()
		w.caller.want(422)
		if got := w.caller.final().Headers.Get("Min-SE"); got != "90" {
			t.Errorf("Min-SE is %q", got)
		}
		w.over()
	})
	bubble(t, "gateway wants a longer one", "10", func(t *testing.T, w *world) {
		w.ledger.must(t, &fsm.SetParameter{Name: "SS_SIP_SESSION_TTL", Value: "600"})
		w.caller.call("4420")
		settle()
		first, _ := w.one.last(sip.INVITE)
		w.one.says(422, false, header("Min-SE", "1200"))
		settle()
		again, _ := w.one.last(sip.INVITE)
		if w.one.count(sip.INVITE) != 2 || again.Headers.Get("Session-Expires") != "1200" || again.Headers.Get("Min-SE") != "1200" {
			t.Errorf("after a 422: %v", again.Headers)
		}
		if first.CallID == again.CallID || first.Branch == again.Branch {
			t.Error("two INVITEs have one name")
		}
		w.one.says(200, true)
		settle()
		w.caller.want(100, 200)
		w.caller.sendBye()
		settle()
		if cdr := w.ledger.lastCDR(t); len(cdr.Attempts) != 2 || cdr.Attempts[0].Status != 422 {
			t.Errorf("attempts: %+v", cdr.Attempts)
		}
		w.over()
	})
}

func TestSessionRefresh(t *testing.T) {
	bubble(t, "by us, with UPDATE, for ever", "10", func(t *testing.T, w *world) {
		w.one.refreshes = agrees
		w.connectTimed(nil, header("Session-Expires", "180;refresher=uac"))
		pause(10 * time.Minute)
		if n := w.one.count(sip.UPDATE); n < 6 || n > 7 {
			t.Errorf("%d refreshes in ten minutes of a session of three", n)
		}
		req, _ := w.one.last(sip.UPDATE)
		if got := req.Headers.Get("Session-Expires"); got != "180;refresher=uac" || len(req.Body) > 0 {
			t.Errorf("refresh says %q with %q", got, req.Body)
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "by us, with a re-INVITE", "10", func(t *testing.T, w *world) {
		w.connectTimed(nil, header("Session-Expires", "180;refresher=uac"), func(res *sip.Response) {
			res.Headers = slices.DeleteFunc(res.Headers, func(h sip.Header) bool { return h.Name == "Allow" })
		})
		first, _ := w.one.last(sip.INVITE)
		pause(91 * time.Second)
		again, tx := w.one.last(sip.INVITE)
		if w.one.count(sip.INVITE) != 2 || string(again.Body) != string(first.Body) {
			t.Fatalf("no refresh with the same SDP: %q", again.Body)
		}
		res := again.Response(200, "")
		res.Headers.Add("Contact", "<"+w.one.Contact("callee", sip.UDP)+">")
		res.Headers.Add("Session-Expires", "180;refresher=uac")
		res.SetBody(sdpType, []byte(w.one.sdp))
		w.one.reply(tx, res)
		settle()
		if w.one.count(sip.ACK) != 2 || w.caller.count(sip.INVITE) != 0 {
			t.Errorf("%d ACKs, %d re-INVITEs to the other leg", w.one.count(sip.ACK), w.caller.count(sip.INVITE))
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "glare: later, and by dice", "10", func(t *testing.T, w *world) {
		statuses := []int{491, 200}
		w.one.refreshes = func(req *sip.Request) *sip.Response {
			res := agrees(req)
			if statuses[0] != 200 {
				res = req.Response(statuses[0], "")
				statuses = statuses[1:]
			}
			return res
		}
		w.connectTimed(nil, header("Session-Expires", "180;refresher=uac"))
		pause(92 * time.Second)
		if n := w.one.count(sip.UPDATE); n != 1 {
			t.Errorf("%d refreshes before the wait after a 491 is over", n)
		}
		pause(3 * time.Second)
		if n := w.one.count(sip.UPDATE); n != 2 {
			t.Errorf("%d refreshes after it", n)
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "a peer that is gone", "10", func(t *testing.T, w *world) {
		w.connectTimed(nil, header("Session-Expires", "180;refresher=uac"))
		w.one.mu.Lock()
		w.one.forgets = true
		w.one.mu.Unlock()
		pause(95 * time.Second)
		if w.caller.count(sip.BYE) != 1 {
			t.Error("the other leg goes on without it")
		}
		if cdr := w.ledger.lastCDR(t); cdr.EndedBy != fsm.ByCallee {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "by him, and then not", "10", func(t *testing.T, w *world) {
		w.connectTimed(timed("180;refresher=uac"))
		pause(100 * time.Second)
		w.caller.mu.Lock()
		req := w.caller.dialog.Request(sip.UPDATE)
		w.caller.mu.Unlock()
		req.Headers.Add("Supported", "timer")
		req.Headers.Add("Session-Expires", "180;refresher=uac")
		var got *sip.Response
		if _, err := w.caller.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, _ error) { got = res }); err != nil {
			t.Fatal(err)
		}
		settle()
		if got == nil || got.Status != 200 || got.Headers.Get("Session-Expires") != "180;refresher=uac" {
			t.Fatalf("refresh is answered with %+v", got)
		}
		pause(140 * time.Second)
		if w.caller.count(sip.BYE) != 0 {
			t.Error("ended before the session")
		}
		pause(10 * time.Second)
		bye, _ := w.caller.last(sip.BYE)
		if w.one.count(sip.BYE) != 1 || bye.Headers.Get("Reason") != "Q.850;cause=102" {
			t.Errorf("expiry: %d BYEs to the callee, reason %q", w.one.count(sip.BYE), bye.Headers.Get("Reason"))
		}
		if cdr := w.ledger.lastCDR(t); cdr.Reason != fsm.EndTimeout || cdr.Duration < 240*time.Second {
			t.Errorf("cdr: %v after %s", cdr.Reason, cdr.Duration)
		}
		w.over()
	})
	bubble(t, "a peer without timers is probed", "10", func(t *testing.T, w *world) {
		w.ledger.must(t, &fsm.SetParameter{Name: "SS_SIP_NO_TIMER_REINVITE_INTERVAL", Value: "60"})
		w.one.refreshes = func(req *sip.Request) *sip.Response { return req.Response(200, "") }
		w.caller.refreshes = w.one.refreshes
		w.connectTimed(nil)
		pause(150 * time.Second)
		if a, b := w.caller.count(sip.UPDATE), w.one.count(sip.UPDATE); a != 2 || b != 2 {
			t.Errorf("%d and %d probes in 150 s", a, b)
		}
		w.caller.sendBye()
		w.over()
	})
}

// TestSessionSurvives: the new owner of a call refreshes in its old owner's place.
func TestSessionSurvives(t *testing.T) {
	bubble(t, "takeover", "10", func(t *testing.T, w *world) {
		w.one.refreshes = agrees
		w.connectTimed(timed("180;refresher=uac"), header("Session-Expires", "180;refresher=uac"))
		w.node.stop()
		w.start()
		w.adoptAll()
		pause(70 * time.Second)
		if n := w.one.count(sip.UPDATE); n != 1 {
			t.Errorf("%d refreshes by the new owner", n)
		}
		pause(80 * time.Second)
		if w.caller.count(sip.BYE) != 1 || w.ledger.lastCDR(t).Reason != fsm.EndTimeout {
			t.Error("a caller who does not refresh keeps the call")
		}
		w.over()
	})
}
