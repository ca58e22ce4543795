package sip_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"tandem/sip"
)

// bridge is the smallest call control: it connects every call to one gateway.
// The product's is node/call; this one shows the endpoint from the user's side.
type bridge struct {
	*sip.Endpoint
	gateway sip.Peer

	mu      sync.Mutex // guards the legs: those of one call live in two shards
	legs    map[sip.DialogKey]*leg
	ringing map[*sip.ServerTx]*ringing
}

// leg is one side of an answered call.
type leg struct {
	dialog sip.Dialog
	other  *leg
}

// ringing is a call without its final response.
type ringing struct {
	a  sip.InviteState
	tx *sip.ClientTx
}

func newBridge(gateway sip.Peer) *bridge {
	return &bridge{gateway: gateway, legs: map[sip.DialogKey]*leg{}, ringing: map[*sip.ServerTx]*ringing{}}
}

func (b *bridge) Request(req *sip.Request, tx *sip.ServerTx) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch l := b.legs[req.DialogKey()]; {
	case req.Method == sip.ACK:
	case req.Method == sip.OPTIONS:
		tx.Respond(req.Response(200, b.NewIdentifier()))
	case req.Method == sip.INVITE && req.ToTag == "":
		b.dial(req, tx)
	case l == nil:
		tx.Respond(req.Response(481, ""))
	case l.dialog.Receive(req) != nil:
		tx.Respond(req.Response(500, ""))
	case req.Method == sip.BYE:
		delete(b.legs, l.dialog.Key())
		delete(b.legs, l.other.dialog.Key())
		b.Endpoint.Request(l.other.dialog.Request(sip.BYE), sip.Options{}, nil)
		tx.Respond(req.Response(200, ""))
	case req.Method == sip.INVITE:
		b.relay(l, req, tx)
	default:
		tx.Respond(req.Response(405, ""))
	}
}

// dial sends the second leg of a call.
func (b *bridge) dial(req *sip.Request, tx *sip.ServerTx) {
	a := req.Invite(b.NewIdentifier())
	tx.Respond(a.Response(100))
	uri, _ := sip.ParseURI(req.URI)
	from, _ := sip.ParseAddress(req.From)
	out, err := sip.NewInvite(sip.InviteSpec{
		URI: "sip:" + uri.User + "@" + b.gateway.Addr.String(), Dest: b.gateway,
		From: "<" + b.Contact(from.URI.User, sip.UDP) + ">", To: "<sip:" + uri.User + "@" + b.gateway.Addr.String() + ">",
		CallID: b.NewIdentifier(), FromTag: b.NewIdentifier(), Contact: b.Contact("b", b.gateway.Transport),
		MaxForwards: req.MaxForwards - 1, Pass: sip.PassedHeaders(req.Headers),
		ContentType: req.Headers.Get("Content-Type"), Body: req.Body,
	})
	if err != nil {
		tx.Respond(a.Response(500))
		return
	}
	client, err := b.Endpoint.Request(out, sip.Options{}, func(res *sip.Response, err error) { b.result(a, tx, out, res, err) })
	if err != nil {
		tx.Respond(a.Response(503))
		return
	}
	b.ringing[tx] = &ringing{a, client}
}

// result passes what the gateway says on to the caller.
func (b *bridge) result(a sip.InviteState, tx *sip.ServerTx, out *sip.Request, res *sip.Response, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		tx.Respond(a.Response(504))
		delete(b.ringing, tx)
		return
	case res.Status == 100:
		return
	case res.Status/100 == 2:
		legB, err := sip.NewClientDialog(out, res)
		if err != nil {
			tx.Respond(a.Response(502))
			return
		}
		b.Send(legB.Ack()) // for a repeated 2xx again
		legA, _ := a.Dialog(b.Contact("a", a.Source.Transport))
		if b.legs[legA.Key()] == nil {
			one, two := &leg{dialog: legA}, &leg{dialog: legB}
			one.other, two.other = two, one
			b.legs[legA.Key()], b.legs[legB.Key()] = one, two
		}
	}
	if res.Status >= 200 {
		delete(b.ringing, tx)
	}
	b.pass(a.Response(res.Status), tx, res, b.Contact("a", a.Source.Transport))
}

