// Package address makes this host answer for service addresses, and stop doing
// so. It owns what is below the sockets: the kernel's table of addresses, ARP and
// neighbour advertisements, and the operator's hook scripts.
//
// It never decides who owns an address: the replicated state does, and package
// node acts on it. It never opens a service socket: those are open before the
// address comes (IP_FREEBIND), so that the first packet finds them.
//
//	movers := address.New(address.Config{Interface: "eth0", Leased: cluster.Lease})
//	m, err := movers("netlink")
//	err = m.Add(ctx, ip, false)  // sockets are open: take it
//	err = m.Hold(ctx, ip)        // until ctx ends: renew, announce, watch
//	err = m.Yield(ctx, ip)       // a planned move: keep it until the other has it
//	err = m.Remove(ctx, ip)      // or let go at once
package address

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// The ways in which an address moves (configuration key address.move).
const (
	Bind     = "bind"     // every host has it already, as on a loopback network
	Netlink  = "netlink"  // added to an interface and announced
	Hook     = "hook"     // a script of the operator does it
	Reinvite = "reinvite" // it does not move: calls get a re-INVITE instead
)

// Mover makes this host answer for addresses of one kind. Its methods may be
// called from any goroutine, one at a time for an address, and repeat themselves
// without harm.
type Mover interface {
	// Add makes the host answer for ip. handed says that the former owner lives and
	// lets go by itself; otherwise nobody may answer for ip any more, and
	// ErrConflict says that somebody does.
	Add(ctx context.Context, ip netip.Addr, handed bool) error
	// Hold keeps an added address until ctx ends. ErrConflict says that another
	// host has taken it while our lease was in doubt; it is removed then.
	Hold(ctx context.Context, ip netip.Addr) error
	// Yield keeps an address that was handed over until its new owner has announced
	// it, for yieldTime at most, and removes it.
	Yield(ctx context.Context, ip netip.Addr) error
	// Remove lets go of ip at once, also of what an earlier process left behind.
	Remove(ctx context.Context, ip netip.Addr) error
}

// ErrConflict says that another host answers for an address.
var ErrConflict = errors.New("address conflict")

const (
	// defaultHookTimeout bounds a script when the configuration does not.
	defaultHookTimeout = 5 * time.Second
	// yieldTime bounds how long an address that was handed over is kept: longer than
	// the new owner takes to open a thousand calls.
	yieldTime = 500 * time.Millisecond
)

// Config is what the movers of a node work with.
type Config struct {
	// Interface is where netlink addresses go.
	Interface string
	// Script is the hook, called as "script add|del IP"; exit status 0 is done.
	Script string
	// Timeout bounds one run of the hook; 0: 5 s.
	Timeout time.Duration
	// Leased says whether the node holds its lease: without it no address is renewed
	// or announced. nil: always.
	Leased func() bool
	// Moving says that an address is being handed over, so that its new owner's claim
	// is no conflict. nil: none is.
	Moving func(ip netip.Addr) bool
	// Alarm hears of addresses that another host answers for. It must not block. nil:
	// nobody does.
	Alarm  func(ip netip.Addr, text string)
	Logger *slog.Logger // nil discards
}

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = defaultHookTimeout
	}
	if c.Leased == nil {
		c.Leased = func() bool { return true }
	}
	if c.Moving == nil {
		c.Moving = func(netip.Addr) bool { return false }
	}
	if c.Alarm == nil {
		c.Alarm = func(netip.Addr, string) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// New returns what finds the mover of a kind. A kind for which the configuration
// lacks what it needs is an error.
func New(cfg Config) func(kind string) (Mover, error) {
	cfg = cfg.withDefaults()
	return func(kind string) (Mover, error) {
		switch {
		case kind == "" || kind == Bind || kind == Reinvite:
			return static{}, nil
		case kind == Netlink && cfg.Interface == "":
			return nil, errors.New("address.interface is missing: netlink needs one")
		case kind == Netlink:
			return newLink(cfg), nil
		case kind == Hook && cfg.Script == "":
			return nil, errors.New("address.hook is missing")
		case kind == Hook:
			return &script{path: cfg.Script, timeout: cfg.Timeout}, nil
		}
		return nil, fmt.Errorf("address.move %q: want bind, netlink, hook or reinvite", kind)
	}
}

// static is the mover of addresses that need nothing done to them.
type static struct{}

func (static) Add(context.Context, netip.Addr, bool) error { return nil }

func (static) Hold(ctx context.Context, _ netip.Addr) error {
	<-ctx.Done()
	return nil
}

func (static) Yield(context.Context, netip.Addr) error  { return nil }
func (static) Remove(context.Context, netip.Addr) error { return nil }
