package sip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Times of a connection.
const (
	dialTimeout  = 4 * time.Second // as long as the first response may take
	writeTimeout = 5 * time.Second // a peer that takes nothing for so long is gone

	// messageTimeout is how long a peer may take for a message once it has begun, and
	// an accepted connection for its first one: who sends a byte now and then must not
	// keep places that others need.
	messageTimeout = 5 * time.Second
)

// messages cuts what a connection brings into SIP messages.
type messages interface {
	// space returns room to read into; grown reports how much of it was filled.
	space() []byte
	grown(n int)
	// next returns the next whole message, or nil when more bytes are needed. It is
	// valid until the next call of space. An error ends the connection; with it comes
	// the head of the message that caused it, if any. io.EOF is the peer's own end.
	next() ([]byte, error)
	// partial reports whether a message has begun and not ended.
	partial() bool
	// replies returns what the framing itself has to answer: pongs.
	replies() [][]byte
}

// serve sets the connection up, then reads and writes until it or ctx ends.
func (t *connTable) serve(ctx context.Context, c *conn) {
	nc, cut, err := t.open(ctx, c)
	if err != nil {
		if nc != nil {
			nc.Close()
		}
		if c.accepted != nil {
			t.e.stats.HandshakeErrors.Add(1)
			t.e.log.Debug("connection refused", "peer", c.peer, "err", err)
		}
		t.remove(c, err)
		return
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	wg.Go(func() { stop(t.read(nc, c, cut)) })
	wg.Go(func() { stop(t.write(ctx, nc, c)) })
	<-ctx.Done()
	nc.Close()
	wg.Wait()
	t.remove(c, fmt.Errorf("%w: %w", errConnClosed, context.Cause(ctx)))
}

// open dials if need be, and goes through the handshakes of the transport.
func (t *connTable) open(ctx context.Context, c *conn) (net.Conn, messages, error) {
	cfg := &t.e.cfg
	nc, err := c.accepted, error(nil)
	if nc == nil {
		if nc, err = t.dial(ctx, c.peer.Addr); err != nil {
			return nil, nil, err
		}
		if c.peer.Transport == TLS {
			nc, err = cfg.TLS.opened(ctx, nc, c.peer.Addr)
		}
		return nc, new(framer), err
	}
	switch c.peer.Transport {
	case TLS:
		nc, err = cfg.TLS.accepted(ctx, nc, c.peer.Addr)
	case WS, WSS:
		if cfg.WebSocket.Server != nil {
			nc, err = (&TLSConfig{Server: cfg.WebSocket.Server}).accepted(ctx, nc, c.peer.Addr)
		}
		if err != nil {
			return nc, nil, err
		}
		cut, err := cfg.WebSocket.upgrade(ctx, nc)
		return nc, cut, err
	}
	return nc, new(framer), err
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

// read takes messages off the connection; a stream without boundaries, without a
// byte for Idle or with a message that does not end ends it.
func (t *connTable) read(nc net.Conn, c *conn, cut messages) error {
	from := arrival{peer: c.peer, conn: c, authentic: authentic(nc)}
	var begun time.Time // when the message in the framer, or the first one, began
	if c.accepted != nil {
		begun = time.Now()
	}
	for {
		whole, err := t.take(nc, cut, from)
		if err != nil {
			return err
		}
		if whole {
			begun = time.Time{}
		}
		if cut.partial() && begun.IsZero() {
			begun = time.Now()
		}
		deadline := time.Now().Add(t.e.cfg.Idle)
		if !begun.IsZero() {
			deadline = begun.Add(messageTimeout)
		}
		if err := nc.SetReadDeadline(deadline); err != nil {
			return err
		}
		n, err := nc.Read(cut.space())
		cut.grown(n)
		if err != nil {
			if n > 0 {
				_, bad := t.take(nc, cut, from)
				err = errors.Join(err, bad)
			}
			return err
		}
	}
}

// take hands the whole messages on, and answers pings. It reports whether there
// was a message.
func (t *connTable) take(nc net.Conn, cut messages, from arrival) (whole bool, err error) {
	for {
		msg, err := cut.next()
		for _, reply := range cut.replies() {
			t.e.stats.KeepAlives.Add(1)
			from.conn.queue.push(frame{raw: reply}, maxConnQueue)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.refuse(nc, from, msg, err)
			}
			return whole, err
		}
		if msg == nil {
			return whole, nil
		}
		whole = true
		t.e.receive(from, msg)
	}
}

// refuse answers the message that broke the framing, since its sender waits for
// an answer, before the connection is closed.
func (t *connTable) refuse(nc net.Conn, from arrival, head []byte, why error) {
	t.e.stats.Malformed[MalformedLength].Add(1)
	m, _ := parse(head)
	if m.req == nil || m.req.Method == ACK || len(m.req.vias) == 0 {
		return
	}
	status := 400
	if errors.Is(why, errTooLong) {
		status = 513
	}
	m.req.arrived(from.peer)
	res := m.req.Response(status, "")
	if res.check() != nil || !t.e.permitted(status) {
		return
	}
	// Written here, since nothing behind this message will be: the queue ends with the
	// connection.
	if nc.SetWriteDeadline(time.Now().Add(writeTimeout)) == nil {
		_, _ = nc.Write(res.encode())
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
