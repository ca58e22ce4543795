package sip_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

// dialTCP connects a test to an agent.
func dialTCP(t *testing.T, n *network, host string, to *agent) net.Conn {
	t.Helper()
	nc, err := n.dialer(host)(context.Background(), "tcp", to.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// lines collects the first lines of what comes on a connection.
func lines(nc net.Conn) <-chan string {
	out := make(chan string, 100)
	go func() {
		defer close(out)
		r := bufio.NewReader(nc)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "SIP/2.0") || strings.HasSuffix(line, " SIP/2.0\r\n") {
				out <- strings.TrimSpace(line)
			}
		}
	}()
	return out
}

func tcpMessage(start, cseq string, extra ...string) []byte {
	return message(start, append([]string{
		"Via: SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bK" + strings.ReplaceAll(cseq, " ", ""), "CSeq: " + cseq, "Content-Length: 0",
	}, extra...)...)
}

// Two peers are connected: what goes to one must never reach the other, and an
// in-dialog request uses the connection of the dialog.
func TestTCPRequestsUseTheDialogsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060")
		var dialogs []sip.Dialog
		b.request = func(req *sip.Request, tx *sip.ServerTx) {
			if req.Method != sip.INVITE {
				return
			}
			ok, d := answer(t, b, req.Invite("tt"+req.CallID))
			dialogs = append(dialogs, d)
			tx.Respond(ok)
		}
		one, two := dialTCP(t, n, "192.0.2.9", b), dialTCP(t, n, "192.0.2.8", b)
		atOne, atTwo := lines(one), lines(two)
		const start = "INVITE sip:2@192.0.2.2 SIP/2.0"
		one.Write(tcpMessage(start, "1 INVITE", "Call-ID: one", "Contact: <sip:1@192.0.2.9:5060;transport=tcp>"))
		synctest.Wait()
		two.Write(tcpMessage(start, "1 INVITE", "Call-ID: two", "Contact: <sip:1@192.0.2.8:5060;transport=tcp>"))
		synctest.Wait()
		if a, b := <-atOne, <-atTwo; a != "SIP/2.0 200 OK" || b != a {
			t.Fatalf("answers %q and %q", a, b)
		}
		b.Endpoint.Request(dialogs[0].Request(sip.BYE), sip.Options{}, nil)
		synctest.Wait()
		if got := <-atOne; got != "BYE sip:1@192.0.2.9:5060;transport=tcp SIP/2.0" {
			t.Errorf("got %q", got)
		}
		// The second peer's connection is gone: a new one is dialled to its Contact.
		two.Close()
		synctest.Wait()
		home := n.listen("192.0.2.8:5060")
		b.Endpoint.Request(dialogs[1].Request(sip.BYE), sip.Options{}, nil)
		synctest.Wait()
		nc, err := home.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if got := <-lines(nc); !strings.HasPrefix(got, "BYE sip:1@192.0.2.8:5060") {
			t.Errorf("got %q", got)
		}
		synctest.Wait()
		if len(atOne) != 0 {
			t.Errorf("the first peer got %q, which is not for it", <-atOne)
		}
	})
}

func TestTCPCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		req, out := invite(t, p.a, p.b, "tcp"), &outcome{}
		req.Dest.Transport = sip.TCP
		p.a.Endpoint.Request(req, sip.Options{}, out.on)
		synctest.Wait()
		p.answer(t)
		out.want(t, 200)
		d, err := sip.NewClientDialog(req, out.res[0])
		if err != nil {
			t.Fatal(err)
		}
		p.a.Send(d.Ack())
		bye := &outcome{}
		p.a.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, bye.on)
		synctest.Wait()
		bye.want(t, 200)
		if got := p.b.events(); got != "INVITE ACK BYE" {
			t.Errorf("callee saw %q", got)
		}
		if a, b := p.a.Stats().Conns.Load(), p.b.Stats().Conns.Load(); a != 1 || b != 1 {
			t.Errorf("%d and %d connections, want one for all", a, b)
		}
		pause(sip.DefaultIdle + time.Second)
		if a := p.a.Stats().Conns.Load(); a != 0 {
			t.Errorf("%d connections after the idle time", a)
		}
	})
}

func TestTCPDialFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		req, out := invite(t, p.a, p.b, "tcp"), &outcome{}
		req.Dest = sip.Peer{Transport: sip.TCP, Addr: netip.MustParseAddrPort("192.0.2.77:5060")}
		p.a.Endpoint.Request(req, sip.Options{}, out.on)
		synctest.Wait()
		if len(out.errs) != 1 || !errors.Is(out.errs[0], sip.ErrTransport) {
			t.Errorf("errors %v", out.errs)
		}
	})
}

// A peer that reads nothing blocks neither others nor the end of its transactions.
func TestTCPStuckPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		stuck := p.n.listen("192.0.2.8:5060")
		req, out := invite(t, p.a, p.b, "stuck"), &outcome{}
		req.Dest = sip.Peer{Transport: sip.TCP, Addr: stuck.addr}
		p.a.Endpoint.Request(req, sip.Options{}, out.on)
		synctest.Wait()
		nc, _ := stuck.Accept()
		defer nc.Close()
		_, _, fine := p.call(t, sip.Options{})
		p.respond(t, 180)
		fine.want(t, 180)
		pause(6 * time.Second)
		if len(out.errs) != 1 || !errors.Is(out.errs[0], sip.ErrTransport) {
			t.Errorf("errors %v, want the write deadline of 5 s", out.errs)
		}
	})
}

func TestTCPFraming(t *testing.T) {
	body := strings.Replace(string(tcpMessage(options, "7 OPTIONS")), "Content-Length: 0\r\n\r\n", "l: 4\r\n\r\nv=0\n", 1)
	body = strings.Replace(body, "Content-Length: 0\r\n", "", 1)
	for _, tt := range []struct {
		name   string
		stream string
		chunk  int // 0: in one piece
		seen   int
		answer string // the last one
		closed bool
	}{
		{"two at once", string(tcpMessage(options, "1 OPTIONS")) + string(tcpMessage(options, "2 OPTIONS")), 0, 2, "200 OK", false},
		{"byte by byte with a ping between", string(tcpMessage(options, "1 OPTIONS")) + "\r\n\r\n" + body, 1, 2, "200 OK", false},
		{"leading line ends", "\r\n" + body, 3, 1, "200 OK", false},
		{"no length", strings.Replace(string(tcpMessage(options, "1 OPTIONS")), "Content-Length: 0\r\n", "", 1), 0, 0, "400 Bad Request", true},
		{"two lengths", string(tcpMessage(options, "1 OPTIONS", "l: 0")), 0, 0, "400 Bad Request", true},
		{"huge length", strings.Replace(string(tcpMessage(options, "1 OPTIONS")), "Length: 0", "Length: 99999", 1), 0, 0, "513 Message Too Large", true},
		{"negative length", strings.Replace(string(tcpMessage(options, "1 OPTIONS")), "Length: 0", "Length: -5", 1), 0, 0, "400 Bad Request", true},
		{"endless header", strings.Repeat("x", 70_000), 0, 0, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				b := n.start(t, "192.0.2.2:5060")
				b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(200, "t")) }
				nc := dialTCP(t, n, "192.0.2.9", b)
				answers := lines(nc)
				for rest := tt.stream; rest != ""; {
					k := len(rest)
					if tt.chunk > 0 {
						k = min(tt.chunk, k)
					}
					if _, err := nc.Write([]byte(rest[:k])); err != nil {
						break
					}
					rest = rest[k:]
				}
				synctest.Wait()
				last, count := "", len(answers)
				for range count {
					last = <-answers
				}
				if got := strings.Count(b.events(), "OPTIONS"); got != tt.seen || count != max(tt.seen, min(1, len(tt.answer))) || !strings.HasSuffix(last, tt.answer) {
					t.Errorf("%d requests and %d answers, the last %q, want %d and %q", got, count, last, tt.seen, tt.answer)
				}
				if closed := b.Stats().Conns.Load() == 0; closed != tt.closed {
					t.Errorf("connection closed: %v", closed)
				}
			})
		})
	}
}

func TestTCPConnectionsOfOneHostAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060")
		dial := n.dialer("192.0.2.9")
		for range 300 {
			nc, err := dial(context.Background(), "tcp", b.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
		}
		synctest.Wait()
		if got := b.Stats().Conns.Load(); got != 64 {
			t.Errorf("%d connections, want 64", got)
		}
	})
}
