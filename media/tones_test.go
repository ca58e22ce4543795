package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"
)

const eventType = 101 // payload type of telephone-event in these tests

// bareCall is a session without sockets between a phone and a carrier.
func bareCall(t *testing.T, notify func(Event)) *Session {
	t.Helper()
	s := &Session{relay: &Relay{cfg: Config{IP: netip.MustParseAddr(service)}, start: time.Now(), wake: make(chan struct{}, 1)}, notify: notify}
	for side, addr := range []string{phone + ":4000", carrier + ":5000"} {
		if err := s.SetRemote(Side(side), at(addr)); err != nil {
			t.Fatal(err)
		}
		s.SetTones(Side(side), Tones{Payload: eventType})
	}
	return s
}

// eventPacket is one packet of a digit (RFC 4733 section 2.3).
func eventPacket(seq uint16, stamp uint32, code byte, end bool, length uint16) []byte {
	b := append(rtpPacket(7, seq, stamp)[:rtpHeader], code, volume, byte(length>>8), byte(length))
	b[1] = eventType
	if end {
		b[13] |= 0x80
	}
	return b
}

var fromPhone = netip.MustParseAddrPort(phone + ":4000")

func TestDigitsAreTaken(t *testing.T) {
	var got []Digit
	s := bareCall(t, func(e Event) {
		if e.Kind == EventDigit && e.Side == A {
			got = append(got, e.Digit)
		}
	})
	s.SetTones(A, Tones{Payload: eventType, Take: true})
	seq := uint16(0)
	relayed := 0
	send := func(b []byte) {
		if _, _, out := s.route(laneOf(A, false), buffer(b), fromPhone, time.Second); out != nil {
			relayed++
		}
	}
	for _, code := range []byte{5, 5, 11, 99} { // 5, 5 again, #, and no digit at all
		stamp := uint32(seq) * 160
		for i := range uint16(4) {
			seq++
			send(eventPacket(seq, stamp, code, false, i*160))
		}
		for range endPackets {
			seq++
			send(eventPacket(seq, stamp, code, true, 800))
		}
	}
	send(eventPacket(seq+1, 1, 1, true, 0)[:rtpHeader+2]) // cut short
	s.tell()
	want := []Digit{{'5', 100 * time.Millisecond}, {'5', 100 * time.Millisecond}, {'#', 100 * time.Millisecond}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, want %v", got, want)
	}
	if relayed != 0 {
		t.Errorf("%d event packets were relayed", relayed)
	}
	if send(rtpPacket(7, seq+2, 0)); relayed != 1 {
		t.Error("audio was not relayed")
	}
}

// An event takes the place of audio: the same SSRC and sequence numbers, one
// timestamp, the marker on its first packet, three ends.
func TestDigitsAreSent(t *testing.T) {
	s := bareCall(t, nil)
	if err := s.SendDigit(B, Digit{Key: '7', Held: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	var events, ends int
	for i := range uint16(12) {
		audio := rtpPacket(7, 100+i, 5000+uint32(i)*160)
		_, _, out := s.route(laneOf(A, false), buffer(audio), fromPhone, time.Second)
		h, ok := parseRTP(out)
		if !ok || h.ssrc != 7 || h.sequence != 100+i {
			t.Fatalf("packet %d: %x", i, out)
		}
		if h.payloadType != eventType {
			if !bytes.Equal(out, audio) {
				t.Errorf("packet %d: audio was changed", i)
			}
			continue
		}
		event := out[rtpHeader:]
		if len(event) != eventBody || event[0] != 7 || h.timestamp != 5000 || (out[1]&0x80 != 0) != (events == 0) {
			t.Errorf("packet %d: %x", i, out)
		}
		events++
		if event[1]&0x80 != 0 {
			ends++
			if length := binary.BigEndian.Uint16(event[2:]); length != 800 {
				t.Errorf("the event ends after %d units, want 800", length)
			}
		}
	}
	if events != 8 || ends != endPackets { // 0, 160, 320, 480, 640, then three times 800
		t.Errorf("%d event packets, %d of them ends", events, ends)
	}
}

func TestDigitsAreBounded(t *testing.T) {
	s := bareCall(t, nil)
	for i := range maxDigits {
		if err := s.SendDigit(B, Digit{Key: '1'}); err != nil {
			t.Fatalf("digit %d: %v", i, err)
		}
	}
	for _, d := range []Digit{{Key: '1'}, {Key: 'x'}} {
		if err := s.SendDigit(B, d); !errors.Is(err, ErrDigit) {
			t.Errorf("%q: got %v, want ErrDigit", d.Key, err)
		}
	}
	s.SetTones(A, Tones{})
	if err := s.SendDigit(A, Digit{Key: '1'}); !errors.Is(err, ErrDigit) {
		t.Errorf("no telephone-event: got %v, want ErrDigit", err)
	}
}

func TestOpaqueStreamsPassUnread(t *testing.T) {
	s := bareCall(t, nil)
	fax := []byte{0, 1, 2, 3, 4} // UDPTL
	route := func(src netip.AddrPort) []byte {
		_, _, out := s.route(laneOf(A, false), buffer(fax), src, time.Second)
		return out
	}
	if out := route(fromPhone); out != nil {
		t.Error("no RTP, yet relayed")
	}
	for side, addr := range []string{phone + ":4000", carrier + ":5000"} {
		remote := at(addr)
		remote.Opaque = true
		if err := s.SetRemote(Side(side), remote); err != nil {
			t.Fatal(err)
		}
	}
	if out := route(fromPhone); !bytes.Equal(out, fax) {
		t.Errorf("got %x, want %x", out, fax)
	}
	if out := route(netip.MustParseAddrPort("203.0.113.77:4000")); out != nil {
		t.Error("a stranger's datagram was relayed")
	}
	var state State
	b, err := s.State().MarshalBinary()
	if err != nil || state.UnmarshalBinary(b) != nil || !state.Remote[A].Opaque {
		t.Errorf("got %+v, %v", state, err)
	}
}
