package media

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// The first byte of an encoded State. Keys are encoded only where there are any,
// so that a call without them reads on nodes that know none.
const (
	stateVersion       = 1
	secureStateVersion = 2
)

// The flags of a Remote.
const (
	flagMux = 1 << iota
	flagOpaque
)

// State is a session as another node needs it: a value to be replicated with
// the call. The zero State belongs to no session.
type State struct {
	Port    [2]uint16 // local RTP port, by Side
	Remote  [2]Remote // zero for a side whose SDP has not come
	Learned [2]Learned
	Heard   [2]Rollover // of SRTP streams from the sides
	Said    [2]Rollover // of SRTP streams to the sides
}

// version is that of the state's encoding.
func (s *State) version() byte {
	if s.Remote[A].Crypto.Suite != SuiteNone || s.Remote[B].Crypto.Suite != SuiteNone {
		return secureStateVersion
	}
	return stateVersion
}

// Learned are the locked sources of a side; zero when not locked.
type Learned struct{ RTP, RTCP netip.AddrPort }

// AppendBinary appends the canonical encoding: 70 bytes for a locked IPv4 call.
// It never fails; the error is that of encoding.BinaryAppender.
func (s State) AppendBinary(b []byte) ([]byte, error) {
	version := s.version()
	b = append(b, version)
	for side := range s.Port {
		remote := s.Remote[side]
		flags := byte(0)
		if remote.Mux {
			flags |= flagMux
		}
		if remote.Opaque {
			flags |= flagOpaque
		}
		b = binary.BigEndian.AppendUint16(b, s.Port[side])
		b = append(b, flags, byte(remote.Source), byte(remote.Direction))
		b = binary.BigEndian.AppendUint32(b, remote.ClockRate)
		b = appendAddrPort(b, remote.RTP)
		b = appendAddrPort(b, remote.RTCP)
		b = appendAddrPort(b, netip.AddrPortFrom(remote.Signalling, 0))
		b = appendAddrPort(b, s.Learned[side].RTP)
		b = appendAddrPort(b, s.Learned[side].RTCP)
		if version == secureStateVersion {
			b = appendCrypto(b, &remote.Crypto, s.Heard[side], s.Said[side])
		}
	}
	return b, nil
}

// appendCrypto writes the suite and, if there is one, its keys and counters.
func appendCrypto(b []byte, c *Crypto, heard, said Rollover) []byte {
	b = append(b, byte(c.Suite))
	if c.Suite == SuiteNone {
		return b
	}
	b = append(b, c.Theirs[:c.Suite.length()]...)
	b = append(b, c.Ours[:c.Suite.length()]...)
	for _, r := range [...]Rollover{heard, said} {
		b = binary.BigEndian.AppendUint32(b, r.SSRC)
		b = binary.BigEndian.AppendUint32(b, r.ROC)
		b = binary.BigEndian.AppendUint16(b, r.Sequence)
		b = binary.BigEndian.AppendUint32(b, r.Index)
	}
	return b
}

// MarshalBinary returns the encoding of AppendBinary.
func (s State) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// UnmarshalBinary decodes what AppendBinary wrote. Errors are ErrState.
func (s *State) UnmarshalBinary(b []byte) error {
	d := stateReader{rest: b}
	version := d.bytes(1)[0]
	if version != stateVersion && version != secureStateVersion {
		return fmt.Errorf("version %d: %w", version, ErrState)
	}
	var state State
	for side := range state.Port {
		state.Port[side] = binary.BigEndian.Uint16(d.bytes(2))
		flags := d.bytes(3)
		if flags[0]&^(flagMux|flagOpaque) != 0 || Source(flags[1]) > SourceAny || Direction(flags[2]) > Inactive {
			d.bad = true
		}
		remote := &state.Remote[side]
		remote.Mux, remote.Opaque = flags[0]&flagMux != 0, flags[0]&flagOpaque != 0
		remote.Source, remote.Direction = Source(flags[1]), Direction(flags[2])
		remote.ClockRate = binary.BigEndian.Uint32(d.bytes(4))
		remote.RTP, remote.RTCP = d.addrPort(), d.addrPort()
		signalling := d.addrPort()
		if signalling.Port() != 0 {
			d.bad = true
		}
		remote.Signalling = signalling.Addr()
		state.Learned[side] = Learned{RTP: d.addrPort(), RTCP: d.addrPort()}
		if version == secureStateVersion {
			d.crypto(&remote.Crypto, &state.Heard[side], &state.Said[side])
		}
	}
	if d.bad || len(d.rest) > 0 || state.version() != version {
		return ErrState
	}
	*s = state
	return nil
}

// appendAddrPort writes the address's length (0, 4 or 16), the address and,
// unless it is absent, the port.
func appendAddrPort(b []byte, addr netip.AddrPort) []byte {
	ip := addr.Addr().Unmap().WithZone("").AsSlice()
	b = append(b, byte(len(ip)))
	if len(ip) == 0 {
		return b
	}
	b = append(b, ip...)
	return binary.BigEndian.AppendUint16(b, addr.Port())
}

// stateReader reads an encoding; after its end it yields zeros and is bad.
type stateReader struct {
	rest []byte
	bad  bool
	zero [16]byte
}

func (d *stateReader) bytes(n int) []byte {
	if len(d.rest) < n {
		d.bad, d.rest = true, nil
		d.zero = [16]byte{}
		return d.zero[:n]
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *stateReader) crypto(c *Crypto, heard, said *Rollover) {
	suite := Suite(d.bytes(1)[0])
	if suite >= suites {
		d.bad = true
		return
	}
	if suite == SuiteNone {
		return
	}
	c.Suite = suite
	d.copy(c.Theirs[:suite.length()])
	d.copy(c.Ours[:suite.length()])
	for _, r := range [...]*Rollover{heard, said} {
		r.SSRC, r.ROC = d.uint32(), d.uint32()
		r.Sequence = binary.BigEndian.Uint16(d.bytes(2))
		r.Index = d.uint32()
	}
}

func (d *stateReader) uint32() uint32 { return binary.BigEndian.Uint32(d.bytes(4)) }

// copy fills to, which may be longer than the reader's spare zeros.
func (d *stateReader) copy(to []byte) {
	if len(d.rest) < len(to) {
		d.bad, d.rest = true, nil
		return
	}
	d.rest = d.rest[copy(to, d.rest):]
}

func (d *stateReader) addrPort() netip.AddrPort {
	n := int(d.bytes(1)[0])
	if n == 0 {
		return netip.AddrPort{}
	}
	if n != 4 && n != 16 {
		d.bad = true
		return netip.AddrPort{}
	}
	ip, _ := netip.AddrFromSlice(d.bytes(n))
	if ip.Is4In6() {
		d.bad = true // the canonical form is the IPv4 address
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(d.bytes(2)))
}
