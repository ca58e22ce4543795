package call

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/sip"
)

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, funds, callee string
		status              int
		reason              string
		change              func(*sip.InviteSpec)
	}{
		{"no money", "0", "4420", 402, "Q.850;cause=21", nil},
		{"no rate", "10", "3320", 503, "Q.850;cause=3", nil},
		{"letters", "10", "bob", 484, "Q.850;cause=28", nil},
		{"malformed sdp", "10", "4420", 400, "Q.850;cause=127", func(s *sip.InviteSpec) { s.Body = []byte("v=0\r\nm=x\r\n") }},
		{"no audio", "10", "4420", 488, "Q.850;cause=88", func(s *sip.InviteSpec) {
			s.Body = []byte("v=0\r\no=- 1 1 IN IP4 10.1.0.1\r\ns=-\r\nc=IN IP4 10.1.0.1\r\nt=0 0\r\nm=video 4000 RTP/AVP 96\r\n")
		}},
		{"other body", "10", "4420", 415, "Q.850;cause=79", func(s *sip.InviteSpec) { s.ContentType = "text/plain" }},
		{"too many hops", "10", "4420", 483, "Q.850;cause=25", func(s *sip.InviteSpec) { s.MaxForwards = 1 }},
	} {
		bubble(t, tc.name, tc.funds, func(t *testing.T, w *world) {
			if tc.change == nil {
				tc.change = func(*sip.InviteSpec) {}
			}
			w.caller.call(tc.callee, tc.change)
			settle()
			w.caller.want(tc.status)
			h := w.caller.final().Headers
			if h.Get("Reason") != tc.reason || h.Get("Retry-After") != "" {
				t.Errorf("headers: %v", h)
			}
			if w.one.count(sip.INVITE) != 0 {
				t.Error("a refused call was dialled")
			}
			w.over()
		})
	}
}

func TestHold(t *testing.T) {
	bubble(t, "leader comes back", "10", func(t *testing.T, w *world) {
		w.ledger.setDeaf(true)
		w.caller.call("4420")
		pause(190 * time.Millisecond)
		w.caller.want()
		pause(3 * time.Second)
		w.caller.want(100)
		if w.one.count(sip.INVITE) != 0 || w.node.control.Held() != 1 {
			t.Error("dialled before the commit")
		}
		w.ledger.setDeaf(false)
		settle()
		w.one.says(200, true)
		settle()
		w.caller.want(100, 200)
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "held too long", "10", func(t *testing.T, w *world) {
		w.ledger.setDeaf(true)
		w.caller.call("4420")
		pause(4100 * time.Millisecond)
		w.caller.want(100, 504)
		if h := w.caller.final().Headers; h.Get("Reason") != "Q.850;cause=102" || h.Get("Retry-After") != "" {
			t.Errorf("headers: %v", h)
		}
		w.ledger.setDeaf(false)
		w.over()
	})
	bubble(t, "plan comes too late", "10", func(t *testing.T, w *world) {
		w.ledger.setDeaf(true)
		w.caller.call("4420")
		pause(time.Second)
		w.caller.tx.Cancel()
		settle()
		w.caller.want(100, 487)
		w.ledger.setDeaf(false)
		settle()
		if w.one.count(sip.INVITE) != 0 {
			t.Error("a cancelled call was dialled")
		}
		if w.stat(Voided) != 1 || w.stat(Canceled) != 1 {
			t.Errorf("voided %d, canceled %d", w.stat(Voided), w.stat(Canceled))
		}
		w.over()
	})
	bubble(t, "lane is full", "10", func(t *testing.T, w *world) {
		w.ledger.refuse = cluster.ErrBusy
		w.caller.call("4420")
		settle()
		w.caller.want(503)
		if w.caller.final().Headers.Get("Retry-After") != "5" {
			t.Error("no Retry-After")
		}
		w.ledger.refuse = nil
		w.over()
	})
	bubble(t, "draining", "10", func(t *testing.T, w *world) {
		w.node.control.Drain(true)
		w.caller.call("4420")
		settle()
		w.caller.want(503)
		if w.caller.final().Headers.Get("Retry-After") != "5" || w.stat(RefusedServing) != 1 {
			t.Error("no Retry-After, or not counted")
		}
	})
}

func TestHeldBound(t *testing.T) {
	bubble(t, "one source fills its half, another one finds room", "10", func(t *testing.T, w *world) {
		other := w.phone("10.1.0.2:5060")
		w.ledger.setDeaf(true)
		for range maxHeld / 2 {
			w.caller.call("4420")
			synctest.Wait()
		}
		w.caller.call("4420")
		settle()
		if w.stat(RefusedHeld) != 1 || w.node.control.Held() != maxHeld/2 {
			t.Errorf("refused %d, held %d", w.stat(RefusedHeld), w.node.control.Held())
		}
		other.call("4420")
		settle()
		if w.stat(RefusedHeld) != 1 || w.node.control.Held() != maxHeld/2+1 {
			t.Errorf("refused %d, held %d: the other customer has no room", w.stat(RefusedHeld), w.node.control.Held())
		}
		pause(5 * time.Second)
		w.ledger.setDeaf(false)
		w.over()
	})
}

func TestAnswerWithoutLeader(t *testing.T) {
	bubble(t, "answer does not commit", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.ledger.setDeaf(true)
		w.one.says(200, true)
		pause(3900 * time.Millisecond)
		w.caller.want(100)
		if w.one.count(sip.ACK) != 0 {
			t.Error("acknowledged before the commit")
		}
		pause(200 * time.Millisecond)
		w.caller.want(100, 504)
		if w.one.count(sip.ACK) != 1 || w.one.count(sip.BYE) != 1 {
			t.Error("callee was not released")
		}
		pause(time.Minute)
		w.ledger.setDeaf(false)
		pause(6 * time.Second)
		if fee := w.ledger.lastCDR(t).Fee; fee != 0 {
			t.Errorf("charged %s", fee)
		}
		w.over()
	})
	bubble(t, "answer commits late", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.ledger.setDeaf(true)
		w.one.says(200, true)
		pause(2 * time.Second)
		w.ledger.setDeaf(false)
		settle()
		w.caller.want(100, 200)
		if w.one.count(sip.ACK) != 1 {
			t.Errorf("%d ACKs", w.one.count(sip.ACK))
		}
		pause(3 * time.Second)
		w.one.sendBye()
		settle()
		if d := w.ledger.lastCDR(t).Duration.Round(time.Second); d != 5*time.Second {
			t.Errorf("charged for %s, want 5s since the callee's 200", d)
		}
		w.over()
	})
	bubble(t, "callee hangs up meanwhile", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.ledger.setDeaf(true)
		w.one.says(200, true)
		settle()
		w.one.sendBye()
		pause(time.Second)
		w.ledger.setDeaf(false)
		settle()
		w.caller.want(100, 200)
		if w.caller.count(sip.BYE) != 1 || w.one.byeStatus() != 200 {
			t.Errorf("caller got %d BYEs, callee's BYE %d", w.caller.count(sip.BYE), w.one.byeStatus())
		}
		w.over()
	})
}

