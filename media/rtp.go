package media

import "encoding/binary"

// Sizes in bytes. A relay carries packets that fit an Ethernet frame; what is
// longer is no voice.
const (
	maxPacket  = 2000 // longest relayed datagram
	rtpHeader  = 12   // RFC 3550 section 5.1, without CSRCs and extension
	rtcpHeader = 8    // RFC 3550 section 6.4: common header and sender
)

// header holds the fields of an RTP header that the relay needs.
type header struct {
	sequence    uint16
	timestamp   uint32
	ssrc        uint32
	payloadType uint8
}

// isRTCP tells RTCP from RTP on a shared port (RFC 5761 section 4): the second
// byte of RTCP, 192-223, would be an RTP payload type of 64-95 with the marker.
func isRTCP(b []byte) bool {
	return len(b) >= rtcpHeader && b[0]>>6 == 2 && b[1] >= 192 && b[1] <= 223
}

// parseRTP reads the header of a version 2 packet and reports whether the
// packet is complete. (pion/rtp does the same and serves as oracle in the
// tests; it keeps extensions, which costs an allocation that nobody here reads.)
func parseRTP(b []byte) (h header, ok bool) {
	if len(b) < rtpHeader || b[0]>>6 != 2 {
		return h, false
	}
	end := rtpHeader + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < end+4 {
			return h, false
		}
		end += 4 + 4*int(binary.BigEndian.Uint16(b[end+2:]))
	}
	if len(b) < end {
		return h, false
	}
	if padded := b[0]&0x20 != 0; padded && (len(b) == end || int(b[len(b)-1]) > len(b)-end) {
		return h, false
	}
	return header{
		sequence:    binary.BigEndian.Uint16(b[2:]),
		timestamp:   binary.BigEndian.Uint32(b[4:]),
		ssrc:        binary.BigEndian.Uint32(b[8:]),
		payloadType: b[1] & 0x7f,
	}, true
}
