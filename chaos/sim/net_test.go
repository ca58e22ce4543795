package sim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tandem/chaos/sim"
)

var (
	addrA = netip.MustParseAddr("10.0.0.1")
	addrB = netip.MustParseAddr("10.0.0.2")
	addrC = netip.MustParseAddr("10.0.0.3")
	vip   = netip.MustParseAddr("10.0.1.1")

	everyone = []netip.Addr{addrA, addrB, addrC}
)

func at(addr netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr, port) }

// bubble runs f in a bubble with a network of two hosts and a process on each.
func bubble(t *testing.T, cfg sim.Config, f func(t *testing.T, n *sim.Net, a, b *sim.Process)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := sim.New(cfg)
		defer n.Close()
		f(t, n, n.Host("a", addrA).Start(), n.Host("b", addrB).Start())
	})
}

// connect opens a stream from a to b.
func connect(t *testing.T, a, b *sim.Process) (dialled, accepted net.Conn) {
	t.Helper()
	l, err := b.Listen(at(addrB, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialled, err = a.Dial(t.Context(), l.Addr().(*net.TCPAddr).AddrPort()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

func socket(t *testing.T, r *sim.Process, addr netip.Addr) net.PacketConn {
	t.Helper()
	p, err := r.ListenPacket(at(addr, 5060))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// heard reads what arrives at p within a second.
func heard(t *testing.T, p net.PacketConn) []string {
	t.Helper()
	return heardUntil(t, p, time.Now().Add(time.Second))
}

func heardUntil(t *testing.T, p net.PacketConn, deadline time.Time) []string {
	t.Helper()
	var got []string
	if err := p.SetReadDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 100); ; {
		n, _, err := p.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b[:n]))
	}
}

func say(t *testing.T, p net.PacketConn, to netip.Addr, text string) {
	t.Helper()
	if _, err := p.WriteTo([]byte(text), net.UDPAddrFromAddrPort(at(to, 5060))); err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestStreamSurvivesLoss(t *testing.T) {
	link := sim.Link{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.2}
	bubble(t, sim.Config{Default: link, Window: 100}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		c, s := connect(t, a, b)
		var sent bytes.Buffer
		for i := range 1000 {
			fmt.Fprintf(&sent, "%d,", i)
		}
		go func() {
			c.Write(sent.Bytes())
			c.Close()
		}()
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, sent.Bytes()) {
			t.Fatalf("read %d of %d bytes, %v", len(got), sent.Len(), err)
		}
		s.Close()
	})
}

func TestStreamIsPipelined(t *testing.T) {
	bubble(t, sim.Config{Default: sim.Link{Delay: 10 * time.Millisecond}}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		c, s := connect(t, a, b)
		start := time.Now()
		go func() {
			for range 10 {
				c.Write([]byte("x"))
				time.Sleep(time.Millisecond)
			}
		}()
		if _, err := io.ReadFull(s, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 19*time.Millisecond {
			t.Errorf("ten bytes, one each ms, over a 10 ms link took %v", d)
		}
	})
}

func TestWindowAndDeadlines(t *testing.T) {
	bubble(t, sim.Config{Window: 1000}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		c, s := connect(t, a, b)
		start := time.Now()
		c.SetWriteDeadline(start.Add(3 * time.Second))
		k, err := c.Write(make([]byte, 5000))
		if k != 1000 || time.Since(start) != 3*time.Second {
			t.Errorf("wrote %d bytes in %v against a window of 1000", k, time.Since(start))
		}
		wantErr(t, "write", err, os.ErrDeadlineExceeded)
		if _, err := io.ReadFull(s, make([]byte, 1000)); err != nil {
			t.Error(err)
		}
		s.SetReadDeadline(time.Now().Add(time.Second))
		_, err = s.Read(make([]byte, 1))
		if ne := net.Error(nil); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("read: %v is no timeout", err)
		}
	})
}

func TestKilledProcess(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		idle, _ := connect(t, a, b)
		unread, s := connect(t, a, b)
		unread.Write([]byte("never read"))
		time.Sleep(time.Second)
		b.Kill()
		_, err := idle.Read(make([]byte, 1))
		wantErr(t, "an idle stream of a killed process", err, io.EOF)
		_, err = unread.Read(make([]byte, 1))
		wantErr(t, "a stream with unread data", err, syscall.ECONNRESET)
		idle.Write([]byte("x"))
		time.Sleep(time.Second)
		_, err = idle.Write([]byte("x"))
		wantErr(t, "the second write after the kill", err, syscall.ECONNRESET)
		_, err = a.Dial(t.Context(), at(addrB, 80))
		wantErr(t, "dial", err, syscall.ECONNREFUSED)
		_, err = s.Read(make([]byte, 1))
		wantErr(t, "a goroutine of the dead", err, net.ErrClosed)
		_, err = b.Listen(at(addrB, 80))
		wantErr(t, "a dead process that listens", err, syscall.ENETDOWN)
		connect(t, a, b.Host().Start())
	})
}

func TestVanishedHost(t *testing.T) {
	bubble(t, sim.Config{GiveUp: time.Hour}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		c, s := connect(t, a, b)
		b.Host().Vanish()
		_, err := s.Read(make([]byte, 1))
		wantErr(t, "a goroutine of the dead", err, net.ErrClosed)
		c.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = c.Read(make([]byte, 1))
		wantErr(t, "its peer", err, os.ErrDeadlineExceeded)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = a.Dial(ctx, at(addrB, 80))
		wantErr(t, "dial", err, os.ErrDeadlineExceeded)

		b.Host().Restart()
		c.SetReadDeadline(time.Time{})
		c.Write([]byte("x"))
		_, err = c.Read(make([]byte, 1))
		wantErr(t, "a stream from before the restart", err, syscall.ECONNRESET)
		connect(t, a, b.Host().Start())
	})
}

func TestCutOneWay(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		c, s := connect(t, a, b)
		n.Cut(a.Host(), b.Host())
		c.Write([]byte("late"))
		s.Write([]byte("now!"))
		buf := make([]byte, 4)
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "now!" {
			t.Errorf("the open direction: %q, %v", buf, err)
		}
		start := time.Now()
		time.AfterFunc(10*time.Second, n.Heal)
		if _, err := io.ReadFull(s, buf); err != nil || string(buf) != "late" || time.Since(start) < 10*time.Second {
			t.Errorf("the cut direction: %q, %v after %v", buf, err, time.Since(start))
		}
	})
}

func TestGiveUp(t *testing.T) {
	bubble(t, sim.Config{GiveUp: time.Minute}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		c, _ := connect(t, a, b)
		n.Partition([]*sim.Host{a.Host()}, []*sim.Host{b.Host()})
		c.Write([]byte("x"))
		start := time.Now()
		_, err := c.Read(make([]byte, 1))
		wantErr(t, "read", err, syscall.ETIMEDOUT)
		if d := time.Since(start); d < time.Minute || d > 3*time.Minute {
			t.Errorf("gave up after %v", d)
		}
	})
}

func TestLostSYN(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		n.Cut(a.Host(), b.Host())
		start := time.Now()
		time.AfterFunc(2*time.Second, n.Heal)
		connect(t, a, b)
		if d := time.Since(start).Round(time.Millisecond); d != 3001*time.Millisecond && d != 3*time.Second {
			t.Errorf("connected after %v, want the third SYN at 3 s", d)
		}
	})
}

