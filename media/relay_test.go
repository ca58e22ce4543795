package media

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestConfigNamesTheKey(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "media: ip: a service address is needed, not a wildcard"},
		{Config{IP: netip.MustParseAddr("0.0.0.0")}, "media: ip: a service address is needed, not a wildcard"},
		{Config{IP: netip.MustParseAddr(service)}, "media: listen: needed"},
		{Config{IP: netip.MustParseAddr(service), Listen: newMemory().listen, Ports: PortRange{5000, 5001}},
			"media: ports: port range 5000-5001: a call needs two even ports and those above them"},
		{Config{IP: netip.MustParseAddr(service), Listen: newMemory().listen, Ports: PortRange{80, 90}},
			"media: ports: port range 80-90: ports below 1024 are not for media"},
	} {
		if _, err := New(c.cfg); err == nil || err.Error() != c.want {
			t.Errorf("error %q, want %q", err, c.want)
		}
	}
}

func TestParseSource(t *testing.T) {
	for text, want := range map[string]Source{"": SourceAuto, "auto": SourceAuto, "strict": SourceStrict, "any": SourceAny} {
		got, err := ParseSource(text)
		if err != nil || got != want || text != "" && got.String() != text {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	if _, err := ParseSource("all"); err == nil {
		t.Error("nonsense accepted")
	}
}

func TestParsePortRange(t *testing.T) {
	if r, err := ParsePortRange("20000-39999"); err != nil || r != (PortRange{20000, 39999}) || r.pairs() != 10000 {
		t.Errorf("%v %v", r, err)
	}
	for _, bad := range []string{"", "20000", "a-b", "30000-20000", "20000-70000", "1-2"} {
		if _, err := ParsePortRange(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

// Every pair is free, held or resting; a held one is never given again, and a
// freed one not before its quarantine.
func TestPortsAreNeverGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := PortRange{First: uint16(rapid.IntRange(1024, 60000).Draw(t, "first"))}
		r.Last = r.First + uint16(rapid.IntRange(4, 40).Draw(t, "size"))
		p := newPorts(r, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
		now := time.Duration(0)
		held := map[uint16]bool{}
		freed := map[uint16]time.Duration{}
		hold := func(port uint16) {
			switch {
			case held[port]:
				t.Fatalf("port %d given twice", port)
			case port%2 != 0 || port < r.First || uint32(port)+1 > uint32(r.Last):
				t.Fatalf("port %d is not a pair of %s", port, r)
			}
			held[port] = true
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				port, err := p.take(now)
				if err != nil {
					return
				}
				hold(port)
				if at, ok := freed[port]; ok && now-at < quarantine {
					t.Fatalf("port %d given %s after it was freed", port, now-at)
				}
			},
			"take exactly": func(t *rapid.T) {
				port := uint16(rapid.IntRange(int(r.First)-3, int(r.Last)+3).Draw(t, "port"))
				if err := p.takeExactly(port); err == nil {
					hold(port)
				} else if !errors.Is(err, ErrPortTaken) {
					t.Fatal(err)
				}
			},
			"release": func(t *rapid.T) {
				for port := range held {
					p.release(port, now)
					delete(held, port)
					freed[port] = now
					return
				}
			},
			"wait": func(t *rapid.T) {
				now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond
			},
			"": func(t *rapid.T) {
				if p.held != len(held) || p.held+len(p.free)+len(p.resting) != r.pairs() {
					t.Fatalf("held %d of %d, free %d, resting %d of %d pairs", p.held, len(held), len(p.free), len(p.resting), r.pairs())
				}
			},
		})
	})
}

func TestPortsRunOutAndComeBack(t *testing.T) {
	inBubble(t, func(w *world) {
		var open []*Session
		for {
			s, err := w.relay.Open(SessionConfig{})
			if errors.Is(err, ErrNoPorts) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, s)
		}
		if len(open) != 25 {
			t.Errorf("%d sessions on 50 pairs", len(open))
		}
		if got := w.relay.Totals(); got.Sessions != 25 || got.PortsInUse != 100 {
			t.Errorf("totals %+v", got)
		}
		for range 2 { // closing again does nothing
			if err := open[0].Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.relay.Open(SessionConfig{}); !errors.Is(err, ErrNoPorts) {
			t.Errorf("a freed port was given at once: %v", err)
		}
		if got := w.relay.Totals(); got.PortsInUse != 96 || got.PortsQuarantined != 4 {
			t.Errorf("totals %+v", got)
		}
		time.Sleep(quarantine)
		s := w.open(SessionConfig{})
		if got := w.relay.Totals(); got.PortsInUse != 100 || got.PortsQuarantined != 0 {
			t.Errorf("totals %+v", got)
		}
		if s.Local(A) == s.Local(B) {
			t.Error("both sides on one port")
		}
	})
}

// Ports that another program holds are passed over.
func TestOpenPassesOverBoundPorts(t *testing.T) {
	inBubble(t, func(w *world) {
		for port := uint16(20000); port < 20080; port++ {
			if port%8 == 0 {
				c, err := w.net.listen(netip.AddrPortFrom(netip.MustParseAddr(service), port))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
		}
		for range 5 {
			w.open(SessionConfig{})
		}
	})
}

func TestCloseReleasesEverything(t *testing.T) {
	inBubble(t, func(w *world) {
		s, a, _ := w.call()
		a.rtp(s.Local(A).Port(), 3)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(w.net.conns); n != 2 { // the two peers
			t.Errorf("%d conns left open", n)
		}
		if got := s.Stats().From[A].Packets; got != 3 {
			t.Errorf("stats after close: %d packets", got)
		}
		if got := w.relay.Totals(); got.Packets != 3 || got.Bytes != 516 || got.Sessions != 0 {
			t.Errorf("totals forgot a closed session: %+v", got)
		}
		if err := w.relay.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.relay.Open(SessionConfig{}); !errors.Is(err, ErrClosed) {
			t.Errorf("open after close: %v", err)
		}
	})
}

// A call moves to another relay on the same address: same ports, same peers, no
// packet in either direction goes astray.
func TestReopen(t *testing.T) {
	inBubble(t, func(w *world) {
		s, _, b := w.call()
		nat := w.peer(phone + ":4444")
		nat.rtp(s.Local(A).Port(), learnPackets)
		b.rtp(s.Local(B).Port(), learnPackets)
		encoded, err := s.State().MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if len(encoded) > 90 {
			t.Errorf("state takes %d bytes", len(encoded))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b.got()
		nat.got()
		var state State
		if err := state.UnmarshalBinary(encoded); err != nil {
			t.Fatal(err)
		}
		again, err := w.relay.Reopen(SessionConfig{}, state)
		if err != nil {
			t.Fatal(err)
		}
		if again.Local(A) != s.Local(A) || again.Local(B) != s.Local(B) || again.State() != state {
			t.Errorf("reopened as %+v, was %+v", again.State(), state)
		}
		if _, err := w.relay.Reopen(SessionConfig{}, state); !errors.Is(err, ErrPortTaken) {
			t.Errorf("reopened twice: %v", err)
		}
		nat.rtp(again.Local(A).Port(), 1)
		b.rtp(again.Local(B).Port(), 1)
		if b.got() != 1 || nat.got() != 1 {
			t.Error("media stopped")
		}
		w.peer(phone+":4445").rtp(again.Local(A).Port(), 10)
		if b.got() != 0 {
			t.Error("reopened session is not locked")
		}
	})
}

// Reopen takes both ports or none, and refuses what is not its own.
func TestReopenAllOrNothing(t *testing.T) {
	inBubble(t, func(w *world) {
		s := w.open(SessionConfig{})
		held := s.State().Port[A]
		free := uint16(20000)
		for free == held || free == s.State().Port[B] {
			free += 2
		}
		for _, ports := range [][2]uint16{{free, held}, {held, free}, {free, free}, {free, free + 1}, {free, 19998}, {20100, free}, {}} {
			if _, err := w.relay.Reopen(SessionConfig{}, State{Port: ports}); !errors.Is(err, ErrPortTaken) {
				t.Errorf("%v: %v", ports, err)
			}
			time.Sleep(quarantine)
			if got := w.relay.Totals(); got.PortsInUse != 4 || got.PortsQuarantined != 0 {
				t.Fatalf("%v: totals %+v", ports, got)
			}
		}
		stored := State{Port: [2]uint16{free, free}}
		stored.Port[B] += 2
		for stored.Port[B] == held || stored.Port[B] == s.State().Port[B] {
			stored.Port[B] += 2
		}
		stored.Remote[A] = at("127.0.0.1:4000").normal() // forbidden since it was stored
		if _, err := w.relay.Reopen(SessionConfig{}, stored); !errors.Is(err, ErrDestination) {
			t.Errorf("forbidden remote: %v", err)
		}
		stored.Remote[A] = Remote{}
		if _, err := w.relay.Reopen(SessionConfig{}, stored); err != nil {
			t.Errorf("the quarantine is for others: %v", err)
		}
	})
}

func TestStateErrors(t *testing.T) {
	good, err := State{}.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string][]byte{"empty": nil, "longer": append(slices.Clone(good), 0)}
	for i := range good {
		bad["cut at "+strconv.Itoa(i)] = good[:i]
	}
	for name, at := range map[string]int{"version": 0, "mux": 3, "source": 4, "direction": 5, "address": 10} {
		b := slices.Clone(good)
		b[at] = 9
		bad[name] = b
	}
	for name, b := range bad {
		state := State{Port: [2]uint16{1, 2}}
		if err := state.UnmarshalBinary(b); !errors.Is(err, ErrState) || state.Port != [2]uint16{1, 2} {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSilence(t *testing.T) {
	inBubble(t, func(w *world) {
		var events recorder
		s := w.open(SessionConfig{Timeout: Timeout{Alarm: 5 * time.Second, End: 10 * time.Second}, Notify: events.notify})
		w.setRemote(s, A, at(phone+":4000"))
		time.Sleep(time.Minute)
		events.expect(w.T) // B is not there yet
		w.setRemote(s, B, at(carrier+":5000"))
		a, b := w.peer(phone+":4000"), w.peer(carrier+":5000")
		a.rtp(s.Local(A).Port(), learnPackets)
		b.rtp(s.Local(B).Port(), learnPackets)
		events.expect(w.T, Event{Kind: EventLearned, Side: A}, Event{Kind: EventLearned, Side: B})
		for range 60 {
			a.rtp(s.Local(A).Port(), 1)
			time.Sleep(100 * time.Millisecond)
		}
		events.expect(w.T, Event{Kind: EventSilent, Side: B})
		for range 60 {
			a.rtp(s.Local(A).Port(), 1)
			time.Sleep(100 * time.Millisecond)
		}
		events.expect(w.T, Event{Kind: EventTimeout, Side: B})
		b.rtp(s.Local(B).Port(), 1) // it comes back, and stops again
		time.Sleep(7 * time.Second)
		events.expect(w.T, Event{Kind: EventSilent, Side: A}, Event{Kind: EventSilent, Side: B})
		held := at(phone + ":4000")
		held.Direction = SendOnly
		w.setRemote(s, A, held)
		time.Sleep(time.Hour)
		events.expect(w.T)
		w.setRemote(s, A, at(phone+":4000"))
		time.Sleep(4 * time.Second)
		events.expect(w.T)
		time.Sleep(8 * time.Second)
		events.expect(w.T, Event{Kind: EventSilent, Side: A}, Event{Kind: EventSilent, Side: B}, Event{Kind: EventTimeout, Side: A}, Event{Kind: EventTimeout, Side: B})
	})
}

// The alarm is at 60 s and nothing ends a call, unless configured. The owner may
// close a session from Notify.
func TestSilenceDefaults(t *testing.T) {
	inBubble(t, func(w *world) {
		var events recorder
		var opened atomic.Pointer[Session]
		s := w.open(SessionConfig{Notify: func(e Event) {
			events.notify(e)
			if e.Side == B {
				if err := opened.Load().Close(); err != nil {
					w.Error(err)
				}
			}
		}})
		opened.Store(s)
		w.setRemote(s, A, at(phone+":4000"))
		w.setRemote(s, B, at(carrier+":5000"))
		time.Sleep(59 * time.Second)
		events.expect(w.T)
		time.Sleep(2 * time.Second)
		events.expect(w.T, Event{Kind: EventSilent, Side: A}, Event{Kind: EventSilent, Side: B})
		if got := w.relay.Totals().Sessions; got != 0 {
			t.Errorf("%d sessions open", got)
		}
		time.Sleep(time.Hour)
		events.expect(w.T)
	})
}

func TestDestinationPolicy(t *testing.T) {
	inBubble(t, func(w *world) {
		s, _, _ := w.call()
		before := s.State()
		for _, bad := range []string{
			"127.0.0.1:4000", "224.0.0.1:4000", "255.255.255.255:4000", "0.1.2.3:4000", "169.254.0.1:4000",
			phone + ":1023", phone + ":53", phone + ":0", "192.0.2.7:4000", service + ":20004",
			"[2001:db8::1]:4000", "[::1]:4000",
		} {
			addr := netip.MustParseAddrPort(bad)
			if err := s.SetRemote(A, Remote{RTP: addr, Signalling: addr.Addr()}); !errors.Is(err, ErrDestination) {
				t.Errorf("%s: %v", bad, err)
			}
			rtcp := Remote{RTP: netip.MustParseAddrPort(phone + ":4000"), RTCP: addr}
			if err := s.SetRemote(A, rtcp); !errors.Is(err, ErrDestination) {
				t.Errorf("rtcp to %s: %v", bad, err)
			}
			if err := w.relay.Check(addr); !errors.Is(err, ErrDestination) {
				t.Errorf("check %s: %v", bad, err)
			}
		}
		rtcp := at(phone + ":4000")
		rtcp.RTCP = netip.MustParseAddrPort("0.0.0.0:4001") // the kernel would send it to itself
		if err := s.SetRemote(A, rtcp); !errors.Is(err, ErrDestination) {
			t.Errorf("rtcp to the unspecified address: %v", err)
		}
		// A private address behind NAT is never sent to; its signalling IP is.
		natted := Remote{RTP: netip.MustParseAddrPort("10.0.0.5:4000"), Signalling: netip.MustParseAddr("192.0.2.7")}
		if err := s.SetRemote(A, natted); !errors.Is(err, ErrDestination) {
			t.Errorf("signalling IP in a denied network: %v", err)
		}
		if s.State() != before {
			t.Error("a refused remote changed the session")
		}
		for _, good := range []string{phone + ":1024", "10.9.9.9:4000", service + ":5060", "0.0.0.0:9"} {
			if err := w.relay.Check(netip.MustParseAddrPort(good)); err != nil {
				t.Errorf("%s: %v", good, err)
			}
		}
	})
	loop := &Relay{cfg: Config{IP: netip.MustParseAddr("127.0.0.11"), Ports: PortRange{20000, 39999}}}
	if err := loop.Check(netip.MustParseAddrPort("127.0.0.1:6000")); err != nil {
		t.Errorf("a service address on loopback must reach loopback: %v", err)
	}
}
