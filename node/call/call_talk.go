package call

import (
	"time"

	"tandem/cluster"
	"tandem/fsm"
)

const (
	// cutEarly is how long before the end of the grant the cut is proposed, so that
	// commit and BYE fit in (ARCHITECTURE.md, rule 3).
	cutEarly = 100 * time.Millisecond
	// fundedSpread is how long a call with money for the time being waits until it
	// asks for more of what its account got.
	fundedSpread = 2 * time.Second
	// saveEvery is the least time between two commits of changed media.
	saveEvery = time.Second
	// extendRetry is the pause after an ExtendCall that did not commit.
	extendRetry = 500 * time.Millisecond
	// minExtend is the least time that an ExtendCall gets to commit.
	minExtend = time.Second
)

// setGrant takes the talk time that the state machine has granted. Its times are
// log time; what counts here is the distance to the answer, on our own clock.
func (c *Call) setGrant(g fsm.Grant) {
	c.grant, c.last, c.cutDue = g, g.Last, false
	end := c.since.Add(g.For)
	c.timers.stop(timerExtend, timerCut)
	if longest := c.timers[timerLongest]; longest.IsZero() || longest.After(end) {
		c.timers.set(timerCut, end.Add(-cutEarly))
	}
	c.timers.set(timerSilence, end)
	if !g.Last && g.Next != 0 {
		c.timers.set(timerExtend, end.Add(-g.Until.Sub(g.Next)))
	}
}

// limit arms the longest call: the plan's, or the gateway's if that is shorter
// (F115).
func (c *Call) limit(candidate *fsm.Candidate) {
	longest := c.plan.MaxDuration
	if l := candidate.Limit; l > 0 && (longest == 0 || l < longest) {
		longest = l
	}
	if longest > 0 {
		c.timers.set(timerLongest, c.since.Add(longest))
	}
}

// extend asks for the next slice. The answer comes before the grant is cut.
func (c *Call) extend(now time.Time) {
	if c.phase != talking || c.extending() {
		return
	}
	c.timers.stop(timerExtend)
	c.ask(now, c.grant.Slice+1)
}

// save commits dialogs and media that have changed, and no money: it asks for the
// slice that the call has. Two parties that change their media without end get one
// commit a second, since each costs the whole cluster.
func (c *Call) save(now time.Time) {
	if c.phase != talking || !c.timers[timerSave].IsZero() {
		return
	}
	c.timers.set(timerSave, now.Add(saveEvery))
	if !c.extending() {
		c.ask(now, c.grant.Slice)
	}
}

// saveAgain commits what has changed since the last time.
func (c *Call) saveAgain(now time.Time) {
	if c.legs[0].changed || c.legs[1].changed {
		c.save(now)
	}
}

func (c *Call) ask(now time.Time, slice uint32) {
	body := &fsm.ExtendCall{Call: c.id, Epoch: c.epoch, Slice: slice}
	if c.changed() {
		body.DialogA, body.DialogB, body.Media = c.record(nil)
	}
	until := c.since.Add(c.grant.For - cutEarly)
	if soonest := now.Add(minExtend); until.Before(soonest) {
		until = soonest // an adopted call may come after the end of its grant (ARCHITECTURE.md, rule 3)
	}
	c.propose(cluster.LaneExtend, body, now, until)
}

// extending reports whether an ExtendCall is under way.
func (c *Call) extending() bool {
	return c.inflight != nil && c.inflight.Body.Kind() == fsm.KindExtendCall
}

// changed reports whether a dialog or the media changed since the last commit,
// and takes note that they are being committed.
func (c *Call) changed() bool {
	changed := c.legs[0].changed || c.legs[1].changed
	c.legs[0].changed, c.legs[1].changed = false, false
	return changed
}

// extended takes the outcome of ExtendCall.
func (c *Call) extended(now time.Time, ev committed) {
	if c.phase != talking {
		return
	}
	switch {
	case ev.err != nil: // no leader is not a refusal: ask until the grant ends
		c.legs[0].changed = true // what it carried is not committed
		c.timers.set(timerExtend, now.Add(extendRetry))
	case ev.result.Code == fsm.OK:
		if ev.result.Grant.Slice > c.grant.Slice {
			c.count(Extended)
		}
		c.setGrant(ev.result.Grant)
	case ev.result.Code == fsm.StaleEpoch:
		c.drop()
		return
	case ev.result.Code == fsm.CallEnded, ev.result.Code == fsm.UnknownCall:
		c.endedElsewhere(now)
		return
	default: // the grant stands until it ends
		c.count(ExtendRefused)
		c.last = true
	}
	if c.cutDue {
		c.cut(now)
	}
}

// cut ends the call because its held money is used up. While an ExtendCall is
// under way its answer decides.
func (c *Call) cut(now time.Time) {
	if c.phase != talking {
		return
	}
	if c.extending() {
		c.cutDue = true
		return
	}
	c.count(CutCredit)
	c.decide(now, fsm.EndCredit)
}

// grantOver: nothing is held any more. Media stops, whether the end could be
// committed or not; without a quorum the BYE has to wait (ARCHITECTURE.md, rule 1).
func (c *Call) grantOver() {
	if c.phase == talking || c.phase == ending {
		c.closeMedia()
	}
}

// funded: an account has money again, so a call that had its last grant asks. All
// calls of the account hear of it each time that one of them gives something back,
// so they ask within a while, and only where the grant is nearly over at once.
func (c *Call) funded(now time.Time, account string) {
	if c.phase != talking || !c.last || c.plan.Account != account {
		return
	}
	c.last = false
	at := now.Add(fundedSpread)
	if latest := c.timers[timerCut].Add(-minExtend); latest.Before(at) {
		at = latest
	}
	if !at.After(now) {
		c.extend(now)
		return
	}
	c.timers.set(timerExtend, at)
}
