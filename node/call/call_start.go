package call

import (
	"cmp"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// Bounds of what the record of a call can hold; they are those of package fsm.
const (
	maxOffer  = 8 << 10
	maxInvite = 8 << 10
	maxRaw    = 256 // numbers as received, Call-IDs
)

// tryingAfter is when the endpoint says 100 by itself (RFC 3261 section 17.2.1).
const tryingAfter = 200 * time.Millisecond

// sdpType is the only body that a call may open with.
const sdpType = "application/sdp"

// open takes the INVITE: what can be seen without the state machine is refused
// here, everything else is its decision (commit 1).
func (c *Call) open(now time.Time, ev invite) {
	if c.phase != 0 { // repeated: his transaction was lost with a former owner
		if c.tx == nil && !c.final {
			c.tx = ev.tx
		}
		return
	}
	c.phase = starting
	c.arrived = now
	c.tx = ev.tx
	c.invite = ev.req.Invite(c.kit.names.toTag(c.id))
	c.pass = keptHeaders(ev.req.Headers)
	c.count(Received)
	start, status := c.read(ev.req)
	if status != 0 {
		c.count(RefusedMessage)
		c.refuseHere(status, fsm.EndMalformed, start)
		return
	}
	c.propose(cluster.LaneStart, start, now, now.Add(c.kit.cfg.Hold))
	c.timers.set(timerHold, now.Add(c.kit.cfg.Hold))
	if c.invite.Source.Transport.Stream() {
		c.trying()
	}
}

// read takes out of an INVITE what StartCall needs. A status other than 0 says
// that the INVITE cannot be used.
func (c *Call) read(req *sip.Request) (*fsm.StartCall, int) {
	start := &fsm.StartCall{
		Call: c.id, Source: fsmAddr(req.Source.Addr), SourceVia: strings.ToLower(req.Source.Transport.String()),
		SIPCallID: req.CallID, Caller: callerOf(req), Callee: calleeOf(req), Line: c.line.ip.String(),
		Phone: req.User,
	}
	switch {
	case req.MaxForwards < 2: // one hop is ours
		return start, 483
	case start.Callee == "", len(start.Callee) > maxRaw, len(start.Caller) > maxRaw:
		return start, 484
	case len(start.SIPCallID) > maxRaw:
		return start, 400
	case len(req.Body) > maxOffer:
		return start, 413
	case c.loops(req, start.Callee):
		return start, 482
	}
	if c.tooSmall(req.Headers, &fsm.Profile{}) {
		return start, 422
	}
	switch _, err := c.invite.Dialog(c.contactA()); {
	case errors.Is(err, sip.ErrDialogSize):
		return start, 513
	case err != nil: // nowhere to send a BYE to
		return start, 400
	}
	if len(req.Body) > 0 {
		if status := c.readOffer(req, start); status != 0 {
			return start, status
		}
	}
	who := readIdentity(req.From, req.To, req.Headers)
	start.Identity = who.choices()
	start.Offer, c.late = c.offer, c.offer == nil
	start.Invite = c.inviteRecord()
	if len(start.Invite) > maxInvite {
		return start, 513
	}
	return start, 0
}

// loops reports an INVITE of ours that has come back with the number that it left
// with (RFC 3261 section 16.3, item 4). With another number it is a spiral, which
// Max-Forwards ends.
func (c *Call) loops(req *sip.Request, callee string) bool {
	nm, ok := c.kit.names.parse(req.CallID)
	if !ok || nm.label != labelCallID {
		return false
	}
	rec, ok := c.kit.cfg.Records.Call(nm.call)
	return ok && int(nm.candidate) < len(rec.Candidates) && digitsOf(rec.Candidates[nm.candidate].Callee) == digitsOf(callee)
}

func (c *Call) readOffer(req *sip.Request, start *fsm.StartCall) int {
	kind, _, _ := strings.Cut(req.Headers.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), sdpType) {
		return 415
	}
	d, err := media.Parse(req.Body)
	if err != nil {
		return sdpStatus(err)
	}
	audio, err := d.Audio()
	if err != nil {
		return sdpStatus(err)
	}
	if err := c.line.relay.Check(audio.RTP); err != nil {
		return sdpStatus(err)
	}
	c.offer = req.Body
	c.rtp[media.A] = audio.RTP
	start.MediaAddr = fsmAddr(audio.RTP)
	return 0
}

// sdpStatus is the answer to SDP that cannot be used (ARCHITECTURE.md, Refusals).
func sdpStatus(err error) int {
	if errors.Is(err, media.ErrSDP) {
		return 400
	}
	return 488
}

// callerOf returns the calling number as received: the user part of From, or of
// P-Asserted-Identity where From names nobody.
func callerOf(req *sip.Request) string {
	from, err := sip.ParseAddress(req.From)
	if err == nil && from.URI.User != "" && !strings.EqualFold(from.URI.User, "anonymous") {
		return from.URI.User
	}
	if pai, errPAI := sip.ParseAddress(req.Headers.Get("P-Asserted-Identity")); errPAI == nil {
		return pai.URI.User
	}
	if err != nil {
		return ""
	}
	return from.URI.User
}

// calleeOf returns the called number as received.
func calleeOf(req *sip.Request) string {
	uri, err := sip.ParseURI(req.URI)
	if err != nil {
		return ""
	}
	return uri.User
}

// trying tells the caller that we have his INVITE. Over UDP the endpoint says so
// by itself after 200 ms without an answer; before that the 100 waits for the
// commit, so that his retransmission would find a survivor.
func (c *Call) trying() {
	if !c.replied && !c.final && c.tx != nil {
		c.replied = true
		c.do(respond{c.tx, c.invite.Response(100)})
	}
}

