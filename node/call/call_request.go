package call

import (
	"errors"
	"log/slog"
	"strconv"
	"time"

	"tandem/media"
	"tandem/sip"
)

// request takes a later request of a leg.
func (c *Call) request(now time.Time, ev request) {
	l := &c.legs[ev.leg]
	if ev.req.Method == sip.ACK {
		c.ack(now, ev)
		return
	}
	if l.dialog.CallID == "" || l.dialog.Key() != ev.req.DialogKey() {
		c.do(respond{ev.tx, ev.req.Response(481, "")})
		return
	}
	if err := l.dialog.Receive(ev.req); err != nil {
		c.do(respond{ev.tx, ev.req.Response(500, "")}) // RFC 3261 section 12.2.2
		return
	}
	switch ev.req.Method {
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

// ack: a leg has our 2xx. Its SDP is the answer to an offer that we passed on in
// that 2xx, and the ACK that the other leg waits for carries it on.
func (c *Call) ack(now time.Time, ev request) {
	l, other := &c.legs[ev.leg], &c.legs[ev.leg.Other()]
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
	case forInfo:
		c.do(respond{ev.peer.tx, ev.peer.req.Response(status, "")})
		if status == 481 || status == 408 {
			c.gone(now, ev.leg)
		}
	case forProbe:
		c.probed(now, ev.leg, status)
	case forBye: // whatever it says, the leg is gone
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

// update is a re-INVITE or UPDATE with SDP on its way from one leg to the other.
// One at a time (RFC 3261 section 14.1, RFC 3311 section 5.2).
type update struct {
	from      media.Side
	peer      peer
	lateOffer bool   // the other leg's 2xx has the offer, the ACK the answer
	answered  bool   // passed on; a late offer waits for its ACK
	before    []byte // SDP last sent to the other leg, if this one is refused
}

// peer is a received request whose answer has to wait for the other leg's.
type peer struct {
	tx  *sip.ServerTx
	req *sip.Request
}

// updateFrom takes a re-INVITE or UPDATE. What changes nothing is answered here,
// everything else end to end.
func (c *Call) updateFrom(now time.Time, ev request) {
	l, other := &c.legs[ev.leg], &c.legs[ev.leg.Other()]
	hasSDP := isSDP(ev.req.Headers, ev.req.Body)
	switch {
	case ev.req.Method == sip.UPDATE && !hasSDP && c.phase != over:
		c.answerRefresh(ev, nil) // a new Contact or a session timer, of this leg alone
	case c.phase != talking || !l.acked || other.closed:
		c.glare(ev, 491)
	case c.update != nil && c.update.from == ev.leg:
		c.glare(ev, 500) // RFC 3261 section 14.2: one offer after the other
	case c.update != nil:
		c.glare(ev, 491)
	case hasSDP && c.unchanged(l, ev.req.Body):
		c.answerRefresh(ev, l.sent)
	default:
		c.passUpdate(ev, hasSDP)
	}
}

func (c *Call) glare(ev request, status int) {
	c.count(Glares)
	res := ev.req.Response(status, "")
	if status == 500 {
		res.Headers.Add("Retry-After", "1")
	}
	c.do(respond{ev.tx, res})
}

// unchanged reports that a leg repeats its last SDP: the o= version says so
// (RFC 3264 section 8).
func (c *Call) unchanged(l *leg, body []byte) bool {
	if l.received == 0 || l.sent == nil {
		return false
	}
	d, err := media.Parse(body)
	return err == nil && d.Version == strconv.FormatUint(l.received, 10)
}

// answerRefresh answers a refresh from here.
func (c *Call) answerRefresh(ev request, body []byte) {
	res := ev.req.Response(200, "")
	res.Headers.Add("Contact", "<"+c.legs[ev.leg].dialog.Contact+">")
	res.Headers.Add("Allow", sip.Allow)
	if body != nil {
		res.SetBody(sdpType, body)
	}
	c.do(respond{ev.tx, res})
}

// passUpdate sends the update on to the other leg. The relay is pointed anew only
// when the other side has agreed.
func (c *Call) passUpdate(ev request, hasSDP bool) {
	side := ev.leg.Other()
	other := &c.legs[side]
	u := &update{from: ev.leg, peer: peer{tx: ev.tx, req: ev.req}, lateOffer: !hasSDP, before: other.sent}
	req := other.dialog.Request(ev.req.Method)
	req.Headers = append(req.Headers, sip.PassedHeaders(ev.req.Headers)...)
	if hasSDP {
		body, err := c.rewrite(side, ev.req.Body)
		if err != nil {
			c.do(respond{ev.tx, ev.req.Response(sdpStatus(err), "")})
			return
		}
		req.SetBody(sdpType, body)
	}
	if ev.req.Method == sip.INVITE {
		c.do(respond{ev.tx, ev.req.Response(100, "")})
	}
	c.update = u
	c.asks++
	c.do(ask{leg: side, to: forUpdate, req: req})
}

// updateReply takes the other leg's answer to an update.
func (c *Call) updateReply(now time.Time, ev reply) {
	l := &c.legs[ev.leg]
	u := c.update
	if u == nil || u.from == ev.leg || u.answered {
		if ev.res != nil && ev.res.Status < 300 && ev.req.Method == sip.INVITE && !l.closed && (u == nil || !u.lateOffer) {
			c.do(send{l.dialog.Ack()}) // repeated: our ACK was lost
		}
		return
	}
	c.asks = max(c.asks-1, 0)
	if ev.err != nil || ev.res.Status >= 300 {
		c.refuseUpdate(now, ev)
		return
	}
	l.dialog.Answered(ev.res)
	res := u.peer.req.Response(ev.res.Status, "")
	res.Headers.Add("Contact", "<"+c.legs[u.from].dialog.Contact+">")
	res.Headers.Add("Allow", sip.Allow)
	if body := c.agreed(u, ev); body != nil {
		res.SetBody(sdpType, body)
	}
	c.legs[u.from].changed, l.changed = true, true
	u.answered = true
	if u.lateOffer && ev.req.Method == sip.INVITE {
		c.do(respond{u.peer.tx, res}) // our ACK waits for the answer in theirs
		return
	}
	c.update = nil
	if ev.req.Method == sip.INVITE {
		c.do(send{l.dialog.Ack()})
	}
	c.do(respond{u.peer.tx, res})
	c.save(now)
}

// agreed points the relay at what both sides have agreed on and returns the SDP
// for the side that asked.
func (c *Call) agreed(u *update, ev reply) []byte {
	if !u.lateOffer {
		rule := c.legs[u.from].source
		if err := c.point(u.from, u.peer.req.Body, u.peer.req.Source.Addr.Addr(), rule); err != nil {
			c.note(slog.LevelWarn, "offer is unusable", "leg", u.from, "err", err)
		}
	}
	if !isSDP(ev.res.Headers, ev.res.Body) {
		return nil
	}
	body, err := c.carry(ev.leg, ev.res.Body, ev.res.Source.Addr.Addr(), c.legs[ev.leg].source)
	if err != nil {
		c.note(slog.LevelWarn, "answer is unusable", "leg", ev.leg, "err", err)
		return nil
	}
	return body
}

// refuseUpdate passes a refusal on. The session stays as it was, unless the other
// leg is gone (RFC 3261 section 14.1).
func (c *Call) refuseUpdate(now time.Time, ev reply) {
	u := c.update
	c.update = nil
	c.legs[ev.leg].sent = u.before
	status := ev.status()
	if status == 401 || status == 407 || status < 400 {
		status = 488 // credentials and redirections are between us and the other leg
	}
	c.do(respond{u.peer.tx, u.peer.req.Response(status, "")})
	if status == 481 || status == 408 {
		c.gone(now, ev.leg)
	}
}

// abortUpdate ends a pending update because the call ends.
func (c *Call) abortUpdate() {
	if u := c.update; u != nil && !u.answered {
		c.do(respond{u.peer.tx, u.peer.req.Response(487, "")})
		c.asks = max(c.asks-1, 0)
	}
	c.update = nil
}
