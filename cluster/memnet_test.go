package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// memNet is a network in memory for the tests of this package: streams are
// pipes, datagrams are channels, and a host can be cut off.
type memNet struct {
	mu    sync.Mutex // guards what follows
	hosts map[string]*memHost
	cut   map[[2]string]bool
}

func newMemNet() *memNet { return &memNet{hosts: map[string]*memHost{}, cut: map[[2]string]bool{}} }

var errUnreachable = errors.New("host is unreachable")

// memHost is one node's Network for one life.
type memHost struct {
	net       *memNet
	addr      string
	mu        sync.Mutex // guards what follows
	down      bool
	listeners map[Proto]*memListener
	packets   *memPackets
	conns     map[net.Conn]string // to the address of the peer
}

func (n *memNet) host(addr string) *memHost {
	h := &memHost{net: n, addr: addr, listeners: map[Proto]*memListener{}, conns: map[net.Conn]string{}}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[addr] = h
	return h
}

// find returns the live host at addr that from can reach.
func (n *memNet) find(from, addr string) (*memHost, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[addr]
	if h == nil || n.cut[[2]string{from, addr}] {
		return nil, fmt.Errorf("%s: %w", addr, errUnreachable)
	}
	return h, nil
}

// partition cuts both ways between two groups and breaks their streams.
func (n *memNet) partition(a, b []string) {
	n.mu.Lock()
	var hosts []*memHost
	for _, x := range a {
		for _, y := range b {
			n.cut[[2]string{x, y}], n.cut[[2]string{y, x}] = true, true
			hosts = append(hosts, n.hosts[x], n.hosts[y])
		}
	}
	n.mu.Unlock()
	for _, h := range hosts {
		h.breakStreams(func(peer string) bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.cut[[2]string{h.addr, peer}]
		})
	}
}

func (n *memNet) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
}

func (h *memHost) breakStreams(gone func(peer string) bool) {
	h.mu.Lock()
	var dead []net.Conn
	for c, peer := range h.conns {
		if gone(peer) {
			dead = append(dead, c)
			delete(h.conns, c)
		}
	}
	h.mu.Unlock()
	for _, c := range dead {
		c.Close()
	}
}

// kill takes the host away: nothing it does is seen any more.
func (h *memHost) kill() {
	h.mu.Lock()
	h.down = true
	h.mu.Unlock()
	h.breakStreams(func(string) bool { return true })
}

func (h *memHost) isDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

func (h *memHost) Dial(ctx context.Context, addr string, proto Proto) (net.Conn, error) {
	if h.isDown() {
		return nil, errUnreachable
	}
	peer, err := h.net.find(h.addr, addr)
	if err != nil || peer.isDown() {
		return nil, errUnreachable
	}
	peer.mu.Lock()
	l := peer.listeners[proto]
	peer.mu.Unlock()
	if l == nil {
		return nil, errUnreachable
	}
	here, there := net.Pipe()
	h.track(here, addr)
	peer.track(there, h.addr)
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
	case <-ctx.Done():
	}
	here.Close()
	return nil, errUnreachable
}

func (h *memHost) track(c net.Conn, peer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c] = peer
}

func (h *memHost) Listen(proto Proto) (net.Listener, error) {
	l := &memListener{addr: memAddr(h.addr), conns: make(chan net.Conn), done: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[proto] = l
	return l, nil
}

func (h *memHost) Packets() (net.PacketConn, error) {
	p := &memPackets{host: h, in: make(chan memPacket, 256), done: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.packets = p
	return p, nil
}

type memAddr string

func (a memAddr) Network() string { return "mem" }
func (a memAddr) String() string  { return string(a) }

type memListener struct {
	addr  memAddr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *memListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *memListener) Addr() net.Addr { return l.addr }

type memPacket struct {
	b    []byte
	from net.Addr
}

// memPackets is a datagram socket.
type memPackets struct {
	net.PacketConn // deadlines are not used
	host           *memHost
	in             chan memPacket
	done           chan struct{}
	once           sync.Once
}

func (p *memPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case m := <-p.in:
		return copy(b, m.b), m.from, nil
	case <-p.done:
		return 0, nil, net.ErrClosed
	}
}

func (p *memPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	if p.host.isDown() {
		return len(b), nil
	}
	peer, err := p.host.net.find(p.host.addr, to.String())
	if err != nil || peer.isDown() {
		return len(b), nil // lost
	}
	peer.mu.Lock()
	q := peer.packets
	peer.mu.Unlock()
	if q != nil {
		from := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(p.host.addr))
		select {
		case q.in <- memPacket{append([]byte(nil), b...), from}:
		default:
		}
	}
	return len(b), nil
}
func (p *memPackets) Close() error                     { p.once.Do(func() { close(p.done) }); return nil }
func (p *memPackets) LocalAddr() net.Addr              { return memAddr(p.host.addr) }
func (p *memPackets) SetDeadline(time.Time) error      { return nil }
func (p *memPackets) SetReadDeadline(time.Time) error  { return nil }
func (p *memPackets) SetWriteDeadline(time.Time) error { return nil }
