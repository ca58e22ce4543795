package sip_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/sip"
)

// encoded passes a value through its bytes, as from one node to another.
func encoded[T interface{ MarshalBinary() ([]byte, error) }, P interface {
	*T
	UnmarshalBinary([]byte) error
}](t *testing.T, v T) (out T) {
	t.Helper()
	b, err := v.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := P(&out).UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	return out
}

// die takes an agent off the network and lets a fresh one take its address.
func (p *pair) die(t *testing.T, who *agent) *agent {
	t.Helper()
	synctest.Wait()
	addr := who.addr.String()
	return p.n.start(t, addr, func(c *sip.Config) { c.Rand = newSeeded("survivor of " + addr) })
}

func TestAdoptedDialogEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		d := encoded(t, p.talk(t))
		survivor := p.die(t, p.a)
		d.Jump(1)
		bye := d.Request(sip.BYE)
		if bye.CSeq != 1002 {
			t.Errorf("cseq %d, want 1002", bye.CSeq)
		}
		p.b.request = func(req *sip.Request, tx *sip.ServerTx) {
			if req.DialogKey() != p.callee.Key() {
				t.Errorf("BYE for %v, dialog is %v", req.DialogKey(), p.callee.Key())
			}
			if err := p.callee.Receive(req); err != nil {
				t.Error(err)
			}
			tx.Respond(req.Response(200, ""))
		}
		out := &outcome{}
		if _, err := survivor.Endpoint.Request(bye, sip.Options{}, out.on); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		out.want(t, 200)
	})
}

// The node that answered is gone before the ACK: the survivor repeats the 200.
func TestAdoptedAnswerIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		req, _, out := p.call(t, sip.Options{})
		p.respond(t, 180)
		state := encoded(t, p.state)
		survivor := p.die(t, p.b)
		tx, err := survivor.Restore(state)
		if err != nil {
			t.Fatal(err)
		}
		ok, _ := answer(t, survivor, state)
		tx.Respond(ok)
		pause(time.Second)
		out.want(t, 180, 200, 200)
		d, err := sip.NewClientDialog(req, out.res[1])
		if err != nil {
			t.Fatal(err)
		}
		p.a.Send(d.Ack())
		pause(time.Minute)
		out.want(t, 180, 200, 200)
		if got := survivor.events(); got != "ACK" {
			t.Errorf("survivor saw %q", got)
		}
	})
}

// The caller cancels, or repeats its INVITE, at the survivor.
func TestAdoptedInviteIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		_, caller, out := p.call(t, sip.Options{})
		p.respond(t, 180)
		state := encoded(t, p.state)
		survivor := p.die(t, p.b)
		survivor.canceled = func(tx *sip.ServerTx, _ *sip.Request) { tx.Respond(state.Response(487)) }
		if _, err := survivor.Restore(state); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		caller.Cancel()
		synctest.Wait()
		out.want(t, 180, 487)
	})
}

// The node that dialled is gone: the survivor knows the branch, so it can cancel
// the leg, and a 200 that crosses the CANCEL finds it.
func TestAdoptedClientTransaction(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t)
			p.b.canceled = func(tx *sip.ServerTx, _ *sip.Request) {
				if !late {
					tx.Respond(p.state.Response(487))
				}
			}
			req, _, _ := p.call(t, sip.Options{})
			p.respond(t, 180)
			survivor := p.die(t, p.a)
			out := &outcome{}
			tx, err := survivor.Endpoint.Request(req, sip.Options{Restored: true}, out.on)
			if err != nil {
				t.Fatal(err)
			}
			tx.Cancel()
			synctest.Wait()
			if late {
				p.answer(t)
				out.want(t, 200)
			} else {
				out.want(t, 487)
			}
			if n := p.n.sent("INVITE"); n != 1 {
				t.Errorf("%d INVITEs: a restored one is not sent again", n)
			}
		})
	}
}

func TestStrayResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		req, _, _ := p.call(t, sip.Options{})
		survivor := p.die(t, p.a)
		p.respond(t, 180)
		p.answer(t)
		if got := survivor.events(); got != "stray stray" {
			t.Fatalf("survivor saw %q", got)
		}
		res := survivor.stray[1]
		if res.Status != 200 || res.Branch != req.Branch || res.Source.Addr != p.b.addr {
			t.Errorf("stray response %d, branch %s from %s", res.Status, res.Branch, res.Source)
		}
		d, err := sip.NewClientDialog(req, res) // req is derived again from the call
		if err != nil {
			t.Fatal(err)
		}
		survivor.Send(d.Ack())
		synctest.Wait()
		if got := p.b.events(); got != "INVITE ACK" {
			t.Errorf("callee saw %q", got)
		}
	})
}

