package call

import (
	"net/netip"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// otherAddr is where a node stands in for an address that cannot move.
const otherAddr = "10.0.0.9:5060"

// TestOrphan: the owner commits an end and dies before its BYEs; the heir sends
// them, and nothing is charged twice.
func TestOrphan(t *testing.T) {
	inherit := func(w *world) {
		w.start()
		w.t.Cleanup(w.node.stop)
		next := w.ledger.life() + 1
		w.ledger.must(w.t, &fsm.NodeUp{Node: "n1", Incarnation: next, Level: fsm.Level})
		w.ledger.mu.Lock()
		left := w.ledger.state.Orphans("n1", next)
		w.ledger.mu.Unlock()
		for _, o := range left {
			w.node.control.Orphan(o, logTime())
			w.node.control.Orphan(o, logTime()) // the node may repeat itself
		}
		settle()
	}
	bubble(t, "answered", "10", func(t *testing.T, w *world) {
		w.connect()
		pause(10 * time.Second)
		w.node.stop()
		rec := w.ledger.live()[0]
		w.ledger.must(t, &fsm.EndCall{Call: rec.ID, Epoch: rec.Epoch, How: fsm.EndDecision, Reason: fsm.EndOperator, By: fsm.ByServer})
		inherit(w)
		if w.caller.byes != 1 || w.one.byes != 1 || w.stat(Orphaned) != 1 {
			t.Errorf("BYEs: caller %d, callee %d, want one each", w.caller.byes, w.one.byes)
		}
		w.over()
	})
	bubble(t, "told by the caller", "10", func(t *testing.T, w *world) {
		w.connect()
		w.node.stop()
		rec := w.ledger.live()[0]
		w.ledger.must(t, &fsm.EndCall{Call: rec.ID, How: fsm.EndFact, Reason: fsm.EndNormal, By: fsm.ByCaller})
		inherit(w)
		if w.caller.byes != 0 || w.one.byes != 1 {
			t.Errorf("BYEs: caller %d, callee %d, want one for the callee", w.caller.byes, w.one.byes)
		}
		w.over()
	})
	bubble(t, "ringing", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(180, false)
		settle()
		w.node.stop()
		rec := w.ledger.live()[0]
		w.ledger.must(t, &fsm.EndCall{
			Call: rec.ID, Epoch: rec.Epoch, How: fsm.EndDecision, Reason: fsm.EndNoAnswer, By: fsm.ByCallee, SIPStatus: 480, Q850: 19,
		})
		inherit(w)
		if w.one.count(sip.CANCEL) != 1 {
			t.Error("the callee rings on")
		}
		w.caller.want(100, 180, 480)
		w.over()
	})
}

// TestDisplaced: the address of a call cannot move; its heir invites both legs to
// an address of its own, and the call goes on there.
func TestDisplaced(t *testing.T) {
	bubble(t, "both follow", "10", func(t *testing.T, w *world) {
		w.connect()
		pause(10 * time.Second)
		w.node.stop()
		own := netip.MustParseAddrPort(otherAddr).Addr()
		for _, p := range []*phone{w.caller, w.one} {
			p.mu.Lock()
			p.invite = func(req *sip.Request, tx *sip.ServerTx) { // in the dialog
				if err := p.dialog.Receive(req); err != nil {
					t.Error(err)
				}
				res := p.state(req).response(200)
				res.SetBody(sdpType, []byte(p.sdp))
				p.reply(tx, res)
			}
			p.mu.Unlock()
		}
		w.startAt(otherAddr, func(c *Config) {
			c.StandIn = func(netip.Addr) (netip.Addr, bool) { return own, true }
		})
		t.Cleanup(w.node.stop)
		w.adoptAll()
		pause(time.Second)
		for name, p := range map[string]*phone{"caller": w.caller, "callee": w.one} {
			req, _ := p.last(sip.INVITE)
			d, err := media.Parse(req.Body)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			audio, err := d.Audio()
			if err != nil || audio.RTP.Addr() != own || req.ToTag == "" {
				t.Errorf("%s is invited to %v, %v", name, audio.RTP, err)
			}
			if p.count(sip.ACK) == 0 {
				t.Errorf("%s got no ACK", name)
			}
		}
		if rec := w.ledger.live()[0]; rec.Line != own.String() {
			t.Errorf("the call is recorded on %s", rec.Line)
		}
		pause(10 * time.Second)
		w.caller.sendBye()
		settle()
		if w.caller.byeStatus() != 200 || w.one.count(sip.BYE) != 1 {
			t.Errorf("BYE answered %d, relayed %d", w.caller.byeStatus(), w.one.count(sip.BYE))
		}
		w.over()
	})
}

