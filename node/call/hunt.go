package call

import (
	"cmp"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// place is where hunting goes on: the next address of a candidate.
type place struct{ candidate, address int }

// hunt dials the next address of the plan, or ends the call when none is left.
func (c *Call) hunt(now time.Time) {
	if !c.openMedia(now) {
		return
	}
	for ; c.next.candidate < len(c.plan.Candidates) && len(c.tries) < maxTries; c.next = (place{candidate: c.next.candidate + 1}) {
		candidate := &c.plan.Candidates[c.next.candidate]
		if c.next.address == 0 && c.skipped(candidate) {
			continue
		}
		addrs := c.addresses(candidate)
		if c.next.address >= len(addrs) {
			if len(addrs) == 0 {
				c.skip(candidate, "unresolved")
			}
			continue
		}
		addr := addrs[c.next.address]
		c.next.address++
		if c.dial(now, c.next.candidate, candidate, addr) {
			return
		}
	}
	status, cause := c.best.forCaller()
	c.count(Failed)
	c.fail(now, c.best.endReason(), status, cause)
}

// skipped reports that a candidate is down from here and another one is not. If
// all are down the first is tried.
func (c *Call) skipped(candidate *fsm.Candidate) bool {
	down := c.kit.cfg.Down
	if down == nil || !down(candidate.Gateway) {
		return false
	}
	for i := range c.plan.Candidates {
		if !down(c.plan.Candidates[i].Gateway) {
			c.count(SkippedDown)
			c.skip(candidate, "down")
			return true
		}
	}
	return false
}

// skip records a candidate that is not tried. Its line has no request.
func (c *Call) skip(candidate *fsm.Candidate, reason string) {
	c.tries = append(c.tries, &try{done: true, line: fsm.Attempt{Gateway: candidate.Gateway, Skipped: reason}})
}

// addresses are the candidate's, or those of its name.
func (c *Call) addresses(candidate *fsm.Candidate) []netip.AddrPort {
	if len(candidate.Addrs) == 0 && candidate.Host != "" && c.kit.cfg.Resolve != nil {
		return c.kit.cfg.Resolve(candidate.Host)
	}
	addrs := make([]netip.AddrPort, 0, len(candidate.Addrs))
	for _, a := range candidate.Addrs {
		addrs = append(addrs, netAddr(a))
	}
	return addrs
}

// dial sends the INVITE of a new try. It returns false if it cannot be made.
func (c *Call) dial(now time.Time, index int, candidate *fsm.Candidate, addr netip.AddrPort) bool {
	t := &try{candidate: uint8(index), number: uint8(c.next.address - 1), started: now, line: fsm.Attempt{
		Gateway: candidate.Gateway, Address: fsmAddr(addr), Callee: candidate.Callee, Caller: candidate.Caller,
		Start: now.Sub(c.arrived),
	}}
	req, err := c.inviteTo(t, candidate, addr)
	if err != nil {
		c.note(slog.LevelWarn, "invite cannot be made", "gateway", candidate.Gateway, "err", err)
		t.done, t.line.Skipped = true, "invalid"
		c.tries = append(c.tries, t)
		return false
	}
	t.req, t.line.CallID = req, req.CallID
	c.tries = append(c.tries, t)
	c.count(Tries)
	c.timers.set(timerRing, now.Add(cmp.Or(candidate.Ring, c.kit.cfg.Ring)))
	c.do(dial{try: t, first: cmp.Or(candidate.FirstTry, c.kit.cfg.FirstTry)})
	return true
}

func (c *Call) inviteTo(t *try, candidate *fsm.Candidate, addr netip.AddrPort) (*sip.Request, error) {
	dest := sip.Peer{Transport: transportOf(candidate.Via), Addr: addr}
	own := c.kit.names.legB(c.id, t.candidate, t.number)
	spec := sip.InviteSpec{
		URI: "sip:" + userPart(candidate.Callee) + "@" + addr.String(), Dest: dest,
		From: c.from(candidate.Caller), To: "<sip:" + userPart(candidate.Callee) + "@" + addr.Addr().String() + ">",
		CallID: own.callID, FromTag: own.fromTag, Branch: own.branch,
		Contact: c.line.contact(own.contact, dest.Transport), MaxForwards: c.invite.MaxForwards - 1, Pass: c.pass,
	}
	if !c.late {
		body, err := c.rewrite(media.B, c.offer)
		if err != nil {
			return nil, err
		}
		spec.ContentType, spec.Body = sdpType, body
	}
	return sip.NewInvite(spec)
}

// from is the From of leg B.
func (c *Call) from(caller string) string {
	if caller == "" {
		return `"Anonymous" <sip:anonymous@anonymous.invalid>`
	}
	return "<sip:" + userPart(caller) + "@" + c.line.host() + ">"
}

// userPart escapes what our number alphabet has beyond RFC 3261's user part.
func userPart(number string) string { return strings.ReplaceAll(number, "#", "%23") }

func transportOf(via string) sip.Transport {
	if strings.EqualFold(via, "tcp") {
		return sip.TCP
	}
	return sip.UDP
}

// current is the try that is under way, or nil.
func (c *Call) current() *try {
	if c.phase != hunting || len(c.tries) == 0 {
		return nil
	}
	if t := c.tries[len(c.tries)-1]; !t.done && !t.canceled {
		return t
	}
	return nil
}

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
	if errors.Is(err, sip.ErrTimeout) {
		t.line.Status = 408
	}
	if t != c.current() {
		t.done = true
		return
	}
	t.done = true
	c.note(slog.LevelInfo, "gateway does not answer", "gateway", t.line.Gateway, "err", err)
	c.timers.stop(timerRing)
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
	c.timers.stop(timerRing)
	o := outcome{status: res.Status, cause: t.line.Q850}
	if judge(res.Status) == stopHunting {
		c.count(Rejected)
		c.fail(now, o.endReason(), res.Status, o.cause)
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
	if t != c.current() || res.Status == 100 {
		return
	}
	if d, err := sip.NewClientDialog(t.req, res); err == nil && (len(t.forks) < maxForks || t.forks[d.RemoteTag].CallID != "") {
		if t.forks == nil {
			t.forks = map[string]sip.Dialog{}
		}
		c.place(&d, &c.plan.Candidates[t.candidate])
		t.forks[d.RemoteTag] = d
		c.legs[media.B].dialog = d // the latest fork is the one that is heard
	}
	out := c.invite.Response(res.Status)
	if !c.late && isSDP(res.Headers, res.Body) {
		if body, err := c.carry(media.B, res.Body, res.Source.Addr.Addr(), c.sourceOf(t)); err == nil {
			out.SetBody(sdpType, body)
		} else {
			c.note(slog.LevelWarn, "early sdp is unusable", "gateway", t.line.Gateway, "err", err)
		}
	}
	c.dialogA()
	c.addContact(out)
	if c.tx != nil && !c.final {
		c.replied = true
		c.do(respond{c.tx, out})
	}
	if t.rang {
		return
	}
	t.rang = true
	t.line.PDD = now.Sub(t.started)
	progress := &fsm.Progress{Call: c.id, Epoch: c.epoch, Candidate: t.candidate, Status: uint16(res.Status)}
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
	if t.rang {
		c.count(NoAnswerCalls)
		c.fail(now, fsm.EndNoAnswer, 480, 19)
		return
	}
	c.hunt(now)
}

// cancelTry cancels a try; a 200 that crosses is ended by accepted.
func (c *Call) cancelTry(t *try, headers ...sip.Header) {
	if t.done || t.canceled {
		return
	}
	t.canceled = true
	c.timers.stop(timerRing)
	c.do(cancel{try: t, headers: headers})
}

// attempts are the lines of the CDR.
func (c *Call) attempts() []fsm.Attempt {
	lines := make([]fsm.Attempt, 0, len(c.tries))
	for _, t := range c.tries {
		lines = append(lines, t.line)
	}
	return lines
}
