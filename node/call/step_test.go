package call

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// TestStep pins what a call does in each order of events, without any I/O. A line
// is an event and the actions that follow from it; counters and log lines are left
// out. The state machine is a script here: "commit" is its OK.
func TestStep(t *testing.T) {
	for name, script := range map[string][]string{
		"answered and ended by the caller": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"180: A 180, submit Progress",
			"commit:",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"ack:",
			"bye A: B BYE, submit EndCall fact normal",
			"commit: A 200 BYE",
		},
		"18x is not waited for": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"183: A 183, submit Progress",
			"180: A 180",
			"200:",
			"commit: submit AnswerCall",
			"commit: A 200, B ACK",
		},
		"answer lost against another end": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit LostRace: B ACK, B BYE, A 487",
		},
		"another owner has the call: silence": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit StaleEpoch:",
		},
		"answer does not commit": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"timer answer: B ACK, B BYE, A 504",
			"fail: submit EndCall decision held-too-long",
			"commit:",
		},
		"plan after the hold": {
			"invite: submit StartCall",
			"timer hold: A 504, report 504",
			"commit: submit EndCall void held-too-long",
			"commit:",
		},
		"plan after the CANCEL": {
			"invite: submit StartCall",
			"cancel: A 487",
			"commit: submit EndCall void canceled",
			"fail: store",
			"stored:",
		},
		"no plan after the CANCEL": {
			"invite: submit StartCall",
			"cancel: A 487",
			"commit NoMoney:",
		},
		"CANCEL crosses the 200": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"cancel: cancel gw1, submit EndCall fact canceled",
			"200: B ACK, B BYE",
			"commit: A 487",
		},
		"CANCEL after the 200 changes nothing": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"cancel:",
			"commit: A 200, B ACK",
		},
		"repeated 200": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"200:",
			"commit: A 200, B ACK",
			"200: B ACK",
			"200 fork: B ACK, B BYE",
		},
		"hunting": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"timeout: dial gw2",
			"503: submit EndCall decision failed",
			"commit: A 503",
		},
		"hunting stops": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"486: submit EndCall decision busy",
			"commit: A 486",
		},
		"ring timeout": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"180: A 180, submit Progress",
			"timer ring: cancel gw1",
			"commit: submit EndCall decision no-answer",
			"commit: A 480",
		},
		"only 100s": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"100:",
			"timer ring: cancel gw1, dial gw2",
		},
		"end does not commit": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"ack:",
			"bye B: A BYE, submit EndCall fact normal",
			"timer end: store",
			"unstored:",
			"timer end: store",
			"stored: B 200 BYE",
			"commit:",
		},
		"both hang up": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"ack:",
			"bye A: B BYE, submit EndCall fact normal",
			"bye B:",
			"commit: A 200 BYE, B 200 BYE",
		},
		"callee hangs up before the ACK": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"bye B: submit EndCall fact normal",
			"commit: B 200 BYE",
			"ack: A BYE",
		},
		"ACK never comes": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"timer ack: submit EndCall decision timeout",
			"commit: A BYE, B BYE",
		},
		"decision waits for its commit": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"ack:",
			"timer cut: submit EndCall decision credit",
			"fail:",
			"timer end: submit EndCall decision credit",
			"commit: A BYE, B BYE",
		},
		"fact takes the place of a decision": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"ack:",
			"timer cut: submit EndCall decision credit",
			"bye A: B BYE",
			"fail: submit EndCall fact normal",
			"commit: A 200 BYE",
		},
		"extension refused, then the cut": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"ack:",
			"timer extend: submit ExtendCall",
			"commit NoFunds:",
			"timer cut: submit EndCall decision credit",
			"commit: A BYE, B BYE",
		},
		"extension under way at the cut": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"ack:",
			"timer extend: submit ExtendCall",
			"timer cut:",
			"commit:",
			"timer extend: submit ExtendCall",
			"timer cut:",
			"fail: submit EndCall decision credit",
		},
		"ended elsewhere": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"commit: A 200, B ACK",
			"ack:",
			"timer extend: submit ExtendCall",
			"commit CallEnded: A BYE, B BYE",
		},
		"operator while the answer is committed": {
			"invite: submit StartCall",
			"commit: A 100, dial gw1",
			"200: submit AnswerCall",
			"hangup:",
			"commit: A 200, B ACK, submit EndCall decision operator",
			"ack:",
			"commit: A BYE, B BYE",
		},
		"another node's call": {
			"invite: submit StartCall",
			"commit CallExists:",
		},
		"repeated INVITE": {
			"invite: submit StartCall",
			"invite:",
			"commit: A 100, dial gw1",
			"invite:",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			for _, line := range script {
				event, want, _ := strings.Cut(line, ":")
				if got := b.happen(event); got != strings.TrimSpace(want) {
					t.Fatalf("%s: %s\nwant: %s", event, got, strings.TrimSpace(want))
				}
			}
		})
	}
}

