package call

import (
	"net/netip"
	"testing"

	"tandem/sip"
)

// asIf sends a request of a phone's dialog from another address.
func (w *world) asIf(p *phone, from *phone, m sip.Method, body string) (got *sip.Response) {
	w.t.Helper()
	p.mu.Lock()
	req := p.dialog.Request(m)
	p.mu.Unlock()
	if body != "" {
		req.SetBody(sdpType, []byte(body))
	}
	if m == sip.ACK {
		from.send(req)
		settle()
		return nil
	}
	_, err := from.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, _ error) {
		if res != nil && res.Status >= 200 {
			got = res
		}
	})
	w.check(err)
	settle()
	return got
}

// TestStrangers: who knows the tags of a call, and is not its peer, cannot end or
// divert it: not another gateway, and not the other side's.
func TestStrangers(t *testing.T) {
	bubble(t, "with the right tags", "10", func(t *testing.T, w *world) {
		w.connect()
		for _, m := range []sip.Method{sip.BYE, sip.INVITE, sip.UPDATE, sip.INFO} {
			for name, got := range map[string]*sip.Response{
				"caller": w.asIf(w.caller, w.two, m, w.two.sdp), "callee": w.asIf(w.one, w.two, m, w.two.sdp),
				"caller by the callee": w.asIf(w.caller, w.one, m, w.one.sdp),
			} {
				if got == nil || got.Status != 403 {
					t.Errorf("%s as the %s: %+v", m, name, got)
				}
			}
		}
		if w.caller.count(sip.BYE)+w.one.count(sip.BYE)+w.one.count(sip.INVITE)+w.caller.count(sip.INVITE) != 1 {
			t.Error("a stranger's request was passed on")
		}
		if w.stat(Strangers) != 12 {
			t.Errorf("%d strangers counted", w.stat(Strangers))
		}
		w.caller.sendBye()
		settle()
		if w.caller.byeStatus() != 200 {
			t.Errorf("the caller's own BYE got %d", w.caller.byeStatus())
		}
		w.over()
	})
	bubble(t, "another address of the gateway", "10", func(t *testing.T, w *world) {
		w.connect()
		if got := w.asIf(w.one, w.two, sip.BYE, ""); got == nil || got.Status != 200 {
			t.Errorf("BYE got %+v", got)
		}
		w.over()
	}, func(c *Config) {
		c.Belongs = func(gateway string, ingress bool, ip netip.Addr) bool {
			return gateway == "gw1" && !ingress && ip == netip.MustParseAddr("10.2.0.2")
		}
	})
	bubble(t, "an ACK of another INVITE, or from elsewhere", "10", func(t *testing.T, w *world) {
		w.lose(func(from, to netAddrPort, raw []byte) bool {
			return from.String() == callerAddr && hasPrefix(raw, "ACK")
		})
		w.caller.call("4420")
		settle()
		w.one.says(200, true)
		settle()
		w.asIf(w.caller, w.two, sip.ACK, "")
		w.lose(nil)
		w.caller.mu.Lock()
		ack := w.caller.dialog.Ack()
		w.caller.mu.Unlock()
		ack.CSeq = 7
		w.caller.send(ack)
		settle()
		w.one.sendBye() // it waits for the caller's own ACK
		settle()
		if w.caller.count(sip.BYE) != 0 {
			t.Error("an ACK that is not his counts")
		}
		w.asIf(w.caller, w.caller, sip.ACK, "")
		if w.caller.count(sip.BYE) != 1 {
			t.Error("no BYE after his own ACK")
		}
		w.over()
	})
}
