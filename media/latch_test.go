package media

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestRelayBothWays(t *testing.T) {
	inBubble(t, func(w *world) {
		s, a, b := w.call()
		a.rtp(s.Local(A).Port(), 10)
		b.rtp(s.Local(B).Port(), 7)
		if got := b.got(); got != 10 {
			t.Errorf("B got %d packets, want 10", got)
		}
		if got := a.got(); got != 7 {
			t.Errorf("A got %d packets, want 7", got)
		}
		stats := s.Stats()
		if f := stats.From[A]; f.Packets != 10 || f.Bytes != 1720 || f.Relayed != 10 || f.Lost != 0 || f.SSRC != 1 {
			t.Errorf("from A: %+v", f)
		}
	})
}

// A source is locked by five packets of one SSRC; until then media goes to the
// SDP's address.
func TestLearnPortBehindNAT(t *testing.T) {
	inBubble(t, func(w *world) {
		var events recorder
		s := w.open(SessionConfig{Notify: events.notify})
		public, carrierEnd := w.peer(phone+":61000"), w.peer(carrier+":5000")
		sdp := w.peer(phone + ":4000") // where the SDP says, but nobody is behind the NAT
		w.setRemote(s, A, Remote{RTP: netip.MustParseAddrPort("10.0.0.5:4000"), Signalling: netip.MustParseAddr(phone)})
		w.setRemote(s, B, at(carrier+":5000"))

		carrierEnd.rtp(s.Local(B).Port(), 1)
		if sdp.got() != 1 {
			t.Error("before learning, media must go to the signalling IP and the SDP's port")
		}
		public.rtp(s.Local(A).Port(), learnPackets-1)
		if s.State().Learned[A].RTP.IsValid() {
			t.Error("locked too early")
		}
		public.rtp(s.Local(A).Port(), 1)
		if got := s.State().Learned[A].RTP; got != public.addr() {
			t.Errorf("locked %s, want %s", got, public.addr())
		}
		events.expect(w.T, Event{Kind: EventLearned, Side: A})
		carrierEnd.rtp(s.Local(B).Port(), 3)
		if got := public.got(); got != 3 {
			t.Errorf("learned source got %d packets, want 3", got)
		}
		if got := carrierEnd.got(); got != learnPackets {
			t.Errorf("carrier got %d packets, want all %d, also those that teach", got, learnPackets)
		}
	})
}

// Who may be learned, by rule (decisions, "Media sources").
func TestSourceRules(t *testing.T) {
	for _, c := range []struct {
		rule             Source
		sdp, signalling  string
		from             string
		relayed, learned bool
	}{
		{SourceAuto, phone + ":4000", phone, phone + ":4000", true, true},
		{SourceAuto, phone + ":4000", phone, phone + ":4999", true, true},
		{SourceAuto, phone + ":4000", phone, rogue + ":4000", false, false},
		{SourceAuto, phone + ":4000", carrier, phone + ":4999", true, true},     // public: the SDP's IP
		{SourceAuto, phone + ":4000", carrier, carrier + ":4000", false, false}, // and no other
		{SourceAuto, "10.0.0.5:4000", phone, phone + ":4999", true, true},       // private: the signalling IP
		{SourceAuto, "100.64.0.5:4000", phone, phone + ":4999", true, true},     // RFC 6598 too
		{SourceAuto, "10.0.0.5:4000", phone, "10.0.0.5:4000", false, false},     // and no other
		{SourceAuto, "10.0.0.5:4000", "10.0.0.5", "10.0.0.5:4999", true, true},  // private, but no NAT
		{SourceStrict, phone + ":4000", phone, phone + ":4000", true, true},
		{SourceStrict, phone + ":4000", phone, phone + ":4001", false, true},
		{SourceStrict, phone + ":4000", phone, rogue + ":4000", false, true},
		{SourceAny, phone + ":4000", phone, rogue + ":4999", true, true},
	} {
		t.Run(fmt.Sprintf("%s %s %s from %s", c.rule, c.sdp, c.signalling, c.from), func(t *testing.T) {
			inBubble(t, func(w *world) {
				s := w.open(SessionConfig{})
				from, far := w.peer(c.from), w.peer("198.51.100.9:5000")
				remote := Remote{RTP: netip.MustParseAddrPort(c.sdp), Signalling: netip.MustParseAddr(c.signalling), Source: c.rule}
				w.setRemote(s, A, remote)
				w.setRemote(s, B, at("198.51.100.9:5000"))
				from.rtp(s.Local(A).Port(), learnPackets)
				want := 0
				if c.relayed {
					want = learnPackets
				}
				if got := far.got(); got != want {
					t.Errorf("relayed %d packets, want %d", got, want)
				}
				if got := s.Stats().From[A].Dropped[DropSource]; got != uint64(learnPackets-want) {
					t.Errorf("%d packets counted as wrong source", got)
				}
				if got := s.State().Learned[A].RTP.IsValid(); got != c.learned {
					t.Errorf("locked: %v", got)
				}
				if got := s.Stats().AnySource; got != (c.rule == SourceAny) {
					t.Errorf("any source: %v", got)
				}
			})
		})
	}
}

