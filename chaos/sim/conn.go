package sim

import (
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Conn is one end of a TCP stream: ordered, reliable, with a bounded window. A
// cut link does not break it: segments are sent again with backoff and arrive
// after the link heals.
type Conn struct {
	proc          *Process
	local, remote netip.AddrPort
	cond          *sync.Cond    // on Net.mu
	decided       chan struct{} // closed when the dial has succeeded or failed
	connected     bool
	closed        bool  // Close was called at this end
	err           error // why the stream is dead

	in       []byte // arrived, not read
	ended    bool   // the peer's FIN arrived
	unsent   []segment
	inFlight int           // bytes of ours that the peer has not read
	rto      time.Duration // to the next resend of unsent[0]
	last     time.Time     // arrival of the newest segment, which later ones do not overtake
	moving   bool          // an event for unsent[0] is posted

	read, write deadline
}

// segment is a piece of a stream on its way.
type segment struct {
	payload []byte
	fin     bool
	sent    time.Time
	due     time.Time
}

func newConn(r *Process, local, remote netip.AddrPort) *Conn {
	c := &Conn{
		proc: r, local: local, remote: remote,
		cond: sync.NewCond(&r.host.net.mu), decided: make(chan struct{}), rto: r.host.net.cfg.RTO,
	}
	r.host.conns[pair{local, remote}] = c
	return c
}

func (c *Conn) net() *Net { return c.proc.host.net }

// decide lets Dial return.
func (c *Conn) decide() {
	select {
	case <-c.decided:
	default:
		close(c.decided)
	}
}

// fail ends the stream at this end, with err for whoever uses it.
func (c *Conn) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.unsent = nil
	c.read.stop()
	c.write.stop()
	if at := (pair{c.local, c.remote}); c.proc.host.conns[at] == c {
		delete(c.proc.host.conns, at)
	}
	c.decide()
	c.cond.Broadcast()
}

// send queues a segment. It arrives after its own delay, but not before an
// older one.
func (c *Conn) send(s segment) {
	if c.err != nil {
		return
	}
	n, now := c.net(), time.Now()
	f := flow{flowSegment, c.local, c.remote}
	dice := n.dice(f)
	s.sent = now
	s.due = now.Add(n.link(c.proc.host, n.home(flowSegment, c.proc.host, c.local, c.remote)).delay(dice))
	if s.due.Before(c.last) {
		s.due = c.last
	}
	c.last = s.due
	c.unsent = append(c.unsent, s)
	c.move(s.due)
}

// move posts the arrival of the oldest segment.
func (c *Conn) move(at time.Time) {
	if c.moving || len(c.unsent) == 0 {
		return
	}
	c.moving = true
	c.net().post(at, flow{flowSegment, c.local, c.remote}, func() {
		c.moving = false
		c.arrive()
	})
}

// arrive delivers what is due at the other end, or has it sent again later.
func (c *Conn) arrive() {
	if len(c.unsent) == 0 {
		return // died meanwhile
	}
	n, now := c.net(), time.Now()
	h := n.reach(flowSegment, c.proc.host, c.local, c.remote)
	lost := h != nil && hit(n.dice(flow{flowSegment, c.local, c.remote}), n.link(c.proc.host, h).Loss)
	if h == nil || lost {
		n.stats.Lost++
		n.trace(Drop, c.local, c.remote, c.unsent[0].payload)
		if now.Sub(c.unsent[0].sent) > n.cfg.GiveUp {
			c.fail(syscall.ETIMEDOUT)
			return
		}
		c.move(now.Add(c.rto))
		c.rto = min(2*c.rto, maxRTO)
		return
	}
	c.rto = n.cfg.RTO
	peer := h.conns[pair{c.remote, c.local}]
	if peer == nil { // closed for good, or of a life before
		h.refuse(pair{c.remote, c.local})
		c.unsent = nil
		if c.closed {
			c.fail(net.ErrClosed)
		}
		return
	}
	for len(c.unsent) > 0 && !c.unsent[0].due.After(now) {
		s := c.unsent[0]
		c.unsent = c.unsent[1:]
		c.deliver(s, peer)
	}
	if len(c.unsent) > 0 {
		c.move(c.unsent[0].due)
	}
}

