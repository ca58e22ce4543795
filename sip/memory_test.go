package sip_test

import (
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

const (
	// maxEstablished and maxFinished bound what a call holds in this package, on both
	// of its legs, with dialogs as values outside of it.
	maxEstablished = 10 << 10
	maxFinished    = 4 << 10
)

// heap is what is live. The collector runs twice: finalizers and pools keep things
// for one round.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A call through a bridge is a server transaction on one leg and a client
// transaction on the other, for its INVITE and its BYE. What they hold is measured
// while it is set up, while it is young (the INVITE is kept for 32 s), when it is
// 40 s old, after its end (the BYE is kept), and after all timers.
func TestHeapOfACall(t *testing.T) {
	const calls = 2000
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		one, bridge, two := n.start(t, "192.0.2.1:5060"), n.start(t, "192.0.2.2:5060"), n.packet("192.0.2.3:5060")
		_ = two
		type leg struct {
			tx    *sip.ServerTx
			state sip.InviteState
		}
		var legs []leg
		bridge.request = func(req *sip.Request, tx *sip.ServerTx) {
			switch {
			case req.Method == sip.INVITE:
				state := req.Invite("tt-" + req.CallID)
				tx.Respond(state.Response(100))
				legs = append(legs, leg{tx, state})
			case tx != nil:
				tx.Respond(req.Response(200, ""))
			}
		}
		base := heap()
		per := func(what string, bound int64) {
			t.Helper()
			synctest.Wait()
			n.mu.Lock()
			n.log = nil
			n.mu.Unlock()
			got := (int64(heap()) - int64(base)) / calls
			t.Logf("%s: %d bytes a call", what, got)
			if got > bound {
				t.Errorf("%s: %d bytes a call, want at most %d", what, got, bound)
			}
		}
		dialogs := make([]sip.Dialog, calls)
		base = heap()
		for i := range calls {
			req := invite(t, one, bridge, "call-"+strconv.Itoa(i))
			one.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, err error) {
				if err == nil && res.Status == 200 {
					dialogs[i], _ = sip.NewClientDialog(req, res)
					one.Send(dialogs[i].Ack())
				}
			})
			synctest.Wait()
		}
		per("ringing", 2*maxEstablished)
		for _, l := range legs {
			ok, _ := answer(t, bridge, l.state)
			l.tx.Respond(ok)
			synctest.Wait()
		}
		legs = nil
		per("just answered", maxEstablished)
		pause(40 * time.Second)
		per("established", maxFinished) // the dialogs themselves
		base = heap()
		for i := range dialogs {
			one.Endpoint.Request(dialogs[i].Request(sip.BYE), sip.Options{}, nil)
			synctest.Wait()
		}
		per("just ended", maxFinished)
		clear(dialogs)
		pause(40 * time.Second)
		per("finished", 256)
		if tx := one.Stats().ClientTx.Load() + bridge.Stats().ServerTx.Load(); tx != 0 {
			t.Errorf("%d transactions are left", tx)
		}
		runtime.KeepAlive(dialogs)
	})
}
