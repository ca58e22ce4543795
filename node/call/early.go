package call

import (
	"strconv"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

const (
	// t1 is RFC 3261's estimate of the round trip, from which reliable provisional
	// responses are repeated (RFC 3262 section 3).
	t1 = sip.DefaultT1
	// maxProgress bounds the 18x that wait for the PRACK of the one before them.
	maxProgress = 4
)

// fork is an early dialog of a try: a gateway may fork the call behind itself.
type fork struct {
	dialog sip.Dialog
	rseq   uint32 // of the newest reliable response
	agreed bool   // offer and answer are complete: UPDATE may change them
	update bool   // it takes UPDATE
}

// earlyDialog keeps the early dialog of a 18x, and acknowledges a reliable one
// (RFC 3262 section 4). It returns false for what has come before, or too early.
func (c *Call) earlyDialog(t *try, res *sip.Response) bool {
	rseq, reliable := res.Reliable()
	d, err := sip.NewClientDialog(t.req, res)
	f := t.forks[d.RemoteTag]
	if err != nil || f == nil && len(t.forks) >= maxForks {
		return !reliable // what cannot be acknowledged comes to nothing
	}
	if f == nil {
		c.place(&d, &c.plan.Candidates[t.candidate])
		f = &fork{dialog: d}
		if t.forks == nil {
			t.forks = map[string]*fork{}
		}
		t.forks[d.RemoteTag] = f
	}
	if reliable {
		if f.rseq != 0 && rseq != f.rseq+1 {
			return false
		}
		f.rseq = rseq
		f.agreed = f.agreed || !c.late && isSDP(res.Headers, res.Body)
		if req, err := f.dialog.Prack(res); err == nil {
			c.asks++
			c.do(ask{leg: media.B, to: forPrack, req: req})
		}
	}
	f.update = f.update || res.Headers.HasTag("Allow", "UPDATE")
	b := &c.legs[media.B]
	b.dialog, b.update = f.dialog, f.update // the latest fork is the one that is heard
	return true
}

// earlyFork finds the early dialog that a request of the callee's side belongs to.
func (c *Call) earlyFork(tag string) *fork {
	if t := c.current(); t != nil {
		return t.forks[tag]
	}
	return nil
}

// progress is what the caller has been told reliably, and not acknowledged.
type progress struct {
	on    bool   // reliable responses are for him
	seq   uint32 // RSeq of the last one
	out   *sip.Response
	queue []*sip.Response // behind it
	pause time.Duration
	until time.Time
	held  bool // the 200 waits for the PRACK
}

// wantsReliable decides whether the caller gets reliable provisional responses: he
// demands them, or takes them and his gateway's profile asks for them.
func (c *Call) wantsReliable() bool {
	mode := c.plan.Profile.Reliable
	demands := c.pass.HasTag("Require", sip.Tag100rel)
	return demands || mode == fsm.SupportRequired && c.pass.HasTag("Supported", sip.Tag100rel)
}

// tellProgress passes a 18x on to the caller.
func (c *Call) tellProgress(now time.Time, out *sip.Response) {
	if c.tx == nil || c.final {
		return
	}
	c.replied = true
	p := &c.told
	if p.seq == 0 {
		p.on = c.epoch == firstEpoch && c.wantsReliable() // a survivor knows no RSeq
	}
	switch {
	case !p.on:
		c.do(respond{c.tx, out})
	case p.out == nil:
		c.tellReliably(now, out)
	case len(p.queue) < maxProgress:
		// RFC 3262 section 3: the second one waits until the first is acknowledged.
		p.queue = append(p.queue, out)
	}
}

func (c *Call) tellReliably(now time.Time, out *sip.Response) {
	p := &c.told
	p.seq++
	out.Headers.Add("Require", sip.Tag100rel)
	out.Headers.Add("RSeq", strconv.FormatUint(uint64(p.seq), 10))
	p.out, p.pause, p.until = out, t1, now.Add(64*t1)
	c.timers.set(timerReliable, now.Add(t1))
	c.do(respond{c.tx, out})
}

// tellAgain repeats a reliable response until its PRACK. A caller who demands
// what he does not acknowledge is not there (RFC 3262 section 3).
func (c *Call) tellAgain(now time.Time) {
	p := &c.told
	switch {
	case p.out == nil || c.tx == nil:
	case now.Before(p.until):
		if p.pause *= 2; p.pause > p.until.Sub(now) {
			p.pause = p.until.Sub(now)
		}
		c.timers.set(timerReliable, now.Add(p.pause))
		c.do(respond{c.tx, p.out})
	case p.held:
		c.final = false
		c.refuse(504, 102, 0)
		c.legs[media.A].closed = true
		c.decide(now, fsm.EndTimeout)
	default:
		if t := c.current(); t != nil {
			c.cancelTry(t)
		}
		c.fail(now, fsm.EndTimeout, 504, 102)
	}
}

// prack takes a PRACK of the caller.
func (c *Call) prack(now time.Time, ev request) {
	p := &c.told
	rack, err := sip.ParseRAck(ev.req.Headers.Get("RAck"))
	switch {
	case err != nil:
		c.do(respond{ev.tx, ev.req.Response(400, "")})
		return
	case ev.leg != media.A || p.out == nil || rack != sip.RAck{RSeq: p.seq, CSeq: c.invite.CSeq, Method: sip.INVITE}:
		c.do(respond{ev.tx, ev.req.Response(481, "")})
		return
	}
	p.out = nil
	c.timers.stop(timerReliable)
	c.answerPrack(ev)
	switch {
	case p.held:
		p.held = false
		c.sendAnswer(now)
		c.forgetSetup()
	case len(p.queue) > 0 && !c.final:
		next := p.queue[0]
		p.queue = p.queue[1:]
		c.tellReliably(now, next)
	}
}

// answerPrack answers a PRACK. A new offer in it would have to go on to a callee
// who may be any of several forks: it is refused, and the session stays.
func (c *Call) answerPrack(ev request) {
	l := &c.legs[media.A]
	switch {
	case !isSDP(ev.req.Headers, ev.req.Body):
		c.do(respond{ev.tx, ev.req.Response(200, "")})
	case c.unchanged(l, ev.req.Body):
		res := ev.req.Response(200, "")
		res.SetBody(sdpType, l.sent)
		c.do(respond{ev.tx, res})
	default:
		c.do(respond{ev.tx, ev.req.Response(488, "")})
	}
}

// holdsAnswer reports that the 200 has to wait for the PRACK of a 18x with SDP
// (RFC 3262 section 3).
func (c *Call) holdsAnswer() bool {
	p := &c.told
	p.queue = nil
	p.held = p.out != nil && len(p.out.Body) > 0 && c.tx != nil
	if !p.held {
		p.out = nil
		c.timers.stop(timerReliable)
	}
	return p.held
}
