package call

import (
	"log/slog"
	"slices"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// lingerTime is how long a finished call waits for what is still under way: longer
// than 64*T1, the life of the longest transaction.
const lingerTime = 34 * time.Second

// endRetry is the pause before an end that could not be committed or stored is
// tried again: often enough for a leader that comes back, seldom enough for a
// node full of calls without one.
const endRetry = time.Second

// fail ends a call that was not answered. The caller learns it after the commit.
func (c *Call) fail(now time.Time, reason fsm.EndReason, status int, cause uint8) {
	status, cause = mapped(&c.plan.Profile, status, cause)
	c.finish(now, &fsm.EndCall{
		How: fsm.EndDecision, Reason: reason, By: partyOf(reason), SIPStatus: uint16(status), Q850: cause,
	}, now)
}

// partyOf says who ended an unanswered call.
func partyOf(reason fsm.EndReason) fsm.Party {
	switch reason {
	case fsm.EndBusy, fsm.EndRejected, fsm.EndNoAnswer:
		return fsm.ByCallee
	}
	return fsm.ByServer
}

// finish begins the end of a call: commit first, then tell the outside.
func (c *Call) finish(now time.Time, end *fsm.EndCall, since time.Time) {
	c.phase = ending
	c.timers.keep(timerSilence, timerAck)
	end.Call, end.Epoch, end.Attempts = c.id, c.epoch, c.attempts()
	if c.session != nil {
		stats := c.session.Stats()
		end.MediaA, end.MediaB = flow(stats.From[media.A]), flow(stats.From[media.B])
	}
	c.end, c.endSince = end, since
	c.dropQueued(fsm.KindProgress, fsm.KindExtendCall)
	if end.How != fsm.EndDecision || !c.legs[media.A].open {
		c.closeMedia() // media that a decision ends goes on until the commit, within the grant
	}
	c.submitEnd(now)
}

// flow is what one side has sent, as the CDR has it.
func flow(f media.Flow) fsm.MediaStats {
	return fsm.MediaStats{Packets: f.Packets, Bytes: f.Bytes, Lost: f.Lost, Jitter: f.Jitter}
}

func (c *Call) submitEnd(now time.Time) {
	c.phase = ending
	c.end.Epoch = c.epoch
	until := now.Add(c.kit.cfg.Hold)
	c.timers.set(timerEnd, until)
	c.propose(cluster.LaneUrgent, c.end, c.endSince, until)
}

// ended takes the outcome of EndCall.
func (c *Call) ended(now time.Time, body *fsm.EndCall, ev committed) {
	switch {
	case c.phase != ending || body != c.end:
		return // a fact has taken the place of this decision
	case ev.err != nil && c.end.How == fsm.EndDecision:
		c.timers.set(timerEnd, now.Add(endRetry))
		return
	case ev.err != nil:
		c.endLate(now)
		return
	case ev.result.Code == fsm.StaleEpoch:
		// The call has another owner, which was told nothing by us yet.
		c.drop()
		return
	}
	c.timers.stop(timerEnd)
	c.settled(now)
}

// endLate: the end did not commit in time. A fact goes to the durable outbox; a
// decision is proposed again, since it may not outlive this owner.
func (c *Call) endLate(now time.Time) {
	c.timers.stop(timerEnd)
	switch {
	case c.phase != ending || c.outboxed:
	case c.end.How != fsm.EndDecision:
		c.outboxed = true
		c.count(Outboxed)
		c.do(store{body: c.end, since: c.endSince})
	default:
		if !c.legs[media.A].open {
			c.tellWaiting() // the caller of a call that failed waits no longer
		}
		if c.inflight == nil {
			c.submitEnd(now)
		}
	}
}

// endStored: the fact is safe on the disk, so it may be told.
func (c *Call) endStored(now time.Time, ev stored) {
	if ev.err != nil {
		c.note(slog.LevelError, "outbox does not take the end of the call", "err", ev.err)
		c.outboxed = false
		c.timers.set(timerEnd, now.Add(endRetry)) // not safe: the peer repeats its BYE meanwhile
		return
	}
	c.queue = nil
	c.settled(now)
}

// settled: the end of the call is durable. Everybody may know.
func (c *Call) settled(now time.Time) {
	decision := c.end.How == fsm.EndDecision
	if c.legs[media.A].open {
		c.count(Ended)
	}
	c.closeMedia()
	if decision {
		c.byeBoth(reasonHeader(c.end.Reason))
	}
	c.tellWaiting()
	c.linger(now)
}

// tellWaiting sends what waited for the commit: the 200 to a BYE, or the final
// answer to an INVITE that failed.
func (c *Call) tellWaiting() {
	for _, w := range c.waiting {
		c.do(w)
	}
	c.waiting = nil
	if !c.final && !c.legs[media.A].open && c.end != nil && c.end.SIPStatus >= 300 {
		c.refuse(int(c.end.SIPStatus), c.end.Q850, 0)
	}
}

// linger leaves the call to late messages.
func (c *Call) linger(now time.Time) {
	c.phase = over
	c.timers.keep(timerAck)
	c.timers.set(timerLinger, now.Add(lingerTime))
}

// decide ends an answered call by our own decision: its BYEs go out after the
// commit. An unanswered one is cancelled and refused.
func (c *Call) decide(now time.Time, reason fsm.EndReason) {
	switch c.phase {
	case talking:
		c.finish(now, &fsm.EndCall{How: fsm.EndDecision, Reason: reason, By: fsm.ByServer}, now)
	case answering:
		c.wish = reason
	case hunting:
		if t := c.current(); t != nil {
			c.cancelTry(t)
		}
		c.fail(now, reason, 480, 41)
	}
}

// bye takes a BYE. It is relayed at once; its own 200 waits for the commit, so
// that a survivor would hear it again (ARCHITECTURE.md, rule 1).
func (c *Call) bye(now time.Time, ev request) {
	ok := respond{ev.tx, ev.req.Response(200, "")}
	if c.phase == over || c.phase == hunting && ev.leg == media.B {
		c.do(ok) // a callee refuses an INVITE by its answer, not by a BYE
		return
	}
	c.legs[ev.leg].closed = true
	c.waiting = append(c.waiting, ok)
	switch c.phase {
	case hunting: // the caller ends an early dialog (RFC 3261 section 15)
		c.callerCanceled(now, canceled{cancel: ev.req})
	case answering: // first things first: the answer is being committed
		c.early = &ev
	case talking:
		c.hungUp(now, ev)
	case ending:
		if c.end.How == fsm.EndDecision && c.legs[media.A].open && !c.outboxed {
			// The fact needs no epoch and is final: it takes the decision's place.
			c.dropQueued(fsm.KindEndCall)
			c.hungUp(now, ev)
		}
	}
}

// hungUp ends an answered call by the BYE of one leg.
func (c *Call) hungUp(now time.Time, ev request) {
	c.abortUpdate()
	c.sendBye(ev.leg.Other(), sip.PassedHeaders(ev.req.Headers))
	c.finish(now, c.byeEnd(ev), now)
}

func (c *Call) byeEnd(ev request) *fsm.EndCall {
	return &fsm.EndCall{
		How: fsm.EndFact, Reason: fsm.EndNormal, By: fsm.ByCaller + fsm.Party(ev.leg), Q850: peerCause(ev.req.Headers),
	}
}

// gone: a leg says that it knows no such call (481), or does not answer any more
// (408). That is a fact, like a BYE (RFC 3261 section 12.2.1.2).
func (c *Call) gone(now time.Time, side media.Side) {
	if c.phase != talking {
		return
	}
	c.legs[side].closed = true
	c.abortUpdate()
	c.sendBye(side.Other(), nil)
	c.finish(now, &fsm.EndCall{How: fsm.EndFact, Reason: fsm.EndNormal, By: fsm.ByCaller + fsm.Party(side)}, now)
}

// ackMissing: the caller never acknowledged our 200; the session ends with a BYE
// (RFC 3261 section 13.3.1.4).
func (c *Call) ackMissing(now time.Time) {
	a := &c.legs[media.A]
	if a.acked {
		return
	}
	a.acked = true
	if a.hangup {
		c.sendBye(media.A, a.reason)
		return
	}
	c.decide(now, fsm.EndTimeout)
}

// endedElsewhere: a command of another node ended the call (an earlier fact, an
// operator). What is left of it gets a BYE.
func (c *Call) endedElsewhere(now time.Time) {
	switch c.phase {
	case hunting, answering:
		if t := c.current(); t != nil {
			c.cancelTry(t)
		}
		if c.phase == answering {
			c.sendBye(media.B, nil)
		}
		c.refuse(487, 0, 0)
		c.tellWaiting()
	case talking:
		c.count(Ended)
		c.abortUpdate()
		c.byeBoth(nil)
	default:
		return // our own EndCall brings the same answer
	}
	c.closeMedia()
	c.linger(now)
}

// byeBoth ends both legs.
func (c *Call) byeBoth(headers []sip.Header) {
	c.sendBye(media.A, headers)
	c.sendBye(media.B, headers)
}

// sendBye ends a leg, once. The caller's leg waits for its ACK: a UAS must not
// send a BYE before it (RFC 3261 section 15).
func (c *Call) sendBye(side media.Side, headers []sip.Header) {
	l := &c.legs[side]
	if !l.open || l.closed {
		return
	}
	switch {
	case l.acked:
	case side == media.A:
		l.hangup, l.reason = true, headers
		return
	default: // B's 200 is acknowledged before it is ended
		l.acked = true
		c.do(send{l.dialog.Ack()})
	}
	l.closed, l.hangup = true, false
	req := l.dialog.Request(sip.BYE)
	req.Headers = append(req.Headers, headers...)
	c.asks++
	c.do(ask{leg: side, to: forBye, req: req})
}

// reasonHeader tells the peers why we hang up.
func reasonHeader(reason fsm.EndReason) []sip.Header {
	cause := "16" // normal clearing
	switch reason {
	case fsm.EndCredit, fsm.EndLimit, fsm.EndOperator:
		cause = "31" // normal, unspecified
	case fsm.EndMediaTimeout, fsm.EndReaped, fsm.EndTimeout:
		cause = "102" // recovery on timer expiry
	}
	return []sip.Header{{Name: "Reason", Value: "Q.850;cause=" + cause}}
}

// dropQueued removes commands that have not been submitted and are obsolete.
func (c *Call) dropQueued(kinds ...fsm.Kind) {
	c.queue = slices.DeleteFunc(c.queue, func(cmd Command) bool { return slices.Contains(kinds, cmd.Body.Kind()) })
}
