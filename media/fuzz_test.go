package media

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"
)

// Our header reader agrees with pion's on everything but padding, which pion
// leaves to the payload.
func FuzzHeader(f *testing.F) {
	f.Add(rtpPacket(1, 2, 3))
	f.Add([]byte{0x91, 0x88, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0xbe, 0xde, 0, 1, 0x10, 1, 0, 0, 9})
	f.Add([]byte{0xa0, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseRTP(b)
		if !ok {
			return
		}
		var oracle rtp.Header
		if _, err := oracle.Unmarshal(b); err != nil {
			// A broken element inside a well-sized extension is the far end's
			// business.
			return
		}
		want := header{oracle.SequenceNumber, oracle.Timestamp, oracle.SSRC, oracle.PayloadType}
		if h != want {
			t.Errorf("read %+v, pion %+v", h, want)
		}
	})
}

func FuzzState(f *testing.F) {
	full := State{Port: [2]uint16{20000, 20002}}
	for side := range full.Remote {
		full.Remote[side] = Remote{
			RTP: netip.MustParseAddrPort(phone + ":4000"), RTCP: netip.MustParseAddrPort("[2001:db8::1]:4001"),
			Mux: true, Signalling: netip.MustParseAddr(carrier), Source: SourceAny, Direction: RecvOnly, ClockRate: 48000,
		}
		full.Learned[side].RTP = netip.MustParseAddrPort(phone + ":4002")
	}
	for _, s := range []State{{}, full} {
		b, err := s.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if err := s.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, ErrState) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := s.MarshalBinary()
		if err != nil || !bytes.Equal(b, again) {
			t.Errorf("%x became %x (%v)", b, again, err)
		}
	})
}

// Rewrite then Parse must agree, whatever the body.
func FuzzSDP(f *testing.F) {
	for _, body := range sdpSamples() {
		f.Add([]byte(body))
	}
	rw := Rewriting{Local: netip.MustParseAddrPort("203.0.113.1:20000"), SessionID: 7, Version: 9}
	f.Fuzz(func(t *testing.T, body []byte) {
		before, parseErr := Parse(body)
		out, err := Rewrite(body, rw)
		if err != nil {
			if !errors.Is(err, ErrSDP) && !errors.Is(err, ErrNoAudio) {
				t.Errorf("error %v", err)
			}
			return
		}
		if parseErr != nil {
			t.Fatalf("rewritten, but not parsed: %v", parseErr)
		}
		after, err := Parse(out)
		if err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		checkRewritten(t, before, after, rw)
	})
}

// checkRewritten compares a description with its rewritten form.
func checkRewritten(t *testing.T, before, after Description, rw Rewriting) {
	t.Helper()
	was, err := before.Audio()
	if err != nil {
		t.Fatal(err)
	}
	is, err := after.Audio()
	if err != nil {
		t.Fatal(err)
	}
	if is.RTP.Port() != rw.Local.Port() {
		t.Errorf("port %d", is.RTP.Port())
	}
	if host := is.RTP.Addr(); host != rw.Local.Addr() && !(host.IsUnspecified() && host == was.RTP.Addr()) {
		t.Errorf("address %s", host)
	}
	if after.SessionID != "7" || after.Version != "9" {
		t.Errorf("origin %s %s", after.SessionID, after.Version)
	}
	if len(after.Media) != len(before.Media) {
		t.Fatalf("%d sections, were %d", len(after.Media), len(before.Media))
	}
	for i, m := range after.Media {
		if m.RTP.Port() != 0 && m.RTP != is.RTP {
			t.Errorf("section %d is not refused: %s", i, m.RTP)
		}
	}
	clean := func(m Media) Media {
		m.RTP, m.RTCP, m.Line = netip.AddrPort{}, netip.AddrPort{}, 0
		return m
	}
	if diff := cmp.Diff(clean(was), clean(is), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("stream changed: %s", diff)
	}
}
