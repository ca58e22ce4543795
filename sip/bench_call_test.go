package sip_test

import (
	"strconv"
	"testing"

	"tandem/sip"
)

// BenchmarkCall is a whole call (INVITE, 100, 180, 200, ACK, BYE, 200) between
// two endpoints over memory: the work of both sides without the kernel's.
func BenchmarkCall(b *testing.B) {
	n := newNetwork()
	one, two := n.start(b, "192.0.2.1:5060"), n.start(b, "192.0.2.2:5060")
	two.request = func(req *sip.Request, tx *sip.ServerTx) {
		switch req.Method {
		case sip.INVITE:
			state := req.Invite("tt-" + req.CallID)
			tx.Respond(state.Response(100))
			tx.Respond(state.Response(180))
			ok, _ := answer(b, two, state)
			tx.Respond(ok)
		case sip.BYE:
			tx.Respond(req.Response(200, ""))
		}
	}
	// As many calls at once as a busy trunk sets up within a round trip.
	slots := make(chan struct{}, 64)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		slots <- struct{}{}
		i++
		req := invite(b, one, two, strconv.Itoa(i))
		one.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, err error) {
			if err != nil || res.Status < 200 {
				return
			}
			d, _ := sip.NewClientDialog(req, res)
			one.Send(d.Ack())
			one.Endpoint.Request(d.Request(sip.BYE), sip.Options{}, func(*sip.Response, error) { <-slots })
		})
	}
}
