package call

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
)

// The probes of an adopted call (ARCHITECTURE.md, rule 12).
const (
	// probeSpread is the time over which the first probes of adopted calls are
	// spread, by the call's id.
	probeSpread = 10 * time.Second
	// probeEvery is the pause between probes, probeWait how long one is waited for.
	probeEvery = 10 * time.Second
	probeWait  = 5 * time.Second
	// maxProbes without any answer make a leg silent.
	maxProbes = 3
	// probeSilence without RTP makes a call with two silent legs dead. All in all
	// its money is free again after less than 100 s.
	probeSilence = 30 * time.Second
	// probeAgain is the pause before a leg that was silent is asked anew, while the
	// other one lives.
	probeAgain = 30 * time.Second
)

// probe is what the probes of an adopted call have found.
type probe struct {
	since time.Time // of the adoption
	sent  [2]int    // without an answer
	alive [2]bool
}

// errNotHere says that a call's service address is not open on this node: it is
// about to come, or to go, and the calls on it are adopted or dropped with it.
var errNotHere = errors.New("service address is not here")

// fromRecord makes the call of a record as far as the record goes; the adopted
// event then brings it to life. line finds what serves an address, nil if nothing
// here does.
func fromRecord(rec *fsm.Call, k *kit, line func(netip.Addr) *Line) (*Call, error) {
	r, err := readInvite(rec.Invite)
	if err != nil {
		return nil, err
	}
	ip := r.line
	if at, err := netip.ParseAddr(rec.Line); err == nil {
		ip = at // a call that has left the address of its INVITE
	}
	l := line(ip)
	if l == nil {
		return nil, fmt.Errorf("%w: %s", errNotHere, ip)
	}
	c := newCall(rec.ID, k, l)
	c.displaced = l.ip != ip
	c.invite, c.pass, c.offer, c.replied = r.invite, r.pass, rec.Offer, true
	c.late = len(rec.Offer) == 0
	c.epoch = rec.Epoch
	c.plan = fsm.Plan{
		Call: rec.ID, Epoch: rec.Epoch, Ingress: rec.Ingress, Account: rec.Account, Caller: rec.Caller, Callee: rec.Callee,
		Candidates: rec.Candidates, Skipped: rec.Skipped, MaxDuration: rec.MaxLength,
		Media: rec.MediaMode, Source: rec.Policy, NAT: rec.NAT, Profile: rec.Profile,
	}
	for side, b := range [][]byte{rec.DialogA, rec.DialogB} {
		if len(b) == 0 {
			continue
		}
		r, err := readLeg(b)
		if err != nil {
			return nil, err
		}
		c.legs[side] = leg{
			dialog: r.dialog, acked: r.acked, sent: r.sent,
			version: r.dialog.SDPSent, received: r.dialog.SDPReceived,
			timing: timing{interval: r.interval, ours: r.ours}, update: r.update,
		}
	}
	return c, nil
}

// reap ends a call that is ours and whose record cannot be read. It is charged to its last proof of life (ARCHITECTURE.md, rule 12),
// and the money that it holds is free again.
func (c *Control) reap(rec *fsm.Call) {
	now := time.Now()
	end := &fsm.EndCall{
		Call: rec.ID, Epoch: rec.Epoch, How: fsm.EndDecision, Reason: fsm.EndReaped, By: fsm.ByServer, SIPStatus: 503, Q850: 41,
	}
	c.stats.add(Reaped)
	c.cfg.Proposer.Submit(Command{Lane: cluster.LaneUrgent, Body: end, Since: now, Until: now.Add(c.cfg.Hold)}, func(_ fsm.Result, err error) {
		if err != nil { // the next comparison with the state finds it again
			c.log.Warn("lost call not ended", "call", idText(end.Call), "err", err)
		}
	})
}

// adopt brings a call of a record to life under its new epoch. From here on the
// same code serves it as if it had begun here.
func (c *Call) adopt(now time.Time, ev adopted) {
	if c.phase != 0 { // served already
		c.epoch = max(c.epoch, ev.record.Epoch)
		return
	}
	rec := &ev.record
	c.arrived = now.Add(-ev.at.Sub(rec.Started))
	if !c.displaced {
		c.reopenMedia(rec)
	}
	for i := range c.legs {
		// The requests of former owners stay below ours (RFC 3261 section 12.2.2).
		c.legs[i].dialog.Jump(uint32(min(rec.Epoch-1, maxJumps)))
	}
	b := &c.legs[media.B]
	switch {
	case rec.State == fsm.CallAnswered && b.dialog.CallID != "":
		c.adoptAnswered(now, ev)
	case rec.State == fsm.CallRinging && b.dialog.CallID != "":
		c.adoptRinging(now, ev)
	default:
		c.adoptStarting(now)
	}
}

// maxJumps bounds the raises of CSeq: 31 bits have room for two million epochs.
const maxJumps = 1 << 20

func (c *Call) reopenMedia(rec *fsm.Call) {
	if len(rec.Media) == 0 {
		return
	}
	var state media.State
	if err := state.UnmarshalBinary(rec.Media); err != nil {
		c.note(slog.LevelError, "media state is unusable", "err", err)
		return
	}
	session, err := c.line.relay.Reopen(c.sessionConfig(), state)
	if err != nil {
		// The call goes on: its signalling and its money do not depend on the relay.
		c.note(slog.LevelError, "media cannot be reopened", "err", err)
		return
	}
	c.session, c.relayed = session, true
	for side := range c.legs {
		c.legs[side].remote, c.legs[side].source = state.Remote[side], state.Remote[side].Source
	}
}

