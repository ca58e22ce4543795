package address

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// The frames of this file are bytes in, bytes out: ARP (RFC 826, RFC 5227) for
// IPv4, neighbour discovery (RFC 4861) for IPv6.

// Ethernet types.
const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

// Sizes and values of ARP and of neighbour discovery.
const (
	etherSize = 14
	arpSize   = 28
	ipv6Size  = 40
	ndSize    = 24 // message without options
	optSize   = 8  // a link-layer address option

	arpRequest = 1

	icmpv6         = 58
	ndSolicit      = 135
	ndAdvert       = 136
	optTargetAddr  = 2
	advertOverride = 0x20 // flag O: replaces what the neighbour knows
	hopLimit       = 255
)

var (
	broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes  = netip.MustParseAddr("ff02::1")
)

// announcement makes the frame that tells everybody that ip is at mac: an ARP
// announcement (RFC 5227 section 3) or an unsolicited neighbour advertisement
// (RFC 4861 section 7.2.6).
func announcement(ip netip.Addr, mac net.HardwareAddr) []byte {
	if ip.Is4() {
		// A request, which also those hosts believe that ignore unasked replies.
		return arp(mac, ip, make(net.HardwareAddr, len(broadcast)), ip)
	}
	body := make([]byte, ndSize+optSize)
	body[0], body[4] = ndAdvert, advertOverride
	copy(body[8:], ip.AsSlice())
	body[ndSize], body[ndSize+1] = optTargetAddr, 1
	copy(body[ndSize+2:], mac)
	return discovery(mac, ip, allNodes, body)
}

// probe makes the frame that asks whether anybody has ip, without claiming it: an
// ARP probe (RFC 5227 section 2.1.1) or the solicitation of duplicate address
// detection (RFC 4862 section 5.4.2).
func probe(ip netip.Addr, mac net.HardwareAddr) []byte {
	if ip.Is4() {
		return arp(mac, netip.IPv4Unspecified(), make(net.HardwareAddr, len(broadcast)), ip)
	}
	body := make([]byte, ndSize)
	body[0] = ndSolicit
	copy(body[8:], ip.AsSlice())
	return discovery(mac, netip.IPv6Unspecified(), solicitedNode(ip), body)
}

// claim reads a frame: mac says that ip is his. Frames of any other meaning, and
// those that are cut short, are none.
func claim(frame []byte) (ip netip.Addr, mac net.HardwareAddr, ok bool) {
	if len(frame) < etherSize {
		return ip, nil, false
	}
	body := frame[etherSize:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return claimARP(body)
	case etherIPv6:
		return claimND(frame[6:12], body)
	}
	return ip, nil, false
}

// claimARP: whoever sends from an address has it, whether he asks or answers. A
// probe has no sender address.
func claimARP(b []byte) (ip netip.Addr, mac net.HardwareAddr, ok bool) {
	if len(b) < arpSize || b[4] != 6 || b[5] != 4 {
		return ip, nil, false
	}
	ip = netip.AddrFrom4([4]byte(b[14:18]))
	return ip, net.HardwareAddr(b[8:14]), !ip.IsUnspecified()
}

// claimND reads an advertisement. Its sender's MAC stands in for a missing option.
func claimND(from, b []byte) (ip netip.Addr, mac net.HardwareAddr, ok bool) {
	if len(b) < ipv6Size+ndSize || b[6] != icmpv6 || b[7] != hopLimit || b[ipv6Size] != ndAdvert {
		return ip, nil, false
	}
	nd := b[ipv6Size:]
	ip, mac = netip.AddrFrom16([16]byte(nd[8:24])), net.HardwareAddr(from)
	for opts := nd[ndSize:]; len(opts) >= optSize; {
		size := int(opts[1]) * 8
		if size == 0 || size > len(opts) {
			break
		}
		if opts[0] == optTargetAddr {
			mac = net.HardwareAddr(opts[2:8])
		}
		opts = opts[size:]
	}
	return ip, mac, true
}

func arp(mac net.HardwareAddr, sender netip.Addr, target net.HardwareAddr, ip netip.Addr) []byte {
	b := ethernet(broadcast, mac, etherARP, arpSize)
	p := b[etherSize:]
	binary.BigEndian.PutUint16(p[0:], 1)      // Ethernet
	binary.BigEndian.PutUint16(p[2:], 0x0800) // IPv4
	p[4], p[5] = 6, 4
	binary.BigEndian.PutUint16(p[6:], arpRequest)
	copy(p[8:], mac)
	copy(p[14:], sender.AsSlice())
	copy(p[18:], target)
	copy(p[24:], ip.AsSlice())
	return b
}

// discovery wraps a neighbour discovery message, whose checksum it fills in.
func discovery(mac net.HardwareAddr, src, dst netip.Addr, body []byte) []byte {
	group := dst.As16()
	to := net.HardwareAddr{0x33, 0x33, group[12], group[13], group[14], group[15]} // RFC 2464 section 7
	b := ethernet(to, mac, etherIPv6, ipv6Size+len(body))
	p := b[etherSize:]
	p[0] = 6 << 4
	binary.BigEndian.PutUint16(p[4:], uint16(len(body)))
	p[6], p[7] = icmpv6, hopLimit
	copy(p[8:], src.AsSlice())
	copy(p[24:], dst.AsSlice())
	copy(p[ipv6Size:], body)
	binary.BigEndian.PutUint16(p[ipv6Size+2:], checksum(src, dst, body))
	return b
}

func ethernet(to, from net.HardwareAddr, kind uint16, size int) []byte {
	b := make([]byte, etherSize+size)
	copy(b, to)
	copy(b[6:], from)
	binary.BigEndian.PutUint16(b[12:], kind)
	return b
}

// checksum is that of ICMPv6, over the pseudo-header and a body whose own field is
// zero (RFC 8200 section 8.1).
func checksum(src, dst netip.Addr, body []byte) uint16 {
	pseudo := append(src.AsSlice(), dst.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(body)))
	pseudo = append(pseudo, 0, 0, 0, icmpv6)
	sum := uint32(0)
	for _, part := range [][]byte{pseudo, body} { // both of even length
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// solicitedNode is the multicast group of an address (RFC 4291 section 2.7.1).
func solicitedNode(ip netip.Addr) netip.Addr {
	a, group := ip.As16(), [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff}
	copy(group[13:], a[13:])
	return netip.AddrFrom16(group)
}
