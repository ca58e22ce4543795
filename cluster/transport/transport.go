// Package transport is the production [cluster.Network]: one TCP port with
// mutual TLS 1.3, whose ALPN name tells raft, rpc and gossip streams, the
// cluster and its generation apart, and one UDP socket for gossip (encrypted by
// memberlist's keyring).
//
// It opens no sockets: listener and packet conn are given to it.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"tandem/cluster"
	"tandem/cluster/pki"
)

const (
	// handshakeTimeout bounds the time an unknown peer may take.
	handshakeTimeout = 5 * time.Second
	// maxHandshakes bounds the peers that are shaking hands; more wait in the
	// listener's backlog.
	maxHandshakes = 64
	// acceptPause is the wait after Accept failed, as for want of descriptors.
	acceptPause = 50 * time.Millisecond
)

// Config is what a Network is made of.
type Config struct {
	Credentials pki.Credentials
	Generation  uint32
	// Stream and Datagram are bound to the same address and port. The Network
	// closes them.
	Stream   net.Listener
	Datagram net.PacketConn
	// From is the local address of outgoing connections; nil leaves it to the
	// kernel.
	From net.Addr
	Now  func() time.Time // nil: time.Now
	// Logger may be nil.
	Logger *slog.Logger
}

// Network implements cluster.Network over TLS.
type Network struct {
	cfg    Config
	log    *slog.Logger
	tls    *tls.Config
	dialer net.Dialer
	done   chan struct{}
	once   sync.Once
	all    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	queues map[cluster.Proto]*queue
	shake  map[net.Conn]bool // connections in their handshake
}

var _ cluster.Network = (*Network)(nil)

// New starts accepting. Close ends it.
func New(cfg Config) (*Network, error) {
	if cfg.Stream == nil || cfg.Datagram == nil {
		return nil, errors.New("transport: a socket is missing")
	}
	n, err := NewDialer(cfg)
	if err != nil {
		return nil, err
	}
	for _, p := range []cluster.Proto{cluster.ProtoRaft, cluster.ProtoRPC, cluster.ProtoGossip} {
		n.tls.NextProtos = append(n.tls.NextProtos, n.alpn(p))
		n.queues[p] = &queue{network: n, conns: make(chan net.Conn), done: make(chan struct{})}
	}
	n.all.Go(n.accept)
	return n, nil
}

// NewDialer returns a Network that only dials: for a process that speaks to the
// members and is none. It needs no sockets, and nobody can call it.
func NewDialer(cfg Config) (*Network, error) {
	base, err := cfg.Credentials.TLS(cfg.Now)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	n := &Network{cfg: cfg, log: cfg.Logger, tls: base, done: make(chan struct{}),
		dialer: net.Dialer{LocalAddr: cfg.From}, queues: map[cluster.Proto]*queue{}, shake: map[net.Conn]bool{}}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	return n, nil
}

// alpn is the name of a protocol of this cluster and generation: peers of
// another one fail in the handshake.
func (n *Network) alpn(p cluster.Proto) string {
	return fmt.Sprintf("tandem-%s/1/%s/%d", p, n.cfg.Credentials.ClusterID, n.cfg.Generation)
}

// Dial implements cluster.Network.
func (n *Network) Dial(ctx context.Context, addr string, proto cluster.Proto) (net.Conn, error) {
	raw, err := n.dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	cfg := n.tls.Clone()
	cfg.NextProtos = []string{n.alpn(proto)}
	conn := tls.Client(raw, cfg)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("handshake with %s: %w", addr, err)
	}
	return identified(conn)
}

// Listen implements cluster.Network.
func (n *Network) Listen(proto cluster.Proto) (net.Listener, error) {
	q := n.queues[proto]
	if q == nil {
		return nil, fmt.Errorf("unknown protocol %q", proto)
	}
	return q, nil
}

// Packets implements cluster.Network.
func (n *Network) Packets() (net.PacketConn, error) { return n.cfg.Datagram, nil }

// Close ends both sockets and waits. It is safe to call it again.
func (n *Network) Close() error {
	var err error
	n.once.Do(func() {
		close(n.done)
		if n.cfg.Stream != nil {
			err = errors.Join(n.cfg.Stream.Close(), ignoreClosed(n.cfg.Datagram.Close()))
		}
		n.mu.Lock()
		for c := range n.shake {
			c.Close()
		}
		n.mu.Unlock()
		n.all.Wait()
	})
	return err
}

// ignoreClosed drops the error of a socket that gossip has closed already.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (n *Network) accept() {
	places := make(chan struct{}, maxHandshakes)
	for {
		raw, err := n.cfg.Stream.Accept()
		if err != nil {
			select {
			case <-n.done:
				return
			case <-time.After(acceptPause):
				n.log.Warn("accept", "err", err)
				continue
			}
		}
		select {
		case places <- struct{}{}:
		case <-n.done:
			raw.Close()
			return
		}
		n.all.Go(func() {
			defer func() { <-places }()
			n.welcome(raw)
		})
	}
}

// welcome shakes hands with a peer and gives the connection to the listener of
// its protocol.
func (n *Network) welcome(raw net.Conn) {
	n.mu.Lock()
	n.shake[raw] = true
	n.mu.Unlock()
	conn, err := n.handshake(raw)
	n.mu.Lock()
	delete(n.shake, raw)
	n.mu.Unlock()
	if err != nil {
		raw.Close()
		n.log.Warn("peer refused", "remote", raw.RemoteAddr().String(), "err", err)
		return
	}
	q := n.queues[n.protocol(conn.ConnectionState().NegotiatedProtocol)]
	if q == nil {
		conn.Close() // a peer that offered no protocol at all
		return
	}
	select {
	case q.conns <- conn:
	case <-q.done:
		conn.Close()
	case <-n.done:
		conn.Close()
	case <-time.After(handshakeTimeout): // nobody accepts
		conn.Close()
	}
}

func (n *Network) handshake(raw net.Conn) (*Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	conn := tls.Server(raw, n.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return identified(conn)
}

// protocol is the inverse of alpn.
func (n *Network) protocol(alpn string) cluster.Proto {
	name, _, _ := strings.Cut(strings.TrimPrefix(alpn, "tandem-"), "/")
	return cluster.Proto(name)
}

// Conn is a connection whose other end has proven who it is.
type Conn struct {
	*tls.Conn
	peer string
}

// Peer is the name of the node at the other end.
func (c *Conn) Peer() string { return c.peer }

// identified reads the peer's name off a connection that has shaken hands.
func identified(conn *tls.Conn) (*Conn, error) {
	_, node, err := pki.Identity(conn.ConnectionState().PeerCertificates[0])
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &Conn{conn, node}, nil
}

// queue is the listener of one protocol.
type queue struct {
	network *Network
	conns   chan net.Conn
	done    chan struct{}
	once    sync.Once
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
	case <-q.network.done:
	}
	return nil, net.ErrClosed
}

// Close ends this listener; the port stays open for the other protocols.
func (q *queue) Close() error { q.once.Do(func() { close(q.done) }); return nil }

func (q *queue) Addr() net.Addr { return q.network.cfg.Stream.Addr() }
