package call

import (
	"testing"
	"testing/synctest"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

// bubble runs a test in a world of its own.
func bubble(t *testing.T, name, funds string, body func(t *testing.T, w *world), change ...func(*Config)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) { body(t, newWorld(t, funds, change...)) })
	})
}

func TestFailOver(t *testing.T) {
	for status, want := range map[int]int{408: 2, 500: 2, 502: 2, 503: 2, 504: 2, 302: 2, 407: 2, 403: 2, 488: 2, 606: 2, 505: 2, 404: 1, 480: 1, 484: 1, 486: 1, 600: 1, 603: 1} {
		bubble(t, sip.ReasonPhrase(status), "10", func(t *testing.T, w *world) {
			w.caller.call("4420")
			settle()
			w.one.says(status, false)
			settle()
			if tries := w.one.count(sip.INVITE) + w.two.count(sip.INVITE); tries != want {
				t.Errorf("%d tries after a %d, want %d", tries, status, want)
			}
			if want == 1 {
				w.caller.want(100, status)
			} else {
				w.two.says(200, true)
				settle()
				w.caller.want(100, 200)
				w.two.sendBye()
				settle()
			}
			w.over()
		})
	}
}

func TestHunting(t *testing.T) {
	bubble(t, "silent gateway", "10", func(t *testing.T, w *world) {
		w.mute(gwOneAddr)
		w.caller.call("4420")
		pause(3900 * time.Millisecond)
		if w.two.count(sip.INVITE) != 0 {
			t.Error("the second gateway was tried too early")
		}
		pause(200 * time.Millisecond)
		w.two.says(200, true)
		settle()
		w.caller.want(100, 200)
		w.caller.sendBye()
		settle()
		cdr := w.ledger.lastCDR(t)
		if len(cdr.Attempts) != 2 || cdr.Attempts[0].Status != 408 || cdr.Egress != "gw2" {
			t.Errorf("attempts: %+v", cdr.Attempts)
		}
		w.over()
	})
	bubble(t, "late answer of a gateway that was given up", "10", func(t *testing.T, w *world) {
		w.mute(gwOneAddr)
		w.caller.call("4420")
		pause(5 * time.Second)
		w.two.says(180, false)
		settle()
		w.mute("")
		w.one.says(200, true)
		settle()
		if w.one.count(sip.ACK) != 1 || w.one.count(sip.BYE) != 1 {
			t.Errorf("late answer got %d ACKs and %d BYEs", w.one.count(sip.ACK), w.one.count(sip.BYE))
		}
		w.two.says(200, true)
		settle()
		w.caller.want(100, 180, 200)
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "nobody can", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(503, false)
		settle()
		w.two.says(500, false)
		settle()
		w.caller.want(100, 500)
		if h := w.caller.final().Headers; h.Get("Retry-After") != "" || h.Get("Reason") != "Q.850;cause=41" {
			t.Errorf("headers of the refusal: %v", h)
		}
		if cdr := w.ledger.lastCDR(t); cdr.Reason != fsm.EndFailed || cdr.Fee != 0 || len(cdr.Attempts) != 2 {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "down gateway is skipped", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		if w.one.count(sip.INVITE) != 0 || w.two.count(sip.INVITE) != 1 {
			t.Error("the gateway that is down was not skipped")
		}
		w.two.says(486, false)
		settle()
		cdr := w.ledger.lastCDR(t)
		if cdr.Reason != fsm.EndBusy || len(cdr.Attempts) != 2 || cdr.Attempts[0].Skipped != "down" {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	}, func(c *Config) { c.Down = func(gateway string) bool { return gateway == "gw1" } })
	bubble(t, "all down: the first is tried", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		if w.one.count(sip.INVITE) != 1 {
			t.Error("nothing was tried")
		}
		w.one.says(486, false)
		w.over()
	}, func(c *Config) { c.Down = func(string) bool { return true } })
	bubble(t, "gateway's Retry-After", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		req, tx := w.one.last(sip.INVITE)
		res := req.Response(503, "x")
		res.Headers.Add("Retry-After", "120")
		w.one.reply(tx, res)
		settle()
		w.two.says(486, false)
		w.over()
	}, func(c *Config) {
		c.Backoff = func(gateway string, d time.Duration) {
			if gateway != "gw1" || d != 2*time.Minute {
				t.Errorf("back-off of %s: %s", gateway, d)
			}
		}
	})
}

