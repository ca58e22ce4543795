package sim

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// Host is a machine: its kernel, its addresses and its wall clock. Programs run
// on it as a [Process].
type Host struct {
	net   *Net
	name  string
	addr  netip.Addr // its own, the source of what it dials
	up    bool
	next  uint16 // candidate for the next free port
	udp   map[netip.AddrPort]*PacketConn
	tcp   map[netip.AddrPort]*Listener
	conns map[pair]*Conn
	procs []*Process               // started since the machine came up
	held  map[netip.Addr]time.Time // addresses beside its own, and when the kernel drops them; zero: never

	suspended  bool // asleep with all that runs on it
	wall, boot clock
}

// pair names a stream at one of its ends.
type pair struct{ local, remote netip.AddrPort }

// firstPort begins the range of ports that the host chooses itself. They are
// taken in order, so that a late segment meets no younger stream.
const firstPort = 32768

// Host returns the host of that name. At first use it is made, up, and answers
// for addr.
func (n *Net) Host(name string, addr netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[name]
	if h == nil {
		h = &Host{net: n, name: name, addr: addr, up: true, next: firstPort, wall: newClock(), boot: newClock()}
		h.clear()
		n.hosts[name] = h
		n.order = append(n.order, h)
		n.routes[addr] = h
	}
	return h
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Addr returns the host's own address.
func (h *Host) Addr() netip.Addr { return h.addr }

// Vanish is the death of the machine or of its link, and of all that ran on it:
// nothing leaves, nothing arrives, and peers learn of it only from their own
// timeouts.
func (h *Host) Vanish() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.down()
}

// Restart brings the machine up again with nothing running on it. Streams from
// before are answered with resets.
func (h *Host) Restart() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.down()
	h.start()
}

// Boot brings the machine up if it is down.
func (h *Host) Boot() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if !h.up {
		h.start()
	}
}

// start is a boot: the boot clock begins again.
func (h *Host) start() {
	h.up, h.suspended = true, false
	h.boot = clock{set: time.Now(), rate: h.boot.rate}
}

// Suspend puts the machine to sleep for d with all that runs on it: it answers
// nothing, as if it had vanished, and goes on afterwards where it was. Its boot
// clock counts the time, unlike Go's monotonic clock.
func (h *Host) Suspend(d time.Duration) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.suspended = true
	for _, r := range h.procs {
		r.freeze(time.Now().Add(d))
	}
	procs := slices.Clone(h.procs)
	time.AfterFunc(d, func() {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		h.suspended = false
		for _, r := range procs {
			r.thaw()
		}
	})
}

func (h *Host) down() {
	h.up = false
	for _, r := range h.procs {
		r.die()
	}
	h.procs = nil
	for _, c := range h.conns {
		c.fail(net.ErrClosed)
	}
	for _, p := range h.sockets() {
		p.close()
	}
	for _, l := range h.tcp {
		l.close()
	}
	h.clear()
}

func (h *Host) clear() {
	h.udp = map[netip.AddrPort]*PacketConn{}
	h.tcp = map[netip.AddrPort]*Listener{}
	h.conns = map[pair]*Conn{}
	h.held = map[netip.Addr]time.Time{}
}
