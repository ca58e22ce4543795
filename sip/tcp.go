package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Bounds of the TCP side.
const (
	maxConns     = 4096                  // connections of both directions: well below the usual limit of files
	maxHostConns = 256                   // of them with one remote address, so that no host takes all
	maxConnQueue = 256                   // messages waiting for one peer: seconds of a busy trunk
	dialTimeout  = 4 * time.Second       // as long as the first response may take
	writeTimeout = 5 * time.Second       // a peer that takes nothing for so long is gone
	acceptPause  = 10 * time.Millisecond // after a failed accept: out of files, most likely

	// messageTimeout is how long a peer may take for a message once it has begun, and
	// an accepted connection for its first one: who sends a byte now and then must not
	// keep places that others need.
	messageTimeout = 5 * time.Second
)

var (
	errConnBusy   = errors.New("connection queue is full")
	errConnClosed = errors.New("connection closed")
	errConnNone   = errors.New("no connection, and none can be opened")
)

// frame is one message in the queue of a connection.
type frame struct {
	raw  []byte
	fail func(error) // told when the message was not written; may be nil
}

// conn is one TCP connection.
type conn struct {
	remote netip.AddrPort // connections are found by it, never by the local address
	accept net.Conn       // nil: to be dialled
	queue  *queue[frame]
}

// connTable holds the TCP connections. Senders enter them, run serves them: with
// a goroutine that reads and one that writes, so that a peer that does not read
// stops nobody else.
type connTable struct {
	e      *Endpoint
	starts *queue[*conn]

	mu    sync.Mutex // guards what follows
	conns map[netip.AddrPort]*conn
	hosts map[netip.Addr]int // connections by remote host
	count int
}

func (t *connTable) init(e *Endpoint) {
	t.e, t.starts = e, newQueue[*conn]()
	t.conns, t.hosts = make(map[netip.AddrPort]*conn), make(map[netip.Addr]int)
}

// run serves connections until ctx ends, and returns when all are closed.
func (t *connTable) run(ctx context.Context) {
	var wg sync.WaitGroup
	var fresh []*conn
	for {
		fresh = t.starts.take(fresh)
		for _, c := range fresh {
			wg.Go(func() { t.serve(ctx, c) })
		}
		select {
		case <-t.starts.wake:
			continue
		case <-ctx.Done():
		}
		break
	}
	for _, c := range t.starts.close() {
		if c.accept != nil {
			c.accept.Close()
		}
		t.remove(c, errConnClosed)
	}
	wg.Wait()
}

// accept takes connections from the listener. Only its end is an error: a process
// that is out of files serves the calls that it has.
func (t *connTable) accept(ctx context.Context, listener net.Listener) error {
	for {
		nc, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("sip: accept on %s: %w", listener.Addr(), err)
		case err != nil:
			t.e.stats.AcceptErrors.Add(1)
			wait(ctx, acceptPause)
		default:
			t.admit(nc)
		}
	}
}

// admit enters an accepted connection. Whose messages the gate would drop gets no
// place in the table.
func (t *connTable) admit(nc net.Conn) {
	remote, err := addrPortOf(nc.RemoteAddr())
	switch {
	case err == nil && t.e.cfg.Gate != nil && !t.e.cfg.Gate(remote, nil):
		t.e.stats.DroppedGate.Add(1)
	case err == nil && t.enter(&conn{remote: remote, accept: nc, queue: newQueue[frame]()}) == nil:
		return
	default:
		t.e.stats.DroppedFull.Add(1)
	}
	nc.Close()
}

// enter adds a connection and has it served.
func (t *connTable) enter(c *conn) error {
	host := c.remote.Addr()
	t.mu.Lock()
	ok := t.count < maxConns && t.hosts[host] < maxHostConns
	if ok {
		t.conns[c.remote] = c
		t.hosts[host]++
		t.count++
	}
	t.mu.Unlock()
	if !ok {
		return errConnNone
	}
	t.e.stats.Conns.Add(1)
	if !t.starts.push(c, maxConns) {
		t.remove(c, errConnClosed)
		return errConnClosed
	}
	return nil
}

