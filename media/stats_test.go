package media

import (
	"testing"
	"time"
)

// feed counts packets with these sequence numbers, 20 ms apart.
func feed(f *flow, ssrc uint32, sequence ...uint16) {
	for _, seq := range sequence {
		now := f.last + 20*time.Millisecond
		f.rtp(header{sequence: seq, timestamp: uint32(now/time.Millisecond) * 8, ssrc: ssrc}, 172, 8000, now)
	}
}

func TestLost(t *testing.T) {
	for _, c := range []struct {
		name string
		seq  []uint16
		want uint64
	}{
		{"none", []uint16{1, 2, 3}, 0},
		{"gap", []uint16{1, 2, 5}, 2},
		{"reordered", []uint16{1, 3, 2, 4}, 0},
		{"wrap", []uint16{65534, 65535, 0, 1}, 0},
		{"gap over the wrap", []uint16{65534, 2}, 3},
		{"late over the wrap", []uint16{65534, 0, 65535, 1}, 0},
		{"duplicates do not make loss negative", []uint16{1, 1, 1, 2}, 0},
		{"one stray number is no restart", []uint16{1, 2, 40000, 3, 4}, 0},
		{"restart", []uint16{1, 2, 4, 40000, 40001, 40002, 40004}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f flow
			feed(&f, 7, c.seq...)
			if got := f.lost(); got != c.want {
				t.Errorf("lost %d, want %d", got, c.want)
			}
		})
	}
}

func TestLostSumsOverSSRCs(t *testing.T) {
	var f flow
	feed(&f, 1, 10, 12)
	feed(&f, 2, 500, 503)
	if r := f.report(time.Unix(0, 0), 8000); r.Lost != 3 || r.SSRCs != 2 || r.SSRC != 2 || r.Packets != 4 {
		t.Errorf("%+v", r)
	}
}

// RFC 3550 appendix A.8 in floating point serves as oracle.
func TestJitter(t *testing.T) {
	var f flow
	want, previous := 0.0, 0.0
	for i := range 500 {
		delay := time.Duration(i*7919%13) * time.Millisecond
		sent := time.Duration(i) * 20 * time.Millisecond
		transit := delay.Seconds() * 8000
		if i > 0 {
			d := max(transit-previous, previous-transit)
			want += (d - want) / 16
		}
		previous = transit
		f.rtp(header{sequence: uint16(i), timestamp: uint32(sent/time.Millisecond) * 8, ssrc: 1}, 172, 8000, sent+delay)
	}
	got := f.report(time.Unix(0, 0), 8000).Jitter.Seconds() * 8000
	if got < want-1 || got > want+1 {
		t.Errorf("jitter %.1f ticks, want %.1f", got, want)
	}
}

// Packets of a DTMF event repeat their timestamp.
func TestJitterIgnoresEvents(t *testing.T) {
	var f flow
	feed(&f, 1, 1, 2, 3)
	for i := range 20 {
		now := f.last + 20*time.Millisecond
		f.rtp(header{sequence: uint16(4 + i), timestamp: f.timestamp, ssrc: 1}, 16, 8000, now)
	}
	if r := f.report(time.Unix(0, 0), 8000); r.MaxJitter != 0 || r.Packets != 23 {
		t.Errorf("%+v", r)
	}
}

// A call of days neither overflows nor jumps.
func TestArrivalInDays(t *testing.T) {
	day := 24 * time.Hour
	for _, clock := range []uint32{8000, 48000, 90000} {
		if got := arrival(100*day+20*time.Millisecond, clock) - arrival(100*day, clock); got != clock/50 {
			t.Errorf("20 ms are %d ticks of %d Hz", got, clock)
		}
	}
}
