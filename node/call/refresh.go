package call

import (
	"cmp"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

const (
	tagTimer = "timer" // option tag of session timers (RFC 4028)
	// expiryGuard is how long before its end a session without refresh is ended
	// (RFC 4028 section 10).
	expiryGuard = 32 * time.Second
	// refreshLater is the pause of a refresh that has to wait for another request.
	refreshLater = time.Second
	// maxInterval bounds what a peer may ask for: a day, in whose seconds all our
	// arithmetic is safe.
	maxInterval = 24 * time.Hour
)

// timing is the session timer of one leg. Each leg has its own (F015).
type timing struct {
	interval time.Duration // Session-Expires; 0: none
	ours     bool          // we refresh
	probing  bool          // the peer knows no timers: a refresh is a probe (F016)
	pending  bool          // a refresh of ours is under way
	since    time.Time     // of the last refresh
}

// profile is that of a leg's gateway.
func (c *Call) profile(side media.Side) *fsm.Profile {
	if p := c.legs[side].profile; p != nil {
		return p
	}
	return &c.plan.Profile
}

// wantedInterval is our own Session-Expires for a leg.
func (c *Call) wantedInterval(p *fsm.Profile) time.Duration {
	return max(cmp.Or(p.SessionExpires, c.params().SessionExpires), c.params().MinSE)
}

// extensions are the headers with which an INVITE offers what we can do.
func (c *Call) extensions(t *try, candidate *fsm.Candidate) (headers sip.Headers) {
	p := &candidate.Profile
	var supported, required []string
	if p.Timer != fsm.SupportOff {
		supported = append(supported, tagTimer)
	}
	if p.Reliable != fsm.SupportOff && !c.late { // a late offer would need an answer in the PRACK
		supported = append(supported, sip.Tag100rel)
		if p.Reliable == fsm.SupportRequired {
			required = append(required, sip.Tag100rel)
		}
	}
	if len(supported) > 0 {
		headers.Add("Supported", strings.Join(supported, ", "))
	}
	if len(required) > 0 {
		headers.Add("Require", strings.Join(required, ", "))
	}
	if p.Timer != fsm.SupportOff {
		minimum := max(c.params().MinSE, t.interval)
		headers.Add("Session-Expires", seconds(max(c.wantedInterval(p), minimum)))
		headers.Add("Min-SE", seconds(minimum))
	}
	return headers
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// sessionExpires reads Session-Expires and its refresher ("uac", "uas" or "").
func sessionExpires(headers sip.Headers) (interval time.Duration, refresher string) {
	text, params, _ := strings.Cut(headers.Get("Session-Expires"), ";")
	interval = deltaSeconds(text)
	for param := range strings.SplitSeq(params, ";") {
		if key, value, _ := strings.Cut(strings.TrimSpace(param), "="); strings.EqualFold(key, "refresher") {
			refresher = strings.ToLower(strings.TrimSpace(value))
		}
	}
	return interval, refresher
}

func minSE(headers sip.Headers) time.Duration {
	text, _, _ := strings.Cut(headers.Get("Min-SE"), ";")
	return deltaSeconds(text)
}

// deltaSeconds reads a number of seconds; what is none is 0.
func deltaSeconds(text string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxInterval)
}

// tooSmall reports a session interval below ours, which gets a 422 with our own
// (RFC 4028 section 8.1). Only a peer that knows timers understands that.
func (c *Call) tooSmall(headers sip.Headers, p *fsm.Profile) bool {
	asked, _ := sessionExpires(headers)
	return p.Timer != fsm.SupportOff && asked > 0 && asked < c.params().MinSE && headers.HasTag("Supported", tagTimer)
}

// longerSession sends an INVITE that was refused with a 422 again, with the
// interval that the gateway wants (RFC 4028 section 7.3).
func (c *Call) longerSession(now time.Time, t *try, res *sip.Response) bool {
	wanted := minSE(res.Headers)
	number, ok := c.number(int(t.candidate))
	if !ok || wanted <= max(c.params().MinSE, t.interval) {
		return false
	}
	return c.dial(now, dialing{
		place: place{int(t.candidate), number}, addr: netAddr(t.line.Address), callee: t.line.Callee, interval: wanted,
	})
}

// grantSession answers a peer's INVITE or UPDATE as far as its session timer goes:
// it writes the headers of the 2xx and starts the clock (RFC 4028 section 9).
func (c *Call) grantSession(now time.Time, side media.Side, asked sip.Headers, res *sip.Response) {
	p, t := c.profile(side), &c.legs[side].timing
	if p.Timer == fsm.SupportOff {
		c.arm(now, side)
		return
	}
	knows := asked.HasTag("Supported", tagTimer) || asked.HasTag("Require", tagTimer)
	if !knows && p.Timer != fsm.SupportRequired {
		t.interval = 0
		c.arm(now, side)
		return
	}
	interval, refresher := sessionExpires(asked)
	wanted := c.wantedInterval(p)
	if interval == 0 || interval > wanted {
		interval = max(wanted, minSE(asked))
	}
	t.interval, t.ours = max(interval, c.params().MinSE), !knows || refresher != "uac"
	who := "uac"
	if t.ours {
		who = "uas"
	} else {
		res.Headers.Add("Require", tagTimer) // RFC 4028 section 9, table 2
	}
	res.Headers.Add("Supported", tagTimer)
	res.Headers.Add("Session-Expires", seconds(t.interval)+";refresher="+who)
	c.arm(now, side)
}

// keepSession takes what a 2xx to a request of ours says about the session.
func (c *Call) keepSession(now time.Time, side media.Side, res *sip.Response) {
	p, t := c.profile(side), &c.legs[side].timing
	if interval, refresher := sessionExpires(res.Headers); interval > 0 && p.Timer != fsm.SupportOff {
		t.interval, t.ours = max(interval, c.params().MinSE), refresher != "uas"
	} else if p.Timer == fsm.SupportRequired {
		t.interval, t.ours = c.wantedInterval(p), true // the peer lets us do it alone
	} else {
		t.interval = 0
	}
	if res.Headers.Get("Allow") != "" {
		c.legs[side].update = res.Headers.HasTag("Allow", "UPDATE")
	}
	c.arm(now, side)
}

// askSession adds the session timer of a leg to a re-INVITE or UPDATE of ours.
func (c *Call) askSession(side media.Side, req *sip.Request) {
	t := &c.legs[side].timing
	if t.interval == 0 || t.probing {
		return
	}
	who := "uas"
	if t.ours {
		who = "uac"
	}
	req.Headers.Add("Supported", tagTimer)
	req.Headers.Add("Session-Expires", seconds(t.interval)+";refresher="+who)
	req.Headers.Add("Min-SE", seconds(c.params().MinSE))
}

// arm starts a leg's clock anew: towards our refresh, or towards the end of a
// session that the peer should refresh.
func (c *Call) arm(now time.Time, side media.Side) {
	t, params := &c.legs[side].timing, c.params()
	t.since, t.probing = now, false
	if t.interval == 0 {
		if params.ProbeInterval == 0 {
			c.timers.stop(timerSession(side))
			return
		}
		t.interval, t.ours, t.probing = 2*params.ProbeInterval, true, true
	}
	if t.ours {
		c.timers.set(timerSession(side), now.Add(t.interval/time.Duration(max(params.SessionSegments, 2))))
		return
	}
	c.timers.set(timerSession(side), now.Add(t.interval-c.guard(t)))
}

func (c *Call) guard(t *timing) time.Duration {
	return max(min(expiryGuard, t.interval/3), min(c.params().SessionGrace, t.interval/2))
}

// rearm starts the clocks of an adopted call. When the former owner last refreshed
// is not known, but it was due once more after at least half the interval.
func (c *Call) rearm(now time.Time) {
	for i := range c.legs {
		side, t := media.Side(i), &c.legs[i].timing
		c.arm(now, side)
		if t.interval > 0 && t.ours {
			c.timers.set(timerSession(side), now.Add(t.interval/4+spread(c.id)))
		}
	}
}

// sessionDue refreshes a leg's session, or ends the call of a peer that did not.
func (c *Call) sessionDue(now time.Time, side media.Side) {
	l := &c.legs[side]
	t := &l.timing
	switch {
	case c.phase != talking || t.interval == 0 || l.closed:
	case !now.Before(t.since.Add(t.interval - c.guard(t))):
		c.count(SessionTimeouts)
		c.note(slog.LevelInfo, "session expired", "leg", side)
		c.decide(now, fsm.EndTimeout)
	case !t.ours:
		c.arm(t.since, side) // a peer's refresh came between
	case t.pending || c.update != nil || !l.acked:
		c.timers.set(timerSession(side), now.Add(refreshLater)) // one request at a time in a direction
	default:
		c.refresh(now, side)
	}
}

// refresh tells a peer that we are there, by UPDATE or else by a re-INVITE with the
// SDP that it has.
func (c *Call) refresh(now time.Time, side media.Side) {
	l := &c.legs[side]
	method := sip.UPDATE
	if !l.update && l.sent != nil {
		method = sip.INVITE
	}
	req := l.dialog.Request(method)
	if method == sip.INVITE {
		req.SetBody(sdpType, l.sent)
	}
	c.askSession(side, req)
	l.timing.pending = true
	c.timers.set(timerSession(side), l.timing.since.Add(l.timing.interval-c.guard(&l.timing)))
	c.count(Refreshes)
	c.asks++
	c.do(ask{leg: side, to: forRefresh, req: req})
}

// refreshed takes the answer to a refresh.
func (c *Call) refreshed(now time.Time, ev reply) {
	l := &c.legs[ev.leg]
	t := &l.timing
	status := ev.status()
	if status/100 == 2 && ev.req.Method == sip.INVITE && !l.closed {
		c.do(send{l.dialog.Ack()})
	}
	if !t.pending || c.phase != talking {
		return
	}
	t.pending = false
	switch {
	case status/100 == 2:
		l.dialog.Answered(ev.res)
		if t.probing {
			c.arm(now, ev.leg)
			return
		}
		c.keepSession(now, ev.leg, ev.res)
	case status == 481 || status == 408:
		c.gone(now, ev.leg)
	case status == 491:
		c.count(Glares)
		c.timers.set(timerSession(ev.leg), now.Add(glareWait(&l.dialog)))
	case status == 422 && minSE(ev.res.Headers) > t.interval:
		t.interval = minSE(ev.res.Headers)
		c.refresh(now, ev.leg)
	case ev.req.Method == sip.UPDATE && (status == 405 || status == 501) && l.sent != nil:
		l.update = false
		c.refresh(now, ev.leg)
	case t.probing && status/100 == 4: // it is there, and that was the question
		c.arm(now, ev.leg)
	default: // the session goes on to its end, and is tried again before
		c.timers.set(timerSession(ev.leg), now.Add(max(t.interval/8, refreshLater)))
	}
}

// glareWait is the pause after a 491 (RFC 3261 section 14.1): the side that owns
// the Call-ID waits longer.
func glareWait(d *sip.Dialog) time.Duration {
	if d.Role == sip.UAC {
		return 2100*time.Millisecond + rand.N(1900*time.Millisecond)
	}
	return rand.N(2 * time.Second)
}

// timerSession is the clock of a leg's session.
func timerSession(side media.Side) timer {
	if side == media.A {
		return timerSessionA
	}
	return timerSessionB
}
