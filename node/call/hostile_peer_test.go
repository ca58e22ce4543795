package call

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// fork sends a 200 with a To-tag of its own beside the transaction of an INVITE,
// with a Contact of its own choice.
func (w *world) fork(from *phone, tag, contact string) {
	w.t.Helper()
	req, _ := from.last(sip.INVITE)
	raw := fmt.Sprintf("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP %s;branch=%s\r\nFrom: %s\r\nTo: %s;tag=%s\r\nCall-ID: %s\r\nCSeq: %d INVITE\r\n%sContent-Length: 0\r\n\r\n",
		nodeAddr, req.Branch, req.From, req.To, tag, req.CallID, req.CSeq, contact)
	w.net.mu.Lock()
	conn := w.net.conns[from.addr]
	w.net.mu.Unlock()
	if _, err := conn.WriteTo([]byte(raw), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(nodeAddr))); err != nil {
		w.t.Error(err)
	}
}

// sent counts the messages of the node to an address.
func (w *world) sent(to string) (n int) {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	for _, line := range w.net.lines {
		if strings.Contains(line, ">"+to+" ") {
			n++
		}
	}
	return n
}

// A gateway that answers a thousand times, from a thousand forks at an address of
// its choice, does not make us send there without end.
func TestAnswersWithoutEnd(t *testing.T) {
	const victim = "10.9.9.9"
	for _, ended := range []bool{false, true} {
		bubble(t, fmt.Sprintf("call ended: %t", ended), "10", func(t *testing.T, w *world) {
			w.connect()
			if ended {
				w.caller.sendBye()
				pause(40 * time.Second)
			}
			for i := range 3000 {
				w.fork(w.one, fmt.Sprint("f", i), "Contact: <sip:x@"+victim+":5060>\r\n")
			}
			pause(31 * time.Second)
			bound := 12 * maxSurplus
			if ended {
				bound = 12 * maxStrays
			}
			if n := w.sent(victim); n == 0 || n > bound {
				t.Errorf("%d messages to the address, want some, at most %d", n, bound)
			}
			w.caller.hangUp()
			pause(time.Minute)
			w.over()
		})
	}
}

// A 200 without a Contact cannot be ended; whoever sent it may be listening, so
// nobody else is called.
func TestAnswerWithoutContact(t *testing.T) {
	bubble(t, "no second callee", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.fork(w.one, "callee", "")
		settle()
		w.caller.want(100, 502)
		if w.two.count(sip.INVITE) != 0 {
			t.Error("a second callee was called")
		}
		w.over()
	})
}

// Neither a route that is too long to be kept nor an answer without media makes a
// call that somebody pays for.
func TestAnswersThatCannotBeServed(t *testing.T) {
	bubble(t, "a route of 6 kB", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		route := "Record-Route: <sip:" + strings.Repeat("r", 6000) + "@10.9.9.9;lr>\r\n"
		w.fork(w.one, "callee", "Contact: <sip:x@10.9.9.9:5060>\r\n"+route)
		settle()
		w.caller.want(100, 502)
		w.over()
	})
	bubble(t, "no sdp at all", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(200, false)
		settle()
		w.caller.want(100, 488)
		if w.one.count(sip.ACK) != 1 || w.one.count(sip.BYE) != 1 {
			t.Errorf("%d ACK and %d BYE to who answered, want one each", w.one.count(sip.ACK), w.one.count(sip.BYE))
		}
		w.over()
	})
}

// Two parties that change their media without end get a commit a second, and the
// last change is committed.
func TestUpdatesWithoutEnd(t *testing.T) {
	bubble(t, "100 re-INVITEs in 2 s", "1000", func(t *testing.T, w *world) {
		w.connect()
		w.one.invite = func(req *sip.Request, tx *sip.ServerTx) {
			res := w.one.state(req).response(200)
			res.SetBody(sdpType, []byte(w.one.sdp))
			w.one.reply(tx, res)
		}
		before := w.commits(fsm.KindExtendCall)
		for i := range 100 {
			w.caller.asks(sip.INVITE, sdp(callerAddr, 40000+2*i, 2+i))
			pause(20 * time.Millisecond)
		}
		if n := len(w.caller.answers()); n != 100 {
			t.Errorf("%d re-INVITEs were answered", n)
		}
		pause(2 * time.Second)
		if n := w.commits(fsm.KindExtendCall) - before; n < 2 || n > 4 {
			t.Errorf("%d commits", n)
		}
		var state media.State
		w.check(state.UnmarshalBinary(w.ledger.live()[0].Media))
		if got := state.Remote[media.A].RTP.Port(); got != 40198 {
			t.Errorf("the record has port %d, not the last one", got)
		}
		w.caller.sendBye()
		w.over()
	})
}

func (w *world) commits(kind fsm.Kind) (n int) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	for _, k := range w.ledger.bodies {
		if k == kind {
			n++
		}
	}
	return n
}

