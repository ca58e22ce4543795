package sim

import (
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Process is one life of a program on a host. Its methods ListenPacket, Listen
// and Dial are the network that the program sees. Goroutines outlive the process
// they belong to, so a dead process opens nothing more: a program that is
// started again gets a Process of its own.
type Process struct {
	host   *Host
	dead   bool
	frozen bool
	wakes  time.Time  // of a frozen process, if it is known; zero: it is not
	thawed *sync.Cond // frozen has become false
	held   []func()   // what a frozen process would have sent
}

// maxHeld bounds the sends that a frozen process remembers. Datagrams beyond
// are lost, as at a full socket buffer; streams are bounded by their windows.
const maxHeld = 4096

// Start begins a process. On a host that is down it is dead from the start.
func (h *Host) Start() *Process {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	r := &Process{host: h, dead: !h.up, thawed: sync.NewCond(&h.net.mu)}
	if h.up {
		h.procs = append(h.procs, r)
	}
	return r
}

// Host returns the machine that the process runs on.
func (r *Process) Host() *Host { return r.host }

// Kill is SIGKILL. The kernel lives on: it sends what the process had written,
// closes its streams (a FIN, or a reset where data was left unread) and refuses
// new ones.
func (r *Process) Kill() {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	r.die()
	for _, c := range r.host.conns {
		if c.proc == r {
			c.close()
		}
	}
	for _, p := range r.host.sockets() {
		if p.proc == r {
			p.close()
		}
	}
	for _, l := range r.host.tcp {
		if l.proc == r {
			l.close()
		}
	}
}

// open counts the sockets that the process has.
func (r *Process) open() (count int) {
	h := r.host
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for _, p := range h.sockets() {
		if p.proc == r && !p.closed {
			count++
		}
	}
	for _, l := range h.tcp {
		if l.proc == r && !l.closed {
			count++
		}
	}
	for _, c := range h.conns {
		if c.proc == r && !c.closed {
			count++
		}
	}
	return count
}

// die ends the process; its sockets are the caller's business.
func (r *Process) die() {
	r.dead, r.frozen, r.held = true, false, nil
	r.thawed.Broadcast()
}

// Freeze is SIGSTOP. The kernel lives on: datagrams queue, streams are accepted
// and fill their windows. The process reads nothing, and what it sends leaves
// only at Thaw, since its timers cannot be stopped: so a frozen node sends what
// it had decided to send long after its peers have replaced it.
func (r *Process) Freeze() {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	r.freeze(time.Time{})
}

// FreezeFor is SIGSTOP and, after d, SIGCONT. Unlike in a Freeze without an end
// the process reads its boot clock as a stopped one does: not before it wakes.
func (r *Process) FreezeFor(d time.Duration) {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	r.freeze(time.Now().Add(d))
	time.AfterFunc(d, r.Thaw)
}

func (r *Process) freeze(wakes time.Time) { r.frozen, r.wakes = !r.dead, wakes }

// Thaw is SIGCONT.
func (r *Process) Thaw() {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	r.thaw()
}

func (r *Process) thaw() {
	held := r.held
	r.frozen, r.held = false, nil
	for _, send := range held {
		send()
	}
	r.thawed.Broadcast()
}

// sends runs send now, or at Thaw.
func (r *Process) sends(send func()) {
	if r.frozen {
		r.held = append(r.held, send)
		return
	}
	send()
}

// bind checks a local address and chooses its port if that is 0. Addresses that
// the host does not have yet are allowed, as with IP_FREEBIND. A frozen process
// opens nothing before it wakes.
func (r *Process) bind(addr netip.AddrPort, used func(netip.AddrPort) bool) (netip.AddrPort, error) {
	h := r.host
	for r.frozen {
		r.thawed.Wait()
	}
	switch {
	case r.dead:
		return addr, syscall.ENETDOWN
	case !addr.Addr().IsValid() || addr.Addr().IsUnspecified():
		return addr, syscall.EADDRNOTAVAIL // the product has no wildcard sockets
	case addr.Port() != 0 && used(addr):
		return addr, syscall.EADDRINUSE
	}
	for addr.Port() == 0 || used(addr) {
		addr = netip.AddrPortFrom(addr.Addr(), h.next)
		h.next = max(h.next+1, firstPort)
	}
	return addr, nil
}