func TestByeWithoutLeader(t *testing.T) {
	bubble(t, "outbox", "10", func(t *testing.T, w *world) {
		w.connect()
		w.ledger.setDeaf(true)
		w.caller.sendBye()
		settle()
		if w.one.count(sip.BYE) != 1 || w.caller.byeStatus() != 0 {
			t.Error("BYE is relayed at once, its 200 waits")
		}
		pause(3900 * time.Millisecond)
		if w.caller.byeStatus() != 0 {
			t.Error("answered before anything is durable")
		}
		pause(200 * time.Millisecond)
		if w.caller.byeStatus() != 200 || len(w.ledger.box) != 1 {
			t.Errorf("answered %d, outbox %v", w.caller.byeStatus(), w.ledger.box)
		}
		end := w.ledger.box[0].(*fsm.EndCall)
		if end.How != fsm.EndFact || end.By != fsm.ByCaller {
			t.Errorf("outbox holds %+v", end)
		}
		w.ledger.setDeaf(false)
		w.ledger.apply(end, time.Now().Add(-4*time.Second))
		w.over()
	})
	bubble(t, "leader comes back", "10", func(t *testing.T, w *world) {
		w.connect()
		w.ledger.setDeaf(true)
		w.one.sendBye()
		pause(2 * time.Second)
		w.ledger.setDeaf(false)
		settle()
		if w.one.byeStatus() != 200 || w.caller.count(sip.BYE) != 1 || len(w.ledger.box) != 0 {
			t.Errorf("answered %d, outbox %v", w.one.byeStatus(), w.ledger.box)
		}
		w.over()
	})
	bubble(t, "disk is gone", "10", func(t *testing.T, w *world) {
		w.connect()
		w.ledger.setDeaf(true)
		w.ledger.boxErr = errDisk
		w.caller.sendBye()
		pause(10 * time.Second)
		if w.caller.byeStatus() != 0 {
			t.Error("answered although nothing is durable")
		}
		w.ledger.mu.Lock()
		w.ledger.boxErr = nil
		w.ledger.mu.Unlock()
		pause(2 * time.Second)
		if w.caller.byeStatus() != 200 || len(w.ledger.box) != 1 {
			t.Errorf("answered %d, outbox %v", w.caller.byeStatus(), w.ledger.box)
		}
		w.ledger.setDeaf(false)
		w.ledger.apply(w.ledger.box[0], time.Now())
		w.over()
	})
	bubble(t, "both hang up at once", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.sendBye()
		w.one.sendBye()
		settle()
		if w.caller.byeStatus() != 200 || w.one.byeStatus() != 200 {
			t.Errorf("answered %d and %d", w.caller.byeStatus(), w.one.byeStatus())
		}
		w.ledger.mu.Lock()
		if n := len(w.ledger.cdrs); n != 1 {
			t.Errorf("%d cdrs", n)
		}
		w.ledger.mu.Unlock()
		w.over()
	})
}

func TestProposerClosed(t *testing.T) {
	bubble(t, "no command ever commits", "10", func(t *testing.T, w *world) {
		w.connect()
		w.ledger.mu.Lock()
		w.ledger.refuse = errors.New("closed")
		w.ledger.mu.Unlock()
		w.caller.sendBye()
		settle()
		if w.caller.byeStatus() != 200 || len(w.ledger.box) != 1 {
			t.Errorf("answered %d, outbox %v", w.caller.byeStatus(), w.ledger.box)
		}
		w.ledger.mu.Lock()
		w.ledger.refuse = nil
		w.ledger.mu.Unlock()
		w.ledger.apply(w.ledger.box[0], time.Now())
		w.over()
	})
}
