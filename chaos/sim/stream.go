package sim

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// maxBacklog is how many streams wait to be accepted; a SYN beyond is dropped,
	// as Linux does, and comes again.
	maxBacklog = 128
	// dialTimeout is when Linux gives up on a SYN that nobody answers.
	dialTimeout = 127 * time.Second
	// firstSYN is the time to the second SYN; it doubles.
	firstSYN = time.Second
)

// Listener is a listening TCP socket.
type Listener struct {
	proc   *Process
	local  netip.AddrPort
	cond   *sync.Cond
	queue  []*Conn
	closed bool
}

// Listen opens a listening TCP socket.
func (r *Process) Listen(addr netip.AddrPort) (net.Listener, error) {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	tcp := r.host.tcp
	local, err := r.bind(addr, r.host.listening)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: err}
	}
	l := &Listener{proc: r, local: local, cond: sync.NewCond(&r.host.net.mu)}
	tcp[local] = l
	return l, nil
}

// listening says whether an address has a listener; a shared one may have it on
// any host.
func (h *Host) listening(a netip.AddrPort) bool {
	if !h.net.shared(a.Addr()) {
		return h.tcp[a] != nil
	}
	return slices.ContainsFunc(h.net.order, func(o *Host) bool { return o.tcp[a] != nil })
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	l.cond.L.Lock()
	defer l.cond.L.Unlock()
	for !l.closed {
		switch {
		case l.proc.frozen:
			l.proc.thawed.Wait()
		case len(l.queue) > 0:
			c := l.queue[0]
			l.queue = l.queue[1:]
			return c, nil
		default:
			l.cond.Wait()
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}

// Close stops listening and resets the streams that nobody accepted.
func (l *Listener) Close() error {
	l.cond.L.Lock()
	defer l.cond.L.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.closed = true
	l.cond.Broadcast()
	l.proc.sends(l.close)
	return nil
}

func (l *Listener) close() {
	l.closed = true
	if tcp := l.proc.host.tcp; tcp[l.local] == l {
		delete(tcp, l.local)
	}
	for _, c := range l.queue {
		c.reset()
		c.fail(net.ErrClosed)
	}
	l.queue = nil
	l.cond.Broadcast()
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

// Dial opens a TCP stream from the host's own address.
func (r *Process) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	return r.DialFrom(ctx, r.host.addr, addr)
}

// DialFrom opens a TCP stream from one of the host's addresses. If ctx has no
// deadline it gives up when Linux would.
func (r *Process) DialFrom(ctx context.Context, from netip.Addr, addr netip.AddrPort) (net.Conn, error) {
	c, err := r.connect(from, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	select {
	case <-c.decided:
	case <-ctx.Done():
	}
	c.cond.L.Lock()
	defer c.cond.L.Unlock()
	for r.frozen {
		r.thawed.Wait()
	}
	switch {
	case c.err != nil:
		return nil, c.op("dial", c.err)
	case c.connected:
		return c, nil
	}
	c.fail(net.ErrClosed)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, c.op("dial", os.ErrDeadlineExceeded)
	}
	return nil, c.op("dial", ctx.Err())
}

// connect sends the first SYN.
func (r *Process) connect(from netip.Addr, remote netip.AddrPort) (*Conn, error) {
	h := r.host
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	local, err := r.bind(netip.AddrPortFrom(from, 0), func(a netip.AddrPort) bool {
		return h.conns[pair{a, remote}] != nil
	})
	if err != nil {
		return nil, err
	}
	c := newConn(r, local, remote)
	r.sends(func() { c.synchronise(firstSYN) })
	return c, nil
}

// synchronise sends a SYN, and again after a while as long as nobody answers.
func (c *Conn) synchronise(again time.Duration) {
	if c.connected || c.err != nil {
		return
	}
	n := c.net()
	n.transmit(SYN, c.proc.host, c.local, c.remote, nil, func(h *Host) { h.welcome(c) })
	n.post(time.Now().Add(again), flow{flowTimer, c.local, c.remote}, func() { c.synchronise(2 * again) })
}

// welcome answers the SYN of a dialling end.
func (h *Host) welcome(dialler *Conn) {
	at := pair{dialler.remote, dialler.local}
	if c := h.conns[at]; c != nil { // the SYN came again
		c.acknowledge(dialler)
		return
	}
	l := h.tcp[at.local]
	switch {
	case l == nil:
		h.refuse(at)
	case len(l.queue) < maxBacklog:
		c := newConn(l.proc, at.local, at.remote)
		c.connected = true
		l.queue = append(l.queue, c)
		l.cond.Broadcast()
		c.acknowledge(dialler)
	}
}

// acknowledge sends the SYN-ACK.
func (c *Conn) acknowledge(dialler *Conn) {
	c.net().transmit(SYNACK, c.proc.host, c.local, c.remote, nil, func(h *Host) {
		if h.conns[pair{dialler.local, dialler.remote}] != dialler {
			h.refuse(pair{dialler.local, dialler.remote}) // it gave up
			return
		}
		dialler.connected = true
		dialler.decide()
	})
}

// refuse resets whoever believes to have a stream with this host.
func (h *Host) refuse(at pair) {
	h.net.transmit(RST, h, at.local, at.remote, nil, func(peer *Host) {
		c := peer.conns[pair{at.remote, at.local}]
		switch {
		case c == nil:
		case c.connected:
			c.fail(syscall.ECONNRESET)
		default:
			c.fail(syscall.ECONNREFUSED)
		}
	})
}

// reset tells the other end that this one is gone.
func (c *Conn) reset() { c.proc.host.refuse(pair{c.local, c.remote}) }
