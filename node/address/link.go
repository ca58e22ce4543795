package address

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The kernel's lease of an address, which ends by itself when nobody renews it:
// also under SIGSTOP, and after kill -9 of everything (ARCHITECTURE.md, rule 20).
const (
	validSeconds = 1
	renewEvery   = 300 * time.Millisecond
)

// Probing before an address is taken (RFC 5227 section 2.1.1, with shorter waits:
// the former owner is known to be dead).
const (
	probes     = 3
	probePause = 10 * time.Millisecond
)

// defendEvery is the least time between two defences of an address (RFC 5227
// section 2.4, DEFEND_INTERVAL).
const defendEvery = 10 * time.Second

// announceAt is when an address is announced, after it was added: at once, then
// again for those who missed it, and last when the kernel of a frozen former owner
// has dropped it for sure.
func announceAt() []time.Duration {
	return []time.Duration{
		0, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 1500 * time.Millisecond, 2 * time.Second,
	}
}

// link moves addresses on an interface of this host.
type link struct {
	name   string
	leased func() bool
	moving func(netip.Addr) bool
	alarm  func(netip.Addr, string)
	log    *slog.Logger
}

func newLink(cfg Config) *link {
	return &link{name: cfg.Interface, leased: cfg.Leased, moving: cfg.Moving, alarm: cfg.Alarm, log: cfg.Logger}
}

// Add implements Mover.
func (l *link) Add(ctx context.Context, ip netip.Addr, handed bool) error {
	if !handed {
		if err := l.probe(ctx, ip); err != nil {
			return err
		}
	}
	return l.renew(ip)
}

// probe asks whether anybody answers for ip.
func (l *link) probe(ctx context.Context, ip netip.Addr) error {
	w, err := l.watch()
	if err != nil {
		return err
	}
	defer w.close()
	for range probes {
		if err := w.send(probe(ip, w.mac)); err != nil {
			return err
		}
		if mac := w.claimed(ctx, ip, probePause); mac != nil {
			l.alarm(ip, fmt.Sprintf("%s answers for it", mac))
			return fmt.Errorf("%s is at %s: %w", ip, mac, ErrConflict)
		}
	}
	return nil
}

// renew adds the address or extends its life in the kernel.
func (l *link) renew(ip netip.Addr) error {
	dev, err := netlink.LinkByName(l.name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", l.name, err)
	}
	a := kernelAddr(ip)
	a.ValidLft, a.PreferedLft = validSeconds, validSeconds
	if err := netlink.AddrReplace(dev, a); err != nil {
		return fmt.Errorf("add %s to %s: %w", ip, l.name, err)
	}
	return nil
}

// Remove implements Mover.
func (l *link) Remove(_ context.Context, ip netip.Addr) error {
	dev, err := netlink.LinkByName(l.name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", l.name, err)
	}
	err = netlink.AddrDel(dev, kernelAddr(ip))
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove %s from %s: %w", ip, l.name, err)
	}
	return nil
}

// kernelAddr is ip as a host address. Duplicate address detection of the kernel
// would keep it from being used for a second.
func kernelAddr(ip netip.Addr) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())}}
	if ip.Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// Hold implements Mover.
func (l *link) Hold(ctx context.Context, ip netip.Addr) error {
	w, err := l.watch()
	if err != nil {
		return err
	}
	defer w.close()
	h := holding{link: l, watch: w, ip: ip, began: time.Now(), rounds: announceAt()}
	for ctx.Err() == nil {
		if err := h.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Yield implements Mover.
func (l *link) Yield(ctx context.Context, ip netip.Addr) error {
	w, err := l.watch()
	if err != nil {
		return errors.Join(err, l.Remove(ctx, ip))
	}
	defer w.close()
	for end := time.Now().Add(yieldTime); ctx.Err() == nil && time.Now().Before(end); {
		if err := l.renew(ip); err != nil {
			l.log.Warn("address not kept while it moves", "ip", ip, "err", err)
		}
		if w.claimed(ctx, ip, min(renewEvery, time.Until(end))) != nil {
			break
		}
	}
	return l.Remove(ctx, ip)
}

// holding is an address that is held: when it was renewed, announced and defended
// last.
type holding struct {
	*link
	watch    *watch
	ip       netip.Addr
	began    time.Time
	rounds   []time.Duration // of announceAt, that are still to come
	renewed  time.Time
	defended time.Time
	lapsed   bool // the lease was in doubt at the last look
}

// step does what is due, and waits a while for others who claim the address.
func (h *holding) step(ctx context.Context) error {
	now := time.Now()
	if !h.leased() {
		h.lapsed = true // the kernel drops it
	} else {
		if h.lapsed { // somebody may have asked while nobody answered
			h.lapsed, h.began, h.rounds = false, now, announceAt()
		}
		if now.Sub(h.renewed) >= renewEvery {
			if err := h.renew(h.ip); err != nil {
				return err
			}
			h.renewed = now
		}
		for len(h.rounds) > 0 && now.Sub(h.began) >= h.rounds[0] {
			h.rounds = h.rounds[1:]
			if err := h.watch.send(announcement(h.ip, h.watch.mac)); err != nil {
				return err
			}
		}
	}
	if mac := h.watch.claimed(ctx, h.ip, h.pause(now)); mac != nil {
		return h.contested(ctx, mac)
	}
	return nil
}

// pause is how long nothing is due.
func (h *holding) pause(now time.Time) time.Duration {
	d := renewEvery - now.Sub(h.renewed)
	if len(h.rounds) > 0 {
		d = min(d, h.began.Add(h.rounds[0]).Sub(now))
	}
	return max(d, time.Millisecond)
}

// contested: another host claims the address. It is defended once in a while; when
// our lease is in doubt the other one is right (ARCHITECTURE.md, rule 20).
func (h *holding) contested(ctx context.Context, mac net.HardwareAddr) error {
	if !h.leased() {
		return errors.Join(fmt.Errorf("%s is at %s: %w", h.ip, mac, ErrConflict), h.Remove(ctx, h.ip))
	}
	if h.moving(h.ip) {
		return nil // Yield is about to be called
	}
	if now := time.Now(); now.Sub(h.defended) >= defendEvery {
		h.defended = now
		h.alarm(h.ip, fmt.Sprintf("%s claims it too", mac))
		return h.watch.send(announcement(h.ip, h.watch.mac))
	}
	return nil
}