// answeredLately reports that the caller may not have got the 200 yet.
func (c *Call) answeredLately(ev adopted) bool {
	return ev.record.State == fsm.CallAnswered && !c.legs[media.A].acked && ev.at.Sub(ev.record.Answered) < ackTime
}

func (c *Call) adoptAnswered(now time.Time, ev adopted) {
	rec := &ev.record
	c.phase, c.final = talking, true
	c.since = now.Add(-ev.at.Sub(rec.Answered))
	a, b := &c.legs[media.A], &c.legs[media.B]
	a.open, b.open = true, true
	if c.tx != nil && c.answeredLately(ev) {
		// ARCHITECTURE.md, rule 5: repeated until the ACK. Its absence ends nothing, since the ACK may
		// have gone to the former owner.
		res := c.invite.Response(200)
		c.addContact(res)
		if a.sent != nil {
			res.SetBody(sdpType, a.sent)
		}
		c.do(respond{c.tx, res})
	}
	a.acked, b.acked = true, true
	c.late = false
	c.tries = []*try{{candidate: rec.Candidate, done: true}}
	c.winner = c.tries[0]
	c.keepAttempts(rec.Attempts)
	if int(rec.Candidate) < len(rec.Candidates) {
		c.limit(&rec.Candidates[rec.Candidate])
	}
	c.setGrant(fsm.Grant{Slice: rec.Slice, For: rec.Granted, Last: rec.LastGrant})
	if c.displaced {
		c.timers.set(timerMove, c.line.control.invites.next(now))
	}
	if end := c.since.Add(rec.Granted); end.Before(now.Add(c.kit.cfg.Hold)) {
		c.timers.set(timerSilence, now.Add(c.kit.cfg.Hold)) // the extension decides first (ARCHITECTURE.md, rule 3)
	}
	if int(rec.Candidate) < len(rec.Candidates) {
		c.treat(media.B, &rec.Candidates[rec.Candidate].Profile)
	}
	c.rearm(now)
	c.retune()
	c.probe.since = now
	c.timers.set(timerProbe, now.Add(spread(c.id)))
	c.forgetSetup()
	// Also of a last grant: the account may have been funded while nobody was here.
	c.extend(now)
}

// keepAttempts restores the CDR's lines of what was tried before.
func (c *Call) keepAttempts(lines []fsm.Attempt) {
	if len(lines) == 0 {
		return
	}
	c.tries = c.tries[:0]
	for _, line := range lines {
		c.tries = append(c.tries, &try{done: true, line: line})
	}
	c.winner = c.tries[len(c.tries)-1]
}

// spread paces the probes of many calls that are adopted at once.
func spread(id fsm.CallID) time.Duration {
	return time.Duration(uint(id[2])<<8|uint(id[3])) * probeSpread / (1 << 16)
}

// adoptRinging takes a call over whose callee rings: both transactions go on.
func (c *Call) adoptRinging(now time.Time, ev adopted) {
	rec := &ev.record
	nm, ok := c.kit.names.parse(c.legs[media.B].dialog.LocalTag)
	if !ok || int(nm.candidate) >= len(c.plan.Candidates) {
		c.adoptStarting(now)
		return
	}
	c.phase = hunting
	for _, line := range rec.Attempts[:max(len(rec.Attempts)-1, 0)] { // the last one rings
		c.tries = append(c.tries, &try{done: true, line: line})
	}
	t := c.adoptTry(now, int(nm.candidate), int(nm.try))
	if t == nil {
		c.adoptStarting(now)
		return
	}
	t.rang, t.line.PDD = true, rec.Ringing.Sub(rec.Started)
	if n := len(rec.Attempts); n > 0 {
		t.line = rec.Attempts[n-1]
	}
	b := &c.legs[media.B]
	t.forks = map[string]*fork{b.dialog.RemoteTag: {dialog: b.dialog, update: b.update}}
	c.next = place{candidate: int(nm.candidate), address: int(nm.try) + 1}
	ring := c.ringTime(&c.plan.Candidates[nm.candidate])
	c.timers.set(timerRing, now.Add(ring-ev.at.Sub(rec.Ringing)))
}

// adoptTry takes over the INVITE that the former owner sent to an address of a
// candidate, or may have sent. It returns nil if there is no such address.
func (c *Call) adoptTry(now time.Time, candidate, number int) *try {
	cand := &c.plan.Candidates[candidate]
	addrs := c.addresses(cand)
	if number >= len(addrs) {
		return nil
	}
	t := &try{candidate: uint8(candidate), number: uint8(number), restored: true, started: now, line: fsm.Attempt{
		Gateway: cand.Gateway, Address: fsmAddr(addrs[number]), Callee: cand.Callee, Caller: cand.Caller,
	}}
	req, err := c.inviteTo(t, cand, addrs[number])
	if err != nil {
		c.note(slog.LevelWarn, "try cannot be adopted", "gateway", cand.Gateway, "err", err)
		return nil
	}
	t.req, t.line.CallID = req, req.CallID
	c.tries = append(c.tries, t)
	c.do(dial{try: t})
	return t
}

// adoptStarting takes over a call of which nobody knows whom it rings: it is run
// again from its first candidate. The names of legs are the same on every node, so
// that an INVITE which is out already is only repeated, and its answer comes to us
// (ARCHITECTURE.md, rule 5): nobody rings twice, and nobody rings alone.
func (c *Call) adoptStarting(now time.Time) {
	if c.displaced { // its INVITEs went out from an address that is gone
		c.phase = hunting
		c.count(Failed)
		c.fail(now, fsm.EndInternal, 503, 41)
		return
	}
	c.phase = hunting
	c.legs[media.B] = leg{}
	c.hunt(now)
}
