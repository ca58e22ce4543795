package call

import (
	"slices"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

// reliably makes a 18x of a phone reliable.
func reliably(rseq string) func(*sip.Response) {
	return func(res *sip.Response) {
		res.Headers.Add("Require", "100rel")
		res.Headers.Add("RSeq", rseq)
	}
}

// prack acknowledges the newest 18x in the way of a caller.
func (p *phone) prack(rseq string) *sip.Response {
	p.t.Helper()
	last := p.final()
	d, err := sip.NewClientDialog(p.out, last)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	if p.dialog.CallID != "" {
		d.LocalSeq = p.dialog.LocalSeq
	}
	req := d.Request(sip.PRACK)
	p.dialog = d
	p.mu.Unlock()
	req.Headers.Add("RAck", rseq+" 1 INVITE")
	var got *sip.Response
	if _, err := p.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, _ error) { got = res }); err != nil {
		p.t.Fatal(err)
	}
	settle()
	return got
}

func TestPrackToCallee(t *testing.T) {
	bubble(t, "acknowledged once, passed on", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		out, _ := w.one.last(sip.INVITE)
		if !out.Headers.HasTag("Supported", "100rel") || out.Headers.HasTag("Require", "100rel") {
			t.Errorf("callee is offered %v", out.Headers)
		}
		w.one.says(183, true, reliably("7"))
		settle()
		w.one.says(183, true, reliably("7")) // repeated
		settle()
		w.one.says(180, false, reliably("9")) // one is missing before it
		settle()
		prack, _ := w.one.last(sip.PRACK)
		if w.one.count(sip.PRACK) != 1 || prack.Headers.Get("RAck") != "7 1 INVITE" || prack.CSeq != 2 {
			t.Errorf("%d PRACKs: CSeq %d, %q", w.one.count(sip.PRACK), prack.CSeq, prack.Headers.Get("RAck"))
		}
		w.one.says(180, false, reliably("8"))
		settle()
		w.one.says(200, true)
		settle()
		w.caller.want(100, 183, 180, 200)
		w.caller.sendBye()
		settle()
		if bye, _ := w.one.last(sip.BYE); bye.CSeq != 4 {
			t.Errorf("CSeq of the BYE is %d, below a PRACK's", bye.CSeq)
		}
		w.over()
	})
}

func TestPrackOfCaller(t *testing.T) {
	demand := inviteHeader("Require", "100rel")
	bubble(t, "demanded: repeated until it comes, one at a time", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", demand)
		settle()
		w.one.says(183, true)
		w.one.says(180, false)
		settle()
		pause(1600 * time.Millisecond) // 0.5 s, 1 s
		got := w.caller.statuses()
		if !slices.Equal(got, []int{100, 183, 183, 183}) {
			t.Fatalf("caller got %v", got)
		}
		if h := w.caller.final().Headers; h.Get("RSeq") != "1" || !h.HasTag("Require", "100rel") {
			t.Errorf("headers %v", h)
		}
		if res := w.caller.prack("9"); res == nil || res.Status != 481 {
			t.Errorf("wrong PRACK: %+v", res)
		}
		if res := w.caller.prack("1"); res == nil || res.Status != 200 {
			t.Errorf("PRACK: %+v", res)
		}
		last := w.caller.final()
		if last.Status != 180 || last.Headers.Get("RSeq") != "2" {
			t.Fatalf("after the PRACK: %d with RSeq %q", last.Status, last.Headers.Get("RSeq"))
		}
		if res := w.caller.prack("2"); res == nil || res.Status != 200 {
			t.Errorf("PRACK: %+v", res)
		}
		w.one.says(200, true)
		settle()
		if w.caller.final().Status != 200 {
			t.Errorf("got %v", w.caller.statuses())
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "the 200 waits for the PRACK of its SDP", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", demand)
		settle()
		w.one.says(183, true)
		settle()
		w.one.says(200, true)
		settle()
		w.caller.want(100, 183)
		if w.one.count(sip.ACK) != 1 {
			t.Error("the callee waits as well")
		}
		if res := w.caller.prack("1"); res == nil || res.Status != 200 {
			t.Errorf("PRACK: %+v", res)
		}
		w.caller.want(100, 183, 200)
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "never acknowledged", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", demand)
		settle()
		w.one.says(180, false)
		pause(40 * time.Second)
		if w.caller.final().Status != 504 || w.one.count(sip.CANCEL) != 1 {
			t.Errorf("caller got %v, callee %d CANCELs", w.caller.statuses(), w.one.count(sip.CANCEL))
		}
		if cdr := w.ledger.lastCDR(t); cdr.Fee != 0 || cdr.Reason != fsm.EndTimeout {
			t.Errorf("cdr: %+v", cdr)
		}
		w.over()
	})
	bubble(t, "not asked for: not used", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", inviteHeader("Supported", "100rel"))
		settle()
		w.one.says(180, false)
		pause(3 * time.Second)
		w.caller.want(100, 180)
		if w.caller.final().Headers.Get("RSeq") != "" {
			t.Error("a reliable response without need")
		}
		w.one.says(486, false)
		w.over()
	})
}

func TestUnknownExtension(t *testing.T) {
	bubble(t, "demanded by the caller", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", inviteHeader("Require", "precondition"))
		settle()
		w.caller.want(420)
		w.over()
	})
}