// relay passes a re-INVITE to the other leg and its answer back.
func (b *bridge) relay(l *leg, req *sip.Request, tx *sip.ServerTx) {
	out := l.other.dialog.Request(sip.INVITE)
	out.SetBody(req.Headers.Get("Content-Type"), req.Body)
	other, contact := l.other, l.dialog.Contact
	b.Endpoint.Request(out, sip.Options{}, func(res *sip.Response, err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch {
		case err != nil:
			tx.Respond(req.Response(504, ""))
			return
		case res.Status == 100:
			return
		case res.Status/100 == 2:
			other.dialog.Answered(res)
			b.Send(other.dialog.Ack())
		}
		b.pass(req.Response(res.Status, ""), tx, res, contact)
	})
}

func (b *bridge) pass(to *sip.Response, tx *sip.ServerTx, from *sip.Response, contact string) {
	to.Headers.Add("Contact", "<"+contact+">")
	if len(from.Body) > 0 {
		to.SetBody(from.Headers.Get("Content-Type"), from.Body)
	}
	tx.Respond(to)
}

func (b *bridge) Canceled(tx *sip.ServerTx, cancel *sip.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.ringing[tx]; r != nil {
		r.tx.Cancel(sip.PassedHeaders(cancel.Headers)...)
		tx.Respond(r.a.Response(487))
	}
}

func (b *bridge) AckTimeout(*sip.ServerTx)        {}
func (b *bridge) StrayResponse(res *sip.Response) {}

// newBridgedPair makes a caller and a callee with a bridge between them.
func newBridgedPair(t testing.TB, n *network) (caller, callee *agent, middle *bridge) {
	caller = n.start(t, "192.0.2.1:5060")
	callee = n.start(t, "192.0.2.3:5060")
	middle = newBridge(sip.Peer{Addr: callee.addr})
	middle.Endpoint = n.start(t, "192.0.2.2:5060", func(c *sip.Config) { c.Handler = middle }).Endpoint
	return caller, callee, middle
}

func TestBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		caller, callee, _ := newBridgedPair(t, n)
		var atCallee sip.Dialog
		callee.request = func(req *sip.Request, tx *sip.ServerTx) {
			switch {
			case req.Method == sip.INVITE && req.ToTag == "":
				if req.MaxForwards != 69 || strings.Contains(fmt.Sprint(req), "192.0.2.1") {
					t.Errorf("the caller shows through: %+v", req)
				}
				state := req.Invite("callee")
				tx.Respond(state.Response(180))
				ok, d := answer(t, callee, state)
				atCallee = d
				tx.Respond(ok)
			case tx != nil:
				if err := atCallee.Receive(req); err != nil {
					t.Error(err)
				}
				res := req.Response(200, "")
				res.Headers.Add("Contact", "<"+atCallee.Contact+">")
				tx.Respond(res)
			}
		}
		req, out := invite(t, caller, &agent{addr: addr("192.0.2.2:5060")}, "bridged"), &outcome{}
		caller.Endpoint.Request(req, sip.Options{}, out.on)
		synctest.Wait()
		out.want(t, 100, 180, 200)
		d, err := sip.NewClientDialog(req, out.res[2])
		if err != nil {
			t.Fatal(err)
		}
		caller.Send(d.Ack())
		again := &outcome{}
		reinvite := d.Request(sip.INVITE)
		reinvite.SetBody("application/sdp", []byte("v=0\r\n"))
		caller.Endpoint.Request(reinvite, sip.Options{}, again.on)
		synctest.Wait()
		again.want(t, 200)
		caller.Send(d.Ack())
		bye := &outcome{}
		caller.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, bye.on)
		synctest.Wait()
		bye.want(t, 200)
		if got := callee.events(); got != "INVITE ACK INVITE ACK BYE" {
			t.Errorf("callee saw %q", got)
		}
	})
}
