package call

import (
	"net/netip"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

// restart kills the node without a word and starts its next incarnation, which
// adopts what it owned.
func (w *world) restart(away time.Duration) {
	w.t.Helper()
	w.node.stop()
	pause(away)
	w.start()
	w.t.Cleanup(w.node.stop)
	w.adoptAll()
	settle()
}

func TestAdoptAnswered(t *testing.T) {
	bubble(t, "goes on and is charged once", "10", func(t *testing.T, w *world) {
		w.connect()
		pause(60 * time.Second)
		w.restart(2 * time.Second)
		if w.node.relay.Totals().Sessions != 1 {
			t.Error("media was not reopened")
		}
		pause(30 * time.Second)
		if w.caller.byes+w.one.byes != 0 {
			t.Fatal("an answered call was dropped")
		}
		if w.caller.count(sip.OPTIONS) == 0 || w.one.count(sip.OPTIONS) == 0 {
			t.Error("the legs were not probed")
		}
		w.caller.sendBye()
		settle()
		if w.caller.byeStatus() != 200 || w.one.count(sip.BYE) != 1 {
			t.Errorf("BYE answered %d, relayed %d", w.caller.byeStatus(), w.one.count(sip.BYE))
		}
		cdr := w.ledger.lastCDR(t)
		if d := cdr.Duration.Round(time.Second); d != 92*time.Second || len(cdr.Owners) != 2 {
			t.Errorf("charged for %s, owners %v", d, cdr.Owners)
		}
		w.ledger.mu.Lock()
		if len(w.ledger.cdrs) != 1 {
			t.Errorf("%d cdrs", len(w.ledger.cdrs))
		}
		w.ledger.mu.Unlock()
		w.over()
	})
	bubble(t, "callee hangs up by the new owner", "10", func(t *testing.T, w *world) {
		w.connect()
		w.restart(time.Second)
		w.one.sendBye()
		settle()
		bye, _ := w.caller.last(sip.BYE)
		if w.one.byeStatus() != 200 || bye.CSeq < sip.CSeqJump {
			t.Errorf("BYE answered %d, relayed with CSeq %d", w.one.byeStatus(), bye.CSeq)
		}
		w.over()
	})
	bubble(t, "cut after the adoption", "0.30", func(t *testing.T, w *world) {
		w.connect()
		pause(10 * time.Second)
		w.restart(2 * time.Second)
		pause(19 * time.Second)
		cdr := w.ledger.lastCDR(t)
		if cdr.Reason != fsm.EndCredit || cdr.Fee != 300_000 {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "caller is gone: 481", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.mu.Lock()
		w.caller.forgets = true
		w.caller.mu.Unlock()
		w.restart(time.Second)
		pause(11 * time.Second)
		if w.one.count(sip.BYE) != 1 {
			t.Error("the other leg got no BYE")
		}
		if cdr := w.ledger.lastCDR(t); cdr.EndedBy != fsm.ByCaller || !cdr.Estimated || cdr.Duration > time.Second {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "nobody is there any more", "10", func(t *testing.T, w *world) {
		w.connect()
		pause(20 * time.Second)
		w.lose(func(from, to netAddrPort, raw []byte) bool { return true })
		w.restart(time.Second)
		pause(98 * time.Second)
		cdr := w.ledger.lastCDR(t)
		if cdr.Reason != fsm.EndReaped || !cdr.Estimated || w.stat(Reaped) != 1 {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "silent legs with voice stay", "10", func(t *testing.T, w *world) {
		w.connect()
		stop := w.talk()
		w.lose(func(from, to netAddrPort, raw []byte) bool { return !isRTP(raw) })
		w.restart(time.Second)
		pause(3 * time.Minute)
		if w.node.control.Live() != 1 {
			t.Error("a call with voice was reaped")
		}
		stop()
		w.mute("")
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "before the caller's ACK", "10", func(t *testing.T, w *world) {
		w.lose(func(_, to netAddrPort, raw []byte) bool {
			return to.String() == callerAddr && hasPrefix(raw, "SIP/2.0 200")
		})
		w.caller.call("4420")
		settle()
		w.one.says(200, true)
		settle()
		w.mute("")
		w.restart(2 * time.Second)
		if got := w.caller.final(); got.Status != 200 || len(got.Body) == 0 {
			t.Errorf("caller got %d", got.Status)
		}
		w.caller.sendBye()
		settle()
		if w.one.count(sip.BYE) != 1 {
			t.Error("BYE not relayed")
		}
		w.over()
	})
}

func TestAdoptUnanswered(t *testing.T) {
	bubble(t, "ringing goes on", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(180, false)
		settle()
		w.restart(2 * time.Second)
		if w.one.count(sip.CANCEL) != 0 {
			t.Fatal("cancelled")
		}
		w.one.says(200, true)
		settle()
		w.caller.want(100, 180, 200)
		pause(5 * time.Second)
		w.caller.sendBye()
		settle()
		if w.one.count(sip.INVITE) != 1 || w.one.count(sip.BYE) != 1 {
			t.Errorf("callee got %d INVITEs, %d BYEs", w.one.count(sip.INVITE), w.one.count(sip.BYE))
		}
		if cdr := w.ledger.lastCDR(t); cdr.Duration.Round(time.Second) != 5*time.Second {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "ringing at the second gateway", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(503, false)
		settle()
		w.two.says(180, false)
		settle()
		w.restart(2 * time.Second)
		w.two.says(200, true)
		settle()
		w.caller.want(100, 180, 200)
		w.caller.sendBye()
		settle()
		cdr := w.ledger.lastCDR(t)
		if tries := cdr.Attempts; len(tries) != 2 || tries[0].Status != 503 || tries[1].Gateway != cdr.Egress {
			t.Errorf("attempts of a former owner: %+v", tries)
		}
		w.over()
	})
	bubble(t, "ringing, then cancelled", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(180, false)
		settle()
		w.restart(2 * time.Second)
		w.caller.tx.Cancel()
		settle()
		if w.one.count(sip.CANCEL) != 1 {
			t.Error("callee was not cancelled")
		}
		w.caller.want(100, 180, 487)
		w.over()
	})
	bubble(t, "nothing rang yet", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.restart(2 * time.Second)
		if w.one.count(sip.INVITE) != 1 || w.one.count(sip.CANCEL) != 0 {
			t.Errorf("callee got %d INVITEs, %d CANCELs: the one that is out is not only repeated", w.one.count(sip.INVITE), w.one.count(sip.CANCEL))
		}
		w.one.says(180, false)
		settle()
		w.one.says(200, true)
		settle()
		w.caller.want(100, 180, 200)
		pause(5 * time.Second)
		w.caller.sendBye()
		settle()
		if cdr := w.ledger.lastCDR(t); cdr.Duration.Round(time.Second) != 5*time.Second {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "answer of a leg that nobody knows", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(180, false)
		settle()
		w.node.stop()
		w.caller.tx.Cancel()
		w.start()
		w.t.Cleanup(w.node.stop)
		rec := w.ledger.live()[0]
		w.ledger.must(t, &fsm.EndCall{Call: rec.ID, Epoch: rec.Epoch, How: fsm.EndDecision, Reason: fsm.EndInternal})
		w.one.says(200, true)
		settle()
		if w.one.count(sip.ACK) != 1 || w.one.count(sip.BYE) != 1 {
			t.Errorf("stray answer got %d ACKs and %d BYEs", w.one.count(sip.ACK), w.one.count(sip.BYE))
		}
		w.over()
	})
}

func TestMoved(t *testing.T) {
	bubble(t, "another owner", "10", func(t *testing.T, w *world) {
		w.connect()
		w.node.control.Moved(w.ledger.live()[0].ID)
		pause(time.Minute)
		if w.node.control.Live() != 0 || w.caller.byes+w.one.byes != 0 {
			t.Error("a call that moved is dropped in silence")
		}
	})
	bubble(t, "stale epoch at the extension", "10", func(t *testing.T, w *world) {
		w.connect()
		w.ledger.must(t, &fsm.NodeUp{Node: "n1", Incarnation: 2, Level: fsm.Level}) // raises the epoch
		pause(time.Hour)
		if w.node.control.Live() != 0 || w.caller.byes+w.one.byes != 0 {
			t.Error("a call of another epoch is dropped in silence")
		}
	})
	bubble(t, "lazy adoption by a BYE", "10", func(t *testing.T, w *world) {
		w.connect()
		w.node.stop()
		w.start()
		w.t.Cleanup(w.node.stop)
		w.ledger.must(t, &fsm.NodeUp{Node: "n1", Incarnation: 2, Level: fsm.Level})
		w.caller.sendBye()
		settle()
		if w.caller.byeStatus() != 200 || w.one.count(sip.BYE) != 1 {
			t.Errorf("BYE answered %d, relayed %d", w.caller.byeStatus(), w.one.count(sip.BYE))
		}
		w.over()
	})
}

func TestByeOfAnEndedCall(t *testing.T) {
	bubble(t, "its 200 was lost with the process", "10", func(t *testing.T, w *world) {
		w.connect()
		w.lose(func(from, to netip.AddrPort, raw []byte) bool {
			return to.String() == callerAddr && hasPrefix(raw, "SIP/2.0 200")
		})
		w.caller.sendBye()
		settle()
		w.lose(nil)
		w.restart(time.Second)
		pause(4 * time.Second)
		if w.caller.byeStatus() != 200 {
			t.Errorf("BYE answered %d", w.caller.byeStatus())
		}
		w.over()
	})
}
