package call

import (
	"cmp"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// place is where hunting goes on: the next address of a candidate.
type place struct{ candidate, address int }

// params are the system's parameters at this moment.
func (c *Call) params() *fsm.Params { return c.kit.cfg.Params() }

// hunt dials the next address of the plan, or ends the call when none is left.
func (c *Call) hunt(now time.Time) {
	if c.followRedirect(now) {
		return
	}
	for ; c.next.candidate < len(c.plan.Candidates) && len(c.tries) < maxTries; c.next = (place{candidate: c.next.candidate + 1}) {
		candidate := &c.plan.Candidates[c.next.candidate]
		if c.next.address == 0 && c.skipped(candidate) {
			continue
		}
		addrs := c.addresses(candidate)
		if len(addrs) == 0 {
			c.skip(candidate, "unresolved")
			continue
		}
		if c.next.address == 0 && !c.mayTurn() {
			break
		}
		for c.next.address < len(addrs) {
			number := c.next.address
			c.next.address++
			if c.passOver(candidate, addrs, number) {
				continue
			}
			if c.dial(now, dialing{place: place{c.next.candidate, number}, addr: addrs[number], callee: candidate.Callee}) {
				return
			}
		}
	}
	status, cause := c.best.forCaller()
	c.count(Failed)
	c.fail(now, c.best.endReason(), status, cause)
}

// dialing is one INVITE to be sent.
type dialing struct {
	place    // its name: candidate, and number within it
	addr     netip.AddrPort
	callee   string
	interval time.Duration // least Session-Expires, from a 422; 0: ours
}

// mayTurn counts the turn from one gateway to another and reports whether there
// may be one more (F103). The first gateway is none.
func (c *Call) mayTurn() bool {
	last := -1
	turns := uint32(0)
	for _, t := range c.tries {
		if t.req == nil { // never dialled
			continue
		}
		if last >= 0 && int(t.candidate) != last {
			turns++
		}
		last = int(t.candidate)
	}
	return last < 0 || turns < c.params().SwitchLimit
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

// passOver reports that one address of a gateway is down, and that one behind it
// is not.
func (c *Call) passOver(candidate *fsm.Candidate, addrs []netip.AddrPort, number int) bool {
	down := c.kit.cfg.PeerDown
	if down == nil || !down(addrs[number], candidate.Via) {
		return false
	}
	for _, addr := range addrs[number+1:] {
		if !down(addr, candidate.Via) {
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
		// The call's own order, so that a survivor finds an address by its number.
		return c.kit.cfg.Resolve(candidate.Host, candidate.Via, binary.BigEndian.Uint64(c.id[:8]))
	}
	addrs := make([]netip.AddrPort, 0, len(candidate.Addrs))
	for _, a := range candidate.Addrs {
		addrs = append(addrs, netAddr(a))
	}
	return addrs
}

// ringTime is how long a candidate may ring.
func (c *Call) ringTime(candidate *fsm.Candidate) time.Duration {
	return cmp.Or(candidate.Ring, c.kit.cfg.Ring, c.params().RingTime)
}

// dial sends the INVITE of a new try. It returns false if it cannot be made.
func (c *Call) dial(now time.Time, d dialing) bool {
	candidate := &c.plan.Candidates[d.candidate]
	// Another try is another peer: nothing is known of it, and it gets keys of its own.
	b := &c.legs[media.B]
	b.remote, b.sent = media.Remote{}, nil
	c.treat(media.B, &candidate.Profile)
	if !c.openMedia(now, candidate) {
		return c.phase != hunting // the call has been ended
	}
	t := &try{candidate: uint8(d.candidate), number: uint8(d.address), started: now, interval: d.interval, line: fsm.Attempt{
		Gateway: candidate.Gateway, Address: fsmAddr(d.addr), Callee: d.callee, Caller: candidate.Caller,
		Start: now.Sub(c.arrived),
	}}
	if c.session != nil {
		t.heard = c.session.Stats().From[media.B].Packets
	}
	req, err := c.inviteTo(t, candidate, d.addr)
	if err != nil {
		c.note(slog.LevelWarn, "invite cannot be made", "gateway", candidate.Gateway, "err", err)
		if o := (outcome{status: 488, cause: 88}); errors.Is(err, media.ErrNoAudio) && o.better(c.best) {
			c.best = o // no codec that both gateways allow
		}
		t.done, t.line.Skipped = true, "invalid"
		c.tries = append(c.tries, t)
		return false
	}
	t.req, t.line.CallID = req, req.CallID
	c.tries = append(c.tries, t)
	c.count(Tries)
	wait := c.ringTime(candidate)
	c.timers.set(timerRing, now.Add(cmp.Or(candidate.Profile.Progress, wait)))
	c.timers.set(timerC, now.Add(c.params().TimerC))
	first := cmp.Or(candidate.FirstTry, c.kit.cfg.FirstTry, c.params().FirstResponse)
	resend, _ := fsm.ParseResend(candidate.Profile.Resend) // checked when it was set
	c.do(dial{try: t, first: min(first, wait), resend: resend})
	return true
}

// number is the name of the next try of a candidate beyond its addresses: of a
// redirection, or of an INVITE that is sent again with other headers.
func (c *Call) number(candidate int) (int, bool) {
	next := len(c.addresses(&c.plan.Candidates[candidate]))
	for _, t := range c.tries {
		if t.req != nil && int(t.candidate) == candidate {
			next = max(next, int(t.number)+1)
		}
	}
	return next, next <= math.MaxUint8 && len(c.tries) < maxTries
}

func (c *Call) inviteTo(t *try, candidate *fsm.Candidate, addr netip.AddrPort) (*sip.Request, error) {
	dest := sip.Peer{Transport: transportOf(candidate.Via), Addr: addr}
	own := c.kit.names.legB(c.id, t.candidate, t.number)
	from, identity := c.present(candidate)
	callee := userPart(cmp.Or(t.line.Callee, candidate.Callee))
	uri := "sip:" + callee + "@" + addr.String()
	if candidate.Contact != "" {
		uri = candidate.Contact // of a registered phone (RFC 3261 section 16.5)
	}
	spec := sip.InviteSpec{
		URI: uri, Dest: dest,
		From: from, To: "<sip:" + callee + "@" + addr.Addr().String() + ">",
		CallID: own.callID, FromTag: own.fromTag, Branch: own.branch,
		Contact: c.line.contact(own.contact, dest.Transport), MaxForwards: c.invite.MaxForwards - 1,
		Pass: append(append(passedOn(c.pass), identity...), c.extensions(t, candidate)...),
	}
	if !c.late {
		body, err := c.offerTo(candidate)
		if err != nil {
			return nil, err
		}
		spec.ContentType, spec.Body = sdpType, body
	}
	for i := len(candidate.Path) - 1; i >= 0; i-- { // RFC 3327 section 5.5
		spec.Pass = append(sip.Headers{{Name: "Route", Value: "<" + candidate.Path[i] + ">"}}, spec.Pass...)
	}
	req, err := sip.NewInvite(spec)
	if err == nil && candidate.Contact != "" {
		req.Flow = addr // the phone's own connection, if it came by one
	}
	return req, err
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
	t, _ := sip.ParseTransport(via)
	return t
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

// cancelTry cancels a try; a 200 that crosses is ended by accepted.
func (c *Call) cancelTry(t *try, headers ...sip.Header) {
	if t.done || t.canceled {
		return
	}
	t.canceled = true
	c.timers.stop(timerRing, timerC)
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
