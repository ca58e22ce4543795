package sim_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"tandem/chaos/sim"
)

// shared is a service address of the loopback profile.
var shared = netip.MustParseAddr("10.0.9.1")

// TestSharedAddress: the newest socket gets the datagrams, a frozen process keeps
// the one it has, and only its death proves that it is gone.
func TestSharedAddress(t *testing.T) {
	bubble(t, sim.Config{Shared: netip.MustParsePrefix("10.0.9.0/24")}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		phone := socket(t, n.Host("c", addrC).Start(), addrC)
		first := socket(t, a, shared)
		say(t, phone, shared, "one")
		if got := heard(t, first); !slices.Equal(got, []string{"one"}) {
			t.Errorf("the first owner heard %q", got)
		}
		a.FreezeFor(10 * time.Second)
		first.Close() // decided in the pause: done on waking
		if b.Free(at(shared, 5060)) {
			t.Error("the address of a frozen process is free")
		}
		second := socket(t, b, shared)
		say(t, phone, shared, "two")
		say(t, second, addrC, "from the second owner")
		if got := heard(t, second); !slices.Equal(got, []string{"two"}) {
			t.Errorf("the second owner heard %q", got)
		}
		if got := heard(t, phone); len(got) != 1 {
			t.Errorf("the phone heard %q", got)
		}
		b.Kill()
		if b.Free(at(shared, 5060)) {
			t.Error("the address is free although the frozen process has it")
		}
		time.Sleep(11 * time.Second)
		if !b.Free(at(shared, 5060)) {
			t.Error("everybody is gone and the address is not free")
		}
	})
}

// TestSharedStream: a stream of a shared address leads to the host that has it,
// and another one cannot listen there meanwhile.
func TestSharedStream(t *testing.T) {
	bubble(t, sim.Config{Shared: netip.MustParsePrefix("10.0.9.0/24")}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		phone := n.Host("c", addrC).Start()
		if _, err := phone.Dial(t.Context(), at(shared, 5060)); err == nil {
			t.Error("connected to nobody")
		}
		l, err := a.Listen(at(shared, 5060))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Listen(at(shared, 5060)); err == nil {
			t.Error("two hosts listen at one address")
		}
		go echo(l)
		c, err := phone.Dial(t.Context(), at(shared, 5060))
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("hello"))
		buf := make([]byte, 5)
		if k, err := c.Read(buf); err != nil || string(buf[:k]) != "hello" {
			t.Errorf("%q, %v", buf[:k], err)
		}
		a.Kill()
		if _, err := c.Read(buf); err == nil {
			t.Error("the stream of a dead process goes on")
		}
		if _, err := b.Listen(at(shared, 5060)); err != nil {
			t.Errorf("the address of a dead process: %v", err)
		}
	})
}

// TestAddressOnTheKernel: it is dropped by itself unless it is renewed, nothing
// can be sent from it then, and who announces it gets the packets.
func TestAddressOnTheKernel(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		phone := socket(t, n.Host("c", addrC).Start(), addrC)
		first, second := socket(t, a, vip), socket(t, b, vip)
		a.AddAddress(vip, time.Second)
		a.Announce(vip)
		say(t, phone, vip, "one")
		if got := heard(t, first); !slices.Equal(got, []string{"one"}) {
			t.Errorf("the first owner heard %q", got)
		}
		a.FreezeFor(5 * time.Second)
		a.AddAddress(vip, time.Second)
		b.AddAddress(vip, 0)
		say(t, phone, vip, "lost: nobody has announced it")
		if got := heard(t, second); got != nil {
			t.Errorf("without an announcement the second owner heard %q", got)
		}
		b.Announce(vip)
		say(t, phone, vip, "two")
		if got := heard(t, second); !slices.Equal(got, []string{"two"}) {
			t.Errorf("the second owner heard %q", got)
		}
		time.Sleep(7 * time.Second)
		say(t, first, addrC, "from an address that has expired")
		if got := heard(t, phone); got != nil {
			t.Errorf("the phone heard %q", got)
		}
	})
}

// TestBootClock: it runs at a rate of its own, through the lives of programs and
// through sleep, and a frozen program reads it only when it wakes.
func TestBootClock(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, n *sim.Net, a, b *sim.Process) {
		a.Host().SetBootRate(1.1)
		time.Sleep(10 * time.Second)
		if got := a.SinceBoot(); got != 11*time.Second {
			t.Errorf("10 %% fast for 10 s: %v", got)
		}
		a.Kill()
		if got := a.Host().Start().SinceBoot(); got != 11*time.Second {
			t.Errorf("in the next life: %v", got)
		}
		b.FreezeFor(5 * time.Second)
		time.Sleep(time.Second)
		if got := b.SinceBoot(); got != 15*time.Second {
			t.Errorf("frozen from 10 s to 15 s, it reads %v", got)
		}
		time.Sleep(5 * time.Second)
		if got := b.SinceBoot(); got != 16*time.Second {
			t.Errorf("awake again: %v", got)
		}
		b.Host().Suspend(time.Minute)
		pa, pb := socket(t, a.Host().Start(), addrA), time.Now()
		say(t, pa, addrB, "to a sleeper")
		time.Sleep(2 * time.Minute)
		if got := b.SinceBoot(); got != 16*time.Second+time.Since(pb) {
			t.Errorf("after a sleep: %v", got)
		}
		b.Host().Restart()
		if got := b.Host().SinceBoot(); got != 0 {
			t.Errorf("after a boot: %v", got)
		}
	})
}