// TestUnknownDialogIsSilentUntilAsked: a request for a call that is not here gets
// 481 only when the cluster has said that there is none.
func TestUnknownDialogIsSilentUntilAsked(t *testing.T) {
	var asked []func(bool)
	bubble(t, "unknown", "10", func(t *testing.T, w *world) {
		w.connect()
		w.node.control.Moved(w.ledger.live()[0].ID)
		w.ledger.must(t, &fsm.EndCall{Call: w.ledger.live()[0].ID, How: fsm.EndFact, Reason: fsm.EndNormal, By: fsm.ByCaller})
		settle()
		w.one.asks(sip.INFO, "")
		settle()
		if len(w.one.answers()) != 0 || len(asked) == 0 {
			t.Fatalf("answered %v before the cluster was asked (%d)", w.one.answers(), len(asked))
		}
		asked[0](true)
		settle()
		if got := w.one.answers(); len(got) != 1 || got[0].Status != 481 {
			t.Errorf("answers: %v, want 481", got)
		}
	}, func(c *Config) { c.Confirm = func(done func(bool)) { asked = append(asked, done) } })
}

func TestReaperIsSlowAndRaisesAnAlarm(t *testing.T) {
	var alarms, now = 0, time.Unix(1000, 0)
	spare := false
	c, err := New(Config{
		Node: "n1", Key: []byte("0123456789abcdef"), Proposer: new(ledger), Outbox: new(ledger), Records: new(ledger),
		SpareDead: func() bool { return spare }, Alarm: func(string, string) { alarms++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.live.Store(1000)
	ended := 0
	for range 2000 { // two seconds
		now = now.Add(time.Millisecond)
		if c.reaper.ask(now) == 0 {
			ended++
		}
	}
	if ended < 95 || ended > 2*reapsPerSecond+1 || alarms != 1 {
		t.Errorf("%d calls ended within 2 s, %d alarms", ended, alarms)
	}
	spare = true
	if wait := c.reaper.ask(now.Add(time.Second)); wait == 0 || c.stats.Get(Spared) != 1 {
		t.Errorf("spared: wait %v, counted %d", wait, c.stats.Get(Spared))
	}
}

// TestKilledWithRequestsUnderWay: what the owner had not answered when he died is
// repeated to the heir, who does it.
func TestKilledWithRequestsUnderWay(t *testing.T) {
	bubble(t, "BYE", "10", func(t *testing.T, w *world) {
		w.connect()
		pause(10 * time.Second)
		w.node.stop()
		w.caller.sendBye() // nobody hears it
		pause(time.Second)
		w.start()
		t.Cleanup(w.node.stop)
		w.adoptAll()
		pause(4 * time.Second)
		if w.caller.byeStatus() != 200 || w.one.count(sip.BYE) != 1 {
			t.Errorf("BYE answered %d, relayed %d", w.caller.byeStatus(), w.one.count(sip.BYE))
		}
		if cdr := w.ledger.lastCDR(t); cdr.Estimated || cdr.EndedBy != fsm.ByCaller {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "re-INVITE", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.asks(sip.INVITE, sdp(callerAddr, 40010, 2)) // another port
		pause(100 * time.Millisecond)
		if w.one.count(sip.INVITE) != 2 {
			t.Fatalf("%d INVITEs passed on", w.one.count(sip.INVITE))
		}
		w.restart(100 * time.Millisecond)
		pause(2 * time.Second) // repeated by then
		if w.one.count(sip.INVITE) != 3 {
			t.Fatalf("%d INVITEs passed on: the heir did not pass on what was repeated", w.one.count(sip.INVITE))
		}
		w.one.says(200, true)
		settle()
		if got := w.caller.answers(); len(got) == 0 || got[len(got)-1].Status != 200 {
			t.Errorf("answers to the re-INVITE: %v", got)
		}
		w.caller.sendBye()
		settle()
		if w.caller.byeStatus() != 200 {
			t.Errorf("BYE answered %d", w.caller.byeStatus())
		}
		w.over()
	})
}