// bench is one call on a bench: events go in as words, actions come out as words.
type bench struct {
	t      testing.TB
	call   *Call
	now    time.Time
	invite *sip.Request
	tx     *sip.ServerTx
	try    *try
	legs   [2]*sip.ServerTx // transactions of the BYEs
	slice  uint32
	media  fsm.MediaMode
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Unix(1_000_000, 0), tx: new(sip.ServerTx), slice: 1}
	net := newNetwork()
	ip := netip.MustParseAddr("10.0.0.1")
	relay, err := media.New(media.Config{IP: ip, Listen: net.listen})
	b.check(err)
	t.Cleanup(func() { b.check(relay.Close()) })
	control, err := New(Config{Node: "n1", Key: make([]byte, 16), Proposer: nobody{}, Outbox: nobody{}, Records: nobody{}})
	b.check(err)
	line, err := control.Line(LineConfig{IP: ip, Relay: relay})
	b.check(err)
	conn, err := net.listen(netip.MustParseAddrPort(nodeAddr))
	b.check(err)
	endpoint, err := sip.New(sip.Config{Packet: conn, Handler: line})
	b.check(err)
	line.Serve(endpoint)
	b.invite = &sip.Request{
		Method: sip.INVITE, URI: "sip:4420@10.0.0.1", From: "<sip:4930@10.1.0.1>;tag=f", FromTag: "f", To: "<sip:4420@10.0.0.1>",
		CallID: "c", CSeq: 1, Branch: "z9hG4bKb", MaxForwards: 70,
		Source: sip.Peer{Addr: netip.MustParseAddrPort(callerAddr)},
	}
	b.invite.Headers.Add("Contact", "<sip:caller@10.1.0.1>")
	b.invite.SetBody(sdpType, []byte(sdp(callerAddr, 40000, 1)))
	b.call = newCall(control.names.Call(b.invite), &control.shards[0].kit, line)
	return b
}

// nobody is a cluster that is never asked, since no action is executed.
type nobody struct{}

func (nobody) Submit(Command, func(fsm.Result, error)) {}
func (nobody) Put(fsm.Body, time.Time) error           { return nil }
func (nobody) Call(fsm.CallID) (fsm.Call, bool)        { return fsm.Call{}, false }
func (nobody) Ended(fsm.CallID) bool                   { return false }
func (nobody) LogTime() fsm.Time                       { return 0 }

func (b *bench) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// happen lets an event happen and says what follows.
func (b *bench) happen(words string) string {
	b.t.Helper()
	b.now = b.now.Add(10 * time.Millisecond)
	word, rest, _ := strings.Cut(words, " ")
	var ev event
	switch word {
	case "invite":
		ev = invite{req: b.invite, tx: b.tx}
	case "cancel":
		ev = canceled{cancel: &sip.Request{Method: sip.CANCEL}}
	case "commit":
		ev = committed{result: b.result(rest)}
	case "fail":
		ev = committed{err: cluster.ErrTimeout}
	case "stored":
		ev = stored{}
	case "unstored":
		ev = stored{err: errDisk}
	case "timer":
		ev = timeUp{timer: b.timer(rest)}
	case "timeout":
		ev = response{try: b.try, err: sip.ErrTimeout}
	case "ack":
		d := &b.call.legs[media.A].dialog
		ev = request{leg: media.A, req: &sip.Request{
			Method: sip.ACK, CallID: d.CallID, FromTag: d.RemoteTag, ToTag: d.LocalTag, CSeq: d.RemoteSeq, Source: b.invite.Source,
		}}
	case "bye":
		ev = b.bye(rest)
	case "hangup":
		ev = hangup{reason: fsm.EndOperator}
	default:
		ev = b.response(words)
	}
	return b.words(b.call.step(b.now, ev))
}

func (b *bench) timer(name string) timer {
	which, ok := map[string]timer{
		"hold": timerHold, "ring": timerRing, "answer": timerAnswer, "extend": timerExtend, "cut": timerCut,
		"end": timerEnd, "ack": timerAck,
	}[name]
	if !ok {
		b.t.Fatalf("unknown timer %q", name)
	}
	if b.call.timers[which].IsZero() {
		b.t.Fatalf("timer %s is off", name)
	}
	b.now = b.call.timers[which]
	b.call.timers.stop(which)
	return which
}

