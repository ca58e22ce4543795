package call

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is an in-memory UDP network without delay.
type network struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]*packetConn
	lines []string // first lines of the SIP messages, "10.0.0.1>10.0.0.2 INVITE"
	lost  func(from, to netip.AddrPort, raw []byte) bool
}

func newNetwork() *network { return &network{conns: map[netip.AddrPort]*packetConn{}} }

type datagram struct {
	data []byte
	from netip.AddrPort
}

type packetConn struct {
	net   *network
	addr  netip.AddrPort
	in    chan datagram
	done  chan struct{}
	close sync.Once
}

func (n *network) listen(addr netip.AddrPort) (net.PacketConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns[addr] != nil {
		return nil, fmt.Errorf("bind %s: address in use", addr)
	}
	c := &packetConn{net: n, addr: addr, in: make(chan datagram, 4096), done: make(chan struct{})}
	n.conns[addr] = c
	return c, nil
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-c.in:
		return copy(b, d.data), net.UDPAddrFromAddrPort(d.from), nil
	case <-c.done:
		return 0, nil, net.ErrClosed
	}
}

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	dest := to.(*net.UDPAddr).AddrPort()
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if line, _, ok := strings.Cut(string(b), "\r\n"); ok && strings.Contains(line, "SIP/2.0") {
		c.net.lines = append(c.net.lines, time.Now().Format("04:05.000 ")+c.addr.Addr().String()+">"+dest.Addr().String()+" "+line)
	}
	peer := c.net.conns[dest]
	if peer == nil || c.net.lost != nil && c.net.lost(c.addr, dest, b) {
		return len(b), nil
	}
	select {
	case peer.in <- datagram{data: bytes.Clone(b), from: c.addr}:
	default:
	}
	return len(b), nil
}

func (c *packetConn) Close() error {
	c.close.Do(func() {
		close(c.done)
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		delete(c.net.conns, c.addr)
	})
	return nil
}

func (c *packetConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(c.addr) }
func (c *packetConn) SetDeadline(time.Time) error      { return nil }
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline knows one deadline, the one that has passed.
func (c *packetConn) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		return os.ErrNoDeadline
	}
	return nil
}

// transcript returns the first lines of all SIP messages.
func (n *network) transcript() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.lines, "\n")
}