// 10,000 packets with the right port and a wrong source: none passes, and none
// turns the media away.
func TestInjectionAfterLock(t *testing.T) {
	for _, rule := range []Source{SourceAuto, SourceStrict, SourceAny} {
		t.Run(rule.String(), func(t *testing.T) {
			inBubble(t, func(w *world) {
				s, a, b := w.call()
				remote := at(phone + ":4000")
				remote.Source = rule
				w.setRemote(s, A, remote)
				a.rtp(s.Local(A).Port(), learnPackets)
				b.got()
				elsewhere, sameIP := w.peer(rogue+":4000"), w.peer(phone+":4002")
				const injected = 10_000
				for i := range injected / 100 {
					elsewhere.rtp(s.Local(A).Port(), 50)
					sameIP.rtp(s.Local(A).Port(), 50)
					if i%10 == 0 {
						a.rtp(s.Local(A).Port(), 1)
						time.Sleep(20 * time.Millisecond)
					}
				}
				if got := b.got(); got != injected/1000 {
					t.Errorf("B got %d packets, want only A's %d", got, injected/1000)
				}
				if got := s.Stats().From[A].Dropped[DropSource]; got != injected {
					t.Errorf("%d dropped, want %d", got, injected)
				}
				b.rtp(s.Local(B).Port(), 100)
				if a.got() != 100 || elsewhere.got() != 0 || sameIP.got() != 0 {
					t.Error("media was turned away from A")
				}
			})
		})
	}
}

// An attacker sprays packets on all ports while calls are set up and talk, some
// behind NAT: none of his packets is relayed, and none is sent to him.
func TestSpray(t *testing.T) {
	inBubble(t, func(w *world) {
		attacker := w.peer(rogue + ":4000")
		far := w.peer(carrier + ":5000")
		spray := func(sessions []*Session) {
			for _, s := range sessions {
				for port := range uint16(2) {
					attacker.rtp(s.Local(A).Port()+port, 2)
					attacker.rtp(s.Local(B).Port()+port, 2)
					attacker.raw(s.Local(A).Port()+port, rtcpPacket(1))
				}
			}
		}
		var sessions []*Session
		for i := range 10 {
			s := w.open(SessionConfig{})
			sessions = append(sessions, s)
			spray(sessions)
			private := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.5"), uint16(4000+i))
			w.setRemote(s, A, Remote{RTP: private, Signalling: netip.MustParseAddr(phone)})
			spray(sessions)
			w.setRemote(s, B, at(carrier+":5000"))
			spray(sessions)
			nat := w.peer(fmt.Sprintf("%s:%d", phone, 61000+i))
			for range learnPackets {
				nat.rtp(s.Local(A).Port(), 1)
				attacker.rtp(s.Local(A).Port(), 1)
			}
			far.rtp(s.Local(B).Port(), 1)
			if nat.got() != 1 {
				t.Error("the right end was not learned")
			}
		}
		spray(sessions)
		if got := far.got(); got != 10*learnPackets {
			t.Errorf("%d packets relayed, want only the %d right ones", got, 10*learnPackets)
		}
		if got := attacker.got(); got != 0 {
			t.Errorf("%d packets sent to the attacker", got)
		}
	})
}

