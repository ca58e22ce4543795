package call

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// response takes what a try brought. Late ones find their call in any phase.
func (c *Call) response(now time.Time, ev response) {
	t := ev.try
	switch {
	case ev.err != nil:
		c.unreached(now, t, ev.err)
	case ev.res.Status < 200:
		c.provisional(now, t, ev.res)
	case ev.res.Status < 300:
		c.accepted(now, t, ev.res)
	default:
		c.failed(now, t, ev.res)
	}
}

// unreached: no answer came in time, or the message could not be sent. Another
// address of the same gateway may do better.
func (c *Call) unreached(now time.Time, t *try, err error) {
	silent := errors.Is(err, sip.ErrTimeout)
	if silent {
		t.line.Status = 408
	}
	mine := t == c.current()
	t.done = true
	if !mine {
		return
	}
	c.note(slog.LevelInfo, "gateway does not answer", "gateway", t.line.Gateway, "err", err)
	c.timers.stop(timerRing, timerC)
	if silent && !c.mayGoOn(t, onSilence) {
		c.count(Failed)
		c.fail(now, fsm.EndFailed, 504, 102)
		return
	}
	c.hunt(now)
}

// failed takes a final response above 2xx.
func (c *Call) failed(now time.Time, t *try, res *sip.Response) {
	mine := t == c.current()
	t.done = true
	t.line.Status = uint16(res.Status)
	t.line.Q850 = cmp.Or(peerCause(res.Headers), causeOf(res.Status))
	if wait := retryAfter(res.Headers); res.Status == 503 && wait > 0 {
		c.do(backoff{gateway: t.line.Gateway, wait: wait})
	}
	if !mine {
		return
	}
	c.timers.stop(timerRing, timerC)
	switch {
	case res.Status == 422 && c.longerSession(now, t, res):
		return
	case res.Status < 400 && c.redirected(now, t, res):
		return
	}
	profile := &c.plan.Candidates[t.candidate].Profile
	o := failureOf(profile, res)
	decided := verdictOn(profile, res.Status) == stopHunting
	switch {
	case decided && !(isBusy(res.Status) && c.mayGoOn(t, onBusy)):
		c.count(Rejected)
		status, cause := o.forCaller()
		c.fail(now, o.endReason(), status, cause)
		return
	case !decided && !c.mayGoOn(t, onFailure):
		c.count(Failed)
		status, cause := o.forCaller()
		c.fail(now, o.endReason(), status, cause)
		return
	}
	if o.better(c.best) {
		c.best = o
	}
	c.next = place{candidate: int(t.candidate) + 1}
	c.hunt(now)
}

// provisional takes a 1xx. Every 18x goes on to the caller at once; the first
// one of a candidate is committed, and nobody waits for that.
func (c *Call) provisional(now time.Time, t *try, res *sip.Response) {
	if t != c.current() {
		return
	}
	c.timers.set(timerC, now.Add(c.params().TimerC)) // RFC 3261 section 16.7, step 2
	if res.Status == 100 || !c.earlyDialog(t, res) {
		return
	}
	out := c.invite.Response(res.Status)
	if !c.late && isSDP(res.Headers, res.Body) {
		t.sdp = true
		if body, err := c.carry(media.B, res.Body, res.Source.Addr.Addr(), c.sourceOf(t)); err == nil {
			out.SetBody(sdpType, body)
		} else {
			c.note(slog.LevelWarn, "early sdp is unusable", "gateway", t.line.Gateway, "err", err)
		}
	}
	c.dialogA()
	c.addContact(out)
	out.Headers.Add("Allow", sip.Allow)
	c.tellProgress(now, out)
	if t.rang {
		return
	}
	t.rang = true
	t.line.PDD = now.Sub(t.started)
	c.timers.set(timerRing, now.Add(c.ringTime(&c.plan.Candidates[t.candidate])))
	progress := &fsm.Progress{Call: c.id, Epoch: c.epoch, Candidate: t.candidate, Status: uint16(res.Status), Attempts: c.attempts()}
	progress.DialogA, progress.DialogB, progress.Media = c.record(t)
	c.propose(cluster.LaneExtend, progress, now, now.Add(c.kit.cfg.Hold))
}

// ringTimeout gives up on the present try. One that rang was no answer; one that
// only said 100 is a gateway that cannot deliver.
func (c *Call) ringTimeout(now time.Time) {
	t := c.current()
	if t == nil {
		return
	}
	c.cancelTry(t, sip.Header{Name: "Reason", Value: "Q.850;cause=102"})
	t.line.Status = 408
	if t.rang && !c.mayGoOn(t, onRinging) {
		c.count(NoAnswerCalls)
		c.fail(now, fsm.EndNoAnswer, 480, 19)
		return
	}
	if o := (outcome{status: 480, cause: 19}); t.rang && o.better(c.best) {
		c.best = o
	}
	c.next = place{candidate: int(t.candidate) + 1}
	c.hunt(now)
}
