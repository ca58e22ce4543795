package sip_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"tandem/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is an in-memory UDP and TCP network without delay.
type network struct {
	mu        sync.Mutex
	packets   map[netip.AddrPort]*packetConn
	listeners map[netip.AddrPort]*listener
	log       []string // first line of each datagram, "A->B INVITE sip:..."

	// verdict decides on each datagram; nil: all pass.
	verdict func(from, to netip.AddrPort, raw []byte) verdict
	held    []func()
}

type verdict int

const (
	pass verdict = iota
	drop
	hold // until release
)

func newNetwork() *network {
	return &network{packets: map[netip.AddrPort]*packetConn{}, listeners: map[netip.AddrPort]*listener{}}
}

func (n *network) send(from, to netip.AddrPort, raw []byte) {
	line, _, _ := strings.Cut(string(raw), "\r\n")
	n.mu.Lock()
	n.log = append(n.log, line)
	v, dest := pass, n.packets[to]
	if n.verdict != nil {
		v = n.verdict(from, to, raw)
	}
	data := bytes.Clone(raw)
	deliver := func() {
		if dest != nil {
			select {
			case dest.in <- datagram{from, data}:
			default:
			}
		}
	}
	if v == hold {
		n.held = append(n.held, deliver)
	}
	n.mu.Unlock()
	if v == pass {
		deliver()
	}
}

// release delivers what was held, in order.
func (n *network) release() {
	n.mu.Lock()
	held := n.held
	n.held = nil
	n.mu.Unlock()
	for _, deliver := range held {
		deliver()
	}
}

// sent counts the datagrams whose first line contains all of the texts.
func (n *network) sent(prefix string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, line := range n.log {
		if strings.HasPrefix(line, prefix) {
			count++
		}
	}
	return count
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

type packetConn struct {
	n     *network
	addr  netip.AddrPort
	in    chan datagram
	done  chan struct{}
	close sync.Once
}

func (n *network) packet(addr string) *packetConn {
	c := &packetConn{n: n, addr: netip.MustParseAddrPort(addr), in: make(chan datagram, 16384), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.packets[c.addr] = c
	return c
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-c.in:
		return copy(b, d.data), net.UDPAddrFromAddrPort(d.from), nil
	case <-c.done:
		return 0, nil, net.ErrClosed
	}
}

func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	c.n.send(c.addr, addr.(*net.UDPAddr).AddrPort(), b)
	return len(b), nil
}

func (c *packetConn) Close() error                     { c.close.Do(func() { close(c.done) }); return nil }
func (c *packetConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(c.addr) }
func (c *packetConn) SetDeadline(time.Time) error      { return nil }
func (c *packetConn) SetReadDeadline(time.Time) error  { return nil }
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

// recv returns the next datagram, or "" when the bubble is idle without one.
func (c *packetConn) recv() string {
	synctest.Wait()
	select {
	case d := <-c.in:
		return string(d.data)
	default:
		return ""
	}
}

type listener struct {
	addr  netip.AddrPort
	in    chan net.Conn
	done  chan struct{}
	close sync.Once
}

