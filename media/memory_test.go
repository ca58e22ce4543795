package media

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a network of datagrams in one process: no delay, no loss.
type memory struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]*memoryConn
	binds int
}

func newMemory() *memory { return &memory{conns: make(map[netip.AddrPort]*memoryConn)} }

func (m *memory) listen(addr netip.AddrPort) (net.PacketConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conns[addr] != nil {
		return nil, fmt.Errorf("bind %s: address in use", addr)
	}
	m.binds++
	c := &memoryConn{net: m, addr: addr, queue: make(chan datagram, 4096), closed: make(chan struct{}), expired: make(chan struct{})}
	m.conns[addr] = c
	return c, nil
}

type datagram struct {
	data []byte
	from netip.AddrPort
}

type memoryConn struct {
	net     *memory
	addr    netip.AddrPort
	queue   chan datagram
	once    sync.Once
	closed  chan struct{}
	expired chan struct{}
}

func (c *memoryConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-c.queue:
		return copy(b, d.data), net.UDPAddrFromAddrPort(d.from), nil
	case <-c.expired:
		return 0, nil, os.ErrDeadlineExceeded
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *memoryConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	peer := c.net.conns[to.(*net.UDPAddr).AddrPort()]
	if peer == nil {
		return len(b), nil
	}
	select {
	case peer.queue <- datagram{data: append([]byte(nil), b...), from: c.addr}:
	default:
	}
	return len(b), nil
}

func (c *memoryConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.net.mu.Lock()
		delete(c.net.conns, c.addr)
		c.net.mu.Unlock()
	})
	return nil
}

func (c *memoryConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.addr) }
func (c *memoryConn) SetReadDeadline(time.Time) error {
	close(c.expired)
	return nil
}
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// world is a relay on a memory network inside a bubble.
type world struct {
	*testing.T
	net   *memory
	relay *Relay
}

// service is the relay's address, phone and carrier are the two sides'.
const (
	service = "203.0.113.1"
	phone   = "198.51.100.1"
	carrier = "198.51.100.2"
	rogue   = "198.51.100.66"
)

// inBubble runs a test on a relay in a bubble.
func inBubble(t *testing.T, body func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: newMemory()}
		relay, err := New(Config{
			IP: netip.MustParseAddr(service), Ports: PortRange{20000, 20099}, Listen: w.net.listen,
			Denied: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.relay = relay
		body(w)
		if err := relay.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) open(cfg SessionConfig) *Session {
	w.Helper()
	s, err := w.relay.Open(cfg)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) setRemote(s *Session, side Side, r Remote) {
	w.Helper()
	if err := s.SetRemote(side, r); err != nil {
		w.Fatal(err)
	}
}

// peer opens a far end's socket.
func (w *world) peer(addr string) *peer {
	w.Helper()
	c, err := w.net.listen(netip.MustParseAddrPort(addr))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := c.Close(); err != nil {
			w.Error(err)
		}
	})
	return &peer{w: w, conn: c.(*memoryConn), ssrc: 1}
}

// peer is a far end that sends packets by hand.
type peer struct {
	w    *world
	conn *memoryConn
	ssrc uint32
	seq  uint16
}

func (p *peer) addr() netip.AddrPort { return p.conn.addr }

// rtp sends n packets to a port of the relay at once and waits until all work
// that they cause is done.
func (p *peer) rtp(port uint16, n int) {
	for range n {
		p.raw(port, rtpPacket(p.ssrc, p.seq, uint32(p.seq)*160))
		p.seq++
	}
}

func (p *peer) raw(port uint16, b []byte) {
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(service), port))
	if _, err := p.conn.WriteTo(b, to); err != nil {
		p.w.Fatal(err)
	}
	synctest.Wait()
}

// got empties the queue and returns how many packets were in it.
func (p *peer) got() int {
	n := 0
	for {
		select {
		case <-p.conn.queue:
			n++
		default:
			return n
		}
	}
}

// rtpPacket is 20 ms of A-law silence.
func rtpPacket(ssrc uint32, seq uint16, timestamp uint32) []byte {
	b := make([]byte, 172)
	b[0], b[1] = 0x80, 8
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], timestamp)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

// rtcpPacket is an empty receiver report.
func rtcpPacket(ssrc uint32) []byte {
	b := make([]byte, 8)
	b[0], b[1], b[3] = 0x80, 201, 1
	binary.BigEndian.PutUint32(b[4:], ssrc)
	return b
}

// recorder collects events.
type recorder struct {
	mu   sync.Mutex
	list []Event
}

func (r *recorder) notify(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
}

// expect waits for what is under way and compares the events since the last call.
func (r *recorder) expect(t *testing.T, want ...Event) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range r.list {
		if silent := e.Kind == EventSilent || e.Kind == EventTimeout; silent == e.Since.IsZero() {
			t.Errorf("event %v since %v", e.Kind, e.Since)
		}
		r.list[i].Since = time.Time{}
	}
	if !slices.Equal(r.list, want) {
		t.Errorf("events %v, want %v", r.list, want)
	}
	r.list = nil
}

// at makes the Remote of a side that is at addr and signals from the same IP.
func at(addr string) Remote {
	a := netip.MustParseAddrPort(addr)
	return Remote{RTP: a, Signalling: a.Addr()}
}

// call opens a session between two well-behaved ends.
func (w *world) call() (s *Session, a, b *peer) {
	w.Helper()
	s = w.open(SessionConfig{})
	a, b = w.peer(phone+":4000"), w.peer(carrier+":5000")
	w.setRemote(s, A, at(phone+":4000"))
	w.setRemote(s, B, at(carrier+":5000"))
	return s, a, b
}
