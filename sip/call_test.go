package sip_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

// pair is a caller and a callee that rings and answers as told.
type pair struct {
	n      *network
	a, b   *agent
	tx     *sip.ServerTx   // of b's INVITE
	state  sip.InviteState // of b's INVITE
	callee sip.Dialog      // of b, once answered
}

func newPair(t *testing.T) *pair {
	p := &pair{n: newNetwork()}
	p.a = p.n.start(t, "192.0.2.1:5060")
	p.b = p.n.start(t, "192.0.2.2:5060")
	p.b.request = func(req *sip.Request, tx *sip.ServerTx) {
		switch {
		case req.Method == sip.INVITE && req.ToTag == "":
			p.tx, p.state = tx, req.Invite("tt-"+req.CallID)
		case tx != nil:
			tx.Respond(req.Response(200, ""))
		}
	}
	p.a.request = func(req *sip.Request, tx *sip.ServerTx) {
		if tx != nil {
			tx.Respond(req.Response(200, ""))
		}
	}
	return p
}

func (p *pair) respond(t *testing.T, status int) {
	t.Helper()
	if err := p.tx.Respond(p.state.Response(status)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (p *pair) answer(t *testing.T) {
	t.Helper()
	var ok *sip.Response
	ok, p.callee = answer(t, p.b, p.state)
	if err := p.tx.Respond(ok); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// call sends a's INVITE and collects what it brings.
func (p *pair) call(t *testing.T, opts sip.Options) (*sip.Request, *sip.ClientTx, *outcome) {
	t.Helper()
	req, out := invite(t, p.a, p.b, "call"), &outcome{}
	tx, err := p.a.Endpoint.Request(req, opts, out.on)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return req, tx, out
}

// talk sets a call up to the ACK and returns the caller's dialog.
func (p *pair) talk(t *testing.T) sip.Dialog {
	t.Helper()
	req, _, out := p.call(t, sip.Options{})
	p.respond(t, 100)
	p.respond(t, 180)
	p.answer(t)
	out.want(t, 100, 180, 200)
	d, err := sip.NewClientDialog(req, out.res[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := p.a.Send(d.Ack()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return d
}

func TestCallSetUpAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		d := p.talk(t)
		if got := p.b.events(); got != "INVITE ACK" {
			t.Errorf("callee saw %q", got)
		}
		bye := &outcome{}
		if _, err := p.a.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, bye.on); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		bye.want(t, 200)
		if p.a.Stats().ClientTx.Load() != 2 || p.b.Stats().ServerTx.Load() != 2 {
			t.Error("INVITE and BYE should be kept for retransmissions")
		}
		pause(6 * time.Second)
		if n := p.a.Stats().ClientTx.Load(); n != 1 {
			t.Errorf("%d client transactions: the BYE's is kept for T4 only", n)
		}
		pause(34 * time.Second) // all retention is over
		for _, e := range []*agent{p.a, p.b} {
			if s, c := e.Stats().ServerTx.Load(), e.Stats().ClientTx.Load(); s != 0 || c != 0 {
				t.Errorf("%s: %d server and %d client transactions are left", e.addr, s, c)
			}
		}
		if n := p.a.Stats().RetransmitsOut.Load() + p.b.Stats().RetransmitsOut.Load(); n != 0 {
			t.Errorf("%d retransmissions without loss", n)
		}
	})
}

func TestCalleeEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.talk(t)
		bye := &outcome{}
		p.b.Endpoint.Request(p.callee.Request(sip.BYE), sip.Options{}, bye.on)
		synctest.Wait()
		bye.want(t, 200)
		if got := p.a.events(); got != "BYE" {
			t.Errorf("caller saw %q", got)
		}
	})
}

// Every message of a call is lost once, and then twice: the call must succeed.
func TestLossInBothDirections(t *testing.T) {
	for _, losses := range []int{1, 2} {
		t.Run(fmt.Sprint(losses), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				lost := map[string]int{}
				p.n.verdict = func(from, _ netip.AddrPort, raw []byte) verdict {
					line, _, _ := strings.Cut(string(raw), "\r\n")
					key := from.String() + line
					if strings.Contains(line, " 100 ") || strings.Contains(line, " 180 ") {
						return pass // unreliable by design: nobody repeats them unasked
					}
					if lost[key]++; lost[key] <= losses {
						return drop
					}
					return pass
				}
				req, _, out := p.call(t, sip.Options{})
				pause(2 * time.Second) // the INVITE gets through at 0.5 s or 1.5 s
				p.respond(t, 180)
				p.answer(t)
				pause(10 * time.Second)
				ok := slices.Index(out.statuses(), 200)
				if ok < 0 {
					t.Fatalf("responses %v", out.statuses())
				}
				d, _ := sip.NewClientDialog(req, out.res[ok])
				for range losses + 1 { // call control ACKs every 200
					p.a.Send(d.Ack())
				}
				synctest.Wait()
				bye := &outcome{}
				p.a.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, bye.on)
				pause(20 * time.Second)
				bye.want(t, 200)
				if got := p.b.events(); got != "INVITE ACK BYE" {
					t.Errorf("callee saw %q: each request once", got)
				}
			})
		})
	}
}

func TestRefusalIsAckedAtOnceAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		acks := 0
		p.n.verdict = func(_, _ netip.AddrPort, raw []byte) verdict {
			if strings.HasPrefix(string(raw), "ACK") {
				if acks++; acks == 1 {
					return drop
				}
			}
			return pass
		}
		_, _, out := p.call(t, sip.Options{})
		p.respond(t, 486)
		out.want(t, 486)
		if n := p.n.sent("ACK"); n != 1 {
			t.Errorf("%d ACKs at once, want 1", n)
		}
		pause(2 * time.Second)
		out.want(t, 486) // once, although the 486 was repeated
		if n := p.n.sent("ACK"); n != 2 {
			t.Errorf("%d ACKs, want 2: one for each 486", n)
		}
		if got := p.b.events(); got != "INVITE" {
			t.Errorf("callee saw %q: the ACK belongs to the transaction", got)
		}
	})
}

func TestTryingIsSentAfter200ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, _, out := p.call(t, sip.Options{})
		pause(199 * time.Millisecond)
		out.want(t)
		pause(2 * time.Millisecond)
		out.want(t, 100)
		pause(time.Minute)
		if n := p.n.sent("INVITE"); n != 1 {
			t.Errorf("%d INVITEs, want 1: the 100 stops them", n)
		}
	})
}

func TestTimerBAndLateRinging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		deaf := true
		p.n.verdict = func(from, _ netip.AddrPort, _ []byte) verdict {
			if deaf && from == p.b.addr {
				return drop
			}
			return pass
		}
		begin := time.Now()
		_, _, out := p.call(t, sip.Options{FirstResponse: 4 * time.Second})
		pause(5 * time.Second)
		if len(out.errs) != 1 || !errors.Is(out.errs[0], sip.ErrTimeout) || out.at[0].Sub(begin) != 4*time.Second {
			t.Fatalf("errors %v at %v, want one timeout after 4 s", out.errs, out.at)
		}
		if n := p.n.sent("INVITE"); n != 4 { // 0, 0.5, 1.5, 3.5 s
			t.Errorf("%d INVITEs, want 4", n)
		}
		deaf = false
		p.respond(t, 180) // nobody waits for it any more
		if got := p.b.events(); got != "INVITE canceled" {
			t.Errorf("callee saw %q, want the INVITE cancelled", got)
		}
		p.answer(t) // it had picked up in the meantime
		out.want(t, 200)
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.b.canceled = func(tx *sip.ServerTx, cancel *sip.Request) {
			if got := cancel.Headers.Get("reason"); got != "SIP;cause=487" {
				t.Errorf("reason %q", got)
			}
			tx.Respond(p.state.Response(487))
		}
		_, tx, out := p.call(t, sip.Options{})
		tx.Cancel(sip.Header{Name: "Reason", Value: "SIP;cause=487"})
		synctest.Wait()
		if n := p.n.sent("CANCEL"); n != 0 {
			t.Fatal("CANCEL before a provisional response")
		}
		p.respond(t, 180)
		out.want(t, 180, 487)
		if out.res[0].ToTag != out.res[1].ToTag {
			t.Errorf("To-tags differ: %q and %q", out.res[0].ToTag, out.res[1].ToTag)
		}
		if n := p.n.sent("CANCEL"); n != 1 {
			t.Errorf("%d CANCELs, want 1", n)
		}
	})
}

func TestCancelCrosses200(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		req, tx, out := p.call(t, sip.Options{})
		p.respond(t, 180)
		p.n.verdict = func(_, _ netip.AddrPort, raw []byte) verdict { return hold }
		p.answer(t)
		tx.Cancel()
		synctest.Wait()
		p.n.verdict = nil
		p.n.release()
		synctest.Wait()
		out.want(t, 180, 200)
		if got := p.b.events(); got != "INVITE" {
			t.Errorf("callee saw %q: a CANCEL behind the 200 means nothing", got)
		}
		d, err := sip.NewClientDialog(req, out.res[1])
		if err != nil {
			t.Fatal(err)
		}
		bye := &outcome{}
		p.a.Send(d.Ack())
		p.a.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, bye.on)
		synctest.Wait()
		bye.want(t, 200)
	})
}

func TestCancelWithoutAnswerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, tx, out := p.call(t, sip.Options{})
		p.respond(t, 180)
		tx.Cancel()
		pause(33 * time.Second)
		if len(out.errs) != 1 || !errors.Is(out.errs[0], sip.ErrTimeout) {
			t.Errorf("errors %v, want a timeout 64*T1 after the CANCEL", out.errs)
		}
	})
}

func TestCancelOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060")
		raw := n.packet("192.0.2.9:5060")
		n.send(raw.addr, b.addr, message("CANCEL sip:1@192.0.2.2 SIP/2.0", "CSeq: 1 CANCEL"))
		if got := raw.recv(); !strings.HasPrefix(got, "SIP/2.0 481 ") {
			t.Errorf("answer %q", got)
		}
	})
}

