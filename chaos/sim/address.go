package sim

import (
	"net/netip"
	"slices"
	"time"
)

// Two ways in which an address moves are simulated. An address of
// [Config].Shared is one of the loopback profile: every host may bind it, as
// every process of one machine may bind 127/8, and the newest socket gets the
// datagrams. Any other address is on the kernel of the hosts that added it, and
// the rest of the network sends to the one that announced it last.

// Claim makes h answer for addr from now on, whoever did before: the address is
// added for good and announced at once.
func (h *Host) Claim(addr netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.add(addr, 0)
	h.announce(addr)
}

// Release ends h answering for addr, if it does.
func (h *Host) Release(addr netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.remove(addr)
}

// AddAddress puts addr on the kernel, which drops it by itself after lifetime
// unless it is added again (the valid_lft of ip-address); zero is for ever. It
// tells nobody: see Announce.
func (r *Process) AddAddress(addr netip.Addr, lifetime time.Duration) {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	r.sends(func() { r.host.add(addr, lifetime) })
}

// RemoveAddress takes addr off the kernel.
func (r *Process) RemoveAddress(addr netip.Addr) {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	r.sends(func() { r.host.remove(addr) })
}

// Announce is a gratuitous ARP that everybody believes: what is sent to addr
// goes to this host from now on.
func (r *Process) Announce(addr netip.Addr) {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	r.sends(func() { r.host.announce(addr) })
}

// Free says whether a plain UDP bind of addr would succeed now: on a shared
// address the proof that the process that had it is gone, since a frozen one
// keeps its sockets.
func (r *Process) Free(addr netip.AddrPort) bool {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	if r.host.net.shared(addr.Addr()) {
		return len(r.host.net.bound[addr]) == 0
	}
	return r.host.udp[addr] == nil
}

func (n *Net) shared(addr netip.Addr) bool { return n.cfg.Shared.Contains(addr) }

func (h *Host) add(addr netip.Addr, lifetime time.Duration) {
	if !h.up || addr == h.addr {
		return
	}
	var until time.Time
	if lifetime > 0 {
		until = time.Now().Add(lifetime)
	}
	h.held[addr] = until
}

func (h *Host) remove(addr netip.Addr) {
	delete(h.held, addr)
	if h.net.routes[addr] == h && addr != h.addr {
		delete(h.net.routes, addr)
	}
}

func (h *Host) announce(addr netip.Addr) {
	if h.holds(addr) {
		h.net.routes[addr] = h
	}
}

// holds says whether the kernel has an address just now.
func (h *Host) holds(addr netip.Addr) bool {
	if !h.up {
		return false
	}
	if addr == h.addr || h.net.shared(addr) {
		return true
	}
	until, ok := h.held[addr]
	return ok && (until.IsZero() || time.Now().Before(until))
}

// home returns the host that a packet for dst goes to; nil if there is none. A
// host that has lost an address which nobody else announced still gets what is
// sent to it, and drops it.
func (n *Net) home(kind byte, from *Host, src, dst netip.AddrPort) *Host {
	if !n.shared(dst.Addr()) {
		return n.routes[dst.Addr()]
	}
	if kind == flowDatagram {
		if all := n.bound[dst]; len(all) > 0 {
			return all[len(all)-1].proc.host
		}
		return from
	}
	for _, h := range n.order {
		if h.conns[pair{dst, src}] != nil {
			return h
		}
	}
	for _, h := range n.order {
		if h.tcp[dst] != nil {
			return h
		}
	}
	return from // whose kernel refuses
}

// socket returns the UDP socket of h that gets what arrives for dst, or nil.
func (h *Host) socket(dst netip.AddrPort) *PacketConn {
	if !h.net.shared(dst.Addr()) {
		return h.udp[dst]
	}
	all := h.net.bound[dst]
	if len(all) == 0 || all[len(all)-1].proc.host != h {
		return nil // taken over while the packet was under way
	}
	return all[len(all)-1]
}

// bindUDP registers a socket.
func (h *Host) bindUDP(p *PacketConn) {
	if h.net.shared(p.local.Addr()) {
		h.net.bound[p.local] = append(h.net.bound[p.local], p)
		return
	}
	h.udp[p.local] = p
}

// unbindUDP forgets a socket; at a shared address an older one gets the
// datagrams again.
func (h *Host) unbindUDP(p *PacketConn) {
	if !h.net.shared(p.local.Addr()) {
		if h.udp[p.local] == p {
			delete(h.udp, p.local)
		}
		return
	}
	rest := slices.DeleteFunc(h.net.bound[p.local], func(o *PacketConn) bool { return o == p })
	if h.net.bound[p.local] = rest; len(rest) == 0 {
		delete(h.net.bound, p.local)
	}
}

// sockets returns the UDP sockets that programs of h have open.
func (h *Host) sockets() []*PacketConn {
	var all []*PacketConn
	for _, p := range h.udp {
		all = append(all, p)
	}
	for _, at := range h.net.bound {
		for _, p := range at {
			if p.proc.host == h {
				all = append(all, p)
			}
		}
	}
	return all
}
