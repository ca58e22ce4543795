package sim

import (
	"net"
	"net/netip"
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
	procs []*Process // started since the machine came up

	set  time.Time // when the wall clock was set last
	skew time.Duration
	rate float64
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
		h = &Host{net: n, name: name, addr: addr, up: true, next: firstPort, set: time.Now(), rate: 1}
		h.clear()
		n.hosts[name] = h
		n.routes[addr] = h
	}
	return h
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Addr returns the host's own address.
func (h *Host) Addr() netip.Addr { return h.addr }

// Claim makes h answer for addr from now on, whoever did before: a gratuitous
// ARP that everybody believes.
func (h *Host) Claim(addr netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.up {
		h.net.routes[addr] = h
	}
}

// Release ends h answering for addr, if it does.
func (h *Host) Release(addr netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.routes[addr] == h && addr != h.addr {
		delete(h.net.routes, addr)
	}
}

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
	h.up = true
}

// Boot brings the machine up if it is down.
func (h *Host) Boot() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.up = true
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
	for _, p := range h.udp {
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
}

// SetClock moves the wall clock by skew against the right time and lets it run
// rate times as fast from now on.
func (h *Host) SetClock(skew time.Duration, rate float64) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.skew, h.rate, h.set = skew, rate, time.Now()
}

// Wall is the host's wall clock. It has no monotonic reading.
func (h *Host) Wall() time.Time {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	run := time.Duration(float64(time.Since(h.set)) * h.rate)
	return h.set.Add(run + h.skew).Round(0)
}
