package call

import (
	"testing"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/sip"
)

// deafened commits every command, but the answer to those of one kind gets lost:
// the link to the leader broke behind the request.
type deafened struct {
	*ledger
	kind fsm.Kind
}

func (d deafened) Submit(cmd Command, done func(fsm.Result, error)) {
	if cmd.Body.Kind() != d.kind {
		d.ledger.Submit(cmd, done)
		return
	}
	d.ledger.Submit(cmd, func(fsm.Result, error) {})
	time.AfterFunc(time.Until(cmd.Until), func() { done(fsm.Result{}, cluster.ErrTimeout) })
}

// A StartCall whose outcome nobody here learns may have committed: its hold must
// not stay for ever.
func TestStartWithoutOutcomeIsVoided(t *testing.T) {
	for _, cancel := range []bool{false, true} {
		name := "refused"
		if cancel {
			name = "cancelled"
		}
		bubble(t, name, "10", func(t *testing.T, w *world) {
			w.node.stop()
			w.start(func(cfg *Config) { cfg.Proposer = deafened{w.ledger, fsm.KindStartCall} })
			w.caller.call("4420")
			pause(time.Second)
			if cancel {
				w.caller.tx.Cancel()
			}
			pause(4 * time.Second)
			if got := w.caller.final().Status; got != 504 && !cancel || got != 487 && cancel {
				t.Errorf("caller got %d", got)
			}
			w.over()
			if w.one.count(sip.INVITE) != 0 {
				t.Error("dialled")
			}
		})
	}
}

// An AnswerCall whose outcome nobody here learns may have committed: the caller was
// told 504, so nothing is charged.
func TestAnswerWithoutOutcomeIsFree(t *testing.T) {
	bubble(t, "released", "10", func(t *testing.T, w *world) {
		w.node.stop()
		w.start(func(cfg *Config) { cfg.Proposer = deafened{w.ledger, fsm.KindAnswerCall} })
		w.caller.call("4420")
		settle()
		w.one.says(200, true)
		pause(4100 * time.Millisecond)
		w.caller.want(100, 504)
		if w.one.count(sip.ACK) != 1 || w.one.count(sip.BYE) != 1 {
			t.Error("callee was not released")
		}
		pause(2 * time.Second)
		if cdr := w.ledger.lastCDR(t); cdr.Fee != 0 || cdr.Cost != 0 {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
}
