package sip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
)

// ErrDecode: the bytes are not an encoded Dialog or InviteState.
var ErrDecode = errors.New("sip: cannot decode")

// Versions of the two records, their first byte. A decoder refuses others.
const (
	dialogVersion = 1
	inviteVersion = 1
)

const (
	maxText  = maxLine // bytes of one text field: no longer than a header line
	maxTexts = maxList // entries of one list
)

// MarshalBinary encodes the dialog: version, flags, numbers as varints, texts with
// their length. It fails when a text is longer than a header line.
func (d Dialog) MarshalBinary() ([]byte, error) {
	w := &encoder{b: make([]byte, 0, 512)}
	w.b = append(w.b, dialogVersion, byte(d.Role), byte(d.Transport), flags(d.Secure, d.NAT))
	for _, s := range []string{d.CallID, d.LocalTag, d.RemoteTag, d.Local, d.Remote, d.RemoteTarget, d.Contact, d.Routes} {
		w.text(s)
	}
	for _, n := range []uint64{uint64(d.LocalSeq), uint64(d.RemoteSeq), uint64(d.InviteSeq), d.SDPSent, d.SDPReceived} {
		w.b = binary.AppendUvarint(w.b, n)
	}
	w.addr(d.LocalAddr)
	w.addr(d.Peer)
	w.b = binary.AppendUvarint(w.b, uint64(d.Conn))
	return w.b, w.err
}

// UnmarshalBinary decodes what MarshalBinary made; any other bytes give ErrDecode.
func (d *Dialog) UnmarshalBinary(b []byte) error {
	r := &decoder{b: b}
	r.version(dialogVersion)
	out := Dialog{Role: Role(r.byte(uint8(UAS))), Transport: Transport(r.byte(uint8(lastTransport)))}
	f := r.byte(3)
	out.Secure, out.NAT = f&1 != 0, f&2 != 0
	for _, s := range []*string{&out.CallID, &out.LocalTag, &out.RemoteTag, &out.Local, &out.Remote, &out.RemoteTarget, &out.Contact, &out.Routes} {
		*s = r.text()
	}
	for _, n := range []*uint32{&out.LocalSeq, &out.RemoteSeq, &out.InviteSeq} {
		*n = uint32(r.number(math.MaxUint32))
	}
	out.SDPSent, out.SDPReceived = r.number(math.MaxUint64), r.number(math.MaxUint64)
	out.LocalAddr, out.Peer = r.addr(), r.addr()
	out.Conn = Conn(r.number(math.MaxUint64))
	if err := r.end("dialog"); err != nil {
		return err
	}
	*d = out
	return nil
}

// MarshalBinary encodes the state; see Dialog.MarshalBinary.
func (s InviteState) MarshalBinary() ([]byte, error) {
	w := &encoder{b: make([]byte, 0, 768)}
	w.b = append(w.b, inviteVersion, byte(s.Source.Transport), byte(s.ReplyTo.Transport), flags(s.InDialog, false))
	for _, t := range []string{s.URI, s.From, s.To, s.FromTag, s.ToTag, s.CallID, s.Branch, s.SentBy, s.Contact} {
		w.text(t)
	}
	w.texts(s.Vias)
	w.texts(s.RecordRoutes)
	w.b = binary.AppendUvarint(w.b, uint64(s.CSeq))
	w.b = binary.AppendUvarint(w.b, uint64(max(s.MaxForwards, 0)))
	w.addr(s.Source.Addr)
	w.addr(s.ReplyTo.Addr)
	w.b = binary.AppendUvarint(w.b, uint64(s.Conn))
	return w.b, w.err
}

// UnmarshalBinary decodes what MarshalBinary made; any other bytes give ErrDecode.
func (s *InviteState) UnmarshalBinary(b []byte) error {
	r := &decoder{b: b}
	r.version(inviteVersion)
	var out InviteState
	out.Source.Transport = Transport(r.byte(uint8(lastTransport)))
	out.ReplyTo.Transport = Transport(r.byte(uint8(lastTransport)))
	out.InDialog = r.byte(1) != 0
	for _, t := range []*string{&out.URI, &out.From, &out.To, &out.FromTag, &out.ToTag, &out.CallID, &out.Branch, &out.SentBy, &out.Contact} {
		*t = r.text()
	}
	out.Vias, out.RecordRoutes = r.texts(), r.texts()
	out.CSeq = uint32(r.number(math.MaxUint32))
	out.MaxForwards = int(r.number(255))
	out.Source.Addr, out.ReplyTo.Addr = r.addr(), r.addr()
	out.Conn = Conn(r.number(math.MaxUint64))
	if err := r.end("invite"); err != nil {
		return err
	}
	*s = out
	return nil
}

func flags(first, second bool) (b byte) {
	if first {
		b |= 1
	}
	if second {
		b |= 2
	}
	return b
}

// encoder appends to b and keeps the first error.
type encoder struct {
	b   []byte
	err error
}

func (w *encoder) text(s string) {
	if len(s) > maxText {
		w.err = fmt.Errorf("%w: a text of %d bytes", ErrMessage, len(s))
		return
	}
	w.b = append(binary.AppendUvarint(w.b, uint64(len(s))), s...)
}

func (w *encoder) texts(list []string) {
	if len(list) > maxTexts {
		w.err = fmt.Errorf("%w: a list of %d texts", ErrMessage, len(list))
		return
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(list)))
	for _, s := range list {
		w.text(s)
	}
}

// addr writes the address in 0, 6 or 18 bytes behind its length; zones are dropped.
func (w *encoder) addr(a netip.AddrPort) {
	if !a.IsValid() {
		w.b = append(w.b, 0)
		return
	}
	raw := a.Addr().Unmap().AsSlice()
	w.b = append(append(w.b, byte(len(raw)+2)), raw...)
	w.b = binary.BigEndian.AppendUint16(w.b, a.Port())
}

// decoder consumes b; after the first error every read gives zero.
type decoder struct {
	b   []byte
	bad bool
}

func (r *decoder) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *decoder) byte(limit uint8) uint8 {
	b := r.take(1)
	if b == nil || b[0] > limit {
		r.bad = true
		return 0
	}
	return b[0]
}

func (r *decoder) version(want uint8) {
	if r.byte(want) != want {
		r.bad = true
	}
}

func (r *decoder) number(limit uint64) uint64 {
	n, size := binary.Uvarint(r.b)
	if r.bad || size <= 0 || n > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *decoder) text() string { return string(r.take(r.number(maxText))) }

func (r *decoder) texts() []string {
	n := r.number(maxTexts)
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.text())
	}
	return list
}

func (r *decoder) addr() netip.AddrPort {
	raw := r.take(uint64(r.byte(18)))
	if len(raw) == 0 {
		return netip.AddrPort{}
	}
	if len(raw) != 6 && len(raw) != 18 {
		r.bad = true
		return netip.AddrPort{}
	}
	host, _ := netip.AddrFromSlice(raw[:len(raw)-2])
	return netip.AddrPortFrom(host, binary.BigEndian.Uint16(raw[len(raw)-2:]))
}

func (r *decoder) end(what string) error {
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%w the %s", ErrDecode, what)
	}
	return nil
}