// maxRTO bounds the time between two tries of a segment, as in Linux.
const maxRTO = 2 * time.Minute

// deliver hands one segment to the other end.
func (c *Conn) deliver(s segment, peer *Conn) {
	n := c.net()
	n.stats.Delivered++
	switch {
	case s.fin:
		n.trace(FIN, c.local, c.remote, nil)
		peer.ended = true
		c.finished()
		peer.finished()
	case peer.closed: // nobody will read it
		n.trace(Segment, c.local, c.remote, s.payload)
		peer.reset()
	default:
		n.trace(Segment, c.local, c.remote, s.payload)
		peer.in = append(peer.in, s.payload...)
	}
	peer.cond.Broadcast()
}

// finished forgets a stream whose two directions have ended.
func (c *Conn) finished() {
	if c.closed && c.ended && len(c.unsent) == 0 {
		c.fail(net.ErrClosed)
	}
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	c.cond.L.Lock()
	defer c.cond.L.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.op("read", net.ErrClosed)
		case c.proc.frozen:
			c.proc.thawed.Wait()
			continue
		case c.read.passed():
			return 0, c.op("read", os.ErrDeadlineExceeded)
		case len(c.in) > 0 && c.err == nil:
			return c.take(b), nil
		case c.err != nil:
			return 0, c.op("read", c.err)
		case c.ended:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		c.cond.Wait()
	}
}

// take moves arrived bytes to b and opens the sender's window again.
func (c *Conn) take(b []byte) int {
	k := copy(b, c.in)
	c.in = c.in[k:]
	if h := c.net().home(flowSegment, c.proc.host, c.local, c.remote); h != nil {
		if peer := h.conns[pair{c.remote, c.local}]; peer != nil {
			peer.inFlight -= k
			peer.cond.Broadcast()
		}
	}
	return k
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	c.cond.L.Lock()
	defer c.cond.L.Unlock()
	done := 0
	for {
		switch room := c.net().cfg.Window - c.inFlight; {
		case c.closed:
			return done, c.op("write", net.ErrClosed)
		case c.err != nil:
			return done, c.op("write", c.err)
		case c.write.passed():
			return done, c.op("write", os.ErrDeadlineExceeded)
		case done == len(b):
			return done, nil
		case room > 0:
			payload := slices.Clone(b[done:min(done+room, len(b))])
			done += len(payload)
			c.inFlight += len(payload)
			c.proc.sends(func() { c.send(segment{payload: payload}) })
			continue
		}
		c.cond.Wait()
	}
}

// Close sends what was written and then a FIN; data that was left unread turns
// it into a reset, as in the kernel.
func (c *Conn) Close() error {
	c.cond.L.Lock()
	defer c.cond.L.Unlock()
	if c.closed {
		return c.op("close", net.ErrClosed)
	}
	c.close()
	return nil
}

func (c *Conn) close() {
	if c.closed {
		return
	}
	c.closed = true
	c.read.stop()
	c.write.stop()
	c.proc.sends(func() {
		if c.err == nil && len(c.in) > 0 {
			c.reset()
			c.fail(net.ErrClosed)
			return
		}
		c.send(segment{fin: true})
	})
	c.cond.Broadcast()
}

func (c *Conn) op(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.read, t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.write, t) }

func (c *Conn) setDeadline(d *deadline, t time.Time) error {
	c.cond.L.Lock()
	defer c.cond.L.Unlock()
	if c.closed || c.err != nil {
		return c.op("set", net.ErrClosed)
	}
	d.set(t, c.cond)
	return nil
}
