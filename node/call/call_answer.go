package call

import (
	"errors"
	"log/slog"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// maxSurplus bounds the BYEs to surplus answers that a call has under way, so that
// a gateway cannot make us send more and more requests to wherever it says.
const maxSurplus = 2 * maxForks

// ackTime is how long the caller may take to acknowledge our 200: 64*T1.
const ackTime = 32 * time.Second

// accepted takes a 2xx: the one that wins, one of its repetitions, or one that
// comes from another fork or after a CANCEL and has to be ended again.
func (c *Call) accepted(now time.Time, t *try, res *sip.Response) {
	if t == c.current() {
		c.win(now, t, res)
		return
	}
	t.done = true
	if t != c.winner || res.ToTag != c.legs[media.B].dialog.RemoteTag {
		// RFC 3261 section 13.2.2.4: every 2xx is acknowledged, the surplus ones ended.
		c.endFork(res)
		return
	}
	if b := &c.legs[media.B]; b.acked {
		c.do(send{b.dialog.Ack()}) // our ACK was lost
	}
}

// win takes the 200 that answers the call. Its media path opens at once; the
// caller is told after the commit, and until then B repeats its 200.
func (c *Call) win(now time.Time, t *try, res *sip.Response) {
	t.done = true
	t.line.Status = uint16(res.Status)
	c.timers.stop(timerRing, timerC)
	dialog, err := sip.NewClientDialog(t.req, res)
	if err != nil {
		// Somebody may be listening there: another callee would be the second one.
		c.note(slog.LevelWarn, "answer makes no dialog", "gateway", t.line.Gateway, "err", err)
		c.count(Failed)
		c.fail(now, fsm.EndFailed, 502, 38)
		return
	}
	candidate := &c.plan.Candidates[t.candidate]
	c.place(&dialog, candidate)
	if f := t.forks[dialog.RemoteTag]; f != nil { // requests have gone to and fro already
		dialog.LocalSeq, dialog.RemoteSeq = max(dialog.LocalSeq, f.dialog.LocalSeq), f.dialog.RemoteSeq
	}
	b := &c.legs[media.B]
	b.dialog, b.open = dialog, true
	c.treat(media.B, &candidate.Profile)
	c.keepSession(now, media.B, res)
	body, err := c.answerBody(t, res)
	if err != nil {
		c.note(slog.LevelWarn, "answer has unusable sdp", "gateway", t.line.Gateway, "err", err)
		c.sendBye(media.B, nil)
		c.count(Failed)
		c.fail(now, fsm.EndRejected, 488, 88)
		return
	}
	c.dialogA()
	c.winner, c.since, c.answer = t, now, c.invite.Response(res.Status)
	c.answer.Headers.Add("Allow", sip.Allow)
	c.addContact(c.answer)
	c.legs[media.A].answered = c.invite.CSeq
	c.legs[media.A].update = c.pass.HasTag("Allow", "UPDATE")
	c.grantSession(now, media.A, c.pass, c.answer)
	if len(body) > 0 {
		c.answer.SetBody(sdpType, body)
	}
	c.phase = answering
	c.timers.set(timerAnswer, now.Add(c.kit.cfg.Hold))
	c.proposeAnswer(now, t)
}

// answerBody is the SDP of the 200 for the caller: B's, or what we told the
// caller in an 18x when B does not repeat it (RFC 3261 section 13.2.1).
func (c *Call) answerBody(t *try, res *sip.Response) ([]byte, error) {
	if !isSDP(res.Headers, res.Body) {
		told := c.legs[media.A].sent
		if len(told) == 0 && c.session != nil { // he would pay for silence
			return nil, media.ErrNoAudio
		}
		return told, nil
	}
	return c.carry(media.B, res.Body, res.Source.Addr.Addr(), c.sourceOf(t))
}

func (c *Call) proposeAnswer(now time.Time, t *try) {
	body := &fsm.AnswerCall{
		Call: c.id, Epoch: c.epoch, Candidate: t.candidate, Codec: c.codec,
		PeerMedia: fsmAddr(c.rtp[media.B]), Attempts: c.attempts(),
	}
	body.DialogA, body.DialogB, body.Media = c.record(t)
	c.dropQueued(fsm.KindProgress)
	c.propose(cluster.LaneUrgent, body, now, now.Add(c.kit.cfg.Hold))
}

// answered takes the outcome of AnswerCall.
func (c *Call) answered(now time.Time, ev committed) {
	if c.phase != answering {
		return // given up before
	}
	switch {
	case ev.err != nil:
		c.unanswerable(now)
		return
	case ev.result.Code == fsm.StaleEpoch:
		c.drop()
		return
	case ev.result.Code != fsm.OK:
		c.lostAnswer(now, ev.result.Code)
		return
	}
	c.timers.stop(timerAnswer)
	c.phase = talking
	c.count(Answered)
	c.limit(&c.plan.Candidates[c.winner.candidate])
	c.setGrant(ev.result.Grant)
	c.tellAnswer(now)
	switch {
	case c.early != nil:
		c.hungUp(now, *c.early)
	case c.wish != 0:
		c.decide(now, c.wish)
	}
	c.early = nil
}

// tellAnswer says 200 to the caller and ACK to the callee. After a late offer the
// ACK waits for the caller's answer (RFC 3261 section 13.2.1).
func (c *Call) tellAnswer(now time.Time) {
	a, b := &c.legs[media.A], &c.legs[media.B]
	a.open, c.final = true, true
	held := c.holdsAnswer()
	if !held {
		c.sendAnswer(now)
	}
	if !c.late {
		b.acked = true
		c.do(send{b.dialog.Ack()})
	}
	if held {
		return
	}
	c.forgetSetup()
}

// sendAnswer sends the 200 and waits for its ACK.
func (c *Call) sendAnswer(now time.Time) {
	if !c.legs[media.A].acked {
		c.timers.set(timerAck, now.Add(ackTime))
	}
	if c.tx != nil {
		c.do(respond{c.tx, c.answer})
	}
}

// treat keeps how a leg's gateway wants to be treated, beyond the plan.
func (c *Call) treat(side media.Side, p *fsm.Profile) {
	kept := c.kit.plain
	if *p != (fsm.Profile{}) {
		copied := *p
		kept = &copied
	}
	c.legs[side].profile = kept
	c.setTones()
}

// forgetSetup drops what an answered call needs no more: most calls spend most of
// their life idle, and there are many of them.
func (c *Call) forgetSetup() {
	c.tx, c.answer, c.pass, c.offer = nil, nil, nil, nil
	c.invite = sip.InviteState{}
	c.plan.Candidates, c.plan.Skipped = nil, nil
	c.redirects, c.contacts = nil, nil
	for _, t := range c.tries {
		t.req, t.tx, t.forks = nil, nil, nil
	}
}

// lostAnswer: the call was ended or won by another candidate before our commit.
func (c *Call) lostAnswer(now time.Time, code fsm.Code) {
	c.note(slog.LevelInfo, "answer came too late", "code", code)
	c.timers.stop(timerAnswer)
	c.sendBye(media.B, nil)
	c.refuse(487, 0, 0)
	c.tellWaiting()
	c.closeMedia()
	c.linger(now)
}

// unanswerable: AnswerCall did not commit in time. The callee is released, the
// caller told, nothing charged (ARCHITECTURE.md, Telling the outside).
func (c *Call) unanswerable(now time.Time) {
	if c.phase != answering {
		return
	}
	c.timers.stop(timerAnswer)
	c.count(Unanswerable)
	c.sendBye(media.B, nil)
	c.refuse(504, 102, 0)
	c.fail(now, fsm.EndHeldTooLong, 504, 102)
}

// endFork acknowledges and ends a 2xx that nobody wants.
func (c *Call) endFork(res *sip.Response) {
	if c.asks >= maxSurplus {
		return // it is repeated, when some of the others have ended
	}
	d, err := forkDialog(res)
	if err != nil {
		c.note(slog.LevelWarn, "surplus answer makes no dialog", "err", err)
		return
	}
	c.do(send{d.Ack()})
	c.asks++
	c.do(ask{leg: media.B, to: forBye, req: d.Request(sip.BYE)})
}

// stray takes a 2xx of B that found no transaction: its INVITE was sent by another
// node, or long ago.
func (c *Call) stray(res *sip.Response) {
	b := &c.legs[media.B]
	switch {
	case c.phase != talking || res.ToTag != b.dialog.RemoteTag:
		c.endFork(res)
	case b.acked:
		c.do(send{b.dialog.Ack()})
	}
}

// forkDialog makes the dialog of a 2xx from the response alone, since it repeats
// all that is needed of our INVITE.
func forkDialog(res *sip.Response) (sip.Dialog, error) {
	if res.CSeqMethod != sip.INVITE {
		return sip.Dialog{}, errors.New("not a response to an invite")
	}
	return sip.NewClientDialog(&sip.Request{
		Method: sip.INVITE, From: res.From, FromTag: res.FromTag, CallID: res.CallID, CSeq: res.CSeq, Dest: res.Source,
	}, res)
}

// callerCanceled takes the caller's CANCEL. Once B's 200 is here the answer wins:
// the caller gets it and hangs up (RFC 3261 section 9.1 tells him to expect that).
func (c *Call) callerCanceled(now time.Time, ev canceled) {
	switch c.phase {
	case starting:
		c.count(Canceled)
		c.refuse(487, 0, 0)
		c.giveUp(now, fsm.EndCanceled, 487, peerCause(ev.cancel.Headers))
	case hunting:
		c.count(Canceled)
		if t := c.current(); t != nil {
			c.cancelTry(t, sip.PassedHeaders(ev.cancel.Headers)...)
		}
		c.finish(now, &fsm.EndCall{
			How: fsm.EndFact, Reason: fsm.EndCanceled, By: fsm.ByCaller,
			SIPStatus: 487, Q850: peerCause(ev.cancel.Headers),
		}, now)
	}
}
