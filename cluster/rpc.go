package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tandem/fsm/wire"
)

// Handler answers a request of the node from.
type Handler func(ctx context.Context, from string, req []byte) ([]byte, error)

const (
	// MaxMessage bounds a request or an answer.
	MaxMessage = 4 << 20
	// maxServing bounds the requests of one peer that are being answered; further
	// ones wait in its socket.
	maxServing = 64
	// maxPeers bounds the connections that are served.
	maxPeers = 256
	// callTimeout ends a call whose context has no deadline.
	callTimeout = 10 * time.Second
	// helloTimeout is how long a connection may take to say who it is.
	helloTimeout = 5 * time.Second
)

// RemoteError is the text of an error that a peer's handler returned.
type RemoteError string

func (e RemoteError) Error() string { return string(e) }

// errHandlerMissing is answered to a call of an unknown name.
var errHandlerMissing = errors.New("no handler of this name")

// hello is the first frame of a connection: who calls, and which cluster it
// believes to be in.
type hello struct {
	node       string
	cluster    string
	generation uint32
}

func (h *hello) code(c *wire.Codec) {
	c.String(&h.node, maxName)
	c.String(&h.cluster, maxName)
	c.U32(&h.generation)
}

// rpc calls handlers of other nodes over one connection per peer, which is
// dialled when needed and dropped at its first error.
type rpc struct {
	self     hello
	network  Network
	handlers map[string]Handler // read-only once serving
	log      *slog.Logger
	patience time.Duration     // how long a connection may be silent while calls time out
	lost     func(addr string) // told of each connection to a peer that ends; may be nil
	all      sync.WaitGroup

	mu      sync.Mutex // guards what follows
	clients map[string]*client
	serving map[net.Conn]bool
	closed  bool

	served, failed atomic.Uint64
}

func newRPC(self hello, network Network, log *slog.Logger) *rpc {
	return &rpc{self: self, network: network, log: log, patience: silentFor,
		handlers: map[string]Handler{}, clients: map[string]*client{}, serving: map[net.Conn]bool{}}
}

// Handle registers the handler of a name. All handlers are registered before
// Run; a second one of the same name panics.
func (c *Cluster) Handle(name string, h Handler) { c.rpc.handle(name, h) }

// Call asks another node. An error of its handler comes back as RemoteError.
func (c *Cluster) Call(ctx context.Context, node, name string, req []byte) ([]byte, error) {
	addr, ok := c.addrOf(node)
	if !ok {
		return nil, fmt.Errorf("call %s on %s: unknown node", name, node)
	}
	return c.rpc.call(ctx, addr, name, req)
}

func (r *rpc) handle(name string, h Handler) {
	if _, ok := r.handlers[name]; ok {
		panic("cluster: two handlers of the name " + name)
	}
	r.handlers[name] = h
}

// call asks the node at addr.
func (r *rpc) call(ctx context.Context, addr, name string, req []byte) ([]byte, error) {
	if len(req) > MaxMessage {
		return nil, fmt.Errorf("call %s: request of %d bytes, at most %d", name, len(req), MaxMessage)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := r.tryCall(ctx, addr, name, req)
	if errors.Is(err, errStale) && ctx.Err() == nil {
		// The peer had restarted since the last call: nothing was sent.
		resp, err = r.tryCall(ctx, addr, name, req)
	}
	if err != nil {
		r.failed.Add(1)
		return nil, fmt.Errorf("call %s on %s: %w", name, addr, err)
	}
	return resp, nil
}

func (r *rpc) tryCall(ctx context.Context, addr, name string, req []byte) ([]byte, error) {
	cl, err := r.client(ctx, addr)
	if err != nil {
		return nil, err
	}
	return cl.call(ctx, name, req)
}

// client returns the connection to addr and dials it if there is none. Two
// callers may dial at once; the later connection is closed.
func (r *rpc) client(ctx context.Context, addr string) (*client, error) {
	r.mu.Lock()
	cl := r.clients[addr]
	r.mu.Unlock()
	if cl != nil {
		return cl, nil
	}
	conn, err := r.network.Dial(ctx, addr, ProtoRPC)
	if err != nil {
		return nil, err
	}
	fresh := newClient(conn, r.self, r.patience)
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		conn.Close()
		return nil, ErrClosed
	}
	if cl = r.clients[addr]; cl != nil {
		r.mu.Unlock()
		conn.Close()
		return cl, nil
	}
	r.clients[addr] = fresh
	r.all.Add(1)
	r.mu.Unlock()
	go func() {
		defer r.all.Done()
		fresh.run()
		r.mu.Lock()
		delete(r.clients, addr)
		told := r.lost != nil && !r.closed
		r.mu.Unlock()
		if told {
			r.lost(addr)
		}
	}()
	return fresh, nil
}

// serve accepts connections until the listener is closed.
func (r *rpc) serve(l net.Listener) {
	defer r.all.Done()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		ok := len(r.serving) < maxPeers && !r.closed
		if ok {
			r.serving[conn] = true
			r.all.Add(1)
		}
		r.mu.Unlock()
		if !ok {
			conn.Close()
			continue
		}
		go func() {
			defer r.all.Done()
			if err := r.serveConn(conn); err != nil && !errors.Is(err, io.EOF) {
				r.log.Warn("peer connection refused", "remote", conn.RemoteAddr().String(), "err", err)
			}
			r.mu.Lock()
			delete(r.serving, conn)
			r.mu.Unlock()
		}()
	}
}

// start begins to serve; close ends everything and waits.
func (r *rpc) start(l net.Listener) {
	r.all.Add(1)
	go r.serve(l)
}

// close takes nil if start was never called.
func (r *rpc) close(l net.Listener) {
	if l != nil {
		l.Close()
	}
	r.mu.Lock()
	r.closed = true
	for conn := range r.serving {
		conn.Close()
	}
	for _, cl := range r.clients {
		cl.conn.Close()
	}
	r.mu.Unlock()
	r.all.Wait()
}

// admit checks who calls.
func (r *rpc) admit(conn net.Conn, b []byte) (string, error) {
	var h hello
	c := wire.Decoder(b)
	h.code(c)
	if err := c.Finish(); err != nil {
		return "", fmt.Errorf("hello: %w", err)
	}
	if h.cluster != r.self.cluster || h.generation != r.self.generation {
		return "", fmt.Errorf("node %s of cluster %s generation %d: %w", h.node, h.cluster, h.generation, ErrWrongCluster)
	}
	if p, ok := conn.(interface{ Peer() string }); ok && p.Peer() != h.node {
		return "", fmt.Errorf("certificate of %s, hello of %s", p.Peer(), h.node)
	}
	return h.node, nil
}
