package trace

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// The capture file's format (draft-ietf-opsawg-pcap): microseconds, little endian.
const (
	pcapMagic   = 0xa1b2c3d4
	linkRaw     = 101 // packets begin with an IP header
	maxSnapshot = 1 << 18
)

// PCAP writes the messages as a capture file. Each is one UDP datagram, also one
// that came over a stream: what is shown are messages, not segments.
func PCAP(w io.Writer, messages []Message) error {
	out := bufio.NewWriter(w)
	head := binary.LittleEndian.AppendUint32(nil, pcapMagic)
	head = binary.LittleEndian.AppendUint16(head, 2)
	head = binary.LittleEndian.AppendUint16(head, 4)
	head = append(head, make([]byte, 8)...)
	head = binary.LittleEndian.AppendUint32(head, maxSnapshot)
	head = binary.LittleEndian.AppendUint32(head, linkRaw)
	if _, err := out.Write(head); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	for i := range messages {
		m := &messages[i]
		packet := datagram(m)
		record := binary.LittleEndian.AppendUint32(nil, uint32(m.At.Unix()))
		record = binary.LittleEndian.AppendUint32(record, uint32(m.At.Nanosecond()/1000))
		record = binary.LittleEndian.AppendUint32(record, uint32(len(packet)))
		record = binary.LittleEndian.AppendUint32(record, uint32(len(packet)))
		if _, err := out.Write(append(record, packet...)); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}

// datagram puts IP and UDP headers before a message. The UDP checksum of IPv4 is
// left out, as RFC 768 allows; that of IPv6 must be there.
func datagram(m *Message) []byte {
	from, to := ends(m)
	const udpHeader, protocol = 8, 17
	udp := binary.BigEndian.AppendUint16(nil, from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(udpHeader+len(m.Raw)))
	udp = append(udp, 0, 0)
	udp = append(udp, m.Raw...)
	if from.Addr().Is4() && to.Addr().Is4() {
		ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0}
		ip = append(ip, from.Addr().AsSlice()...)
		ip = append(ip, to.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(udp)))
		binary.BigEndian.PutUint16(ip[10:], ^sum(0, ip))
		return append(ip, udp...)
	}
	src, dst := from.Addr().As16(), to.Addr().As16()
	ip := []byte{0x60, 0, 0, 0, 0, 0, protocol, 64}
	ip = append(append(ip, src[:]...), dst[:]...)
	binary.BigEndian.PutUint16(ip[4:], uint16(len(udp)))
	pseudo := sum(uint32(len(udp)+protocol), append(src[:], dst[:]...))
	binary.BigEndian.PutUint16(udp[6:], ^sum(uint32(pseudo), udp))
	return append(ip, udp...)
}

// sum is the ones' complement sum of RFC 1071.
func sum(total uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		total += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		total += uint32(b[0]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
