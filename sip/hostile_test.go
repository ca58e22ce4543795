package sip_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

// poor is a listener of a process that is out of files for a time.
type poor struct {
	*listener
	failures int
}

func (p *poor) Accept() (net.Conn, error) {
	if p.failures > 0 {
		p.failures--
		return nil, errors.New("too many open files")
	}
	return p.listener.Accept()
}

// Who takes all files of the process must not end it: it has calls.
func TestTCPAcceptSurvivesWantOfFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060", func(c *sip.Config) {
			c.Listener = &poor{c.Listener.(*listener), 500}
		})
		pause(10 * time.Second)
		answers := lines(dialTCP(t, n, "192.0.2.9", b))
		b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(200, "t")) }
		nc := dialTCP(t, n, "192.0.2.8", b)
		again := lines(nc)
		if _, err := nc.Write(tcpMessage(options, "1 OPTIONS")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(answers) != 0 || len(again) != 1 {
			t.Errorf("%d and %d answers", len(answers), len(again))
		}
		if got := b.Stats().AcceptErrors.Load(); got != 500 {
			t.Errorf("%d errors counted", got)
		}
	})
}

// Strangers get no connection, since there are only so many.
func TestTCPGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		friend := netip.MustParseAddr("192.0.2.9")
		b := n.start(t, "192.0.2.2:5060", func(c *sip.Config) {
			c.Gate = func(src netip.AddrPort, _ []byte) bool { return src.Addr() == friend }
		})
		dialTCP(t, n, "192.0.2.8", b)
		dialTCP(t, n, "192.0.2.9", b)
		synctest.Wait()
		if conns, dropped := b.Stats().Conns.Load(), b.Stats().DroppedGate.Load(); conns != 1 || dropped != 1 {
			t.Errorf("%d connections, %d dropped", conns, dropped)
		}
	})
}

// A handshake costs a stranger ten messages of his budget, and a known peer none.
func TestConnectionsCostBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		trunk := netip.MustParseAddr("192.0.2.8")
		b := n.start(t, "192.0.2.2:5060", func(c *sip.Config) {
			c.Known = func(src netip.Addr) bool { return src == trunk }
		})
		for range 30 {
			dialTCP(t, n, "192.0.2.9", b)
			dialTCP(t, n, trunk.String(), b)
		}
		synctest.Wait()
		const strangers = sip.DefaultSourceBudget / 10
		if conns, dropped := b.Stats().Conns.Load(), b.Stats().DroppedSource.Load(); conns != 30+strangers || dropped != 30-strangers {
			t.Errorf("%d connections, %d dropped", conns, dropped)
		}
	})
}

// Who sends a byte now and then is cut: at the first message, and at any other.
func TestTCPSlowloris(t *testing.T) {
	for _, first := range []string{"", "one message before"} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				b := n.start(t, "192.0.2.2:5060")
				nc := dialTCP(t, n, "192.0.2.9", b)
				if first != "" {
					if _, err := nc.Write(tcpMessage(options, "1 OPTIONS")); err != nil {
						t.Fatal(err)
					}
					pause(time.Minute)
					if b.Stats().Conns.Load() != 1 {
						t.Fatal("an idle connection was cut")
					}
				}
				for _, c := range tcpMessage(options, "2 OPTIONS")[:8] {
					if _, err := nc.Write([]byte{c}); err != nil {
						break
					}
					pause(time.Second)
				}
				if got := b.Stats().Conns.Load(); got != 0 {
					t.Errorf("%d connections after 8 s and 8 bytes", got)
				}
			})
		})
	}
}

// A flood from one address leaves room for the others, and what it took is free
// again when its transactions have ended.
func TestServerTransactionsOfOneAddressAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060", func(c *sip.Config) { c.Shards = 1 })
		b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(200, "t")) }
		flood, other := n.packet("192.0.2.9:5060"), n.packet("192.0.2.8:5060")
		ask := func(c *packetConn, i int) {
			c.WriteTo(message(options, fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK%d", c.addr, i), "CSeq: 7 OPTIONS"), net.UDPAddrFromAddrPort(b.addr))
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		const bound = 32 << 10
		for i := range bound + 5000 {
			ask(flood, i)
		}
		synctest.Wait()
		if tx, full := b.Stats().ServerTx.Load(), b.Stats().DroppedFull.Load(); tx != bound || full != 5000 {
			t.Errorf("%d transactions, %d dropped", tx, full)
		}
		ask(other, 1)
		if other.recv() == "" {
			t.Error("another address is shut out")
		}
		pause(33 * time.Second)
		if tx := b.Stats().ServerTx.Load(); tx != 0 {
			t.Errorf("%d transactions are left", tx)
		}
		ask(flood, -1)
		if synctest.Wait(); b.Stats().ServerTx.Load() != 1 {
			t.Error("the address stays shut out")
		}
	})
}