func TestByesCross(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		d := p.talk(t)
		p.n.verdict = func(_, _ netip.AddrPort, raw []byte) verdict { return hold }
		one, two := &outcome{}, &outcome{}
		p.a.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, one.on)
		p.b.Endpoint.Request(p.callee.Request(sip.BYE), sip.Options{}, two.on)
		synctest.Wait()
		p.n.verdict = nil
		p.n.release()
		synctest.Wait()
		one.want(t, 200)
		two.want(t, 200)
	})
}

func TestReinviteRefreshesTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		d := p.talk(t)
		p.b.request = func(req *sip.Request, tx *sip.ServerTx) {
			if tx == nil {
				return
			}
			if err := p.callee.Receive(req); err != nil {
				t.Error(err)
			}
			res := req.Response(200, "")
			res.Headers.Add("Contact", "<sip:moved@192.0.2.2:5070>")
			tx.Respond(res)
		}
		d.Contact = p.a.Contact("moved", sip.UDP)
		again := d.Request(sip.INVITE)
		again.SetBody("application/sdp", []byte("v=0\r\n"))
		out := &outcome{}
		p.a.Endpoint.Request(again, sip.Options{}, out.on)
		synctest.Wait()
		out.want(t, 200)
		d.Answered(out.res[0])
		ack := d.Ack()
		if ack.CSeq != 2 || d.RemoteTarget != "sip:moved@192.0.2.2:5070" || ack.Dest.Addr.Port() != 5070 {
			t.Errorf("ack %d to %s, target %s", ack.CSeq, ack.Dest, d.RemoteTarget)
		}
		if p.callee.RemoteTarget != d.Contact || p.callee.RemoteSeq != 2 {
			t.Errorf("callee's dialog: target %s, seq %d", p.callee.RemoteTarget, p.callee.RemoteSeq)
		}
		if old := d; old.Receive(&sip.Request{Method: sip.INFO, CSeq: 0}) != nil {
			t.Error("the peer's first request is in order whatever its CSeq")
		}
		if err := p.callee.Receive(&sip.Request{Method: sip.BYE, CSeq: 2}); !errors.Is(err, sip.ErrOrder) {
			t.Errorf("old CSeq: %v", err)
		}
	})
}

func TestOrderOfManyInfos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total, burst = 10_000, 1_000 // a burst stays below the bound of a shard's queue
		p := newPair(t)
		d := p.talk(t)
		var last uint32
		count := 0
		p.b.request = func(req *sip.Request, tx *sip.ServerTx) {
			if req.CSeq != last+1 && last != 0 {
				t.Errorf("INFO %d behind %d", req.CSeq, last)
			}
			last = req.CSeq
			count++
			tx.Respond(req.Response(200, ""))
		}
		for i := range total {
			p.a.Endpoint.Request(d.Request(sip.INFO), sip.Options{}, nil)
			if i%burst == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if count != total {
			t.Errorf("%d of %d INFOs", count, total)
		}
	})
}

// One INVITE that came on two ways is one call.
func TestMergedInvite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.call(t, sip.Options{})
		peer := p.n.packet("192.0.2.9:5060")
		fork := func(branch string) string {
			p.n.send(peer.addr, p.b.addr, message("INVITE sip:4420@192.0.2.2:5060 SIP/2.0", "Call-ID: call",
				"From: <sip:4930@192.0.2.1:5060>;tag=ft-call", "CSeq: 1 INVITE", "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK"+branch))
			return peer.recv()
		}
		if got := fork("first"); !strings.HasPrefix(got, "SIP/2.0 482 ") {
			t.Errorf("while it rings: %q", got)
		}
		p.respond(t, 503)
		fork("second") // a proxy tries its next way after our refusal
		if got := p.b.events(); got != "INVITE INVITE" {
			t.Errorf("callee saw %q", got)
		}
	})
}

// What is answered already was another request; what is not is the same one.
func TestMergedMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b, peer := n.start(t, "192.0.2.2:5060"), n.packet("192.0.2.9:5060")
		var first *sip.ServerTx
		var req *sip.Request
		b.request = func(r *sip.Request, tx *sip.ServerTx) { first, req = tx, r }
		send := func(method, branch string) string {
			n.send(peer.addr, b.addr, message(method+" sip:2@192.0.2.2 SIP/2.0", "CSeq: 1 "+method, "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK"+branch))
			return peer.recv()
		}
		if got := send("MESSAGE", "1") + send("MESSAGE", "2"); !strings.HasPrefix(got, "SIP/2.0 482 ") {
			t.Errorf("a fork of a MESSAGE: %q", got)
		}
		first.Respond(req.Response(200, ""))
		peer.recv()
		if got := send("MESSAGE", "3") + send("OPTIONS", "4") + send("OPTIONS", "5"); got != "" || b.events() != "MESSAGE MESSAGE OPTIONS OPTIONS" {
			t.Errorf("answered %q, saw %q", got, b.events())
		}
	})
}