func TestFrozenProcess(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		pa, pb := socket(t, a, addrA), socket(t, b, addrB)
		c, s := connect(t, a, b)
		b.Freeze()
		say(t, pa, addrB, "queued by the kernel")
		c.Write([]byte("accepted"))
		say(t, pb, addrA, "decided before the pause")
		s.Write([]byte("answered"))
		if got := heard(t, pa); got != nil {
			t.Errorf("heard %q from a frozen process", got)
		}
		start := time.Now()
		time.AfterFunc(time.Minute, b.Thaw)
		if got := heard(t, pb); time.Since(start) < time.Minute {
			t.Errorf("read %q while frozen", got)
		} else if got != nil {
			t.Errorf("a deadline that passed in the pause gave %q", got)
		}
		if got := heard(t, pb); !slices.Equal(got, []string{"queued by the kernel"}) {
			t.Errorf("after the pause: %q", got)
		}
		if got := heard(t, pa); !slices.Equal(got, []string{"decided before the pause"}) {
			t.Errorf("its peer after the pause: %q", got)
		}
		buf := make([]byte, 8)
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "answered" {
			t.Errorf("%q, %v", buf, err)
		}
		b.Freeze()
		b.Kill() // nothing hangs
	})
}

func TestClaimedAddress(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		phone := socket(t, n.Host("c", addrC).Start(), addrC)
		a.Host().Claim(vip)
		first, second := socket(t, a, vip), socket(t, b, vip)
		say(t, phone, vip, "one")
		time.Sleep(time.Second)
		b.Host().Claim(vip)
		say(t, phone, vip, "two")
		if got := heard(t, first); !slices.Equal(got, []string{"one"}) {
			t.Errorf("the first owner heard %q", got)
		}
		if got := heard(t, second); !slices.Equal(got, []string{"two"}) {
			t.Errorf("the second owner heard %q", got)
		}
		say(t, first, addrC, "the old owner can still talk")
		if got := heard(t, phone); len(got) != 1 {
			t.Errorf("the phone heard %q", got)
		}
		b.Host().Release(vip)
		say(t, phone, vip, "three")
		if got := heard(t, second); got != nil {
			t.Errorf("heard %q at a released address", got)
		}
	})
}

func TestDatagramFaults(t *testing.T) {
	const sent = 2000
	for _, tc := range []struct {
		name     string
		link     sim.Link
		min, max int // datagrams that arrive
		ordered  bool
	}{
		{"perfect", sim.Link{}, sent, sent, true},
		{"loss", sim.Link{Loss: 0.1}, sent * 87 / 100, sent * 93 / 100, true},
		{"dup", sim.Link{Dup: 0.1}, sent * 107 / 100, sent * 113 / 100, true},
		{"reorder", sim.Link{Reorder: 0.1}, sent, sent, false},
		{"cut", sim.Link{Cut: true}, 0, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, sim.Config{Seed: 3, Queue: 2 * sent}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
				tc.link.Delay = time.Millisecond
				n.SetLink(a.Host(), b.Host(), tc.link)
				pa, pb := socket(t, a, addrA), socket(t, b, addrB)
				for i := range sent {
					say(t, pa, addrB, fmt.Sprintf("%04d", i))
					time.Sleep(time.Millisecond)
				}
				got := heard(t, pb)
				if len(got) < tc.min || len(got) > tc.max || slices.IsSorted(got) != tc.ordered {
					t.Errorf("%d arrived, want %d to %d; in order: %v", len(got), tc.min, tc.max, slices.IsSorted(got))
				}
			})
		})
	}
}

func TestFullSocket(t *testing.T) {
	bubble(t, sim.Config{Queue: 4}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		pa, pb := socket(t, a, addrA), socket(t, b, addrB)
		for range 10 {
			say(t, pa, addrB, "x")
		}
		time.Sleep(time.Second)
		if s := n.Stats(); s.Delivered != 4 || s.Overflow != 6 {
			t.Errorf("%+v", s)
		}
		if got := heard(t, pb); len(got) != 4 {
			t.Errorf("heard %d", len(got))
		}
	})
}

