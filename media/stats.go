package media

import "time"

// DropReason says why a packet was not relayed.
type DropReason uint8

// The drop reasons.
const (
	DropMalformed DropReason = iota // neither RTP nor RTCP
	DropSource                      // not from the believed source
	DropNoPeer                      // the other side has no address, or is on hold
	DropOversize                    // longer than a frame: no voice
	DropSend                        // the system refused to send it
	DropCrypto                      // SRTP: not authentic, come twice, or not to be encrypted
	DropReasons                     // number of reasons
)

// String returns the reason as a metric label.
func (r DropReason) String() string {
	names := [DropReasons]string{"malformed", "source", "no_peer", "oversize", "send", "crypto"}
	if r >= DropReasons {
		return "unknown"
	}
	return names[r]
}

// Flow is what one side has sent.
type Flow struct {
	Packets      uint64              // RTP, accepted from the side
	Bytes        uint64              // of them, UDP payload
	RTCP         uint64              // RTCP packets, accepted from the side
	Relayed      uint64              // RTP and RTCP, sent on to the other side
	RelayedBytes uint64              // of them, UDP payload
	Dropped      [DropReasons]uint64 // not relayed, by DropReason
	Lost         uint64              // RFC 3550 appendix A.3, summed over SSRCs
	Jitter       time.Duration       // RFC 3550 appendix A.8, at the newest packet
	MaxJitter    time.Duration       // its highest value
	SSRC         uint32              // the present one
	SSRCs        uint32              // how many were seen
	PayloadType  uint8               // of the newest packet
	First, Last  time.Time           // RTP arrival; zero before the first packet
}

// Stats are the figures of a session for its CDR. They begin at Open or Reopen.
type Stats struct {
	From      [2]Flow // by Side: what A sent, what B sent
	AnySource bool    // a source was believed without proof (SourceAny)
}

// Limits of RFC 3550 appendix A.1 for sequence numbers.
const (
	maxDropout  = 3000 // a larger step forward is a restart, not loss
	maxMisorder = 100  // a smaller step back is reordering
)

// defaultClock is the RTP clock of G.711, G.729 and most of telephony, in Hz.
const defaultClock = 8000

// jitterScale is the fixed point of the jitter estimate (RFC 3550 appendix A.8).
const jitterScale = 16

// flow counts what one side sends. Times are since the relay's start.
type flow struct {
	counts      Flow // Lost, Jitter, MaxJitter, First and Last are made by report
	first, last time.Duration

	base, highest uint16 // of the present SSRC: first and highest sequence number
	cycles        uint32 // wraps of highest, times 65,536
	restart       uint32 // the sequence number that would confirm a restart, or none
	received      uint64 // of the present run
	lostBefore    uint64 // in earlier runs

	transit, timestamp uint32
	jitter, maxJitter  uint32 // times jitterScale, in timestamp units
}

// noRestart is a value of flow.restart that no sequence number has.
const noRestart = 1 << 16

// rtp counts an accepted RTP packet.
func (f *flow) rtp(h header, size int, clock uint32, now time.Duration) {
	c := &f.counts
	if c.Packets == 0 {
		f.first = now
	}
	if c.Packets == 0 || h.ssrc != c.SSRC {
		c.SSRC = h.ssrc
		c.SSRCs++
		f.begin(h)
		f.transit = arrival(now, clock) - h.timestamp
	} else {
		f.sequence(h)
		// Packets of one DTMF event share a timestamp (RFC 4733 section
		// 2.5.1.2); their arrival says nothing about jitter.
		if h.timestamp != f.timestamp {
			f.interarrival(arrival(now, clock) - h.timestamp)
		}
	}
	f.timestamp = h.timestamp
	f.last = now
	c.Packets++
	c.Bytes += uint64(size)
	c.PayloadType = h.payloadType
}

// begin starts a run of sequence numbers: init_seq of RFC 3550 appendix A.1.
func (f *flow) begin(h header) {
	f.lostBefore = f.lost()
	f.base, f.highest, f.cycles, f.received = h.sequence, h.sequence, 0, 1
	f.restart = noRestart
}

// sequence is update_seq of RFC 3550 appendix A.1 without its probation, which
// the latch already did. A packet far off the run does not count as received.
func (f *flow) sequence(h header) {
	step := h.sequence - f.highest
	switch {
	case step < maxDropout:
		if h.sequence < f.highest {
			f.cycles += 1 << 16
		}
		f.highest = h.sequence
	case step > 1<<16-maxMisorder: // late or twice
	case uint32(h.sequence) == f.restart:
		f.begin(h) // two in a row: the sender has restarted
		return
	default:
		f.restart = uint32(h.sequence + 1)
		return
	}
	f.received++
}

// lost is RFC 3550 appendix A.3 over all runs. Duplicates cannot make it negative.
func (f *flow) lost() uint64 {
	if f.received == 0 {
		return f.lostBefore
	}
	expected := uint64(f.cycles) + uint64(f.highest) - uint64(f.base) + 1
	return f.lostBefore + expected - min(expected, f.received)
}

// interarrival is RFC 3550 appendix A.8.
func (f *flow) interarrival(transit uint32) {
	d := int32(transit - f.transit)
	f.transit = transit
	if d < 0 {
		d = -d
	}
	f.jitter += uint32(d) - (f.jitter+jitterScale/2)/jitterScale
	f.maxJitter = max(f.maxJitter, f.jitter)
}

// report returns the counts as callers see them.
func (f *flow) report(start time.Time, clock uint32) Flow {
	c := f.counts
	c.Lost = f.lost()
	c.Jitter = ticks(f.jitter/jitterScale, clock)
	c.MaxJitter = ticks(f.maxJitter/jitterScale, clock)
	if c.Packets > 0 {
		c.First, c.Last = start.Add(f.first), start.Add(f.last)
	}
	return c
}

// arrival expresses a time in timestamp units. Whole seconds apart, since the
// product of nanoseconds and rate would overflow after some days.
func arrival(now time.Duration, clock uint32) uint32 {
	seconds, rest := uint64(now/time.Second), uint64(now%time.Second)
	return uint32(seconds*uint64(clock) + rest*uint64(clock)/uint64(time.Second))
}

// ticks expresses timestamp units as a duration.
func ticks(n, clock uint32) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(clock)
}