// A rival who mixes in packets while a source is learned neither keeps it from
// being locked nor is locked himself.
func TestRivalWhileLearning(t *testing.T) {
	inBubble(t, func(w *world) {
		s, a, b := w.call()
		rival := w.peer(phone + ":4999")
		for range learnPackets {
			a.rtp(s.Local(A).Port(), 1)
			rival.rtp(s.Local(A).Port(), 20)
		}
		if got := s.State().Learned[A].RTP; got != a.addr() {
			t.Errorf("locked %s, want %s", got, a.addr())
		}
		if got := b.got(); got != learnPackets {
			t.Errorf("B got %d packets, want %d", got, learnPackets)
		}
	})
}

// After 2 s of silence another port of the same IP may take over; another IP
// never.
func TestRelearnAfterSilence(t *testing.T) {
	inBubble(t, func(w *world) {
		s, a, b := w.call()
		a.rtp(s.Local(A).Port(), learnPackets)
		moved, elsewhere := w.peer(phone+":4888"), w.peer(rogue+":4000")
		time.Sleep(relearnAfter - time.Millisecond)
		moved.rtp(s.Local(A).Port(), 10)
		if got := s.State().Learned[A].RTP; got != a.addr() {
			t.Fatalf("moved to %s too early", got)
		}
		b.got()
		time.Sleep(time.Millisecond)
		elsewhere.rtp(s.Local(A).Port(), 10)
		if got := b.got(); got != 0 {
			t.Errorf("%d packets of another IP passed", got)
		}
		moved.rtp(s.Local(A).Port(), learnPackets)
		if got := s.State().Learned[A].RTP; got != moved.addr() {
			t.Errorf("locked %s, want %s", got, moved.addr())
		}
		if got := b.got(); got != learnPackets {
			t.Errorf("B got %d, want %d", got, learnPackets)
		}
	})
}

// A strict source stays as the SDP says, however silent.
func TestStrictNeverMoves(t *testing.T) {
	inBubble(t, func(w *world) {
		s, _, b := w.call()
		remote := at(phone + ":4000")
		remote.Source = SourceStrict
		w.setRemote(s, A, remote)
		time.Sleep(time.Minute)
		w.peer(phone+":4001").rtp(s.Local(A).Port(), 10)
		if got := b.got(); got != 0 {
			t.Errorf("%d packets passed", got)
		}
	})
}

// A new SDP unlocks; the same one again does not.
func TestNewDescriptionUnlocks(t *testing.T) {
	inBubble(t, func(w *world) {
		s, a, b := w.call()
		a.rtp(s.Local(A).Port(), learnPackets)
		w.setRemote(s, A, at(phone+":4000"))
		if !s.State().Learned[A].RTP.IsValid() {
			t.Error("an unchanged SDP unlocked")
		}
		w.setRemote(s, A, at(rogue+":4444"))
		if s.State().Learned[A].RTP.IsValid() {
			t.Error("a new SDP did not unlock")
		}
		a.rtp(s.Local(A).Port(), 1)
		moved := w.peer(rogue + ":4444")
		moved.rtp(s.Local(A).Port(), learnPackets)
		if got := b.got(); got != 2*learnPackets {
			t.Errorf("B got %d packets, want %d", got, 2*learnPackets)
		}
		b.rtp(s.Local(B).Port(), 1)
		if moved.got() != 1 || a.got() != 0 {
			t.Error("media did not follow the new SDP")
		}
	})
}

func TestHoldKeepsLockAndStopsSending(t *testing.T) {
	inBubble(t, func(w *world) {
		s, a, b := w.call()
		a.rtp(s.Local(A).Port(), learnPackets)
		hold := at(phone + ":4000")
		hold.RTP = netip.MustParseAddrPort("0.0.0.0:4000")
		w.setRemote(s, A, hold)
		b.rtp(s.Local(B).Port(), 3)
		if a.got() != 0 {
			t.Error("media sent to a held side")
		}
		if got := s.Stats().From[B].Dropped[DropNoPeer]; got != 3 {
			t.Errorf("%d dropped, want 3", got)
		}
		b.got()
		a.rtp(s.Local(A).Port(), 2) // music on hold
		if b.got() != 2 {
			t.Error("the holder's own media must pass")
		}
		w.setRemote(s, A, at(phone+":4000"))
		b.rtp(s.Local(B).Port(), 3)
		if a.got() != 3 || !s.State().Learned[A].RTP.IsValid() {
			t.Error("resume lost the locked source")
		}
	})
}

