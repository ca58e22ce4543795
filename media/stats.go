package media

import "time"

// DropReason says why a packet was not relayed.
type DropReason uint8

// The drop reasons.
const (
	DropMalformed DropReason = iota // neither RTP nor RTCP
	DropSource                      // not from the believed source
	DropNoPeer                      // the other side has no address, or is on hold
	DropOversize                    // longer than MaxPacket
	DropSend                        // the system refused to send it
	DropReasons                     // number of reasons
)

// Flow is what one side has sent.
type Flow struct {
	Packets     uint64        // RTP, accepted from the side
	Bytes       uint64        // of them, UDP payload
	RTCP        uint64        // RTCP packets, accepted from the side
	Lost        uint64        // RFC 3550 appendix A.3, summed over SSRCs
	Jitter      time.Duration // RFC 3550 appendix A.8, of the present SSRC
	MaxJitter   time.Duration
	SSRC        uint32    // the present one
	SSRCs       uint32    // how many were seen
	PayloadType uint8     // of the newest packet
	First, Last time.Time // zero before the first packet
	Dropped     [DropReasons]uint64
}

// Stats are the figures of a session for its CDR.
type Stats struct {
	From      [2]Flow // by Side: what A sent, what B sent
	AnySource bool    // a source was believed without proof (SourceAny)
}
