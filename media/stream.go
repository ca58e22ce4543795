package media

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/pion/rtp"
)

// The stream's packets: G.711 A-law (RFC 3551 section 4.5.14), 20 ms each.
const (
	streamPtime   = 20 * time.Millisecond
	streamSamples = 160
	streamPayload = 8
	// maxCatchUp is how many packets a stream that was held up sends at once;
	// what is older is not sent at all, as a real phone would not.
	maxCatchUp = 5
)

// StreamConfig describes an RTP end point.
type StreamConfig struct {
	Conn   net.PacketConn // stays open after Run, if it knows read deadlines
	Remote netip.AddrPort // where to send; zero: nowhere until SetRemote
	SSRC   uint32
}

// Stream is a minimal RTP end point for load tools: it sends a G.711 A-law tone,
// a packet each 20 ms, and counts what it receives.
type Stream struct {
	conn net.PacketConn
	ssrc uint32

	mu       sync.Mutex // guards those below; held for no I/O
	remote   netip.AddrPort
	report   StreamReport
	gap      time.Duration // longest since TakeGap
	ssrcSeen uint32
	first    uint16 // sequence number of the peer's run
	highest  uint16
	cycles   uint64
	run      uint64 // packets of the run
	before   uint64 // lost in earlier runs
}

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

// NewStream returns a stream that does nothing until Run.
func NewStream(cfg StreamConfig) *Stream {
	return &Stream{conn: cfg.Conn, ssrc: cfg.SSRC, remote: cfg.Remote}
}

// SetRemote changes where packets go; a zero address pauses sending.
func (s *Stream) SetRemote(addr netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remote = addr
}

// TakeGap returns the longest time without a packet since the last call of
// TakeGap, the time since the last packet included. Before the first packet it
// returns false.
func (s *Stream) TakeGap() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report.Received == 0 {
		return 0, false
	}
	gap := max(s.gap, time.Since(s.report.Last))
	s.gap = 0
	return gap, true
}

// Report returns the figures so far.
func (s *Stream) Report() StreamReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.report
	r.Lost = s.before + s.lost()
	return r
}

// Run sends and receives until ctx ends, and returns nil then. It may be called
// once. The read deadline of the conn is its own meanwhile.
func (s *Stream) Run(ctx context.Context) error {
	received := make(chan error, 1)
	go func() { received <- s.receive() }()
	sendErr := s.send(ctx)
	// A deadline in the past ends the receiver's blocking read; on a conn that
	// knows no deadlines only closing does.
	if err := s.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		sendErr = errors.Join(sendErr, fmt.Errorf("end receiver: %w", err), s.conn.Close())
	}
	return errors.Join(sendErr, <-received)
}

// send sends a packet each 20 ms. A packet that cannot be sent is lost, as on
// the way: the far end may be between two owners.
func (s *Stream) send(ctx context.Context) error {
	packet := rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: streamPayload, SSRC: s.ssrc, Marker: true},
		Payload: tone(),
	}
	b := make([]byte, packet.MarshalSize())
	next := time.Now().Add(streamPtime)
	ticker := time.NewTicker(streamPtime)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if late := now.Sub(next); late > maxCatchUp*streamPtime {
				next = now.Add(-maxCatchUp * streamPtime)
			}
			for ; !next.After(now); next = next.Add(streamPtime) {
				if err := s.sendOne(&packet, b); err != nil {
					return err
				}
			}
		}
	}
}

// sendOne sends a packet, if there is an address, and prepares the next.
func (s *Stream) sendOne(packet *rtp.Packet, b []byte) error {
	s.mu.Lock()
	remote := s.remote
	s.mu.Unlock()
	if !remote.IsValid() {
		return nil
	}
	n, err := packet.MarshalTo(b)
	if err != nil {
		return fmt.Errorf("marshal rtp: %w", err)
	}
	_, err = s.conn.WriteTo(b[:n], net.UDPAddrFromAddrPort(remote))
	if errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("send rtp: %w", err)
	}
	if err == nil {
		s.mu.Lock()
		s.report.Sent++
		s.mu.Unlock()
	}
	packet.SequenceNumber++
	packet.Timestamp += streamSamples
	packet.Marker = false
	return nil
}

// receive counts packets until the read deadline passes.
func (s *Stream) receive() error {
	b := make([]byte, maxPacket)
	failures := 0
	for {
		n, _, err := s.conn.ReadFrom(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			if failures++; failures == maxReadErrors || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("receive rtp: %w", err)
			}
			continue
		}
		failures = 0
		if h, ok := parseRTP(b[:n]); ok && !isRTCP(b[:n]) {
			s.count(h, time.Now())
		}
	}
}

// count notes a received packet.
func (s *Stream) count(h header, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.report
	if r.Received > 0 {
		r.LongestGap = max(r.LongestGap, now.Sub(r.Last))
		s.gap = max(s.gap, now.Sub(r.Last))
	} else {
		r.First = now
	}
	r.Last = now
	r.Received++
	step := h.sequence - s.highest
	switch {
	case s.run == 0 || h.ssrc != s.ssrcSeen:
		s.before += s.lost()
		s.ssrcSeen, s.first, s.highest, s.cycles, s.run = h.ssrc, h.sequence, h.sequence, 0, 0
	case step == 0 || step >= 1<<15:
		r.Late++
	default:
		if h.sequence < s.highest {
			s.cycles += 1 << 16
		}
		s.highest = h.sequence
	}
	s.run++
}

// lost counts what is missing in the present run.
func (s *Stream) lost() uint64 {
	if s.run == 0 {
		return 0
	}
	expected := s.cycles + uint64(s.highest) - uint64(s.first) + 1
	return expected - min(expected, s.run)
}

// tone returns 20 ms of a 400 Hz sine in A-law. A period is 20 samples, so that
// every packet is the same and they join without a click.
func tone() []byte {
	// A quarter of the sine, amplitude 8,000 of 32,767.
	quarter := [6]int{0, 2472, 4702, 6472, 7608, 8000}
	b := make([]byte, streamSamples)
	for i := range b {
		phase := i % 20
		sample := quarter[min(phase%10, 10-phase%10)]
		if phase >= 10 {
			sample = -sample
		}
		b[i] = aLaw(sample)
	}
	return b
}

// aLaw encodes a 16-bit linear sample (ITU-T G.711, table 1a).
func aLaw(sample int) byte {
	sign := byte(0x80)
	if sample < 0 {
		sign, sample = 0, -sample-1
	}
	segment := 0
	for limit := 0xff; segment < 7 && sample > limit; limit = limit<<1 | 1 {
		segment++
	}
	shift := max(segment, 1) + 3
	return (sign | byte(segment)<<4 | byte(sample>>shift)&0x0f) ^ 0x55
}
