package call

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"tandem/media"
	"tandem/sip"
)

// request takes a later request of a leg.
func (c *Call) request(now time.Time, ev request) {
	d := c.dialogOf(ev)
	switch {
	case d == nil && ev.tx == nil: // an ACK of another dialog, or to a refusal
		return
	case d == nil:
		c.do(respond{ev.tx, ev.req.Response(481, "")})
		return
	case !c.fromPeer(d, ev):
		c.count(Strangers)
		if ev.tx != nil {
			c.do(respond{ev.tx, ev.req.Response(403, "")})
		}
		return
	case ev.req.Method == sip.ACK:
		c.ack(now, ev)
		return
	}
	if err := d.Receive(ev.req); err != nil {
		c.do(respond{ev.tx, ev.req.Response(500, "")}) // RFC 3261 section 12.2.2
		return
	}
	if l := &c.legs[ev.leg]; d.RemoteTag == l.dialog.RemoteTag {
		l.dialog = *d
	}
	switch ev.req.Method {
	case sip.PRACK:
		c.prack(now, ev)
	case sip.BYE:
		c.bye(now, ev)
	case sip.INVITE, sip.UPDATE:
		c.updateFrom(now, ev)
	case sip.INFO:
		c.info(ev)
	case sip.OPTIONS:
		res := ev.req.Response(200, "")
		res.Headers.Add("Allow", sip.Allow)
		res.Headers.Add("Accept", sdpType)
		c.do(respond{ev.tx, res})
	default:
		res := ev.req.Response(405, "")
		res.Headers.Add("Allow", sip.Allow)
		c.do(respond{ev.tx, res})
	}
}

// dialogOf finds the dialog of a request: one leg's, or while the callee's side
// rings that of one of its forks. It returns nil when there is none.
func (c *Call) dialogOf(ev request) *sip.Dialog {
	if ev.leg == media.B && c.phase == hunting {
		if f := c.earlyFork(ev.req.FromTag); f != nil && f.dialog.Key() == ev.req.DialogKey() {
			return &f.dialog
		}
	}
	if d := &c.legs[ev.leg].dialog; d.CallID != "" && d.Key() == ev.req.DialogKey() {
		return d
	}
	return nil
}

// fromPeer reports that a request comes from where its dialog's peer is: its last
// source, its Contact, the first of its route, or another address of its gateway.
// Tags are no secret to everybody on the way, and whoever has them could end or
// divert the call from anywhere.
func (c *Call) fromPeer(d *sip.Dialog, ev request) bool {
	src := ev.req.Source.Addr.Addr().Unmap()
	if src == d.Peer.Addr().Unmap() || isHost(d.RemoteTarget, src) {
		return true
	}
	if route, _, _ := strings.Cut(d.Routes, ","); route != "" {
		if a, err := sip.ParseAddress(route); err == nil && isHost(a.URI.String(), src) {
			return true
		}
	}
	belongs := c.kit.cfg.Belongs
	if belongs == nil {
		return false
	}
	if ev.leg == media.A {
		return belongs(c.plan.Ingress, true, src)
	}
	return len(c.tries) > 0 && belongs(c.tries[len(c.tries)-1].line.Gateway, false, src)
}

// isHost reports that a URI names an address by its number.
func isHost(uri string, ip netip.Addr) bool {
	u, err := sip.ParseURI(uri)
	if err != nil {
		return false
	}
	addr, ok := u.AddrPort()
	return ok && addr.Addr().Unmap() == ip
}

// ack: a leg has our 2xx. Its SDP is the answer to an offer that we passed on in
// that 2xx, and the ACK that the other leg waits for carries it on.
func (c *Call) ack(now time.Time, ev request) {
	l, other := &c.legs[ev.leg], &c.legs[ev.leg.Other()]
	if l.answered != 0 && ev.req.CSeq != l.answered {
		return // to another INVITE
	}
	late := ev.leg == media.A && c.phase == talking && !l.acked && c.late
	l.acked = true
	if u := c.update; u != nil && u.from == ev.leg && u.lateOffer && u.answered {
		c.update = nil
		late = true
	}
	if late {
		ack := other.dialog.Ack()
		if isSDP(ev.req.Headers, ev.req.Body) {
			body, err := c.carry(ev.leg, ev.req.Body, ev.req.Source.Addr.Addr(), l.source)
			if err != nil {
				c.note(slog.LevelWarn, "answer in ack is unusable", "leg", ev.leg, "err", err)
			} else {
				ack.SetBody(sdpType, body)
			}
		}
		other.acked = true
		c.do(send{ack})
	}
	if l.hangup {
		c.sendBye(ev.leg, l.reason)
	}
}

// info passes an INFO through; its answer is the other leg's.
func (c *Call) info(ev request) {
	other := &c.legs[ev.leg.Other()]
	if c.phase != talking || other.closed {
		c.do(respond{ev.tx, ev.req.Response(491, "")})
		return
	}
	if c.pressInfo(ev) {
		return
	}
	req := other.dialog.Request(sip.INFO)
	req.Headers = append(req.Headers, sip.PassedHeaders(ev.req.Headers)...)
	if len(ev.req.Body) > 0 {
		req.SetBody(ev.req.Headers.Get("Content-Type"), ev.req.Body)
	}
	c.asks++
	c.do(ask{leg: ev.leg.Other(), to: forInfo, req: req, peer: &peer{tx: ev.tx, req: ev.req}})
}

// reply takes what a request of ours brought.
func (c *Call) reply(now time.Time, ev reply) {
	if ev.res != nil && ev.res.Status < 200 {
		return
	}
	if ev.to == forUpdate {
		c.updateReply(now, ev)
		return
	}
	c.asks = max(c.asks-1, 0)
	status := ev.status()
	switch ev.to {
	case forMove:
		c.moveReply(now, ev)
	case forRefresh:
		c.refreshed(now, ev)
	case forInfo:
		c.do(respond{ev.peer.tx, ev.peer.req.Response(status, "")})
		if status == 481 || status == 408 {
			c.gone(now, ev.leg)
		}
	case forProbe:
		c.probed(now, ev.leg, status)
	case forBye, forPrack, forDigit: // whatever it says, the leg is gone, or the response was
	}
}

// status is that of the answer. No answer counts as 408, and a request that could
// not be sent as 503 (RFC 3261 section 8.1.3.1): that says nothing about the peer.
func (r *reply) status() int {
	switch {
	case r.res != nil:
		return r.res.Status
	case errors.Is(r.err, sip.ErrTimeout):
		return 408
	}
	return 503
}