func (n *network) listen(addr string) *listener {
	l := &listener{addr: netip.MustParseAddrPort(addr), in: make(chan net.Conn, 16), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[l.addr] = l
	return l
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { l.close.Do(func() { close(l.done) }); return nil }
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// pipeConn gives a net.Pipe end TCP addresses.
type pipeConn struct {
	net.Conn
	local, remote netip.AddrPort
}

func (c pipeConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c pipeConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// dialer opens TCP connections from a host; each gets the next ephemeral port.
func (n *network) dialer(host string) func(context.Context, string, string) (net.Conn, error) {
	port := uint16(40000)
	return func(_ context.Context, _, addr string) (net.Conn, error) {
		to := netip.MustParseAddrPort(addr)
		n.mu.Lock()
		l := n.listeners[to]
		port++
		from := netip.AddrPortFrom(netip.MustParseAddr(host), port)
		n.mu.Unlock()
		if l == nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
		}
		near, far := net.Pipe()
		select {
		case l.in <- pipeConn{far, to, from}:
			return pipeConn{near, from, to}, nil
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
}

// agent is an endpoint under test with a handler made of functions.
type agent struct {
	*sip.Endpoint
	addr netip.AddrPort

	request  func(req *sip.Request, tx *sip.ServerTx)
	canceled func(tx *sip.ServerTx, cancel *sip.Request)

	mu          sync.Mutex
	seen        []string // "INVITE 1", "cancel", "ack-timeout", "stray 200"
	stray       []*sip.Response
	ackTimeouts []time.Time
}

func (a *agent) note(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, s)
}

func (a *agent) Request(req *sip.Request, tx *sip.ServerTx) {
	a.note(string(req.Method))
	if a.request != nil {
		a.request(req, tx)
	}
}

func (a *agent) Canceled(tx *sip.ServerTx, cancel *sip.Request) {
	a.note("canceled")
	if a.canceled != nil {
		a.canceled(tx, cancel)
	}
}

func (a *agent) AckTimeout(*sip.ServerTx) {
	a.note("ack-timeout")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ackTimeouts = append(a.ackTimeouts, time.Now())
}

func (a *agent) StrayResponse(res *sip.Response) {
	a.note("stray")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stray = append(a.stray, res)
}

func (a *agent) events() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.seen, " ")
}

// seeded is a deterministic source of identifiers.
type seeded struct{ *rand.ChaCha8 }

func newSeeded(seed string) seeded {
	var key [32]byte
	copy(key[:], seed)
	return seeded{rand.NewChaCha8(key)}
}

// start runs an endpoint on addr until the test ends.
func (n *network) start(t testing.TB, addr string, change ...func(*sip.Config)) *agent {
	t.Helper()
	a := &agent{addr: netip.MustParseAddrPort(addr)}
	cfg := sip.Config{
		Packet: n.packet(addr), Listener: n.listen(addr), Dial: n.dialer(a.addr.Addr().String()),
		Handler: a, Rand: newSeeded(addr),
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if a.Endpoint, err = sip.New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run %s: %v", addr, err)
		}
	})
	return a
}

// outcome records what a client transaction brings.
type outcome struct {
	mu   sync.Mutex
	res  []*sip.Response
	errs []error
	at   []time.Time
}

func (o *outcome) on(res *sip.Response, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at = append(o.at, time.Now())
	if err != nil {
		o.errs = append(o.errs, err)
		return
	}
	o.res = append(o.res, res)
}

func (o *outcome) statuses() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []int
	for _, r := range o.res {
		list = append(list, r.Status)
	}
	return list
}

func (o *outcome) want(t testing.TB, statuses ...int) {
	t.Helper()
	if got := o.statuses(); !slices.Equal(got, statuses) {
		t.Errorf("responses %v, want %v (errors %v)", got, statuses, o.errs)
	}
}

// pause lets virtual time pass and waits until all is quiet.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// invite makes an INVITE from a to b.
func invite(t testing.TB, from, to *agent, callID string) *sip.Request {
	t.Helper()
	req, err := sip.NewInvite(sip.InviteSpec{
		URI: "sip:4420@" + to.addr.String(), Dest: sip.Peer{Addr: to.addr}, CallID: callID, FromTag: "ft-" + callID,
		From: "<sip:4930@" + from.addr.String() + ">", To: "<sip:4420@" + to.addr.String() + ">",
		Contact: from.Contact("leg", sip.UDP), MaxForwards: 70,
		ContentType: "application/sdp", Body: []byte("v=0\r\n"), Branch: sip.Branch(callID),
	})
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// answer makes the 200 of an INVITE and the dialog of the side that sends it.
func answer(t testing.TB, a *agent, state sip.InviteState) (*sip.Response, sip.Dialog) {
	t.Helper()
	contact := a.Contact("answer", state.Source.Transport)
	d, err := state.Dialog(contact)
	if err != nil {
		t.Error(err)
	}
	ok := state.Response(200)
	ok.Headers.Add("Contact", "<"+contact+">")
	ok.SetBody("application/sdp", []byte("v=0\r\n"))
	return ok, d
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
