package call

import (
	"testing"
	"testing/synctest"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "10")
		w.connect()
		if w.one.count(sip.ACK) != 1 {
			t.Error("callee got no ACK")
		}
		pause(10 * time.Second)
		w.caller.sendBye()
		settle()
		if w.caller.byeStatus() != 200 || w.one.count(sip.BYE) != 1 {
			t.Errorf("bye answered %d, relayed %d times", w.caller.byeStatus(), w.one.count(sip.BYE))
		}
		cdr := w.ledger.lastCDR(t)
		if cdr.Reason != fsm.EndNormal || cdr.EndedBy != fsm.ByCaller || cdr.Fee != 100_000 || cdr.Cost != 50_000 {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
}