// remove takes a connection out and fails what it did not write.
func (t *connTable) remove(c *conn, cause error) {
	host := c.remote.Addr()
	t.mu.Lock()
	if t.conns[c.remote] == c {
		delete(t.conns, c.remote)
	}
	if t.hosts[host]--; t.hosts[host] == 0 {
		delete(t.hosts, host)
	}
	t.count--
	t.mu.Unlock()
	t.e.stats.Conns.Add(-1)
	failAll(c.queue.close(), cause)
}

// send queues a message: on the connection of its flow, else on one to its
// destination, else on a new one.
func (t *connTable) send(out packet, fail func(error)) error {
	f := frame{out.raw, fail}
	for _, key := range [...]netip.AddrPort{out.flow.addr, out.dest.Addr} {
		c := t.find(key)
		switch {
		case c == nil:
		case c.queue.push(f, maxConnQueue):
			return nil
		case t.find(key) == c:
			return errConnBusy
		}
	}
	if t.e.cfg.Dial == nil {
		return errConnNone
	}
	c := &conn{remote: out.dest.Addr, queue: newQueue[frame]()}
	c.queue.push(f, maxConnQueue)
	return t.enter(c)
}

func (t *connTable) find(key netip.AddrPort) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conns[key]
}

// serve dials if need be, then reads and writes until the connection or ctx ends.
func (t *connTable) serve(ctx context.Context, c *conn) {
	nc, err := c.accept, error(nil)
	if nc == nil {
		if nc, err = t.dial(ctx, c.remote); err != nil {
			t.remove(c, err)
			return
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	wg.Go(func() { stop(t.read(nc, c)) })
	wg.Go(func() { stop(t.write(ctx, nc, c)) })
	<-ctx.Done()
	nc.Close()
	wg.Wait()
	t.remove(c, fmt.Errorf("%w: %w", errConnClosed, context.Cause(ctx)))
}

func (t *connTable) dial(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	ctx, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	nc, err := t.e.cfg.Dial(ctx, "tcp", remote.String())
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", remote, err)
	}
	return nc, nil
}

// read cuts the stream into messages; a stream without boundaries, without a byte
// for Idle or with a message that does not end ends the connection.
func (t *connTable) read(nc net.Conn, c *conn) error {
	src := Peer{TCP, c.remote}
	var f framer
	var begun time.Time // when the message in the framer, or the first one, began
	if c.accept != nil {
		begun = time.Now()
	}
	for {
		deadline := time.Now().Add(t.e.cfg.Idle)
		if !begun.IsZero() {
			deadline = begun.Add(messageTimeout)
		}
		if err := nc.SetReadDeadline(deadline); err != nil {
			return err
		}
		n, err := nc.Read(f.space())
		f.grown(n)
		for {
			msg, bad := f.next()
			if bad != nil {
				t.e.stats.Malformed[MalformedLength].Add(1)
				return bad
			}
			if msg == nil {
				break
			}
			begun = time.Time{}
			t.e.receive(src, msg)
		}
		if f.partial() && begun.IsZero() {
			begun = time.Now()
		}
		for ; f.pings > 0; f.pings-- {
			t.e.stats.KeepAlives.Add(1)
			c.queue.push(frame{raw: []byte("\r\n")}, maxConnQueue) // RFC 5626 section 3.5.1
		}
		if err != nil {
			return err
		}
	}
}

// write writes what is queued.
func (t *connTable) write(ctx context.Context, nc net.Conn, c *conn) error {
	var frames []frame
	for {
		frames = c.queue.take(frames)
		for i, f := range frames {
			err := nc.SetWriteDeadline(time.Now().Add(writeTimeout))
			if err == nil {
				_, err = nc.Write(f.raw)
			}
			if err != nil {
				failAll(frames[i:], err)
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.queue.wake:
		}
	}
}

func failAll(frames []frame, err error) {
	for _, f := range frames {
		if f.fail != nil {
			f.fail(err)
		}
	}
}
