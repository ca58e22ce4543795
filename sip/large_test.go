package sip_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

// largeInvite is too large for a datagram.
func largeInvite(t *testing.T, from, to *agent, callID string) *sip.Request {
	t.Helper()
	req := invite(t, from, to, callID)
	req.Body = []byte("v=0\r\n" + strings.Repeat("a=x\r\n", 400))
	return req
}

// A large request to a UDP destination goes over TCP, with its CANCEL and its
// ACK; the branch is the same, and Via names the transport (RFC 3261 section 18.1.1).
func TestLargeRequestGoesOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		out := &outcome{}
		tx, err := p.a.Endpoint.Request(largeInvite(t, p.a, p.b, "call"), sip.Options{}, out.on)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := p.state.Source.Transport; got != sip.TCP || !strings.HasPrefix(p.state.Vias[0], "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKcall;") {
			t.Fatalf("came by %s, via %q", got, p.state.Vias)
		}
		p.b.canceled = func(tx *sip.ServerTx, _ *sip.Request) { tx.Respond(p.state.Response(487)) }
		p.respond(t, 180)
		tx.Cancel()
		synctest.Wait()
		out.want(t, 180, 487)
		pause(time.Minute)
		if got := p.b.events(); got != "INVITE canceled" || p.n.sent("") != 0 {
			t.Errorf("callee saw %q, %d datagrams", got, p.n.sent(""))
		}
	})
}

// A peer that refuses TCP gets the datagram at once, one whose firewall swallows
// it after a second, and neither is asked again for some minutes.
func TestLargeRequestFallsBackToUDP(t *testing.T) {
	for name, tt := range map[string]struct {
		dial  func(context.Context, string, string) (net.Conn, error)
		after time.Duration
	}{
		"refused":   {func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }, 0},
		"swallowed": {func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, dials := newNetwork(), 0
				a := n.start(t, "192.0.2.1:5060", func(c *sip.Config) {
					c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
						dials++
						return tt.dial(ctx, network, addr)
					}
				})
				b := n.start(t, "192.0.2.2:5060")
				b.request = func(req *sip.Request, tx *sip.ServerTx) {
					if tx != nil {
						tx.Respond(req.Response(486, "t"))
					}
				}
				for i, id := range []string{"one", "two", "three"} {
					if i == 2 {
						pause(11 * time.Minute)
					}
					out, start := &outcome{}, time.Now()
					a.Endpoint.Request(largeInvite(t, a, b, id), sip.Options{}, out.on)
					pause(5 * time.Second)
					out.want(t, 486)
					want := tt.after
					if i == 1 {
						want = 0
					}
					if len(out.at) == 1 && out.at[0].Sub(start) != want {
						t.Errorf("%s: answered after %s, want %s", id, out.at[0].Sub(start), want)
					}
					if wantDials := []int{1, 1, 2}[i]; dials != wantDials {
						t.Errorf("%s: %d dials, want %d", id, dials, wantDials)
					}
				}
			})
		})
	}
}

// An ACK with a large answer in it falls back, too.
func TestLargeAckFallsBackToUDP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a := n.start(t, "192.0.2.1:5060", func(c *sip.Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
		})
		b := n.start(t, "192.0.2.2:5060")
		ack := largeInvite(t, a, b, "ack")
		ack.Method = sip.ACK
		if err := a.Send(ack); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := b.events(); got != "ACK" {
			t.Errorf("callee saw %q", got)
		}
	})
}
