package call

import (
	"log/slog"
	"net/netip"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// A displaced call is one whose service address cannot move to its new owner: it
// goes on from an address of the owner's own, and both legs are invited to it
// (ARCHITECTURE.md, rule 16).

const (
	// movesPerSecond paces the displaced calls of a node: two re-INVITEs each, to
	// trunks that carry other calls as well.
	movesPerSecond = 50
	// moveRetry is the pause after a leg refused the re-INVITE because of another
	// one (RFC 3261 section 14.1, without its dice: the other side is the one that
	// owns the Call-ID and waits longer or shorter).
	moveRetry = 1500 * time.Millisecond
)

// moveDue invites both legs to this node.
func (c *Call) moveDue(now time.Time) {
	if c.phase != talking || !c.displaced {
		return
	}
	if c.session == nil && !c.openHere() {
		return // the call goes on without a voice until it is hung up
	}
	for side := range c.legs {
		c.inviteHere(media.Side(side))
	}
}

// openHere opens media on the new address, pointed at where both sides were.
func (c *Call) openHere() bool {
	session, err := c.line.relay.Open(c.sessionConfig())
	if err != nil {
		c.note(slog.LevelError, "no media session", "err", err)
		return false
	}
	c.session, c.relayed = session, true
	for side := range c.legs {
		l := &c.legs[side]
		if !l.remote.RTP.IsValid() {
			continue
		}
		if err := session.SetRemote(media.Side(side), l.remote); err != nil {
			c.note(slog.LevelWarn, "media cannot be pointed", "leg", media.Side(side), "err", err)
		}
	}
	return true
}

// inviteHere sends a re-INVITE with our new Contact and media.
func (c *Call) inviteHere(side media.Side) {
	l := &c.legs[side]
	if l.closed || l.moved {
		return
	}
	user := c.kit.names.contactA(c.id)
	if side == media.B {
		nm, _ := c.kit.names.parse(l.dialog.LocalTag)
		user = c.kit.names.legB(c.id, nm.candidate, nm.try).contact
	}
	l.dialog.Contact = c.line.contact(user, l.dialog.Transport)
	l.dialog.LocalAddr = netip.AddrPortFrom(c.line.ip, 0)
	req := l.dialog.Request(sip.INVITE)
	if l.sent != nil {
		body, err := c.rewrite(side, l.sent)
		if err != nil {
			c.note(slog.LevelWarn, "media cannot be offered anew", "leg", side, "err", err)
			return
		}
		req.SetBody(sdpType, body)
	}
	c.asks++
	c.count(Displaced)
	c.do(ask{leg: side, to: forMove, req: req})
}

// moveReply takes a leg's answer to our re-INVITE.
func (c *Call) moveReply(now time.Time, ev reply) {
	l := &c.legs[ev.leg]
	status := ev.status()
	switch {
	case status/100 == 2:
		first := !l.moved
		l.dialog.Answered(ev.res)
		c.do(send{l.dialog.Ack()})
		if !first {
			return // repeated: our ACK was lost
		}
		l.moved = true
		if isSDP(ev.res.Headers, ev.res.Body) {
			if err := c.point(ev.leg, ev.res.Body, ev.res.Source.Addr.Addr(), l.source); err != nil {
				c.note(slog.LevelWarn, "answer is unusable", "leg", ev.leg, "err", err)
			}
		}
		c.arrivedHere(now)
	case status == 481, status == 408:
		c.gone(now, ev.leg)
	case status == 491, status == 500:
		c.timers.set(timerMove, now.Add(moveRetry))
	default:
		c.note(slog.LevelWarn, "leg does not follow to the new address", "leg", ev.leg, "status", status)
	}
}

// arrivedHere commits where the call is now, once both legs have followed.
func (c *Call) arrivedHere(now time.Time) {
	if c.phase != talking || !c.legs[media.A].moved || !c.legs[media.B].moved {
		return
	}
	c.displaced = false
	body := &fsm.UpdateLegs{Call: c.id, Epoch: c.epoch, Line: c.line.ip.String()}
	body.DialogA, body.DialogB, body.Media = c.record(nil)
	c.changed()
	c.propose(cluster.LaneExtend, body, now, now.Add(c.kit.cfg.Hold))
}
