package call

import (
	"log/slog"
	"strconv"
	"time"

	"tandem/media"
	"tandem/sip"
)

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
	if ev.req.Headers.Get("Allow") != "" {
		l.update = ev.req.Headers.HasTag("Allow", "UPDATE")
	}
	switch {
	case c.phase == ending || c.phase == over:
		c.do(respond{ev.tx, ev.req.Response(481, "")})
	case c.tooSmall(ev.req.Headers, c.profile(ev.leg)):
		res := ev.req.Response(422, "")
		res.Headers.Add("Min-SE", seconds(c.params().MinSE))
		c.do(respond{ev.tx, res})
	case ev.req.Method == sip.UPDATE && !hasSDP:
		c.answerRefresh(now, ev, nil) // a new Contact or a session timer, of this leg alone
	case c.phase == hunting && ev.req.Method == sip.INVITE:
		c.glare(ev, 500) // RFC 3261 section 14.2: his first INVITE has no answer yet
	case c.update != nil && c.update.from == ev.leg:
		c.glare(ev, 500) // RFC 3261 section 14.2: one offer after the other
	case c.update != nil || l.offering() || other.offering():
		c.glare(ev, 491)
	case c.phase == hunting:
		c.earlyUpdate(now, ev)
	case c.phase != talking || !l.acked || other.closed:
		c.glare(ev, 491)
	case hasSDP && c.unchanged(l, ev.req.Body):
		c.answerRefresh(now, ev, l.sent)
	default:
		c.passUpdate(ev, hasSDP)
	}
}

// earlyUpdate takes an UPDATE with SDP before the call is answered (RFC 3311
// section 5.1). It goes on where the other side has an agreed session as well.
func (c *Call) earlyUpdate(now time.Time, ev request) {
	f := c.earlyFork(c.legs[media.B].dialog.RemoteTag)
	his := c.told.on && c.told.seq > 0 && c.told.out == nil
	switch {
	case f == nil || !f.agreed || ev.leg == media.B && ev.req.FromTag != f.dialog.RemoteTag:
		c.glare(ev, 491)
	case c.unchanged(&c.legs[ev.leg], ev.req.Body):
		c.answerRefresh(now, ev, c.legs[ev.leg].sent)
	case !his || !c.legs[ev.leg.Other()].update:
		c.do(respond{ev.tx, ev.req.Response(488, "")}) // the session stays as it is
	default:
		c.passUpdate(ev, true)
	}
}

// requestTo makes the next request to a leg, and keeps the early dialog in step.
func (c *Call) requestTo(side media.Side, method sip.Method) *sip.Request {
	l := &c.legs[side]
	req := l.dialog.Request(method)
	if side == media.B {
		if f := c.earlyFork(l.dialog.RemoteTag); f != nil {
			f.dialog = l.dialog
		}
	}
	return req
}

// offering reports that an offer of ours to a leg has no answer: a refresh by
// re-INVITE.
func (l *leg) offering() bool { return l.timing.pending && !l.update }

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
func (c *Call) answerRefresh(now time.Time, ev request, body []byte) {
	res := ev.req.Response(200, "")
	c.accept2xx(now, ev.leg, ev.req, res)
	res.Headers.Add("Contact", "<"+c.legs[ev.leg].dialog.Contact+">")
	res.Headers.Add("Allow", sip.Allow)
	if body != nil {
		res.SetBody(sdpType, body)
	}
	c.do(respond{ev.tx, res})
}

// accept2xx completes our 2xx to a re-INVITE or UPDATE.
func (c *Call) accept2xx(now time.Time, side media.Side, req *sip.Request, res *sip.Response) {
	if req.Method == sip.INVITE {
		c.legs[side].answered = req.CSeq
	}
	if c.phase == talking {
		c.grantSession(now, side, req.Headers, res)
	}
}

// passUpdate sends the update on to the other leg. The relay is pointed anew only
// when the other side has agreed.
func (c *Call) passUpdate(ev request, hasSDP bool) {
	side := ev.leg.Other()
	other := &c.legs[side]
	u := &update{from: ev.leg, peer: peer{tx: ev.tx, req: ev.req}, lateOffer: !hasSDP, before: other.sent}
	method := ev.req.Method
	if method == sip.UPDATE && !other.update {
		method = sip.INVITE
	}
	req := c.requestTo(side, method)
	req.Headers = append(req.Headers, sip.PassedHeaders(ev.req.Headers)...)
	if hasSDP {
		body, err := c.reoffer(side, ev.req.Body)
		if err != nil {
			c.do(respond{ev.tx, ev.req.Response(sdpStatus(err), "")})
			return
		}
		req.SetBody(sdpType, body)
	}
	if ev.req.Method == sip.INVITE && ev.req.Source.Transport != sip.UDP {
		// Over UDP the endpoint says so 200 ms later, and until then the peer repeats
		// himself, to a survivor as well.
		c.do(respond{ev.tx, ev.req.Response(100, "")})
	}
	if c.phase == talking {
		c.askSession(side, req)
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
	if c.phase == talking {
		c.keepSession(now, ev.leg, ev.res)
	}
	res := u.peer.req.Response(ev.res.Status, "")
	res.Headers.Add("Contact", "<"+c.legs[u.from].dialog.Contact+">")
	res.Headers.Add("Allow", sip.Allow)
	c.accept2xx(now, u.from, u.peer.req, res)
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
