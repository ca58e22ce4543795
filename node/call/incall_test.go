package call

import (
	"bytes"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

func TestCut(t *testing.T) {
	bubble(t, "money for 30 s", "0.30", func(t *testing.T, w *world) {
		w.connect()
		pause(29500 * time.Millisecond)
		if w.one.count(sip.BYE) != 0 {
			t.Error("cut too early")
		}
		pause(time.Second)
		if w.one.count(sip.BYE) != 1 || w.caller.count(sip.BYE) != 1 {
			t.Errorf("BYEs: callee %d, caller %d", w.one.count(sip.BYE), w.caller.count(sip.BYE))
		}
		cdr := w.ledger.lastCDR(t)
		if cdr.Reason != fsm.EndCredit || cdr.EndedBy != fsm.ByServer || cdr.Fee != 300_000 || cdr.OverGrant != 0 {
			t.Errorf("cdr: %+v", cdr)
		}
		if w.stat(CutCredit) != 1 || w.stat(Extended) == 0 {
			t.Errorf("cut %d, extended %d", w.stat(CutCredit), w.stat(Extended))
		}
		w.over()
		if left := w.ledger.account(t, "c1").Balance.Funds; left != 0 {
			t.Errorf("%s is left", left)
		}
	})
	bubble(t, "top-up in time", "0.30", func(t *testing.T, w *world) {
		w.connect()
		pause(27 * time.Second)
		w.ledger.must(t, &fsm.TopUp{Account: "c1", Amount: 600_000})
		pause(30 * time.Second)
		if w.one.count(sip.BYE) != 0 {
			t.Error("cut although money came")
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "rich account goes on", "1000", func(t *testing.T, w *world) {
		w.connect()
		pause(time.Hour)
		if w.one.count(sip.BYE) != 0 {
			t.Error("cut")
		}
		w.caller.sendBye()
		settle()
		if fee := w.ledger.lastCDR(t).Fee; fee != 36_010_000 && fee != 36_000_000 {
			t.Errorf("fee %s", fee)
		}
		w.over()
	})
	bubble(t, "longest call", "10000", func(t *testing.T, w *world) {
		w.connect()
		pause(14399 * time.Second)
		if w.one.count(sip.BYE) != 0 {
			t.Error("cut too early")
		}
		pause(2 * time.Second)
		if w.one.count(sip.BYE) != 1 || w.ledger.lastCDR(t).Reason != fsm.EndLimit {
			t.Errorf("cdr %+v", w.ledger.lastCDR(t))
		}
		w.over()
	})
	bubble(t, "no leader at the end of the grant", "0.30", func(t *testing.T, w *world) {
		w.connect()
		pause(20 * time.Second)
		w.ledger.setDeaf(true)
		pause(15 * time.Second)
		if w.one.count(sip.BYE) != 0 {
			t.Error("a decision was told without its commit")
		}
		if n := w.node.relay.Totals().Sessions; n != 0 {
			t.Error("media goes on beyond the grant")
		}
		w.ledger.setDeaf(false)
		pause(2 * time.Second)
		if w.one.count(sip.BYE) != 1 || w.caller.count(sip.BYE) != 1 {
			t.Error("no BYE after the commit")
		}
		if fee := w.ledger.lastCDR(t).Fee; fee > 300_000 {
			t.Errorf("fee %s is above the funds", fee)
		}
		w.over()
	})
	bubble(t, "hang up while the cut waits", "0.30", func(t *testing.T, w *world) {
		w.connect()
		pause(20 * time.Second)
		w.ledger.setDeaf(true)
		pause(12 * time.Second)
		w.caller.sendBye()
		settle()
		if w.one.count(sip.BYE) != 1 {
			t.Error("BYE is not relayed at once")
		}
		w.ledger.setDeaf(false)
		pause(2 * time.Second)
		if w.caller.byeStatus() != 200 || w.caller.count(sip.BYE) != 0 {
			t.Errorf("BYE answered %d, %d sent", w.caller.byeStatus(), w.caller.count(sip.BYE))
		}
		w.over()
	})
}

func TestAckMissing(t *testing.T) {
	bubble(t, "no ACK", "10", func(t *testing.T, w *world) {
		w.lose(func(_, _ netAddrPort, raw []byte) bool { return hasPrefix(raw, "ACK") })
		w.caller.call("4420")
		settle()
		w.one.says(200, true)
		pause(31 * time.Second)
		if w.caller.count(sip.BYE) != 0 {
			t.Error("BYE too early")
		}
		pause(2 * time.Second)
		if w.caller.count(sip.BYE) != 1 || w.one.count(sip.BYE) != 1 {
			t.Errorf("BYEs: %d and %d", w.caller.count(sip.BYE), w.one.count(sip.BYE))
		}
		w.over()
	})
	bubble(t, "callee hangs up before the ACK", "10", func(t *testing.T, w *world) {
		w.lose(func(from, _ netAddrPort, raw []byte) bool {
			return from.String() == callerAddr && hasPrefix(raw, "ACK")
		})
		w.caller.call("4420")
		settle()
		w.one.says(200, true)
		settle()
		w.one.sendBye()
		settle()
		if w.caller.count(sip.BYE) != 0 {
			t.Error("BYE to the caller before its ACK (RFC 3261 section 15)")
		}
		w.mute("")
		pause(time.Second) // the 200 is repeated and acknowledged
		if w.caller.count(sip.BYE) != 1 {
			t.Error("no BYE after the ACK")
		}
		w.over()
	})
}

func TestReinvite(t *testing.T) {
	hold := func(version int) string { return sdp(callerAddr, 40000, version) + "a=sendonly\r\n" }
	bubble(t, "passed through", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.asks(sip.INVITE, hold(2))
		settle()
		if w.one.count(sip.INVITE) != 2 {
			t.Fatal("not passed on")
		}
		req, _ := w.one.last(sip.INVITE)
		contains(t, string(req.Body), "c=IN IP4 10.0.0.1")
		contains(t, string(req.Body), "a=sendonly")
		w.one.sdp = sdp(gwOneAddr, 40002, 2)
		w.one.says(200, true)
		settle()
		answers := w.caller.answers()
		if len(answers) != 1 || answers[0].Status != 200 {
			t.Fatalf("answers: %v", answers)
		}
		contains(t, string(answers[0].Body), "c=IN IP4 10.0.0.1")
		if w.one.count(sip.ACK) != 2 {
			t.Errorf("callee got %d ACKs", w.one.count(sip.ACK))
		}
		if leg, err := readLeg(w.ledger.live()[0].DialogB); err != nil || !bytes.Contains(leg.sent, []byte("sendonly")) {
			t.Errorf("the new SDP was not committed: %q, %v", leg.sent, err)
		}
		if w.stat(Extended) != 0 {
			t.Error("a change of SDP asked for money")
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "unchanged is answered here", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.asks(sip.INVITE, w.caller.sdp)
		settle()
		answers := w.caller.answers()
		if len(answers) != 1 || answers[0].Status != 200 || string(answers[0].Body) != string(w.caller.final().Body) {
			t.Errorf("answers: %v", answers)
		}
		if w.one.count(sip.INVITE) != 1 {
			t.Error("passed on")
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "refused: the session stays", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.asks(sip.INVITE, hold(2))
		settle()
		w.one.says(488, false)
		settle()
		if a := w.caller.answers(); len(a) != 1 || a[0].Status != 488 {
			t.Errorf("answers: %v", a)
		}
		if w.one.count(sip.BYE) != 0 {
			t.Error("ended")
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "481 ends the call", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.asks(sip.INVITE, hold(2))
		settle()
		w.one.says(481, false)
		settle()
		if w.caller.count(sip.BYE) != 1 || w.one.count(sip.BYE) != 0 {
			t.Errorf("BYEs: caller %d, callee %d", w.caller.count(sip.BYE), w.one.count(sip.BYE))
		}
		if cdr := w.ledger.lastCDR(t); cdr.EndedBy != fsm.ByCallee {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "glare", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.asks(sip.INVITE, hold(2))
		settle()
		w.one.asks(sip.INVITE, sdp(gwOneAddr, 40002, 2))
		settle()
		if a := w.one.answers(); len(a) != 1 || a[0].Status != 491 {
			t.Errorf("answers: %v", a)
		}
		w.one.says(200, true)
		settle()
		if a := w.caller.answers(); len(a) != 1 || a[0].Status != 200 {
			t.Errorf("answers: %v", a)
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "BYE in between", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.asks(sip.INVITE, hold(2))
		settle()
		w.one.sendBye()
		settle()
		if a := w.caller.answers(); len(a) != 1 || a[0].Status != 487 {
			t.Errorf("answers: %v", a)
		}
		if w.one.byeStatus() != 200 || w.caller.count(sip.BYE) != 1 {
			t.Error("BYE not answered, or not relayed")
		}
		w.over()
	})
	bubble(t, "UPDATE with SDP", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.asks(sip.UPDATE, hold(2))
		settle()
		if w.one.count(sip.UPDATE) != 1 {
			t.Fatal("not passed on")
		}
		req, tx := w.one.last(sip.UPDATE)
		res := req.Response(200, "")
		res.Headers.Add("Contact", "<"+w.one.Contact("callee", sip.UDP)+">")
		res.SetBody(sdpType, []byte(w.one.sdp))
		w.one.reply(tx, res)
		settle()
		if a := w.caller.answers(); len(a) != 1 || a[0].Status != 200 || len(a[0].Body) == 0 {
			t.Errorf("answers: %v", a)
		}
		w.caller.sendBye()
		w.over()
	})
}

func TestInDialog(t *testing.T) {
	bubble(t, "INFO, OPTIONS, UPDATE", "10", func(t *testing.T, w *world) {
		w.connect()
		w.one.asks(sip.INFO, "")
		settle()
		w.one.asks(sip.OPTIONS, "")
		settle()
		w.one.asks(sip.UPDATE, "")
		settle()
		w.one.asks("REFER", "")
		settle()
		var got []int
		for _, res := range w.one.answers() {
			got = append(got, res.Status)
		}
		if len(got) != 4 || got[0] != 200 || got[1] != 200 || got[2] != 200 || got[3] != 405 {
			t.Errorf("answers: %v", got)
		}
		if w.caller.count(sip.INFO) != 1 || w.caller.count(sip.OPTIONS) != 0 || w.caller.count(sip.UPDATE) != 0 {
			t.Error("only INFO is passed on")
		}
		w.caller.sendBye()
		settle()
		w.one.asks(sip.INFO, "")
		pause(40 * time.Second)
		if a := w.one.answers(); len(a) != 5 || a[4].Status != 481 && a[4].Status != 491 {
			t.Errorf("INFO after the end: %d answers", len(a))
		}
		w.over()
	})
	bubble(t, "operator", "10", func(t *testing.T, w *world) {
		w.connect()
		w.node.control.Hangup(w.ledger.live()[0].ID)
		settle()
		if w.caller.count(sip.BYE) != 1 || w.one.count(sip.BYE) != 1 || w.ledger.lastCDR(t).Reason != fsm.EndOperator {
			t.Error("not ended")
		}
		w.over()
	})
	bubble(t, "ended by another command", "10", func(t *testing.T, w *world) {
		w.connect()
		rec := w.ledger.live()[0]
		w.ledger.must(t, &fsm.EndCall{Call: rec.ID, Epoch: rec.Epoch, How: fsm.EndFact, Reason: fsm.EndNormal, By: fsm.ByCaller})
		settle()
		if w.caller.count(sip.BYE) != 1 || w.one.count(sip.BYE) != 1 {
			t.Error("what is left got no BYE")
		}
		w.over()
	})
}

func TestLateOffer(t *testing.T) {
	bubble(t, "offer in the 200", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", func(s *sip.InviteSpec) { s.Body, s.ContentType = nil, "" })
		w.caller.mu.Lock()
		w.caller.ackBody = w.caller.sdp
		w.caller.mu.Unlock()
		settle()
		if req, _ := w.one.last(sip.INVITE); len(req.Body) != 0 {
			t.Error("an offer from nowhere")
		}
		w.one.says(200, true)
		settle()
		contains(t, string(w.caller.final().Body), "c=IN IP4 10.0.0.1")
		ack, _ := w.one.last(sip.ACK)
		contains(t, string(ack.Body), "c=IN IP4 10.0.0.1")
		w.caller.sendBye()
		w.over()
	})
}
