package media

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// loopback is a relay on real sockets of 127.0.0.1.
func loopback(tb testing.TB, ports PortRange, wrap func(*net.UDPConn) net.PacketConn) *Relay {
	tb.Helper()
	r, err := New(Config{
		IP: netip.MustParseAddr("127.0.0.1"), Ports: ports,
		Listen: func(addr netip.AddrPort) (net.PacketConn, error) {
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
			if err != nil {
				return nil, err
			}
			return wrap(c), nil
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// The two ways to serve a system socket. Hidden in another type it goes to the
// plain engine.
func asIs(c *net.UDPConn) net.PacketConn   { return c }
func hidden(c *net.UDPConn) net.PacketConn { return struct{ addrPortPacketConn }{c} }

type addrPortPacketConn interface {
	net.PacketConn
	addrPortConn
}

// end is a far end on a real socket.
func end(tb testing.TB) *net.UDPConn {
	tb.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			tb.Error(err)
		}
	})
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort {
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// realCall opens a session between two real sockets.
func realCall(tb testing.TB, r *Relay) (s *Session, a, b *net.UDPConn) {
	tb.Helper()
	s, err := r.Open(SessionConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	a, b = end(tb), end(tb)
	for side, c := range []*net.UDPConn{a, b} {
		addr := addrOf(c)
		if err := s.SetRemote(Side(side), Remote{RTP: addr, Signalling: addr.Addr()}); err != nil {
			tb.Fatal(err)
		}
	}
	return s, a, b
}

// exchange sends n packets from one end to the other through the relay, one
// after the other.
func exchange(tb testing.TB, s *Session, side Side, from, to *net.UDPConn, n int) {
	tb.Helper()
	b := make([]byte, 2048)
	packet := rtpPacket(1, 1, 160)
	dst := s.Local(side)
	if err := to.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	for range n {
		if _, err := from.WriteToUDPAddrPort(packet, dst); err != nil {
			tb.Fatal(err)
		}
		got, src, err := to.ReadFromUDPAddrPort(b)
		if err != nil {
			tb.Fatal(err)
		}
		if got != len(packet) || src != s.Local(side.Other()) {
			tb.Fatalf("got %d bytes from %s", got, src)
		}
	}
}

func TestEnginesOnLoopback(t *testing.T) {
	for name, wrap := range map[string]func(*net.UDPConn) net.PacketConn{"epoll": asIs, "plain": hidden} {
		t.Run(name, func(t *testing.T) {
			r := loopback(t, PortRange{21000, 21999}, wrap)
			var calls sync.WaitGroup
			for range 20 {
				s, a, b := realCall(t, r)
				calls.Go(func() {
					exchange(t, s, A, a, b, 50)
					exchange(t, s, B, b, a, 50)
					stranger := end(t)
					if _, err := stranger.WriteToUDPAddrPort(rtpPacket(9, 9, 9), s.Local(A)); err != nil {
						t.Error(err)
					}
					if _, err := a.WriteToUDPAddrPort(make([]byte, 3000), s.Local(A)); err != nil {
						t.Error(err)
					}
					exchange(t, s, A, a, b, 1) // in order behind the two
					f := s.Stats().From[A]
					if f.Relayed != 51 || f.Dropped[DropSource] != 1 || f.Dropped[DropOversize] != 1 {
						t.Errorf("%+v", f)
					}
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			calls.Wait()
			if got := r.Totals(); got.Packets != 20*101 || got.Sessions != 0 {
				t.Errorf("totals %+v", got)
			}
		})
	}
}

// A packet that the system refuses to send is counted as such, not as relayed.
func TestUnsent(t *testing.T) {
	for name, wrap := range map[string]func(*net.UDPConn) net.PacketConn{"epoll": asIs, "plain": hidden} {
		t.Run(name, func(t *testing.T) {
			r := loopback(t, PortRange{27000, 27099}, wrap)
			s, a, _ := realCall(t, r)
			// From a socket bound to loopback nothing goes out to the network.
			if err := s.SetRemote(B, at(carrier+":5000")); err != nil {
				t.Fatal(err)
			}
			if _, err := a.WriteToUDPAddrPort(rtpPacket(1, 1, 1), s.Local(A)); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(10 * time.Second)
			for s.Stats().From[A].Dropped[DropSend] == 0 && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
			if f := s.Stats().From[A]; f.Packets != 1 || f.Relayed != 0 || f.RelayedBytes != 0 || f.Dropped[DropSend] != 1 {
				t.Errorf("%+v", f)
			}
		})
	}
}

// A conn that only fails is given up; it must not spin.
func TestBrokenConn(t *testing.T) {
	inBubble(t, func(w *world) {
		s, a, b := w.call()
		if err := w.net.conns[s.Local(A)].SetReadDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		b.rtp(s.Local(B).Port(), 1) // returns when nothing is left to do
		if a.got() != 1 {
			t.Error("the other direction stopped")
		}
	})
}

// Sessions come and go while others carry media; no packet strays.
func TestEpollChurn(t *testing.T) {
	r := loopback(t, PortRange{22000, 22399}, asIs)
	steady, a, b := realCall(t, r)
	var churn sync.WaitGroup
	for range 4 {
		churn.Go(func() {
			for range 20 {
				s, err := r.Open(SessionConfig{})
				if errors.Is(err, ErrNoPorts) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	exchange(t, steady, A, a, b, 1000)
	churn.Wait()
	if f := steady.Stats().From[A]; f.Relayed != 1000 {
		t.Errorf("%+v", f)
	}
}

func TestOpenWhileClosing(t *testing.T) {
	r := loopback(t, PortRange{22400, 22799}, asIs)
	var opening sync.WaitGroup
	for range 4 {
		opening.Go(func() {
			for {
				if _, err := r.Open(SessionConfig{}); err != nil {
					if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNoPorts) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	opening.Wait()
	if got := r.Totals(); got.Sessions != 0 || got.PortsInUse != 0 {
		t.Errorf("totals %+v", got)
	}
}

// Two streams talk through the relay in virtual time.
func TestStreamsThroughRelay(t *testing.T) {
	inBubble(t, func(w *world) {
		s := w.open(SessionConfig{})
		w.setRemote(s, A, at(phone+":4000"))
		w.setRemote(s, B, at(carrier+":5000"))
		ends := [2]*peer{w.peer(phone + ":4000"), w.peer(carrier + ":5000")}
		var streams [2]*Stream
		ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		var running sync.WaitGroup
		for i, e := range ends {
			streams[i] = NewStream(StreamConfig{Conn: e.conn, Remote: s.Local(Side(i)), SSRC: uint32(i + 1)})
			running.Go(func() {
				if err := streams[i].Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(2*time.Second + 10*time.Millisecond) // between two packets
		streams[A].SetRemote(netip.AddrPort{})          // A falls silent for a second
		time.Sleep(time.Second)
		streams[A].SetRemote(s.Local(A))
		running.Wait()
		if got := streams[B].Report(); got.Received != 450 || got.Lost != 0 || got.Late != 0 || got.LongestGap != 1020*time.Millisecond {
			t.Errorf("B heard %+v", got)
		}
		if got := streams[A].Report(); got.Sent != 450 || got.Received != 500 || got.LongestGap != 20*time.Millisecond {
			t.Errorf("A heard %+v", got)
		}
		if f := s.Stats().From[B]; f.Packets != 500 || f.Jitter != 0 || f.PayloadType != 8 {
			t.Errorf("from B: %+v", f)
		}
		synctest.Wait()
	})
}

func TestStreamCountsLoss(t *testing.T) {
	s := NewStream(StreamConfig{})
	now := time.Unix(0, 0)
	for _, seq := range []uint16{65533, 65535, 0, 3, 2, 3} {
		s.count(header{sequence: seq, ssrc: 1}, now)
	}
	s.count(header{sequence: 9, ssrc: 2}, now.Add(time.Second))
	if got := s.Report(); got.Received != 7 || got.Lost != 1 || got.Late != 2 || got.LongestGap != time.Second {
		t.Errorf("%+v", got)
	}
}

// The values of ITU-T G.711, table 1a, at the segments' ends.
func TestALaw(t *testing.T) {
	for sample, want := range map[int]byte{
		0: 0xd5, -1: 0x55, 255: 0xda, 256: 0xc5, 511: 0xca, 512: 0xf5, 1024: 0xe5, 32767: 0xaa, -32768: 0x2a,
	} {
		if got := aLaw(sample); got != want {
			t.Errorf("%d is %#x, want %#x", sample, got, want)
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	s := &Session{relay: &Relay{cfg: Config{IP: netip.MustParseAddr(service)}, start: time.Now()}}
	for side, addr := range []string{phone + ":4000", carrier + ":5000"} {
		if err := s.SetRemote(Side(side), at(addr)); err != nil {
			b.Fatal(err)
		}
	}
	packet, src := rtpPacket(1, 1, 1), netip.MustParseAddrPort(phone+":4000")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, sent := s.route(0, packet, src, time.Second); sent == nil {
			b.Fatal("dropped")
		}
	}
}

// BenchmarkRelay sends 200 calls' packets in one direction, evenly spread as
// those of real calls are, and reports the processor time for each packet. Its
// price is the difference to "direct", where the far ends talk without a relay.
func BenchmarkRelay(b *testing.B) {
	for _, c := range []struct {
		name string
		wrap func(*net.UDPConn) net.PacketConn
	}{{"direct", hidden}, {"plain", hidden}, {"epoll", asIs}} {
		b.Run(c.name, func(b *testing.B) {
			const calls, each, delay = 200, 10, 100 // a packet of each call in 20 ms
			r := loopback(b, PortRange{23000, 23999}, c.wrap)
			var to [calls]netip.AddrPort
			var as, bs [calls]*net.UDPConn
			for i := range calls {
				var s *Session
				s, as[i], bs[i] = realCall(b, r)
				if to[i] = s.Local(A); c.name == "direct" {
					to[i] = addrOf(bs[i])
				}
			}
			packet, buf := rtpPacket(1, 1, 1), make([]byte, 2048)
			b.ReportAllocs()
			before := processorTime(b)
			sent := 0
			for b.Loop() {
				for range each {
					if _, err := as[sent%calls].WriteToUDPAddrPort(packet, to[sent%calls]); err != nil {
						b.Fatal(err)
					}
					if sent++; sent <= delay {
						continue
					}
					if _, _, err := bs[(sent-delay-1)%calls].ReadFromUDPAddrPort(buf); err != nil {
						b.Fatal(err)
					}
				}
				time.Sleep(time.Millisecond)
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(sent), "cpu-ns/packet")
		})
	}
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkOpen opens and closes a session with its four sockets.
func BenchmarkOpen(b *testing.B) {
	for name, wrap := range map[string]func(*net.UDPConn) net.PacketConn{"epoll": asIs, "plain": hidden} {
		b.Run(name, func(b *testing.B) {
			r := loopback(b, PortRange{1024, 31999}, wrap)
			b.ReportAllocs()
			for b.Loop() {
				s, err := r.Open(SessionConfig{})
				if errors.Is(err, ErrNoPorts) {
					time.Sleep(quarantine)
					continue
				}
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkIdleCall reports the heap that an open session takes.
func BenchmarkIdleCall(b *testing.B) {
	for name, wrap := range map[string]func(*net.UDPConn) net.PacketConn{"epoll": asIs, "plain": hidden} {
		b.Run(name, func(b *testing.B) {
			r := loopback(b, PortRange{24000, 26999}, wrap)
			const calls = 200
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				var open [calls]*Session
				for i := range open {
					s, err := r.Open(SessionConfig{})
					if err != nil {
						b.Fatal(err)
					}
					open[i] = s
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				for _, s := range open {
					if err := s.Close(); err != nil {
						b.Fatal(err)
					}
				}
				time.Sleep(quarantine)
			}
			b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/calls, "heap-bytes/call")
			b.ReportMetric(float64(int64(after.StackInuse)-int64(before.StackInuse))/calls, "stack-bytes/call")
		})
	}
}
