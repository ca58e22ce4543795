package call

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// maxCodec is what a CDR holds of a codec's name.
const maxCodec = 64

// relays says whether the media of a call between two gateways passes through us
// (F177). A side that must have us wins, then one that wants us, then one that
// does not; two sides that do not care have us.
func relays(a, b fsm.MediaMode) bool {
	has := func(m fsm.MediaMode) bool { return a == m || b == m }
	return has(fsm.MediaMustOn) || has(fsm.MediaOn) || !has(fsm.MediaOff)
}

// openMedia opens the relay session and points it at the caller. It returns
// false when it has ended the call. Once the caller has been told our address the
// media stays here, whatever the next gateway wants.
func (c *Call) openMedia(now time.Time, candidate *fsm.Candidate) bool {
	if c.relayed && (c.legs[media.A].sent != nil || relays(c.plan.Media, candidate.Media)) {
		return c.legs[media.A].sent != nil || c.pointCaller(now)
	}
	if c.relayed = false; !relays(c.plan.Media, candidate.Media) {
		return true
	}
	if c.session != nil {
		c.relayed = true
		return c.pointCaller(now)
	}
	session, err := c.line.relay.Open(c.sessionConfig())
	if err != nil && c.plan.Media == fsm.MediaAuto && candidate.Media == fsm.MediaAuto {
		c.note(slog.LevelWarn, "no media session: media goes past us", "err", err)
		return true
	}
	if err != nil {
		c.note(slog.LevelError, "no media session", "err", err)
		c.refuse(503, 34, c.kit.cfg.RetryAfter)
		c.fail(now, fsm.EndOverload, 503, 34)
		return false
	}
	c.session, c.relayed = session, true
	c.legs[media.A].source = sourceRule(c.plan.Source)
	return c.pointCaller(now)
}

// pointCaller points the relay at the caller, as the gateway that is dialled wants
// his media treated.
func (c *Call) pointCaller(now time.Time) bool {
	if c.late {
		return true
	}
	a := &c.legs[media.A]
	if err := c.point(media.A, c.offer, c.invite.Source.Addr.Addr(), a.source); err != nil {
		c.note(slog.LevelInfo, "offer is unusable", "err", err)
		c.fail(now, fsm.EndMalformed, sdpStatus(err), 0)
		return false
	}
	return true
}

func (c *Call) sessionConfig() media.SessionConfig {
	timeout := c.kit.cfg.Media
	if timeout == (media.Timeout{}) {
		params := c.params()
		timeout = media.Timeout{Alarm: params.RTPAlarm, End: params.RTPTimeout}
		if timeout.Alarm == 0 {
			timeout.Alarm = -1 // off
		}
	}
	return media.SessionConfig{ID: idText(c.id), Timeout: timeout, Notify: c.line.mediaNotify(c.id)}
}

// closeMedia stops the relay. The session stays, for its last figures.
func (c *Call) closeMedia() {
	if c.session != nil {
		c.session.Close() //nolint:errcheck // closing twice or late changes nothing
	}
}

// carry takes the SDP that a leg sent: its media is pointed there, and what is
// returned is for the other leg.
func (c *Call) carry(from media.Side, body []byte, signalling netip.Addr, rule media.Source) ([]byte, error) {
	if err := c.point(from, body, signalling, rule); err != nil {
		return nil, err
	}
	return c.rewrite(from.Other(), body)
}

// point tells the relay where a leg's media is.
func (c *Call) point(from media.Side, body []byte, signalling netip.Addr, rule media.Source) error {
	d, err := media.Parse(body)
	if err != nil {
		return err
	}
	audio, err := d.Audio()
	if err != nil {
		return err
	}
	c.rtp[from], c.codec = audio.RTP, audio.Codec[:min(len(audio.Codec), maxCodec)]
	l := &c.legs[from]
	l.received, _ = strconv.ParseUint(d.Version, 10, 64) // not a number: 0, always a change
	l.changed = true
	if c.session == nil {
		return nil
	}
	remote, err := d.Remote(signalling)
	if err != nil {
		return err
	}
	remote.Source = rule
	if remote.Crypto, err = c.keysOf(from, body, audio); err != nil {
		return err
	}
	if err := c.session.SetRemote(from, remote); err != nil {
		return err
	}
	l.remote = remote
	l.events = audio.Events
	c.setTones()
	// One port for RTP and RTCP needs both sides' consent (RFC 5761 section 5.1.1).
	if other := &c.legs[from.Other()]; other.remote.Mux && !remote.Mux {
		other.remote.Mux = false
		return c.session.SetRemote(from.Other(), other.remote)
	}
	return nil
}

// offerTo is the caller's offer as a candidate gets it.
func (c *Call) offerTo(candidate *fsm.Candidate) ([]byte, error) {
	body, err := restrict(c.offer, &c.plan.Profile, &candidate.Profile)
	if err != nil {
		return nil, err
	}
	return c.rewrite(media.B, body)
}