func TestRinging(t *testing.T) {
	bubble(t, "too long", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(180, false)
		pause(61 * time.Second)
		w.caller.want(100, 180, 480)
		if w.one.count(sip.CANCEL) != 1 || w.two.count(sip.INVITE) != 0 {
			t.Error("callee was not cancelled, or another one tried")
		}
		if cdr := w.ledger.lastCDR(t); cdr.Reason != fsm.EndNoAnswer || cdr.Q850 != 19 {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "early media", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(183, true)
		settle()
		early := w.caller.final()
		if early.Status != 183 || len(early.Body) == 0 {
			t.Fatalf("got %d with %q", early.Status, early.Body)
		}
		contains(t, string(early.Body), "c=IN IP4 10.0.0.1")
		w.one.says(180, false)
		w.one.says(200, false) // the answer was in the 183
		settle()
		ok := w.caller.final()
		if ok.Status != 200 || string(ok.Body) != string(early.Body) {
			t.Errorf("200 has another answer than the 183: %q", ok.Body)
		}
		w.caller.sendBye()
		w.over()
	})
}

func TestForks(t *testing.T) {
	bubble(t, "latest tag wins, surplus answer is ended", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		req, tx := w.one.last(sip.INVITE)
		for _, tag := range []string{"x", "y"} {
			state := req.Invite(tag)
			res := callee{state, w.one}.response(180)
			w.one.reply(tx, res)
			settle()
		}
		w.one.says(200, true)
		settle()
		// Another fork answers as well: its 200 reaches us beside the transaction.
		state := req.Invite("other")
		other := callee{state, w.one}.response(200)
		raw := w.copyOf(other, w.one)
		raw()
		settle()
		if w.one.count(sip.BYE) != 1 || w.one.count(sip.ACK) != 2 {
			t.Errorf("surplus answer got %d ACKs and %d BYEs", w.one.count(sip.ACK), w.one.count(sip.BYE))
		}
		if w.caller.byes != 0 {
			t.Error("the call was ended")
		}
		w.caller.sendBye()
		w.over()
	})
}

func TestCancel(t *testing.T) {
	bubble(t, "while ringing", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(180, false)
		settle()
		w.caller.tx.Cancel(sip.Header{Name: "Reason", Value: "SIP;cause=200"})
		settle()
		w.caller.want(100, 180, 487)
		cancel, _ := w.one.last(sip.CANCEL)
		if cancel.Headers.Get("Reason") != "SIP;cause=200" {
			t.Errorf("reason is not passed on: %v", cancel.Headers)
		}
		if cdr := w.ledger.lastCDR(t); cdr.Reason != fsm.EndCanceled || cdr.EndedBy != fsm.ByCaller || cdr.SIPStatus != 487 {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "before any answer of the gateway", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.caller.tx.Cancel()
		settle()
		w.caller.want(100, 487)
		if w.one.count(sip.CANCEL) != 0 {
			t.Error("CANCEL before a 1xx")
		}
		w.one.says(180, false)
		settle()
		if w.one.count(sip.CANCEL) != 1 {
			t.Error("no CANCEL after the 1xx")
		}
		w.over()
	})
	bubble(t, "crosses the answer", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(180, false)
		settle()
		w.one.invite = nil
		w.lose(func(_, to netAddrPort, raw []byte) bool { // the CANCEL does not get through
			return to.String() == gwOneAddr && hasPrefix(raw, "CANCEL")
		})
		w.caller.tx.Cancel()
		settle()
		w.one.says(200, true)
		settle()
		if w.one.count(sip.ACK) != 1 || w.one.count(sip.BYE) != 1 {
			t.Errorf("late answer got %d ACKs and %d BYEs", w.one.count(sip.ACK), w.one.count(sip.BYE))
		}
		w.caller.want(100, 180, 487)
		w.over()
	})
	bubble(t, "while the answer is being committed", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(180, false)
		settle()
		w.ledger.setDeaf(true)
		w.one.says(200, true)
		settle()
		w.caller.tx.Cancel()
		pause(time.Second)
		w.ledger.setDeaf(false)
		settle()
		w.caller.want(100, 180, 200) // the answer came first
		w.caller.sendBye()
		settle()
		if cdr := w.ledger.lastCDR(t); cdr.Reason != fsm.EndNormal || cdr.Duration < time.Second {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
}
