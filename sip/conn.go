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

// Bounds of the connections.
const (
	maxConns     = 4096                  // of both directions: well below the usual limit of files
	maxStrangers = maxConns - 1024       // above it no more of unknown sources: room for trunks
	maxHostConns = 64                    // with one remote address, so that no host takes all
	maxConnQueue = 256                   // messages waiting for one peer: seconds of a busy trunk
	acceptPause  = 10 * time.Millisecond // after a failed accept: out of files, most likely

	// connCost is what an accepted connection of an unknown source takes of its
	// budget, in messages: a handshake costs as much.
	connCost = 10
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

// conn is one connection.
type conn struct {
	id       Conn     // never 0
	peer     Peer     // its transport and remote address
	accepted net.Conn // nil: to be dialled
	queue    *queue[frame]

	alias Peer // second name of an accepted connection; guarded by connTable.mu
}

// connTable holds the connections. Senders enter them, run serves them: with a
// goroutine that reads and one that writes, so that a peer that does not read
// stops nobody else. A connection is found by its name or by the far end that we
// dialled or that dialled us, never by the local address.
type connTable struct {
	e      *Endpoint
	starts *queue[*conn]

	mu    sync.Mutex // guards what follows
	conns map[Peer]*conn
	hosts map[netip.Addr]int // connections by remote host
	count int
}

func (t *connTable) init(e *Endpoint) {
	t.e, t.starts = e, newQueue[*conn]()
	t.conns, t.hosts = make(map[Peer]*conn), make(map[netip.Addr]int)
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
		if c.accepted != nil {
			c.accepted.Close()
		}
		t.remove(c, errConnClosed)
	}
	wg.Wait()
}

// accept takes connections from a listener. Only its end is an error: a process
// that is out of files serves the calls that it has.
func (t *connTable) accept(ctx context.Context, listener net.Listener, transport Transport) error {
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
			if !t.admit(nc, transport) {
				nc.Close()
			}
		}
	}
}

// admit enters an accepted connection. Whose messages would be dropped gets no
// place in the table.
func (t *connTable) admit(nc net.Conn, transport Transport) bool {
	remote, err := addrPortOf(nc.RemoteAddr())
	if err != nil {
		t.e.stats.DroppedFull.Add(1)
		return false
	}
	known := t.e.known(remote.Addr())
	if !known && !t.e.afford(remote.Addr(), connCost) {
		return false
	}
	if t.e.cfg.Gate != nil && !t.e.cfg.Gate(remote, nil) {
		t.e.stats.DroppedGate.Add(1)
		return false
	}
	c := &conn{id: t.e.newConn(), peer: Peer{transport, remote}, accepted: nc, queue: newQueue[frame]()}
	if t.enter(c, !known) != nil {
		t.e.stats.DroppedFull.Add(1)
		return false
	}
	return true
}

// enter adds a connection and has it served.
func (t *connTable) enter(c *conn, stranger bool) error {
	host := c.peer.Addr.Addr()
	t.mu.Lock()
	ok := t.count < maxConns && t.hosts[host] < maxHostConns && (!stranger || t.count < maxStrangers)
	if ok {
		t.conns[c.peer] = c
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
	host := c.peer.Addr.Addr()
	t.mu.Lock()
	for _, name := range [...]Peer{c.peer, c.alias} {
		if t.conns[name] == c {
			delete(t.conns, name)
		}
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
	if out.dest.Transport == WS || out.dest.Transport == WSS {
		f.raw = webFrame(webText, out.raw)
	}
	for _, find := range [...]func(packet) *conn{t.byFlow, t.byDest} {
		c := find(out)
		switch {
		case c == nil:
		case c.queue.push(f, maxConnQueue):
			return nil
		case find(out) == c:
			return errConnBusy
		}
	}
	if !t.e.dials(out.dest.Transport) {
		return errConnNone
	}
	c := &conn{id: t.e.newConn(), peer: out.dest, queue: newQueue[frame]()}
	c.queue.push(f, maxConnQueue)
	return t.enter(c, false)
}

// byFlow finds the connection that a message prefers: by address, and by name
// where the message has one.
func (t *connTable) byFlow(out packet) *conn {
	if !out.flow.addr.IsValid() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.conns[Peer{out.dest.Transport, out.flow.addr}]
	if c == nil || out.flow.conn != 0 && out.flow.conn != c.id {
		return nil
	}
	return c
}

// byDest finds a connection to the destination. Where that is the far end of the
// flow, the connection of the flow is gone: who has connected from the same
// address since is somebody else.
func (t *connTable) byDest(out packet) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.conns[out.dest]
	if c != nil && c.accepted != nil && c.alias != out.dest && out.flow.conn != 0 && out.flow.addr == out.dest.Addr {
		return nil
	}
	return c
}

// named makes an accepted connection the one to the address that its peer, whom
// its certificate proves, says it listens at (RFC 5923).
func (t *connTable) named(c *conn, alias Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.alias == (Peer{}) && t.conns[alias] == nil && t.conns[c.peer] == c {
		c.alias = alias
		t.conns[alias] = c
	}
}

func failAll(frames []frame, err error) {
	for _, f := range frames {
		if f.fail != nil {
			f.fail(err)
		}
	}
}
