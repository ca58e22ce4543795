package load

import (
	"bytes"
	"time"

	"tandem/sip"
)

// The directions of a description. RFC 3264 section 6.1: an answer mirrors its
// offer's.
const (
	both     = "sendrecv"
	sendOnly = "sendonly"
	recvOnly = "recvonly"
	inactive = "inactive"
)

// mirror is the direction of the answer to an offer.
func mirror(offer []byte) string {
	switch {
	case bytes.Contains(offer, []byte("a="+sendOnly)):
		return recvOnly
	case bytes.Contains(offer, []byte("a="+recvOnly)):
		return sendOnly
	case bytes.Contains(offer, []byte("a="+inactive)):
		return inactive
	}
	return both
}

// change puts a call on hold, or back, by a re-INVITE, and again after a while.
func (c *Callers) change(l *leg) {
	if c.get(l.id) != l {
		return
	}
	c.mu.Lock()
	if !l.hungUp.IsZero() {
		c.mu.Unlock()
		return
	}
	l.version++
	direction := both
	if l.version%2 == 0 {
		direction = sendOnly
	}
	req := l.dialog.Request(sip.INVITE)
	l.out.Changes++
	c.mu.Unlock()
	req.Headers.Add("Contact", "<"+c.endpoint.Contact("caller", sip.UDP)+">")
	req.Headers.Add("Content-Type", "application/sdp")
	req.Body = describe(c.addr.Addr(), c.mediaPort(l), l.version, direction)
	_, err := c.endpoint.Request(req, sip.Options{}, func(res *sip.Response, err error) { c.changed(l, res, err) })
	if err != nil {
		c.changed(l, nil, err)
	}
}

// changed takes what a re-INVITE brought. A refused one leaves the call as it was
// (RFC 3261 section 14.1).
func (c *Callers) changed(l *leg, res *sip.Response, err error) {
	if res != nil && res.Status < 200 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil || res.Status >= 300:
		l.out.Refused++
	default:
		l.dialog.Answered(res)
		c.endpoint.Send(l.dialog.Ack())
		if l.voice != nil {
			if err := l.voice.start(res.Body); err != nil {
				l.out.Refused++
			}
		}
	}
	if c.calls[l.id] == l && l.hungUp.IsZero() {
		l.again = time.AfterFunc(c.cfg.Change, func() { c.change(l) })
	}
}

// reinvited answers a re-INVITE of the switch: it may have moved.
func (c *Callers) reinvited(req *sip.Request, tx *sip.ServerTx) {
	l := c.get(req.CallID)
	if l == nil {
		tx.Respond(req.Response(481, ""))
		return
	}
	c.mu.Lock()
	err := l.dialog.Receive(req)
	l.version++
	version := l.version
	c.mu.Unlock()
	if err != nil {
		tx.Respond(req.Response(500, ""))
		return
	}
	if l.voice != nil && len(req.Body) > 0 {
		if err := l.voice.start(req.Body); err != nil {
			tx.Respond(req.Response(488, ""))
			return
		}
	}
	ok := req.Response(200, "")
	ok.Headers.Add("Contact", "<"+c.endpoint.Contact("caller", sip.UDP)+">")
	ok.SetBody("application/sdp", describe(c.addr.Addr(), c.mediaPort(l), version, mirror(req.Body)))
	tx.Respond(ok)
}

// giveUpRinging cancels a call that has not been answered in time.
func (c *Callers) giveUpRinging(l *leg, tx *sip.ClientTx) {
	c.mu.Lock()
	waiting := c.calls[l.id] == l && l.out.Setup == 0
	c.mu.Unlock()
	if waiting {
		tx.Cancel()
	}
}

// mediaPort is the port of a call's voice, or one that nobody listens at.
func (c *Callers) mediaPort(l *leg) uint16 {
	if l.voice == nil {
		return c.addr.Port() + 2
	}
	return l.voice.port()
}