func realisticDialog() sip.Dialog {
	return sip.Dialog{
		Role: sip.UAS, Transport: sip.TCP, Secure: true, NAT: true,
		CallID: "3848276298220188511@atlanta.example.com", LocalTag: "314159265358979323846264", RemoteTag: "9fxced76sl-8ae2-11",
		Local:        `"Bob" <sip:+4989123456789@203.0.113.20;user=phone>;tag=314159265358979323846264`,
		Remote:       `"Alice Example" <sip:+493012345678@198.51.100.77;user=phone>;tag=9fxced76sl-8ae2-11`,
		RemoteTarget: "sip:+493012345678@10.20.30.40:5062;transport=tcp;ob", Contact: "sip:2a4f91c7-07@203.0.113.20:5060;transport=tcp",
		Routes:   "<sip:198.51.100.1;lr;ftag=9fxced76sl;did=9a1.2b3>, <sip:198.51.100.2:5070;transport=tcp;lr>",
		LocalSeq: 1003, RemoteSeq: 4711, InviteSeq: 1001,
		LocalAddr: netip.MustParseAddrPort("203.0.113.20:5060"), Peer: netip.MustParseAddrPort("[2001:db8::7]:49152"),
		SDPSent: 3, SDPReceived: 1 << 63,
	}
}

func TestDialogEncoding(t *testing.T) {
	d := realisticDialog()
	b, err := d.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) >= 1024 {
		t.Errorf("%d bytes, must be below 1024", len(b))
	}
	if got := encoded(t, d); got != d {
		t.Errorf("got %+v\nwant %+v", got, d)
	}
	for n := range b {
		if err := new(sip.Dialog).UnmarshalBinary(b[:n]); err == nil {
			t.Errorf("the first %d bytes of %d were taken", n, len(b))
		}
	}
	if err := new(sip.Dialog).UnmarshalBinary(append(b, 0)); err == nil {
		t.Error("a byte too many was taken")
	}
	d.Routes = strings.Repeat("x", 9000)
	if _, err := d.MarshalBinary(); err == nil {
		t.Error("a text longer than a header line was encoded")
	}
}

func TestInviteStateEncoding(t *testing.T) {
	s := sip.InviteState{
		URI: "sips:4420@203.0.113.20", Vias: []string{"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport=9;received=192.0.2.7", "SIP/2.0/TCP h"},
		From: "<sip:1@h>;tag=f", To: "<sip:2@h> ; tag=mine", FromTag: "f", ToTag: "mine", InDialog: true, CallID: "c", CSeq: 4711,
		Branch: "z9hG4bKa", SentBy: "192.0.2.1", Contact: "sip:1@192.0.2.1", RecordRoutes: []string{"<sip:p1;lr>", "<sip:p2;lr>"},
		MaxForwards: 69, Source: sip.Peer{Transport: sip.TCP, Addr: addr("192.0.2.7:9")}, ReplyTo: sip.Peer{Transport: sip.TCP, Addr: addr("192.0.2.7:5060")},
	}
	got := encoded(t, s)
	if diff := cmp.Diff(s, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	res := got.Response(200)
	if res.To != s.To || res.ToTag != "mine" || len(res.Headers.All("Record-Route")) != 2 {
		t.Errorf("a re-INVITE keeps its To: %+v", res)
	}
	d, err := got.Dialog("sip:b@203.0.113.20")
	if err != nil || !d.Secure || d.Routes != "<sip:p1;lr>, <sip:p2;lr>" || d.RemoteSeq != 4711 {
		t.Errorf("%+v, %v", d, err)
	}
	b, _ := s.MarshalBinary()
	for n := range b {
		if err := new(sip.InviteState).UnmarshalBinary(b[:n]); !errors.Is(err, sip.ErrDecode) {
			t.Errorf("the first %d bytes of %d: %v", n, len(b), err)
		}
	}
}

func TestDialogRoutes(t *testing.T) {
	base := realisticDialog()
	for _, tt := range []struct {
		name, routes, target string
		nat                  bool
		uri, route, dest     string
	}{
		{"no routes, private target, nat", "", "sip:a@10.0.0.1", true, "sip:a@10.0.0.1", "", "tcp:[2001:db8::7]:49152"},
		{"no routes, private target", "", "sip:a@10.0.0.1", false, "sip:a@10.0.0.1", "", "tcp:10.0.0.1:5060"},
		{"public target", "", "sip:a@198.51.100.9:5080;transport=udp", true, "sip:a@198.51.100.9:5080;transport=udp", "", "udp:198.51.100.9:5080"},
		{"name", "", "sip:a@gw.example.com", false, "sip:a@gw.example.com", "", "tcp:[2001:db8::7]:49152"},
		{"loose", "<sip:198.51.100.1;lr>, <sip:198.51.100.2;lr>", "sip:a@10.0.0.1", false,
			"sip:a@10.0.0.1", "<sip:198.51.100.1;lr>, <sip:198.51.100.2;lr>", "tcp:198.51.100.1:5060"},
		{"strict", "<sip:198.51.100.1>, <sip:198.51.100.2;lr>", "sip:a@10.0.0.1", false,
			"sip:198.51.100.1", "<sip:198.51.100.2;lr>, <sip:a@10.0.0.1>", "tcp:198.51.100.1:5060"},
	} {
		d := base
		d.Routes, d.RemoteTarget, d.NAT = tt.routes, tt.target, tt.nat
		req := d.Request(sip.BYE)
		if req.URI != tt.uri || req.Headers.Get("Route") != tt.route || req.Dest.String() != tt.dest {
			t.Errorf("%s: %s, route %q, to %s", tt.name, req.URI, req.Headers.Get("Route"), req.Dest)
		}
	}
}
