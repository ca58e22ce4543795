//go:build e2e

package address_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"tandem/node/address"
)

// insideEnv is set in the process that runs in a network namespace of its own.
const insideEnv = "TANDEM_TEST_NETNS"

// inside runs the test once more in a network namespace with a switch and two
// interfaces on it, host0 and host1, as of two hosts of one network.
func inside(t *testing.T) (runs bool) {
	t.Helper()
	if os.Getenv(insideEnv) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), insideEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return false
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "switch"}}
	add(t, bridge)
	for _, name := range []string{"host0", "host1"} {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
		add(t, veth)
		port, err := netlink.LinkByName(name + "p")
		if err == nil {
			err = errors.Join(netlink.LinkSetMaster(port, bridge), netlink.LinkSetUp(port))
		}
		if err != nil {
			t.Fatal(err)
		}
		// One kernel stands for two: each interface answers for its own addresses.
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/arp_ignore", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

func add(t *testing.T, link netlink.Link) {
	t.Helper()
	if err := errors.Join(netlink.LinkAdd(link), netlink.LinkSetUp(link)); err != nil {
		t.Fatal(err)
	}
}

// has says whether an interface has an address.
func has(t *testing.T, name string, ip netip.Addr) bool {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if a.IP.Equal(ip.AsSlice()) {
			return true
		}
	}
	return false
}

// host is one of the two.
type host struct {
	address.Mover
	leased atomic.Bool
	alarms atomic.Int32
}

func newHost(t *testing.T, name string) *host {
	t.Helper()
	h := &host{}
	h.leased.Store(true)
	m, err := address.New(address.Config{
		Interface: name, Leased: h.leased.Load, Alarm: func(netip.Addr, string) { h.alarms.Add(1) },
	})(address.Netlink)
	if err != nil {
		t.Fatal(err)
	}
	h.Mover = m
	return h
}

// hold holds an address until stop is called, which returns what Hold said.
func (h *host) hold(ip netip.Addr) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	said := make(chan error, 1)
	go func() { said <- h.Hold(ctx, ip) }()
	return func() error {
		cancel()
		return <-said
	}
}

var service = netip.MustParseAddr("192.0.2.20")

// TestAddressIsTakenWhenNobodyAnswers: an owner that renews is left alone; one that
// has stopped loses the address by his own kernel.
func TestAddressIsTakenWhenNobodyAnswers(t *testing.T) {
	if !inside(t) {
		return
	}
	ctx := context.Background()
	a, b := newHost(t, "host0"), newHost(t, "host1")
	if err := a.Add(ctx, service, false); err != nil {
		t.Fatal(err)
	}
	stop := a.hold(service)
	time.Sleep(1500 * time.Millisecond) // longer than the kernel's lease
	if !has(t, "host0", service) {
		t.Fatal("the address is not kept")
	}
	if err := b.Add(ctx, service, false); !errors.Is(err, address.ErrConflict) || b.alarms.Load() != 1 {
		t.Fatalf("taken from an owner who lives: %v, %d alarms", err, b.alarms.Load())
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for b.Add(ctx, service, false) != nil {
		if time.Since(began) > 3*time.Second {
			t.Fatal("the kernel does not let go")
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("taken %v after the last renewal", time.Since(began))
	if has(t, "host0", service) || !has(t, "host1", service) {
		t.Error("the address is not where it belongs")
	}
}

// TestAddressIsHandedOver: the former owner keeps it until he sees the new one.
func TestAddressIsHandedOver(t *testing.T) {
	if !inside(t) {
		return
	}
	ctx := context.Background()
	a, b := newHost(t, "host0"), newHost(t, "host1")
	if err := a.Add(ctx, service, false); err != nil {
		t.Fatal(err)
	}
	if err := a.hold(service)(); err != nil {
		t.Fatal(err)
	}
	let := make(chan error, 1)
	began := time.Now()
	go func() { let <- a.Yield(ctx, service) }()
	time.Sleep(50 * time.Millisecond)
	if !has(t, "host0", service) {
		t.Error("let go before anybody else has it")
	}
	if err := b.Add(ctx, service, true); err != nil {
		t.Fatal(err)
	}
	defer b.hold(service)()
	if err := <-let; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 300*time.Millisecond {
		t.Errorf("let go after %v: the announcement was not heard", took)
	}
	if has(t, "host0", service) || !has(t, "host1", service) {
		t.Error("the address is not where it belongs")
	}
}

// TestLoserLetsGo: who is in doubt of his lease and hears another's claim removes
// the address; who is not defends it.
func TestLoserLetsGo(t *testing.T) {
	if !inside(t) {
		return
	}
	ctx := context.Background()
	a, b := newHost(t, "host0"), newHost(t, "host1")
	if err := a.Add(ctx, service, false); err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 1)
	go func() { held <- a.Hold(ctx, service) }()
	time.Sleep(100 * time.Millisecond)
	if err := b.Add(ctx, service, true); err != nil {
		t.Fatal(err)
	}
	stop := b.hold(service)
	time.Sleep(200 * time.Millisecond)
	if a.alarms.Load() == 0 {
		t.Error("a conflict is not told")
	}
	a.leased.Store(false)
	select {
	case err := <-held:
		if !errors.Is(err, address.ErrConflict) {
			t.Errorf("let go: %v", err)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("the loser does not let go")
	}
	if err := stop(); err != nil && !errors.Is(err, address.ErrConflict) {
		t.Error(err)
	}
	if has(t, "host0", service) {
		t.Error("the loser still has it")
	}
}
