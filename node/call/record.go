package call

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"tandem/fsm"
	"tandem/fsm/wire"
	"tandem/media"
	"tandem/sip"
)

// recordVersion is the first byte of what call control stores in a call's record
// beyond the fields of the state machine.
const recordVersion = 1

// maxDialog is what a record holds of one leg; it is the bound of package fsm. An
// SDP that does not fit is left out: a survivor then passes refreshes on instead
// of answering them.
const maxDialog = 4 << 10

// legRecord is one leg as another node needs it.
type legRecord struct {
	dialog sip.Dialog
	line   netip.Addr
	acked  bool
	sent   []byte // newest SDP sent to it

	interval time.Duration // Session-Expires; 0: none
	ours     bool          // we refresh
	update   bool          // it takes UPDATE
}

func (r *legRecord) wire(c *wire.Codec) {
	version := uint8(recordVersion)
	if c.U8(&version); version != recordVersion {
		c.Fail("leg record of version %d: %w", version, wire.ErrVersion)
		return
	}
	var dialog []byte
	if !c.Decoding() {
		dialog, _ = r.dialog.MarshalBinary() // a text too long leaves it empty, and undecodable
	}
	c.Bytes(&dialog, maxDialog)
	wireAddr(c, &r.line)
	c.Bool(&r.acked)
	c.Bytes(&r.sent, maxDialog)
	wire.Int(c, &r.interval)
	c.Bool(&r.ours)
	c.Bool(&r.update)
	if c.Decoding() && c.Err() == nil {
		if err := r.dialog.UnmarshalBinary(dialog); err != nil {
			c.Fail("%w", err)
		}
	}
}

func wireAddr(c *wire.Codec, a *netip.Addr) {
	b := a.As16()
	c.Fixed(b[:])
	if c.Decoding() {
		*a = netip.AddrFrom16(b).Unmap()
	}
}

// record is what the state keeps of the call beyond its own fields: both dialogs
// and the media session. t is the try that rings or answers, nil once answered.
func (c *Call) record(t *try) (dialogA, dialogB, session []byte) {
	if c.session != nil {
		session, _ = c.session.State().AppendBinary(nil) // an empty one: media opens anew
	}
	if t != nil && c.legs[media.B].dialog.CallID == "" {
		return c.legRecord(media.A), nil, session
	}
	return c.legRecord(media.A), c.legRecord(media.B), session
}

func (c *Call) legRecord(side media.Side) []byte {
	l := &c.legs[side]
	l.dialog.SDPSent, l.dialog.SDPReceived = l.version, l.received
	r := legRecord{dialog: l.dialog, line: c.line.ip, acked: l.acked, sent: l.sent, update: l.update}
	if t := &l.timing; !t.probing {
		r.interval, r.ours = t.interval, t.ours
	}
	e := wire.Encoder(nil)
	if r.wire(e); e.Err() == nil && e.Len() <= maxDialog {
		return e.Buffer()
	}
	r.sent = nil
	e = wire.Encoder(nil)
	r.wire(e)
	return e.Buffer()
}

func readLeg(b []byte) (legRecord, error) {
	var r legRecord
	d := wire.Decoder(b)
	r.wire(d)
	if err := d.Finish(); err != nil {
		return legRecord{}, fmt.Errorf("leg record: %w", err)
	}
	return r, nil
}

// inviteRecord is what any node needs to answer or refuse the caller, and to send
// his call on.
type inviteRecord struct {
	line   netip.Addr
	pass   sip.Headers
	invite sip.InviteState
}

// maxPass bounds the headers that are passed on, in number and length.
const (
	maxPass   = 32
	maxHeader = 4 << 10
)

func (r *inviteRecord) wire(c *wire.Codec) {
	wireAddr(c, &r.line)
	wire.Slice(c, (*[]sip.Header)(&r.pass), maxPass, func(c *wire.Codec, h *sip.Header) {
		c.String(&h.Name, maxHeader)
		c.String(&h.Value, maxHeader)
	})
	var invite []byte
	if !c.Decoding() {
		invite, _ = r.invite.MarshalBinary() // a text too long leaves it empty, and undecodable
	}
	c.Bytes(&invite, maxInvite)
	if c.Decoding() && c.Err() == nil {
		if err := r.invite.UnmarshalBinary(invite); err != nil {
			c.Fail("%w", err)
		}
	}
}

// inviteRecord returns nil when the INVITE cannot be kept.
func (c *Call) inviteRecord() []byte {
	r := inviteRecord{line: c.line.ip, pass: c.pass, invite: c.invite}
	e := wire.Encoder(nil)
	if r.wire(e); e.Err() != nil {
		return nil
	}
	return e.Buffer()
}

func readInvite(b []byte) (inviteRecord, error) {
	var r inviteRecord
	d := wire.Decoder(b)
	r.wire(d)
	if err := d.Finish(); err != nil {
		return inviteRecord{}, fmt.Errorf("invite record: %w", err)
	}
	return r, nil
}

// fsmAddr turns an address into the form of the state machine, and netAddr back.
func fsmAddr(a netip.AddrPort) fsm.Addr {
	if !a.IsValid() {
		return fsm.Addr{}
	}
	return fsm.Addr{IP: a.Addr().As16(), Port: a.Port()}
}

func netAddr(a fsm.Addr) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.IP).Unmap(), a.Port)
}

func idText(id fsm.CallID) string { return hex.EncodeToString(id[:]) }