func (b *bench) result(code string) fsm.Result {
	r := fsm.Result{Code: map[string]fsm.Code{
		"": fsm.OK, "LostRace": fsm.LostRace, "StaleEpoch": fsm.StaleEpoch, "NoMoney": fsm.NoMoney,
		"NoFunds": fsm.NoFunds, "CallEnded": fsm.CallEnded, "CallExists": fsm.CallExists,
	}[code]}
	if b.call.inflight == nil {
		return r
	}
	switch b.call.inflight.Body.(type) {
	case *fsm.StartCall:
		plan := fsm.Plan{Call: b.call.id, Epoch: 1, Account: "c1", Caller: "4930", Callee: "4420", Media: b.media}
		for i, gw := range []string{gwOneAddr, gwTwoAddr} {
			plan.Candidates = append(plan.Candidates, fsm.Candidate{
				Gateway: fmt.Sprintf("gw%d", i+1), Callee: "4420", Caller: "4930", Addrs: []fsm.Addr{fsmAddr(netip.MustParseAddrPort(gw))},
			})
		}
		r.Plan = &plan
	case *fsm.ExtendCall:
		b.slice++
	}
	until := fsm.Time(b.slice) * 30_000_000
	r.Grant = fsm.Grant{Slice: b.slice, For: time.Duration(b.slice) * 30 * time.Second, Until: until, Next: until - 10_000_000}
	return r
}

func (b *bench) bye(leg string) request {
	side := media.A
	if leg == "B" {
		side = media.B
	}
	d := &b.call.legs[side].dialog
	b.legs[side] = new(sip.ServerTx)
	return request{leg: side, tx: b.legs[side], req: &sip.Request{
		Method: sip.BYE, CallID: d.CallID, FromTag: d.RemoteTag, ToTag: d.LocalTag, CSeq: d.RemoteSeq + 1,
		Source: sip.Peer{Addr: d.Peer},
	}}
}

func (b *bench) response(words string) response {
	status := 0
	if _, err := fmt.Sscan(words, &status); err != nil {
		b.t.Fatalf("unknown event %q", words)
	}
	tag := "callee"
	if strings.HasSuffix(words, "fork") {
		tag = "fork"
	}
	own := b.call.kit.names.legB(b.call.id, b.try.candidate, b.try.number)
	res := &sip.Response{
		Status: status, From: "<sip:4930@10.0.0.1>;tag=" + own.fromTag, FromTag: own.fromTag, To: "<sip:4420@x>;tag=" + tag, ToTag: tag,
		CallID: own.callID, CSeq: 1, CSeqMethod: sip.INVITE, Source: sip.Peer{Addr: netip.MustParseAddrPort(gwOneAddr)},
	}
	res.Headers.Add("Contact", "<sip:callee@10.2.0.1>")
	if status == 183 || status == 200 {
		res.SetBody(sdpType, []byte(sdp(gwOneAddr, 40000, 1)))
	}
	return response{try: b.try, res: res}
}

// words names the actions.
func (b *bench) words(actions []action) string {
	var out []string
	for _, a := range actions {
		switch a := a.(type) {
		case respond:
			out = append(out, b.respondWords(a))
		case send:
			out = append(out, "B "+string(a.req.Method))
		case dial:
			b.try = a.try
			out = append(out, "dial "+a.try.line.Gateway)
		case cancel:
			out = append(out, "cancel "+a.try.line.Gateway)
		case ask:
			out = append(out, a.leg.String()+" "+string(a.req.Method))
		case submit:
			out = append(out, "submit "+bodyWords(a.cmd.Body))
		case store:
			out = append(out, "store")
		case report:
			out = append(out, fmt.Sprintf("report %d", a.refused.Status))
		case count, note, retire:
		default:
			b.t.Fatalf("unknown action %T", a)
		}
	}
	return strings.Join(out, ", ")
}

func (b *bench) respondWords(a respond) string {
	switch a.tx {
	case b.tx:
		return fmt.Sprintf("A %d", a.res.Status)
	case b.legs[media.A]:
		return fmt.Sprintf("A %d BYE", a.res.Status)
	}
	return fmt.Sprintf("B %d BYE", a.res.Status)
}

func bodyWords(body fsm.Body) string {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", body), "*fsm.")
	end, ok := body.(*fsm.EndCall)
	if !ok {
		return kind
	}
	how := map[fsm.EndKind]string{fsm.EndFact: "fact", fsm.EndDecision: "decision", fsm.EndVoid: "void"}[end.How]
	return kind + " " + how + " " + strings.ReplaceAll(end.Reason.String(), " ", "-")
}
