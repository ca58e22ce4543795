package media

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// stateVersion is the first byte of an encoded State.
const stateVersion = 1

// State is a session as another node needs it: a value to be replicated with
// the call. The zero State belongs to no session.
type State struct {
	Port    [2]uint16 // local RTP port, by Side
	Remote  [2]Remote // zero for a side whose SDP has not come
	Learned [2]Learned
}

// Learned are the locked sources of a side; zero when not locked.
type Learned struct{ RTP, RTCP netip.AddrPort }

// AppendBinary appends the canonical encoding: 70 bytes for a locked IPv4 call.
// It never fails; the error is that of encoding.BinaryAppender.
func (s State) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, stateVersion)
	for side := range s.Port {
		remote := s.Remote[side]
		mux := byte(0)
		if remote.Mux {
			mux = 1
		}
		b = binary.BigEndian.AppendUint16(b, s.Port[side])
		b = append(b, mux, byte(remote.Source), byte(remote.Direction))
		b = binary.BigEndian.AppendUint32(b, remote.ClockRate)
		b = appendAddrPort(b, remote.RTP)
		b = appendAddrPort(b, remote.RTCP)
		b = appendAddrPort(b, netip.AddrPortFrom(remote.Signalling, 0))
		b = appendAddrPort(b, s.Learned[side].RTP)
		b = appendAddrPort(b, s.Learned[side].RTCP)
	}
	return b, nil
}

// MarshalBinary returns the encoding of AppendBinary.
func (s State) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// UnmarshalBinary decodes what AppendBinary wrote. Errors are ErrState.
func (s *State) UnmarshalBinary(b []byte) error {
	d := stateReader{rest: b}
	if version := d.bytes(1)[0]; version != stateVersion {
		return fmt.Errorf("version %d: %w", version, ErrState)
	}
	var state State
	for side := range state.Port {
		state.Port[side] = binary.BigEndian.Uint16(d.bytes(2))
		flags := d.bytes(3)
		if flags[0] > 1 || Source(flags[1]) > SourceAny || Direction(flags[2]) > Inactive {
			d.bad = true
		}
		remote := &state.Remote[side]
		remote.Mux = flags[0] == 1
		remote.Source, remote.Direction = Source(flags[1]), Direction(flags[2])
		remote.ClockRate = binary.BigEndian.Uint32(d.bytes(4))
		remote.RTP, remote.RTCP = d.addrPort(), d.addrPort()
		signalling := d.addrPort()
		if signalling.Port() != 0 {
			d.bad = true
		}
		remote.Signalling = signalling.Addr()
		state.Learned[side] = Learned{RTP: d.addrPort(), RTCP: d.addrPort()}
	}
	if d.bad || len(d.rest) > 0 {
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
