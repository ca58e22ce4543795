package call

import (
	"time"

	"tandem/fsm"
	"tandem/media"
)

// tellLegs tells the legs of a call that it is over, in place of an owner who died
// between the commit and his BYE (ARCHITECTURE.md, rule 1).
func (c *Call) tellLegs(now time.Time, ev orphaned) {
	if c.phase != 0 {
		return
	}
	o := &ev.orphan
	c.phase, c.final = over, true
	told := [2]fsm.Legs{media.A: fsm.LegA, media.B: fsm.LegB}
	for i := range c.legs {
		l := &c.legs[i]
		l.dialog.Jump(uint32(min(o.Call.Epoch-1, maxJumps)))
		answered := o.Call.State == fsm.CallAnswered && l.dialog.CallID != ""
		l.open, l.acked, l.closed = answered, true, o.Told&told[i] != 0
	}
	if o.Call.State == fsm.CallAnswered {
		c.byeBoth(reasonHeader(o.Reason))
		c.forgetSetup()
	} else {
		c.refuseOrphan(now, o)
	}
	c.linger(now)
}

// refuseOrphan ends an unanswered call: whoever may ring is cancelled, and the
// caller gets his answer.
func (c *Call) refuseOrphan(now time.Time, o *fsm.Orphan) {
	if o.Told&fsm.LegB == 0 {
		for i := range c.plan.Candidates {
			for n := range c.addresses(&c.plan.Candidates[i]) {
				if len(c.tries) >= maxTries {
					break
				}
				if t := c.adoptTry(now, i, n); t != nil {
					c.cancelTry(t)
				}
			}
		}
	}
	if o.Told&fsm.LegA == 0 && c.tx != nil && o.Status >= 300 {
		c.do(respond{c.tx, refusalTo(&c.invite, int(o.Status), o.Q850, 0)})
	}
}