func TestRTCP(t *testing.T) {
	inBubble(t, func(w *world) {
		s, a, b := w.call()
		aReports, bReports := w.peer(phone+":4001"), w.peer(carrier+":5001")
		aReports.raw(s.Local(A).Port()+1, rtcpPacket(1))
		if bReports.got() != 1 {
			t.Error("rtcp must go to the port above rtp")
		}
		w.peer(rogue+":4001").raw(s.Local(A).Port()+1, rtcpPacket(1))
		if bReports.got() != 0 {
			t.Error("rtcp of a wrong source passed")
		}
		a.raw(s.Local(A).Port()+1, rtpPacket(1, 1, 1))
		if b.got() != 0 || bReports.got() != 0 {
			t.Error("rtp on the rtcp port passed")
		}
		named := at(carrier + ":5000")
		named.RTCP = netip.MustParseAddrPort(carrier + ":7777")
		w.setRemote(s, B, named)
		elsewhere := w.peer(carrier + ":7777")
		aReports.raw(s.Local(A).Port()+1, rtcpPacket(1))
		if elsewhere.got() != 1 {
			t.Error("a=rtcp not followed")
		}
		muxA, muxB := at(phone+":4000"), at(carrier+":5000")
		muxA.Mux, muxB.Mux = true, true
		w.setRemote(s, A, muxA)
		w.setRemote(s, B, muxB)
		a.raw(s.Local(A).Port(), rtcpPacket(1))
		if b.got() != 1 {
			t.Error("rtcp-mux not followed")
		}
		muxB.Mux = false
		w.setRemote(s, B, muxB)
		a.raw(s.Local(A).Port(), rtcpPacket(1))
		if b.got() != 0 || bReports.got() != 1 {
			t.Error("rtcp-mux used although one side lacks it")
		}
	})
}

// The warning about SourceAny comes once for a call.
func TestAnySourceWarnsOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		var events recorder
		s := w.open(SessionConfig{Notify: events.notify})
		for i := range 2 {
			remote := at(fmt.Sprintf("%s:%d", phone, 4000+i))
			remote.Source = SourceAny
			w.setRemote(s, A, remote)
			w.peer(fmt.Sprintf("%s:%d", rogue, 4000+i)).rtp(s.Local(A).Port(), 1)
		}
		events.expect(w.T, Event{Kind: EventLearned, Side: A}, Event{Kind: EventAnySource, Side: A}, Event{Kind: EventLearned, Side: A})
	})
}

// With SourceAny, RTCP is believed only from where the RTP came.
func TestAnySourceRTCPFollows(t *testing.T) {
	inBubble(t, func(w *world) {
		s := w.open(SessionConfig{})
		remote := at(phone + ":4000")
		remote.Source = SourceAny
		w.setRemote(s, A, remote)
		w.setRemote(s, B, at(carrier+":5000"))
		reports := w.peer(carrier + ":5001")
		w.peer(rogue+":4001").raw(s.Local(A).Port()+1, rtcpPacket(1))
		if reports.got() != 0 {
			t.Error("rtcp of a stranger passed")
		}
		real := w.peer("198.51.100.7:4000")
		real.rtp(s.Local(A).Port(), 1)
		w.peer("198.51.100.7:4001").raw(s.Local(A).Port()+1, rtcpPacket(1))
		if reports.got() != 1 {
			t.Error("rtcp did not follow rtp")
		}
	})
}

func TestGarbage(t *testing.T) {
	inBubble(t, func(w *world) {
		s, a, b := w.call()
		port := s.Local(A).Port()
		long := append(rtpPacket(1, 1, 1), make([]byte, maxPacket)...)
		extended := rtpPacket(1, 1, 1)
		extended[0] |= 0x10
		extended[14], extended[15] = 0xff, 0xff // extension longer than the packet
		for _, b := range [][]byte{{}, {0x80}, make([]byte, 11), make([]byte, 172), []byte("OPTIONS sip:x SIP/2.0\r\n\r\n"), {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, extended} {
			a.raw(port, b)
		}
		a.raw(port, long)
		if got := b.got(); got != 0 {
			t.Errorf("%d packets of garbage passed", got)
		}
		f := s.Stats().From[A]
		if f.Dropped[DropMalformed] != 7 || f.Dropped[DropOversize] != 1 {
			t.Errorf("dropped %v", f.Dropped)
		}
	})
}