// reoffer is an offer of one leg as the other one gets it.
func (c *Call) reoffer(to media.Side, body []byte) ([]byte, error) {
	body, err := restrict(body, c.profile(to.Other()), c.profile(to))
	if err != nil {
		return nil, err
	}
	return c.rewrite(to, body)
}

// restrict takes out of an offer what one of the two gateways must not use: codecs
// (F181) and fax (F183).
func restrict(body []byte, from, to *fsm.Profile) ([]byte, error) {
	for _, p := range []*fsm.Profile{from, to} {
		if p.Codecs == "" && !p.NoFax {
			continue
		}
		codecs, err := fsm.ParseCodecs(p.Codecs)
		if err != nil {
			return nil, err // it was checked when it was set
		}
		if body, err = media.Restrict(body, media.Restriction{Codecs: codecs, NoFax: p.NoFax}); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// rewrite makes the SDP that goes to a leg. Its o= version grows with each
// change (RFC 3264 section 8).
func (c *Call) rewrite(to media.Side, body []byte) ([]byte, error) {
	l := &c.legs[to]
	if !c.relayed {
		l.sent, l.changed = body, true // the other side's own, version and all
		return body, nil
	}
	rw := media.Rewriting{
		Local: c.session.Local(to), SessionID: c.kit.names.session(c.id, to), Version: max(l.version, 1),
	}
	body, err := c.encrypt(to, body)
	if err != nil {
		return nil, err
	}
	out, err := media.Rewrite(body, rw)
	if err != nil {
		return nil, err
	}
	if l.sent != nil && !bytes.Equal(out, l.sent) {
		rw.Version++
		if out, err = media.Rewrite(body, rw); err != nil {
			return nil, err
		}
	}
	l.version, l.sent, l.changed = rw.Version, out, true
	return out, nil
}

// interrupted reports that the silence of a side ends the call, by the wish of one
// of its gateways (F185). Where neither has one, both sides have to be silent.
func (c *Call) interrupted(now time.Time, silent media.Side) bool {
	a, b := c.profile(media.A).Interrupt, c.profile(media.B).Interrupt
	for side, mode := range [2]fsm.InterruptMode{a, b} {
		here := media.Side(side) == silent
		switch {
		case mode == fsm.InterruptEither, mode == fsm.InterruptHere && here, mode == fsm.InterruptThere && !here:
			return true
		}
	}
	limit := c.kit.cfg.Media.End
	if limit == 0 {
		limit = c.params().RTPTimeout
	}
	return a != fsm.InterruptNone && b != fsm.InterruptNone && c.silentSince(now.Add(-limit))
}

// sourceOf is the rule for whose RTP is believed behind a candidate's gateway.
func (c *Call) sourceOf(t *try) media.Source {
	rule := sourceRule(c.plan.Candidates[t.candidate].Source)
	c.legs[media.B].source = rule
	return rule
}

func sourceRule(p fsm.SourcePolicy) media.Source {
	switch p {
	case fsm.SourceStrict:
		return media.SourceStrict
	case fsm.SourceAny:
		return media.SourceAny
	}
	return media.SourceAuto
}

// dialogA makes the caller's dialog with our first 18x or 2xx.
func (c *Call) dialogA() {
	a := &c.legs[media.A]
	if a.dialog.CallID != "" {
		return
	}
	d, err := c.invite.Dialog(c.contactA())
	if err != nil {
		c.note(slog.LevelWarn, "invite makes no dialog", "err", err)
		return
	}
	d.NAT, d.LocalAddr = c.plan.NAT, netip.AddrPortFrom(c.line.ip, 0)
	a.dialog = d
}

func (c *Call) contactA() string {
	return c.line.contact(c.kit.names.contactA(c.id), c.invite.Source.Transport)
}

func (c *Call) addContact(res *sip.Response) {
	res.Headers.Add("Contact", "<"+c.contactA()+">")
}

// place completes a dialog with a gateway.
func (c *Call) place(d *sip.Dialog, candidate *fsm.Candidate) {
	d.NAT, d.LocalAddr = candidate.NAT, netip.AddrPortFrom(c.line.ip, 0)
}

// isSDP reports whether a message carries a session description.
func isSDP(headers sip.Headers, body []byte) bool {
	kind, _, _ := strings.Cut(headers.Get("Content-Type"), ";")
	return len(body) > 0 && strings.EqualFold(strings.TrimSpace(kind), sdpType)
}

// heard reports that RTP has come from a side of the call, to this owner.
func (c *Call) heard() bool {
	if c.session == nil {
		return false
	}
	stats := c.session.Stats()
	return stats.From[media.A].Packets+stats.From[media.B].Packets > 0
}

// silentSince reports that a relayed call has had no RTP from either side since t.
func (c *Call) silentSince(t time.Time) bool {
	if c.session == nil {
		return true
	}
	stats := c.session.Stats()
	return stats.From[media.A].Last.Before(t) && stats.From[media.B].Last.Before(t)
}