// What we could not send says nothing about the other leg: the call goes on.
func TestRequestThatCannotBeSent(t *testing.T) {
	bubble(t, "INFO too large", "10", func(t *testing.T, w *world) {
		w.connect()
		w.caller.asks(sip.INFO, strings.Repeat("x", 32<<10))
		settle()
		w.one.asks(sip.INFO, "")
		settle()
		if len(w.one.answers()) != 1 || w.one.count(sip.BYE) != 0 {
			t.Errorf("answers %v, BYEs %d", w.one.answers(), w.one.count(sip.BYE))
		}
		w.caller.sendBye()
		w.over()
	})
	for err, want := range map[error]int{sip.ErrTimeout: 408, sip.ErrTransport: 503, sip.ErrBusy: 503, sip.ErrMessage: 503} {
		if got := (&reply{err: fmt.Errorf("%w: why", err)}).status(); got != want {
			t.Errorf("%v counts as %d", err, got)
		}
	}
}

// The rule of whose RTP is believed holds for callers without an offer too.
func TestLateOfferKeepsTheSourceRule(t *testing.T) {
	bubble(t, "strict", "10", func(t *testing.T, w *world) {
		prefix, err := fsm.ParsePrefix("10.1.0.0/16")
		w.check(err)
		w.ledger.must(t, &fsm.PutMappingGateway{Gateway: fsm.MappingGateway{
			ID: "in", Account: "c1", Addrs: []fsm.Prefix{prefix}, Source: fsm.SourceStrict,
		}})
		w.caller.ackBody = w.caller.sdp
		w.caller.call("4420", func(s *sip.InviteSpec) { s.Body = nil })
		settle()
		w.one.says(200, true)
		settle()
		w.caller.asks(sip.INVITE, sdp(callerAddr, 40002, 2))
		settle()
		w.one.says(200, true)
		settle()
		pause(2 * time.Second)
		var state media.State
		w.check(state.UnmarshalBinary(w.ledger.live()[0].Media))
		if got := state.Remote[media.A].Source; got != media.SourceStrict {
			t.Errorf("source rule %v", got)
		}
		w.caller.sendBye()
		w.over()
	})
}

// A call of ours that cannot be served is ended: nobody else would ever free its
// money.
func TestUnservableCallIsReaped(t *testing.T) {
	bubble(t, "record is unreadable", "10", func(t *testing.T, w *world) {
		w.connect()
		pause(10 * time.Second)
		w.node.stop()
		w.ledger.must(t, &fsm.NodeUp{Node: "n1", Incarnation: 2, Level: fsm.Level})
		w.start()
		for _, rec := range w.ledger.live() {
			rec.Invite = rec.Invite[:20]
			w.node.control.Adopt(rec, logTime())
		}
		settle()
		cdr := w.ledger.lastCDR(t)
		if cdr.Reason != fsm.EndReaped || !cdr.Estimated {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
}

// Calls that share the last of an account's money do not all ask for more each time
// that one of them gives something back.
func TestPoorCallsAskSeldom(t *testing.T) {
	const calls, ends = 300, 100
	bubble(t, "300 calls, a few ending early", "90", func(t *testing.T, w *world) {
		w.one.invite = func(req *sip.Request, tx *sip.ServerTx) {
			res := w.one.state(req).response(200)
			res.SetBody(sdpType, []byte(w.one.sdp))
			w.one.reply(tx, res)
		}
		var dialogs []sip.Dialog
		for range calls {
			w.caller.call("4420")
			settle()
			dialogs = append(dialogs, w.caller.dialog)
		}
		pause(time.Second)
		before := w.commits(fsm.KindExtendCall)
		for i := range ends {
			_, err := w.caller.Endpoint.Request(dialogs[calls-1-i].Request(sip.BYE), sip.Options{}, nil)
			w.check(err)
			pause(30 * time.Millisecond)
		}
		if n := w.commits(fsm.KindExtendCall) - before; n > 5*calls {
			t.Errorf("%d commits in 3 s for %d calls of which %d ended", n, calls, ends)
		}
		pause(20 * time.Minute)
		if left := w.ledger.account(t, "c1").Balance.Funds; left != 0 {
			t.Errorf("%s is left", left)
		}
		w.over()
	})
}

// An ACK for a dialog that nobody knows is met with silence: it has no transaction
// that could be answered. The ACK to a refusal by the endpoint is such a one.
func TestStrayAck(t *testing.T) {
	bubble(t, "to a tag that is not ours", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", func(s *sip.InviteSpec) { s.URI = "http:4420" })
		settle()
		w.caller.want(416)
		for _, tag := range []string{"x", w.node.control.names.toTag(fsm.CallID{1})} {
			w.caller.send(&sip.Request{
				Method: sip.ACK, URI: "sip:x@" + nodeAddr, From: "<sip:1@x>;tag=1", To: "<sip:2@x>;tag=" + tag,
				CallID: "nobody", CSeq: 1, MaxForwards: 70, Dest: sip.Peer{Addr: netip.MustParseAddrPort(nodeAddr)},
			})
		}
		settle()
		w.caller.call("4420")
		settle()
		w.one.says(486, false)
		settle()
		w.caller.want(416, 100, 486)
		w.over()
	})
}
