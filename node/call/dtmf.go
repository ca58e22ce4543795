package call

import (
	"strconv"
	"strings"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// dtmfType is the body of an INFO that carries one digit.
const dtmfType = "application/dtmf-relay"

// maxKeys bounds what one INFO may press.
const maxKeys = 1

// setTones tells the relay how digits travel, once both gateways are known: where
// the other side wants INFO, events are taken out of a side's stream (F184).
func (c *Call) setTones() {
	if c.session == nil || c.legs[media.B].profile == nil {
		return
	}
	for i := range c.legs {
		side := media.Side(i)
		take := c.profile(side.Other()).DTMF == fsm.DTMFInfo
		c.session.SetTones(side, media.Tones{Payload: c.legs[i].events, Take: take})
	}
}

// retune is setTones for an adopted call: what a side has said of its events stands
// in the SDP that the other side was sent.
func (c *Call) retune() {
	for i := range c.legs {
		d, err := media.Parse(c.legs[1-i].sent)
		if err != nil {
			continue
		}
		if audio, err := d.Audio(); err == nil {
			c.legs[i].events = audio.Events
		}
	}
	c.setTones()
}

// pressed sends a digit of one side to the other as INFO.
func (c *Call) pressed(from media.Side, d media.Digit) {
	to := from.Other()
	other := &c.legs[to]
	if c.phase != talking || other.closed || !other.acked {
		return
	}
	req := other.dialog.Request(sip.INFO)
	req.SetBody(dtmfType, []byte("Signal="+string(d.Key)+"\r\nDuration="+strconv.FormatInt(d.Held.Milliseconds(), 10)+"\r\n"))
	c.asks++
	c.do(ask{leg: to, to: forDigit, req: req})
}

// pressInfo sends the digit of an INFO as an event into the other side's stream,
// if that is how it wants them and can have them. It reports whether it has.
func (c *Call) pressInfo(ev request) bool {
	to := ev.leg.Other()
	if c.session == nil || c.profile(to).DTMF != fsm.DTMFRTP {
		return false
	}
	d, ok := readDigit(ev.req.Headers.Get("Content-Type"), string(ev.req.Body))
	if !ok || c.session.SendDigit(to, d) != nil {
		return false
	}
	c.do(respond{ev.tx, ev.req.Response(200, "")})
	return true
}

// readDigit reads the bodies application/dtmf-relay ("Signal=5", "Duration=160")
// and application/dtmf ("5").
func readDigit(contentType, body string) (d media.Digit, ok bool) {
	kind, _, _ := strings.Cut(contentType, ";")
	key := ""
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/dtmf":
		key = strings.TrimSpace(body)
	case dtmfType:
		for line := range strings.Lines(body) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			value = strings.TrimSpace(value)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "signal":
				key = value
			case "duration":
				if ms, err := strconv.ParseUint(value, 10, 16); err == nil {
					d.Held = time.Duration(ms) * time.Millisecond
				}
			}
		}
	}
	switch key { // event codes of RFC 4733 section 3.2, as some write them
	case "10":
		key = "*"
	case "11":
		key = "#"
	}
	if len(key) != maxKeys {
		return media.Digit{}, false
	}
	d.Key = strings.ToUpper(key)[0]
	return d, true
}