func TestEarlyUpdate(t *testing.T) {
	bubble(t, "through, where both sides have agreed", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", inviteHeader("Require", "100rel"))
		settle()
		w.one.says(183, true, reliably("1"))
		settle()
		if res := w.caller.prack("1"); res == nil || res.Status != 200 {
			t.Fatalf("PRACK: %+v", res)
		}
		w.caller.asks(sip.UPDATE, sdp(callerAddr, 40002, 2))
		settle()
		update, tx := w.one.last(sip.UPDATE)
		contains(t, string(update.Body), "c=IN IP4 10.0.0.1")
		res := update.Response(200, "")
		res.Headers.Add("Contact", "<"+w.one.Contact("callee", sip.UDP)+">")
		res.SetBody(sdpType, []byte(sdp(gwOneAddr, 40000, 2)))
		w.one.reply(tx, res)
		settle()
		if got := w.caller.answers(); len(got) != 1 || got[0].Status != 200 || len(got[0].Body) == 0 {
			t.Errorf("UPDATE is answered with %+v", got)
		}
		w.one.says(200, false)
		settle()
		w.caller.want(100, 183, 200)
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "not before", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(183, true)
		settle()
		d, err := sip.NewClientDialog(w.caller.out, w.caller.final())
		w.check(err)
		w.caller.dialog = d
		w.caller.asks(sip.UPDATE, sdp(callerAddr, 40002, 2))
		w.caller.asks(sip.UPDATE, "")
		w.caller.asks(sip.INVITE, sdp(callerAddr, 40002, 2))
		settle()
		got := w.caller.answers()
		if len(got) != 3 || got[0].Status != 491 || got[1].Status != 200 || got[2].Status != 500 {
			t.Errorf("answers: %+v", got)
		}
		if got[2].Headers.Get("Retry-After") == "" || w.one.count(sip.UPDATE) != 0 {
			t.Error("no Retry-After, or something passed on")
		}
		w.one.says(486, false)
		w.over()
	})
}

// TestUpdateBecomesReinvite: a peer that takes no UPDATE gets a re-INVITE in its place.
func TestUpdateBecomesReinvite(t *testing.T) {
	bubble(t, "established", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		w.one.says(200, true, func(res *sip.Response) {
			res.Headers = slices.DeleteFunc(res.Headers, func(h sip.Header) bool { return h.Name == "Allow" })
		})
		settle()
		w.caller.asks(sip.UPDATE, sdp(callerAddr, 40002, 2))
		settle()
		if w.one.count(sip.INVITE) != 2 {
			t.Fatal("not passed on as a re-INVITE")
		}
		again, tx := w.one.last(sip.INVITE)
		res := again.Response(200, "")
		res.Headers.Add("Contact", "<"+w.one.Contact("callee", sip.UDP)+">")
		res.SetBody(sdpType, []byte(sdp(gwOneAddr, 40000, 2)))
		w.one.reply(tx, res)
		settle()
		if got := w.caller.answers(); len(got) != 1 || got[0].Status != 200 || w.one.count(sip.ACK) != 2 {
			t.Errorf("answers: %+v, %d ACKs", got, w.one.count(sip.ACK))
		}
		w.caller.sendBye()
		w.over()
	})
}

// TestPrackOfForks: each early dialog behind a gateway has its own numbers.
func TestPrackOfForks(t *testing.T) {
	bubble(t, "two tags", "10", func(t *testing.T, w *world) {
		w.caller.call("4420")
		settle()
		req, tx := w.one.last(sip.INVITE)
		say := func(tag string, status int, change ...func(*sip.Response)) {
			res := callee{req.Invite(tag), w.one}.response(status)
			res.SetBody(sdpType, []byte(w.one.sdp))
			for _, f := range change {
				f(res)
			}
			w.one.reply(tx, res)
			settle()
		}
		say("x", 183, reliably("11"))
		say("y", 183, reliably("5"))
		say("x", 183, reliably("12"))
		var got []string
		for _, r := range w.one.requests {
			if r.Method == sip.PRACK {
				got = append(got, r.ToTag+" "+r.Headers.Get("RAck"))
			}
		}
		if want := []string{"x 11 1 INVITE", "y 5 1 INVITE", "x 12 1 INVITE"}; !slices.Equal(got, want) {
			t.Errorf("PRACKs %v, want %v", got, want)
		}
		say("x", 200)
		w.caller.want(100, 183, 183, 183, 200)
		w.caller.sendBye()
		settle()
		if bye, _ := w.one.last(sip.BYE); bye.ToTag != "x" || bye.CSeq != 4 {
			t.Errorf("BYE to %q with CSeq %d", bye.ToTag, bye.CSeq)
		}
		w.over()
	})
	bubble(t, "not with a late offer", "10", func(t *testing.T, w *world) {
		w.caller.call("4420", func(s *sip.InviteSpec) { s.Body, s.ContentType = nil, "" })
		settle()
		if out, _ := w.one.last(sip.INVITE); out.Headers.HasTag("Supported", "100rel") {
			t.Error("the answer to a reliable offer would have to be in the PRACK")
		}
		w.one.says(486, false)
		w.over()
	})
}

// TestExtensionsByProfile: a gateway that must not see extensions sees none, and one that
// refuses them is a failed gateway.
func TestExtensionsByProfile(t *testing.T) {
	bubble(t, "off, and required", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.Reliable, p.Timer = fsm.SupportRequired, fsm.SupportRequired })
		w.ledger.profile(t, "gw2", func(p *fsm.Profile) { p.Reliable, p.Timer = fsm.SupportOff, fsm.SupportOff })
		w.caller.call("4420")
		settle()
		second, _ := w.two.last(sip.INVITE)
		for _, name := range []string{"Supported", "Require", "Session-Expires", "Min-SE"} {
			if got := second.Headers.Get(name); got != "" {
				t.Errorf("off: %s: %s", name, got)
			}
		}
		w.two.says(500, false)
		settle()
		w.caller.want(100, 500)
		if cdr := w.ledger.lastCDR(t); cdr.Attempts[0].Status != 420 { // as its stack says by itself
			t.Errorf("required of who cannot: %+v", cdr.Attempts)
		}
		w.over()
	})
}