func TestBind(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		socket(t, a, addrA)
		_, err := a.ListenPacket(at(addrA, 5060))
		wantErr(t, "a second socket", err, syscall.EADDRINUSE)
		_, err = a.Listen(at(netip.IPv4Unspecified(), 5060))
		wantErr(t, "a wildcard", err, syscall.EADDRNOTAVAIL)
		p, err := a.ListenPacket(at(addrA, 0))
		if err != nil || p.LocalAddr().(*net.UDPAddr).Port == 0 {
			t.Errorf("port 0: %v, %v", p, err)
		}
		p.Close()
		_, err = p.WriteTo(nil, p.LocalAddr())
		wantErr(t, "write after close", err, net.ErrClosed)
	})
}

func TestWallClock(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		a.Host().SetClock(time.Hour, 1.1)
		time.Sleep(10 * time.Second)
		if d := a.Host().Wall().Sub(b.Host().Wall()); d != time.Hour+time.Second {
			t.Errorf("one hour ahead and 10 %% fast for 10 s: %v", d)
		}
	})
}

// TestTraceRepeats is what everything else rests on: the same seed gives the
// same packets at the same times, in whatever order goroutines start; another
// seed does not.
func TestTraceRepeats(t *testing.T) {
	one := traffic(t, 1, false)
	if len(one) < 5000 {
		t.Fatalf("only %d packets", len(one))
	}
	for _, reverse := range []bool{false, true} {
		if again := traffic(t, 1, reverse); !slices.Equal(one, again) {
			t.Errorf("the trace of seed 1 differs (goroutines reversed: %v)", reverse)
		}
	}
	if slices.Equal(one, traffic(t, 2, false)) {
		t.Error("the traces of seed 1 and seed 2 are equal")
	}
}

// traffic returns the trace of three hosts that talk by datagrams and streams
// over bad links while one of them is cut off for a while.
func traffic(t *testing.T, seed uint64, reverse bool) (trace []string) {
	cfg := sim.Config{
		Seed:    seed,
		Default: sim.Link{Delay: time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.05, Dup: 0.02, Reorder: 0.02},
		Trace:   func(e sim.Event) { trace = append(trace, fmt.Sprint(e)) },
	}
	bubble(t, cfg, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		procs := []*sim.Process{a, b, n.Host("c", addrC).Start()}
		var listening, talking sync.WaitGroup
		for _, r := range procs {
			p := socket(t, r, r.Host().Addr())
			l, err := r.Listen(at(r.Host().Addr(), 80))
			if err != nil {
				t.Fatal(err)
			}
			listening.Go(func() { echo(l) })
			talking.Go(func() {
				for i := range 500 {
					say(t, p, everyone[i%3], fmt.Sprint(i))
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		if reverse {
			slices.Reverse(procs)
		}
		for _, r := range procs {
			talking.Go(func() { chat(t, r) })
		}
		time.AfterFunc(3*time.Second, func() { n.Partition([]*sim.Host{a.Host()}, []*sim.Host{b.Host()}) })
		time.AfterFunc(5*time.Second, n.Heal)
		talking.Wait()
		for _, r := range procs {
			r.Host().Vanish()
		}
		listening.Wait()
	})
	return trace
}

// echo sends back what each stream brings, until l is closed.
func echo(l net.Listener) {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		streams.Go(func() {
			defer c.Close()
			io.Copy(c, c)
		})
	}
}

// chat exchanges a few hundred messages with every host.
func chat(t *testing.T, r *sim.Process) {
	for _, to := range everyone {
		c, err := r.Dial(t.Context(), at(to, 80))
		if err != nil {
			t.Errorf("dial: %v", err)
			return
		}
		for i := range 200 {
			text := fmt.Appendf(nil, "message %03d", i)
			c.Write(text)
			if _, err := io.ReadFull(c, text); err != nil {
				t.Errorf("read: %v", err)
			}
		}
		c.Close()
	}
}
