package node

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// listenAgain is the pause between attempts to open a TCP port that the former
// owner of the address still has.
const listenAgain = 20 * time.Millisecond

// streams is the TCP side of a service address. A connection does not move with
// the address: who loses it has to drop what is open, so that peers dial the new
// owner. It is the listener and the dialler of a line's endpoint.
type streams struct {
	network Network
	at      netip.AddrPort
	listens bool
	closed  chan struct{}

	mu       sync.Mutex // guards what follows
	listener net.Listener
	conns    map[*stream]struct{}
	cut      bool // nothing is opened any more
	ended    bool
}

func newStreams(network Network, at netip.AddrPort, listens bool) *streams {
	return &streams{network: network, at: at, listens: listens, closed: make(chan struct{}), conns: map[*stream]struct{}{}}
}

// Accept implements net.Listener. The port is opened here and not before: the
// former owner may need a while to let go of it.
func (s *streams) Accept() (net.Conn, error) {
	for {
		l, err := s.open()
		if err == nil && l == nil { // cut: wait for the end
			<-s.closed
			return nil, net.ErrClosed
		}
		if err == nil {
			conn, err := l.Accept()
			if err == nil {
				return s.keep(conn)
			}
			if s.serves(l) {
				return nil, err
			}
			continue
		}
		select {
		case <-s.closed:
			return nil, net.ErrClosed
		case <-time.After(listenAgain):
		}
	}
}

// open returns the listener; nil without an error when there is to be none.
func (s *streams) open() (net.Listener, error) {
	s.mu.Lock()
	l, none := s.listener, s.cut || s.ended || !s.listens
	s.mu.Unlock()
	if none || l != nil {
		return l, nil
	}
	l, err := s.network.Listen(s.at)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut || s.ended {
		return nil, l.Close()
	}
	s.listener = l
	return l, nil
}

// serves says whether a listener is the one that was not cut.
func (s *streams) serves(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener == l
}

// Addr implements net.Listener.
func (s *streams) Addr() net.Addr { return net.TCPAddrFromAddrPort(s.at) }

// Dial connects from the service address.
func (s *streams) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := s.network.Dial(ctx, s.at.Addr(), network, addr)
	if err != nil {
		return nil, err
	}
	return s.keep(conn)
}

// keep remembers a connection until it is closed.
func (s *streams) keep(conn net.Conn) (net.Conn, error) {
	c := &stream{Conn: conn, of: s}
	s.mu.Lock()
	refused := s.cut || s.ended
	if !refused {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if refused {
		conn.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// Reset closes what is connected. Peers may connect again.
func (s *streams) Reset() {
	s.mu.Lock()
	var open []*stream
	for c := range s.conns {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}

// Cut closes the port and what is connected, for good. The endpoint goes on.
func (s *streams) Cut() {
	s.mu.Lock()
	s.cut = true
	l := s.listener
	s.listener = nil
	s.mu.Unlock()
	if l != nil {
		l.Close()
	}
	s.Reset()
}

// Close implements net.Listener.
func (s *streams) Close() error {
	s.mu.Lock()
	first := !s.ended
	s.ended = true
	s.mu.Unlock()
	s.Cut()
	if first {
		close(s.closed)
	}
	return nil
}

// stream is one connection.
type stream struct {
	net.Conn
	of *streams
}

// Close implements net.Conn.
func (c *stream) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
