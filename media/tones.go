package media

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// ErrDigit says that a digit cannot be sent: it is none, no telephone-event was
// agreed with the side, or too many wait.
var ErrDigit = errors.New("digit cannot be sent")

// digits are those of RFC 4733 section 3.2, by event code.
const digits = "0123456789*#ABCD"

// Bounds of digits.
const (
	// maxDigits wait at a side, to be sent or to be told: more than anybody types
	// while nothing moves.
	maxDigits = 32
	// volume of what we send, in dBm0 below zero (RFC 4733 section 2.3.3).
	volume = 10
	// endPackets repeat an event's end (RFC 4733 section 2.5.1.4).
	endPackets = 3
	// minDigit and maxDigit bound the length of a digit that we send.
	minDigit = 40 * time.Millisecond
	maxDigit = 8 * time.Second
	// eventBody is the length of an event's payload.
	eventBody = 4
)

// Digit is a key that was pressed.
type Digit struct {
	Key  byte          // one of 0-9 * # A-D
	Held time.Duration // 0: 160 ms
}

// Tones says how a side's digits travel.
type Tones struct {
	// Payload is the payload type of telephone-event that the side agreed to; 0:
	// none (type 0 is G.711).
	Payload uint8
	// Take removes the events that the side sends from the stream and raises
	// EventDigit for each: the other side wants its digits in another way.
	Take bool
}

// tones is the state of a side's digits.
type tones struct {
	Tones
	taken  []Digit // to be told
	stamp  uint32  // timestamp of the event that was told last
	told   bool    // stamp is valid
	queue  []Digit // to be sent to the side
	active sending
}

// sending is an event on its way to a side: its packets take the places of the
// other side's audio, so that sequence numbers and SSRC stay as they are, also for
// the next owner of the call.
type sending struct {
	code      byte
	begun     bool
	stamp     uint32 // timestamp of its first packet
	length    uint32 // in timestamp units
	ends      int    // end packets left
	remaining bool
}

// SetTones says how a side's digits travel, from each new SDP of that side.
func (s *Session) SetTones(side Side, t Tones) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.legs[side].tones.Tones = t
}

// SendDigit sends a digit to a side as RFC 4733 events in the place of the other
// side's audio; while none comes the digit waits. Errors are ErrDigit.
func (s *Session) SendDigit(to Side, d Digit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.legs[to].tones
	if strings.IndexByte(digits, d.Key) < 0 || t.Payload == 0 || len(t.queue) >= maxDigits {
		return ErrDigit
	}
	if d.Held == 0 {
		d.Held = 160 * time.Millisecond
	}
	d.Held = min(max(d.Held, minDigit), maxDigit)
	t.queue = append(t.queue, d)
	return nil
}

// takeDigit looks at a packet of the side and reports whether it is an event that
// is not to be relayed. An event is told once, at its first end packet.
func (t *tones) takeDigit(b []byte, h header, clock uint32) (taken, ended bool) {
	if !t.Take || t.Payload == 0 || h.payloadType != t.Payload {
		return false, false
	}
	if len(b) < rtpHeader+eventBody {
		return true, false
	}
	event := b[len(b)-eventBody:]
	if event[1]&0x80 == 0 || t.told && h.timestamp == t.stamp || int(event[0]) >= len(digits) {
		return true, false
	}
	t.stamp, t.told = h.timestamp, true
	if len(t.taken) >= maxDigits {
		return true, false
	}
	held := ticks(uint32(binary.BigEndian.Uint16(event[2:])), max(clock, 1))
	t.taken = append(t.taken, Digit{Key: digits[event[0]], Held: held})
	return true, true
}

// replace makes an event packet of an audio packet to the side, if a digit is to be
// sent. b is changed in place and cut.
func (t *tones) replace(b []byte, h header, clock uint32) []byte {
	a := &t.active
	if !a.remaining {
		if len(t.queue) == 0 {
			return b
		}
		d := t.queue[0]
		t.queue = t.queue[1:]
		*a = sending{
			code: byte(strings.IndexByte(digits, d.Key)), ends: endPackets, remaining: true,
			length: uint32(d.Held * time.Duration(max(clock, 1)) / time.Second),
		}
	}
	size := rtpHeader + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 || len(b) < size+eventBody {
		return b // an extension or next to nothing: the next packet will do
	}
	first := !a.begun
	if first {
		a.begun, a.stamp = true, h.timestamp
	}
	length := h.timestamp - a.stamp
	end := byte(0)
	if length >= a.length {
		length, end = a.length, 0x80
		a.ends--
		a.remaining = a.ends > 0
	}
	b = b[:size+eventBody]
	b[0] &^= 0x20 // no padding
	b[1] = t.Payload
	if first {
		b[1] |= 0x80 // the marker: an event begins
	}
	binary.BigEndian.PutUint32(b[4:], a.stamp)
	b[size], b[size+1] = a.code, end|volume
	binary.BigEndian.PutUint16(b[size+2:], uint16(min(length, 1<<16-1)))
	return b
}