// started takes the outcome of StartCall.
func (c *Call) started(now time.Time, ev committed) {
	c.timers.stop(timerHold)
	late := c.phase != starting // cancelled or held too long: never dialled
	switch {
	case ev.err != nil:
		if !late {
			c.notStarted(ev.err)
		}
		c.phase = over
		if errors.Is(ev.err, cluster.ErrTimeout) && !errors.Is(ev.err, cluster.ErrUnsent) {
			c.unheard(now)
		}
	case ev.result.Code == fsm.CallExists && !c.ours():
		c.phase = over // a retransmission: the node that has the call answers it
	case ev.result.Code == fsm.OK || ev.result.Code == fsm.CallExists:
		if ev.result.Plan == nil {
			c.note(slog.LevelError, "plan is missing", "code", ev.result.Code)
			c.refuse(500, 41, 0)
			c.phase = over
			return
		}
		c.plan = *ev.result.Plan
		c.epoch = c.plan.Epoch
		c.grant = ev.result.Grant
		if late {
			c.void(now)
			return
		}
		if now.Sub(c.arrived) < tryingAfter {
			c.trying()
		}
		c.phase = hunting
		c.hunt(now)
	default:
		if !late {
			c.refusedByState(ev.result)
		}
		c.phase = over
	}
}

// ours reports that the state says the call is this node's.
func (c *Call) ours() bool {
	rec, ok := c.kit.cfg.Records.Call(c.id)
	return ok && rec.Owner == c.kit.cfg.Node
}

// notStarted answers a caller whose StartCall did not commit.
func (c *Call) notStarted(err error) {
	if errors.Is(err, cluster.ErrTimeout) {
		c.count(RefusedLate)
		c.refuseHere(504, fsm.EndHeldTooLong, nil)
		return
	}
	c.count(RefusedBusy)
	c.refuseHere(503, fsm.EndOverload, nil)
}

// refusedByState answers a caller whom the state machine refused. The CDR has
// been written with the refusal.
func (c *Call) refusedByState(r fsm.Result) {
	c.count(RefusedState)
	told := refusal(r.Code)
	wait := time.Duration(0)
	if told.RetryAfter {
		wait = c.kit.cfg.RetryAfter
	}
	c.refuse(int(told.Status), told.Q850, wait)
}

// heldTooLong gives up on StartCall. A plan that still comes is voided.
func (c *Call) heldTooLong(now time.Time) {
	if c.phase != starting {
		return
	}
	c.count(RefusedLate)
	c.refuseHere(504, fsm.EndHeldTooLong, nil)
	c.giveUp(now, fsm.EndHeldTooLong, 504, 102)
}

// giveUp ends a call that has no plan yet: nothing was dialled.
func (c *Call) giveUp(now time.Time, reason fsm.EndReason, status uint16, cause uint8) {
	c.phase = ending
	c.endSince = now
	c.end = &fsm.EndCall{
		Call: c.id, How: fsm.EndVoid, Reason: reason, By: fsm.ByServer, SIPStatus: status, Q850: cause,
	}
	if reason == fsm.EndCanceled {
		c.end.By = fsm.ByCaller
	}
}

// firstEpoch is that of a call in its first owner's hands.
const firstEpoch fsm.Epoch = 1

// unheard ends a call whose StartCall may have committed without our learning it:
// its money would be held for ever. A StartCall that comes later than this end
// does not count: its number is below those that still may (ARCHITECTURE.md, rule 4).
func (c *Call) unheard(now time.Time) {
	if c.end == nil {
		c.giveUp(now, fsm.EndHeldTooLong, 504, 102)
	}
	c.epoch = firstEpoch
	c.void(now)
}

// void ends a plan that came too late.
func (c *Call) void(now time.Time) {
	c.count(Voided)
	c.submitEnd(now)
}

// refuseHere answers a call that the state machine has not seen, and has it
// reported to the cluster in a batch.
func (c *Call) refuseHere(status int, reason fsm.EndReason, start *fsm.StartCall) {
	wait := time.Duration(0)
	if reason == fsm.EndOverload {
		wait = c.kit.cfg.RetryAfter
	}
	c.refuse(status, causeOf(status), wait)
	r := fsm.Refused{Source: fsmAddr(c.invite.Source.Addr), Reason: reason, Count: 1, Status: uint16(status)}
	if start != nil {
		r.Caller, r.Callee = start.Caller, start.Callee
		c.phase = over
	}
	c.do(report{r})
}

// refuse gives the caller's INVITE its final answer. Only a wait of more than
// zero sends Retry-After: with it, the caller stops using the whole trunk.
func (c *Call) refuse(status int, cause uint8, wait time.Duration) {
	if c.final {
		return
	}
	c.final = true
	c.timers.stop(timerHold)
	if c.tx == nil {
		return
	}
	res := refusalTo(&c.invite, status, cause, wait)
	switch {
	case status == 422:
		res.Headers.Add("Min-SE", seconds(c.params().MinSE))
	case status < 400:
		for _, contact := range c.contacts {
			res.Headers.Add("Contact", contact)
		}
	}
	c.do(respond{c.tx, res})
}

// refusalTo makes a final response with its Q.850 cause (RFC 3326).
func refusalTo(s *sip.InviteState, status int, cause uint8, wait time.Duration) *sip.Response {
	res := s.Response(status)
	if cause = cmp.Or(cause, causeOf(status)); cause != 0 {
		res.Headers.Add("Reason", "Q.850;cause="+strconv.Itoa(int(cause)))
	}
	if wait > 0 {
		res.Headers.Add("Retry-After", strconv.Itoa(int(wait/time.Second)))
	}
	return res
}
