package sim

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// PacketConn is a UDP socket.
type PacketConn struct {
	proc   *Process
	local  netip.AddrPort
	cond   *sync.Cond
	queue  []datagram
	read   deadline
	closed bool
}

type datagram struct {
	payload []byte
	src     netip.AddrPort
}

// ListenPacket opens a UDP socket; port 0 takes a free one.
func (r *Process) ListenPacket(addr netip.AddrPort) (net.PacketConn, error) {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	udp := r.host.udp
	local, err := r.bind(addr, func(a netip.AddrPort) bool { return udp[a] != nil }) // shared ones are never in udp
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(addr), Err: err}
	}
	p := &PacketConn{proc: r, local: local, cond: sync.NewCond(&r.host.net.mu)}
	r.host.bindUDP(p)
	return p, nil
}

// ReadFrom implements net.PacketConn.
func (p *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, src, err := p.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(src), nil
}

// ReadFromUDPAddrPort is ReadFrom without allocating the address.
func (p *PacketConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	p.cond.L.Lock()
	defer p.cond.L.Unlock()
	for {
		switch {
		case p.closed:
			return 0, netip.AddrPort{}, p.fail("read", net.ErrClosed)
		case p.proc.frozen:
			p.proc.thawed.Wait()
			continue
		case p.read.passed():
			return 0, netip.AddrPort{}, p.fail("read", os.ErrDeadlineExceeded)
		case len(p.queue) > 0:
			d := p.queue[0]
			p.queue = p.queue[1:]
			return copy(b, d.payload), d.src, nil
		}
		p.cond.Wait()
	}
}

// WriteTo implements net.PacketConn. It never blocks.
func (p *PacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	dst, err := netip.ParseAddrPort(to.String())
	if err != nil {
		return 0, p.fail("write", err)
	}
	return p.WriteToUDPAddrPort(b, dst)
}

// WriteToUDPAddrPort is WriteTo without parsing the address.
func (p *PacketConn) WriteToUDPAddrPort(b []byte, dst netip.AddrPort) (int, error) {
	p.cond.L.Lock()
	defer p.cond.L.Unlock()
	if p.closed {
		return 0, p.fail("write", net.ErrClosed)
	}
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	if len(p.proc.held) >= maxHeld {
		p.proc.host.net.stats.Lost++
		return len(b), nil
	}
	payload := slices.Clone(b)
	p.proc.sends(func() {
		p.proc.host.net.transmit(Datagram, p.proc.host, p.local, dst, payload, func(h *Host) {
			h.receive(datagram{payload, p.local}, dst)
		})
	})
	return len(b), nil
}

// receive queues a datagram at the socket that it is for.
func (h *Host) receive(d datagram, dst netip.AddrPort) {
	p := h.socket(dst)
	switch {
	case p == nil || h.suspended:
		h.net.stats.Lost++
	case len(p.queue) >= h.net.cfg.Queue:
		h.net.stats.Overflow++
	default:
		h.net.stats.Delivered++
		p.queue = append(p.queue, d)
		p.cond.Broadcast()
	}
}

// Close implements net.PacketConn.
func (p *PacketConn) Close() error {
	p.cond.L.Lock()
	defer p.cond.L.Unlock()
	if p.closed {
		return p.fail("close", net.ErrClosed)
	}
	p.end()
	p.proc.sends(p.close)
	return nil
}

// end stops the readers of a socket that the kernel still has.
func (p *PacketConn) end() {
	p.closed = true
	p.read.stop()
	p.cond.Broadcast()
}

func (p *PacketConn) close() {
	p.end()
	p.proc.host.unbindUDP(p)
}

func (p *PacketConn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: p.LocalAddr(), Err: err}
}

// LocalAddr implements net.PacketConn.
func (p *PacketConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.local) }

// SetDeadline implements net.PacketConn.
func (p *PacketConn) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn; writes never block.
func (p *PacketConn) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn.
func (p *PacketConn) SetReadDeadline(t time.Time) error {
	p.cond.L.Lock()
	defer p.cond.L.Unlock()
	if p.closed {
		return p.fail("set", net.ErrClosed)
	}
	p.read.set(t, p.cond)
	return nil
}

// deadline is a point in time at which the waiters of a condition wake up.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) set(at time.Time, cond *sync.Cond) {
	d.stop()
	d.at = at
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), func() {
			cond.L.Lock()
			defer cond.L.Unlock()
			cond.Broadcast()
		})
	}
	cond.Broadcast()
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer = nil
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }
