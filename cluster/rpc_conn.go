package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"tandem/fsm/wire"
)

// The frames of an rpc connection: four bytes of length, then a message. The
// first frame of the caller is its hello.

// message is a request or an answer.
type message struct {
	id      uint64
	kind    uint8 // kindRequest and so on
	name    string
	timeout time.Duration // of a request, as the caller sees it
	body    []byte
}

const (
	kindRequest uint8 = 1
	kindAnswer  uint8 = 2
	kindError   uint8 = 3 // body is the text

	maxFrame = MaxMessage + 1024
)

func (m *message) code(c *wire.Codec) {
	c.Uint(&m.id)
	c.U8(&m.kind)
	c.String(&m.name, maxName)
	wire.Int(c, &m.timeout)
	c.Bytes(&m.body, MaxMessage)
}

// readFrame reads one frame.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("frame of %d bytes, at most %d", n, maxFrame)
	}
	// Memory grows with what arrives, not with what is announced.
	b, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(b) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// frame encodes a message behind its length.
func frame(code func(*wire.Codec)) []byte {
	c := wire.Encoder(make([]byte, 4, 256))
	code(c)
	b := c.Buffer()
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// writer sends frames from one goroutine, so that nobody holds a lock while the
// socket is full.
type writer struct {
	frames chan []byte
	gone   chan struct{} // closed when nothing is sent any more
}

// maxFrames is how many frames may wait for the socket before callers do.
const maxFrames = 16

func newWriter() *writer {
	return &writer{frames: make(chan []byte, maxFrames), gone: make(chan struct{})}
}

// send queues a frame.
func (w *writer) send(ctx context.Context, b []byte) error {
	select {
	case w.frames <- b:
		return nil
	case <-w.gone:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes until stop is closed or the connection fails.
func (w *writer) run(conn net.Conn, stop <-chan struct{}) {
	defer close(w.gone)
	defer conn.Close() // wakes the reader
	out := bufio.NewWriter(conn)
	for {
		select {
		case b := <-w.frames:
			if _, err := out.Write(b); err != nil {
				return
			}
			if len(w.frames) == 0 && out.Flush() != nil {
				return
			}
		case <-stop:
			return
		}
	}
}

// errStale means that a connection had died before the request was sent.
var errStale = errors.New("connection was closed before")

// client is the calling end of a connection.
type client struct {
	conn net.Conn
	out  *writer
	dead chan struct{} // closed when no answer will come any more

	patience time.Duration // with a silent connection on which calls time out

	mu      sync.Mutex // guards what follows
	next    uint64
	waiting map[uint64]chan message // capacity 1; nil when dead
	heard   time.Time               // when the last answer came, at first the dial
}

// silentFor is how long a connection on which calls time out may have been
// silent before it is given up. TCP sends again ever more rarely: a stream that
// lived through a cut of a minute would stay silent for most of another one
// after it, while a new connection works at once.
const silentFor = 3 * pingEvery

func newClient(conn net.Conn, self hello, patience time.Duration) *client {
	c := &client{conn: conn, patience: patience, out: newWriter(), dead: make(chan struct{}), waiting: map[uint64]chan message{}, heard: time.Now()}
	c.out.frames <- frame(self.code) // the first frame: nobody else has the client yet
	return c
}

// run reads answers until the connection ends.
func (c *client) run() {
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { c.out.run(c.conn, stop) })
	in := bufio.NewReader(c.conn)
	for {
		b, err := readFrame(in)
		if err != nil {
			break
		}
		var m message
		d := wire.Decoder(b)
		m.code(d)
		if d.Finish() != nil {
			break
		}
		c.mu.Lock()
		c.heard = time.Now()
		answer := c.waiting[m.id]
		delete(c.waiting, m.id)
		c.mu.Unlock()
		if answer != nil {
			answer <- m
		}
	}
	c.mu.Lock()
	c.waiting = nil
	c.mu.Unlock()
	close(c.dead)
	close(stop)
	c.conn.Close()
	writing.Wait()
}

// call sends a request and waits for its answer.
func (c *client) call(ctx context.Context, name string, body []byte) ([]byte, error) {
	answer := make(chan message, 1)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return nil, errStale
	}
	c.next++
	m := message{id: c.next, kind: kindRequest, name: name, body: body}
	c.waiting[m.id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, m.id)
		c.mu.Unlock()
	}()
	if d, ok := ctx.Deadline(); ok {
		m.timeout = time.Until(d)
	}
	if err := c.out.send(ctx, frame(m.code)); err != nil {
		return nil, err
	}
	select {
	case m := <-answer:
		if m.kind == kindError {
			return nil, RemoteError(m.body)
		}
		return m.body, nil
	case <-c.dead:
		return nil, net.ErrClosed
	case <-ctx.Done():
		c.giveUpIfSilent(ctx.Err())
		return nil, ctx.Err()
	}
}

// giveUpIfSilent closes the connection if a call timed out on it and nothing at
// all has come for a while. Pings see to it that a live one is not silent.
func (c *client) giveUpIfSilent(err error) {
	c.mu.Lock()
	silent := time.Since(c.heard)
	c.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) && silent >= c.patience {
		c.conn.Close() // run sees it, the next call dials
	}
}

// serveConn answers the requests of one peer until the connection ends.
func (r *rpc) serveConn(conn net.Conn) error {
	defer conn.Close()
	in := bufio.NewReader(conn)
	from, err := r.greet(conn, in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	out := newWriter()
	work.Go(func() { out.run(conn, ctx.Done()) })
	places := make(chan struct{}, maxServing)
	for {
		b, err := readFrame(in)
		if err != nil {
			return nil
		}
		var m message
		d := wire.Decoder(b)
		m.code(d)
		if err := d.Finish(); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		select {
		case places <- struct{}{}:
		case <-out.gone:
			return nil
		}
		work.Go(func() {
			defer func() { <-places }()
			_ = out.send(ctx, frame(r.answer(ctx, from, m).code)) // the peer has gone
		})
	}
}

// greet reads and checks the hello of a new connection. A caller that goes away
// without a word is nobody's error.
func (r *rpc) greet(conn net.Conn, in *bufio.Reader) (from string, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return "", err
	}
	b, err := readFrame(in)
	if err != nil {
		return "", fmt.Errorf("hello: %w", err)
	}
	if from, err = r.admit(conn, b); err != nil {
		return "", err
	}
	return from, conn.SetReadDeadline(time.Time{})
}

// answer runs the handler of a request.
func (r *rpc) answer(ctx context.Context, from string, m message) *message {
	h := r.handlers[m.name]
	err := errHandlerMissing
	var body []byte
	if h != nil {
		r.served.Add(1)
		ctx, cancel := context.WithTimeout(ctx, min(max(m.timeout, 0), callTimeout))
		defer cancel()
		body, err = h(ctx, from, m.body)
	}
	if err == nil && len(body) > MaxMessage {
		err = fmt.Errorf("answer of %d bytes, at most %d", len(body), MaxMessage)
	}
	if err != nil {
		return &message{id: m.id, kind: kindError, body: []byte(err.Error())}
	}
	return &message{id: m.id, kind: kindAnswer, body: body}
}
