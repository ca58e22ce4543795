package call

import (
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// probeDue asks the legs that have not shown any life whether they are there.
func (c *Call) probeDue(now time.Time) {
	if c.phase != talking {
		return
	}
	p := &c.probe
	again := false
	for side := range c.legs {
		l := &c.legs[side]
		if p.alive[side] || l.closed || p.sent[side] >= maxProbes {
			continue
		}
		p.sent[side]++
		again = true
		c.asks++
		c.do(ask{leg: media.Side(side), to: forProbe, req: l.dialog.Request(sip.OPTIONS), patience: probeWait})
	}
	lively := p.alive[media.A] || p.alive[media.B]
	switch {
	case again:
		c.timers.set(timerProbe, now.Add(probeEvery))
	case p.alive[media.A] && p.alive[media.B]:
	case lively: // the other leg may only be slow to answer what it does not know
		p.sent = [2]int{}
		c.timers.set(timerProbe, now.Add(probeAgain))
	case now.Sub(p.since) >= probeSilence && c.silentSince(now.Add(-probeSilence)):
		c.reapLater(now, func() { c.decide(now, fsm.EndReaped) })
	default:
		c.timers.set(timerProbe, now.Add(probeEvery))
	}
}

// probed takes the answer to a probe. 481 is a fact; anything else but silence is
// a sign of life.
func (c *Call) probed(now time.Time, side media.Side, status int) {
	switch status {
	case 481:
		if c.probe.alive[side] || !c.unproven() {
			c.gone(now, side)
			return
		}
		c.missed(now, side)
	case 408, 503: // no answer, or not even sent
	default:
		c.probe.alive[side] = true
	}
}

// unproven reports that nothing shows that an adopted call is still there: no RTP,
// and not a word from each of the legs.
func (c *Call) unproven() bool {
	p := &c.probe
	return !p.since.IsZero() && !(p.alive[media.A] && p.alive[media.B]) && c.silentSince(p.since)
}

// missed: a leg is over and was so before the adoption, or since: its BYE came
// while nobody was here. The call is charged to its last proof of life (ARCHITECTURE.md, rule 12).
func (c *Call) missed(now time.Time, side media.Side) {
	if c.phase != talking {
		return
	}
	c.reapLater(now, func() {
		c.legs[side].closed = true
		c.abortUpdate()
		c.finish(now, &fsm.EndCall{How: fsm.EndDecision, Reason: fsm.EndReaped, By: fsm.ByCaller + fsm.Party(side)}, now)
	})
}

// reapLater ends a call without any proof of life, if the node may end one just
// now; else the call is probed again.
func (c *Call) reapLater(now time.Time, end func()) {
	wait := c.line.control.reaper.ask(now)
	if wait == 0 {
		c.count(Reaped)
		end()
		return
	}
	c.probe.sent = [2]int{}
	c.timers.set(timerProbe, now.Add(wait))
}
