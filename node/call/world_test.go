package call

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// The addresses of the little world of these tests.
const (
	callerAddr = "10.1.0.1:5060"
	nodeAddr   = "10.0.0.1:5060"
	gwOneAddr  = "10.2.0.1:5060"
	gwTwoAddr  = "10.2.0.2:5060"
)

// world is a node between a caller and two gateways.
type world struct {
	t      *testing.T
	net    *network
	ledger *ledger
	node   *node
	caller *phone
	one    *phone
	two    *phone
}

// node is call control with its endpoint and relay, until it is killed.
type node struct {
	control *Control
	relay   *media.Relay
	stop    func()
}

// newWorld makes the world; it must be called inside a bubble.
func newWorld(t *testing.T, funds string, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, net: newNetwork(), ledger: newLedger(t)}
	w.ledger.setUp(t, funds, "10.1.0.0/16", map[string]string{"gw1": gwOneAddr, "gw2": gwTwoAddr})
	w.caller = w.phone(callerAddr)
	w.one, w.two = w.phone(gwOneAddr), w.phone(gwTwoAddr)
	w.start(change...)
	t.Cleanup(func() {
		w.node.stop()
		w.mute("")
		time.Sleep(2 * time.Minute) // what is under way ends
	})
	return w
}

// start runs the node.
func (w *world) start(change ...func(*Config)) {
	w.t.Helper()
	w.startAt(nodeAddr, change...)
}

// startAt runs the node at another service address.
func (w *world) startAt(at string, change ...func(*Config)) {
	w.t.Helper()
	cfg := Config{
		Node: "n1", Key: []byte("0123456789abcdef"), Proposer: w.ledger, Outbox: w.ledger, Records: w.ledger, Shards: 2,
		Params: w.ledger.params,
	}
	for _, f := range change {
		f(&cfg)
	}
	control, err := New(cfg)
	w.check(err)
	addr := netip.MustParseAddrPort(at)
	relay, err := media.New(media.Config{
		IP: addr.Addr(), Listen: w.net.listen, Ports: media.PortRange{First: 20000, Last: 20999},
	})
	w.check(err)
	line, err := control.Line(LineConfig{IP: addr.Addr(), Relay: relay})
	w.check(err)
	w.ledger.mu.Lock()
	w.ledger.applied = func(out fsm.Applied) { dispatch(control, out) }
	w.ledger.mu.Unlock()
	conn, err := w.net.listen(addr)
	w.check(err)
	endpoint, err := sip.New(sip.Config{Packet: conn, Handler: line, Shards: 2, Supported: Extensions()})
	w.check(err)
	line.Serve(endpoint)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.noError(control.Run(ctx)) })
	wg.Go(func() { w.noError(endpoint.Run(ctx)) })
	w.node = &node{control: control, relay: relay, stop: sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		w.noError(relay.Close())
	})}
}

// dispatch is what a node does with the events of the state machine.
func dispatch(c *Control, out fsm.Applied) {
	for _, ev := range out.Events {
		switch ev.Kind {
		case fsm.EventCallEnded:
			c.Ended(ev.Call, ev.Reason)
		case fsm.EventAccountFunded:
			c.Funded(ev.ID)
		}
	}
}

// adoptAll starts the node's next incarnation and adopts what it owned.
func (w *world) adoptAll() {
	w.t.Helper()
	next := w.ledger.life() + 1
	w.ledger.must(w.t, &fsm.NodeUp{Node: "n1", Incarnation: next, Level: fsm.Level})
	for _, rec := range w.ledger.live() {
		w.node.control.Adopt(rec, logTime())
	}
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) noError(err error) {
	if err != nil {
		w.t.Error(err)
	}
}

func (w *world) stat(c Counter) uint64 { return w.node.control.Stats().Get(c) }

