package fsm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrAddress: a text is no address or network.
var ErrAddress = errors.New("not an address")

// Addr is a transport address: an IP (IPv4 in its mapped form) and a port.
// Package net is out of bounds here, and values must compare and hash cheaply.
type Addr struct {
	IP   [16]byte
	Port uint16 // 0: none
}

// Prefix is a network: an IP and how many leading bits count (32 or 128 for one
// host; IPv4 bits are counted from the mapped form's 96).
type Prefix struct {
	IP   [16]byte
	Bits uint8 // of 128
}

// mappedBits is the length of ::ffff:0:0/96, the network of mapped IPv4
// addresses (RFC 4291 section 2.5.5.2).
const mappedBits = 96

// AddrFrom16 returns the address of 16 bytes, as netip.Addr.As16 gives them for
// IPv4 and IPv6 alike.
func AddrFrom16(ip [16]byte, port uint16) Addr { return Addr{IP: ip, Port: port} }

// AddrFrom4 returns the address of 4 bytes.
func AddrFrom4(ip [4]byte, port uint16) Addr {
	a := Addr{Port: port}
	a.IP[10], a.IP[11] = 0xff, 0xff
	copy(a.IP[12:], ip[:])
	return a
}

// IsZero reports whether a is no address at all.
func (a Addr) IsZero() bool { return a == Addr{} }

// Is4 reports whether a is an IPv4 address.
func (a Addr) Is4() bool { return is4(a.IP) }

// Is4 reports whether p is an IPv4 network.
func (p Prefix) Is4() bool { return p.Bits >= mappedBits && is4(p.IP) }

func is4(ip [16]byte) bool {
	return [12]byte(ip[:12]) == [12]byte{10: 0xff, 11: 0xff}
}

// Host returns the network that holds nothing but a.
func (a Addr) Host() Prefix { return Prefix{IP: a.IP, Bits: 128} }

// Masked returns p without the bits that do not count.
func (p Prefix) Masked() Prefix {
	for i := range p.IP {
		switch bits := int(p.Bits) - 8*i; {
		case bits <= 0:
			p.IP[i] = 0
		case bits < 8:
			p.IP[i] &= ^byte(0) << (8 - bits)
		}
	}
	return p
}

// Contains reports whether a is in p, whatever its port.
func (p Prefix) Contains(a Addr) bool {
	return Prefix{a.IP, p.Bits}.Masked() == p.Masked()
}

// ParseAddr reads "192.0.2.1:5060", "[2001:db8::1]:5060", or an IP alone, with or
// without brackets; then the port is 0. Zones are no part of an address here.
func ParseAddr(s string) (Addr, error) {
	host, port := s, ""
	if bracketed, ok := strings.CutPrefix(s, "["); ok {
		inside, after, closed := strings.Cut(bracketed, "]")
		if !closed || after != "" && after[0] != ':' || !strings.Contains(inside, ":") {
			return Addr{}, badAddress(s)
		}
		host, port = inside, after
	} else if strings.Count(s, ":") == 1 {
		i := strings.IndexByte(s, ':')
		host, port = s[:i], s[i:]
	}
	ip, ok := parseIP(host)
	if !ok {
		return Addr{}, badAddress(s)
	}
	a := Addr{IP: ip}
	if port != "" {
		n, err := strconv.ParseUint(port[1:], 10, 16)
		if err != nil {
			return Addr{}, badAddress(s)
		}
		a.Port = uint16(n)
	}
	return a, nil
}

// ParsePrefix reads "192.0.2.0/24", "2001:db8::/32", or an IP alone, which is the
// network of this host. Bits of the host part have to be 0, so that a
// misplaced length is noticed.
func ParsePrefix(s string) (Prefix, error) {
	host, length, hasLength := strings.Cut(s, "/")
	ip, ok := parseIP(strings.Trim(host, "[]"))
	if !ok {
		return Prefix{}, badAddress(s)
	}
	p := Prefix{IP: ip, Bits: 128}
	if !hasLength {
		return p, nil
	}
	n, err := strconv.ParseUint(length, 10, 8)
	if err != nil || n > 128 || is4(ip) && n > 32 {
		return Prefix{}, fmt.Errorf("%.*q: length %q: %w", maxName, s, length, ErrAddress)
	}
	p.Bits = uint8(n)
	if is4(ip) {
		p.Bits += mappedBits
	}
	if p.Masked() != p {
		return Prefix{}, fmt.Errorf("%.*q: bits behind the length; is %s meant? %w", maxName, s, p.Masked(), ErrAddress)
	}
	return p, nil
}

func badAddress(s string) error { return fmt.Errorf("%.*q: %w", maxName, s, ErrAddress) }

// String returns the address as ParseAddr reads it: "192.0.2.1:5060",
// "[2001:db8::1]:5060", without a port the IP alone, and "" for the zero Addr.
func (a Addr) String() string {
	switch {
	case a.IsZero():
		return ""
	case a.Port == 0:
		return string(appendIP(nil, a.IP))
	case a.Is4():
		return string(appendIP(nil, a.IP)) + ":" + strconv.Itoa(int(a.Port))
	}
	return "[" + string(appendIP(nil, a.IP)) + "]:" + strconv.Itoa(int(a.Port))
}

// String returns the network as ParsePrefix reads it; a host has no length.
func (p Prefix) String() string {
	bits := int(p.Bits)
	if p.Is4() {
		bits -= mappedBits
	}
	if p.Bits == 128 {
		return string(appendIP(nil, p.IP))
	}
	return string(appendIP(nil, p.IP)) + "/" + strconv.Itoa(bits)
}

// MarshalText returns String.
func (a Addr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads as ParseAddr does; the empty text is the zero Addr.
func (a *Addr) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*a = Addr{}
		return nil
	}
	*a, err = ParseAddr(string(text))
	return err
}

// MarshalText returns String.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads as ParsePrefix does.
func (p *Prefix) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePrefix(string(text))
	return err
}
