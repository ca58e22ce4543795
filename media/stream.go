package media

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// StreamConfig describes an RTP end point.
type StreamConfig struct {
	Conn   net.PacketConn // not closed by the stream
	Remote netip.AddrPort // where to send; zero: nowhere until SetRemote
	SSRC   uint32
}

// Stream is a minimal RTP end point for load tools: it sends a G.711 A-law tone,
// a packet each 20 ms, and counts what it receives.
type Stream struct{}

// NewStream returns a stream that does nothing until Run.
func NewStream(cfg StreamConfig) *Stream { return &Stream{} }

// SetRemote changes where packets go; a zero address pauses sending.
func (s *Stream) SetRemote(addr netip.AddrPort) {}

// Run sends and receives until ctx ends, and returns nil then.
func (s *Stream) Run(ctx context.Context) error { return nil }

// Report returns the figures so far.
func (s *Stream) Report() StreamReport { return StreamReport{} }

// StreamReport counts one stream's packets.
type StreamReport struct {
	Sent       uint64
	Received   uint64
	Lost       uint64        // sequence numbers that never came
	Late       uint64        // came after a later one, or twice
	LongestGap time.Duration // between two received packets
	First      time.Time     // first received packet
	Last       time.Time     // newest received packet
}