// over fails the test if anything is left of a call.
func (w *world) over() {
	w.t.Helper()
	pause(40 * time.Second)
	if n := w.node.control.Live(); n != 0 {
		w.t.Errorf("%d calls are left in the node", n)
	}
	if n := len(w.ledger.live()); n != 0 {
		w.t.Errorf("%d calls are left in the state", n)
	}
	if n := w.node.relay.Totals().Sessions; n != 0 {
		w.t.Errorf("%d media sessions are left", n)
	}
	if held := w.ledger.account(w.t, "c1").Balance.Held; held != 0 {
		w.t.Errorf("%s is still held", held)
	}
}

// pause lets virtual time pass and waits until all is quiet.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// settle waits for what takes a few commits.
func settle() { pause(20 * time.Millisecond) }

// connect brings a call up through the first gateway.
func (w *world) connect() {
	w.t.Helper()
	w.caller.call("4420")
	settle()
	w.one.says(180, false)
	settle()
	w.one.says(200, true)
	settle()
	w.caller.want(100, 180, 200)
}

func contains(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not contain %q", text, part)
	}
}

type netAddrPort = netip.AddrPort

func hasPrefix(raw []byte, text string) bool { return strings.HasPrefix(string(raw), text) }

// copyOf returns a function that sends a response from a phone as it is, beside
// its transaction: a fork behind a gateway does so.
func (w *world) copyOf(res *sip.Response, from *phone) func() {
	w.t.Helper()
	var via string
	req, _ := from.last(sip.INVITE)
	via = "SIP/2.0/UDP " + nodeAddr + ";branch=" + req.Branch
	raw := fmt.Sprintf("SIP/2.0 %d OK\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d INVITE\r\nContact: %s\r\nContent-Length: 0\r\n\r\n",
		res.Status, via, res.From, res.To, res.CallID, res.CSeq, res.Headers.Get("Contact"))
	w.net.mu.Lock()
	conn := w.net.conns[from.addr]
	w.net.mu.Unlock()
	return func() {
		if _, err := conn.WriteTo([]byte(raw), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(nodeAddr))); err != nil {
			w.t.Error(err)
		}
	}
}

// lose decides which datagrams get lost.
func (w *world) lose(lost func(from, to netip.AddrPort, raw []byte) bool) {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	w.net.lost = lost
}

// mute loses everything that an address sends; an empty one loses nothing.
func (w *world) mute(address string) {
	w.lose(func(from, _ netip.AddrPort, _ []byte) bool { return from.String() == address })
}

// talk sends RTP between the two legs until the returned function is called.
func (w *world) talk() (stop func()) {
	w.t.Helper()
	answer, err := media.Parse(w.caller.final().Body)
	w.check(err)
	offer, _ := w.one.last(sip.INVITE)
	offered, err := media.Parse(offer.Body)
	w.check(err)
	done, stopped := make(chan struct{}), make(chan struct{})
	conns := map[*net.UDPAddr]net.PacketConn{}
	for from, to := range map[string]media.Description{"10.1.0.1:40000": answer, "10.2.0.1:40000": offered} {
		conn, err := w.net.listen(netip.MustParseAddrPort(from))
		w.check(err)
		audio, err := to.Audio()
		w.check(err)
		conns[net.UDPAddrFromAddrPort(audio.RTP)] = conn
	}
	go func() {
		defer close(stopped)
		for n := uint16(0); ; n++ {
			packet := append([]byte{0x80, 8, byte(n >> 8), byte(n), 0, 0, 0, 0, 0, 0, 0, 7}, make([]byte, 160)...)
			for to, conn := range conns {
				_, _ = conn.WriteTo(packet, to) // the node may be away
			}
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-stopped
		for _, conn := range conns {
			w.noError(conn.Close())
		}
	})
}

func isRTP(raw []byte) bool { return len(raw) > 0 && raw[0] == 0x80 }

func netipAddr(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

func udpAddr(a netip.AddrPort) *net.UDPAddr { return net.UDPAddrFromAddrPort(a) }
