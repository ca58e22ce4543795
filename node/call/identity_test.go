package call

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"tandem/fsm"
	"tandem/sip"
)

// sendRaw sends an INVITE with header lines as they are written, from the caller's
// address.
func (w *world) sendRaw(lines ...string) {
	w.t.Helper()
	body := w.caller.sdp
	raw := "INVITE sip:4420@" + nodeAddr + " SIP/2.0\r\nVia: SIP/2.0/UDP " + callerAddr + ";branch=z9hG4bKraw\r\n" +
		"Max-Forwards: 70\r\nTo: <sip:4420@" + nodeAddr + ">\r\nCall-ID: raw\r\nCSeq: 1 INVITE\r\n" +
		"Contact: <sip:caller@" + callerAddr + ">\r\n" + strings.Join(lines, "\r\n") +
		fmt.Sprintf("\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	w.net.mu.Lock()
	conn := w.net.conns[w.caller.addr]
	w.net.mu.Unlock()
	if _, err := conn.WriteTo([]byte(raw), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(nodeAddr))); err != nil {
		w.t.Fatal(err)
	}
	settle()
}

// wire is the INVITE that the first gateway got, as text.
func (w *world) wire() string {
	w.t.Helper()
	req, _ := w.one.last(sip.INVITE)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nFrom: %s\nTo: %s\n", req.URI, req.From, req.To)
	for _, h := range req.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
	}
	b.Write(req.Body)
	return b.String()
}

const fromCaller = "From: <sip:4930123@10.1.0.1>;tag=f"

// TestNothingLeaks: whatever the caller's side says about itself stays on its leg,
// in any spelling and folding.
func TestNothingLeaks(t *testing.T) {
	const secret = "secret"
	lines := []string{
		"P-Asserted-Identity: <sip:secret@10.1.0.1>", "p-asserted-identity: <sip:secret@10.1.0.1>",
		"P-ASSERTED-IDENTITY:<sip:secret@10.1.0.1>", "P-Asserted-Identity : <sip:secret@10.1.0.1>",
		"P-Asserted-Identity:\r\n <sip:secret@10.1.0.1>", "P-Asserted-Identity: <sip:1@x>\r\nP-Asserted-Identity: <sip:secret@x>",
		"P-Asserted-Identity: <sip:1@x>, <tel:secret>", "P-Asserted-Identity: \"secret\" <sip:1@x>",
		"P-asserted-Identity:\t<sip:secret@10.1.0.1>", "P-Preferred-Identity: <sip:secret@10.1.0.1>",
		"p-preferred-identity:\r\n\t<sip:secret@10.1.0.1>", "Remote-Party-ID: \"secret\" <sip:secret@10.1.0.1>;privacy=full",
		"REMOTE-PARTY-ID:\r\n  <sip:secret@x>", "Diversion: <sip:secret@10.1.0.1>;reason=unconditional", "diversion:\r\n <sip:secret@x>",
		"History-Info: <sip:secret@10.1.0.1>;index=1", "history-info: <sip:x@y>;index=1,\r\n <sip:secret@z>;index=1.1",
		"Contact: <sip:secret@10.1.0.1>", "m: <sip:secret@10.1.0.1>",
		"Record-Route: <sip:secret.example;lr>", "record-route:\r\n <sip:secret.example;lr>",
		"User-Agent: secret", "Server: secret", "Organization: secret", "o: secret", "Call-Info: <http://secret/>", "Alert-Info: <http://secret/>",
		"X-Secret: secret", "X-Internal-Account:\r\n secret", "P-Charging-Vector: icid-value=secret", "p-charging-vector: icid-value=secret",
		"P-Access-Network-Info: secret", "P-Visited-Network-ID: secret", "Authorization: Digest username=\"secret\"",
		"Proxy-Authorization: Digest username=\"secret\"", "In-Reply-To: secret", "Replaces: secret;to-tag=1;from-tag=2",
		"Referred-By: <sip:secret@x>", "b: <sip:secret@x>", "Warning: 399 secret \"x\"", "Geolocation: <cid:secret@x>",
		"User-to-User: secret", "Via: SIP/2.0/UDP secret.example;branch=z9hG4bKother", "v: SIP/2.0/UDP secret.example;branch=z9hG4bKother",
	}
	for _, line := range lines {
		bubble(t, line, "10", func(t *testing.T, w *world) {
			w.sendRaw(fromCaller, line)
			if w.one.count(sip.INVITE) == 1 { // or it was refused
				if text := w.wire(); strings.Contains(strings.ToLower(text), secret) {
					t.Errorf("it is in:\n%s", text)
				}
				w.one.says(486, false)
			}
			w.over()
		})
	}
	if len(lines) < 30 {
		t.Error("fewer than thirty spellings")
	}
}

// TestIdentity: who is told who calls (F023, F025).
func TestIdentity(t *testing.T) {
	const (
		pai       = "P-Asserted-Identity: \"Alice\" <sip:4930999@core.example>, <tel:+4930999>"
		anonymous = `From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=f`
		signed    = "Identity: abc.def.ghi;info=<https://cert.example/a.pem>;alg=ES256;ppt=shaken"
		date      = "Date: Sun, 22 Nov 2026 02:22:54 GMT"
	)
	trust := func(p *fsm.Profile) { p.Trusted = true }
	both := func(change func(*fsm.Profile)) func(*world) {
		return func(w *world) {
			w.ledger.profile(w.t, "", trust)
			w.ledger.profile(w.t, "gw1", func(p *fsm.Profile) {
				p.Trusted = true
				if change != nil {
					change(p)
				}
			})
		}
	}
	out := func(change func(*fsm.Profile)) func(*world) {
		return func(w *world) { w.ledger.profile(w.t, "gw1", change) }
	}
	in := func(change func(*fsm.Profile)) func(*world) {
		return func(w *world) { w.ledger.profile(w.t, "", change) }
	}
	for name, tc := range map[string]struct {
		rule       func(*world)
		lines      []string
		want, miss []string
	}{
		"untrusted": {nil, []string{fromCaller, pai}, []string{"From: <sip:4930123@10.0.0.1>"}, []string{"P-Asserted", "4930999", "Alice"}},
		"trusted": {both(nil), []string{fromCaller, pai},
			[]string{"P-Asserted-Identity: <sip:4930999@10.0.0.1>"}, []string{"Alice", "core.example"}},
		"trusted out, not in": {out(trust), []string{fromCaller, pai}, nil, []string{"P-Asserted"}},
		"never":               {both(func(p *fsm.Profile) { p.Asserted = fsm.IdentityNone }), []string{fromCaller, pai}, nil, []string{"P-Asserted"}},
		"the number that is sent": {out(func(p *fsm.Profile) {
			p.Asserted, p.Preferred, p.RemoteParty = fsm.IdentityCaller, fsm.IdentityCaller, fsm.IdentityCaller
		}), []string{fromCaller},
			[]string{"P-Asserted-Identity: <sip:4930123@10.0.0.1>", "P-Preferred-Identity: <sip:4930123@10.0.0.1>",
				"Remote-Party-ID: <sip:4930123@10.0.0.1>;party=calling;screen=yes;privacy=off"}, nil},
		"anonymous to the untrusted": {in(trust), []string{anonymous, pai, "Privacy: id"},
			[]string{"From: \"Anonymous\" <sip:anonymous@anonymous.invalid>", "Privacy: id"}, []string{"4930999"}},
		"anonymous between the trusted": {both(nil), []string{anonymous, pai, "Privacy: id"},
			[]string{"From: \"Anonymous\"", "P-Asserted-Identity: <sip:4930999@10.0.0.1>", "Privacy: id"}, nil},
		"asked for in other words": {nil, []string{fromCaller, "privacy:user; ID"}, []string{"From: \"Anonymous\""}, []string{"4930123"}},
		"by Remote-Party-ID":       {nil, []string{fromCaller, "Remote-Party-ID: <sip:1@x>;privacy=full"}, []string{"From: \"Anonymous\""}, []string{"4930123"}},
		"privacy none":             {nil, []string{fromCaller, "Privacy: none"}, []string{"From: <sip:4930123@"}, []string{"Privacy"}},
		"privacy always":           {out(func(p *fsm.Profile) { p.Privacy = fsm.PrivacyID }), []string{fromCaller}, []string{"From: \"Anonymous\"", "Privacy: id"}, []string{"4930123"}},
		"privacy never":            {out(func(p *fsm.Profile) { p.Privacy = fsm.PrivacyNone }), []string{fromCaller, "Privacy: id"}, []string{"From: <sip:4930123@"}, []string{"Privacy"}},
		"diversion": {both(func(p *fsm.Profile) { p.Diversion = true }),
			[]string{fromCaller, `Diversion: "B" <sip:4930777@core.example>;reason=user-busy;counter=1;x=y`},
			[]string{"Diversion: <sip:4930777@10.0.0.1>;reason=user-busy;counter=1"}, []string{"core.example", "x=y"}},
		"diversion not asked for": {both(nil), []string{fromCaller, "Diversion: <sip:4930777@x>"}, nil, []string{"4930777"}},
		"charging vector":         {both(nil), []string{fromCaller, "P-Charging-Vector: icid-value=1"}, []string{"P-Charging-Vector: icid-value=1"}, nil},
		"signed":                  {nil, []string{fromCaller, signed, date}, []string{signed, date}, nil},
		"signed for another callee": {in(func(p *fsm.Profile) { p.CalleeFrom = fsm.CalleeDiversion }),
			[]string{fromCaller, signed, date, "Diversion: <sip:4421@x>"}, []string{"sip:4421@"}, []string{"Identity", "Date"}},
		"signed for another caller": {in(func(p *fsm.Profile) { p.CallerFrom = fsm.CallerAsserted }),
			[]string{fromCaller, signed, date, pai}, []string{"From: <sip:4930999@"}, []string{"abc.def"}},
		"signed and private": {nil, []string{fromCaller, signed, date, "Privacy: id"}, nil, []string{"abc.def"}},
		"caller from the display name": {in(func(p *fsm.Profile) { p.CallerFrom = fsm.CallerDisplay }),
			[]string{`From: "4930555" <sip:pbx@10.1.0.1>;tag=f`}, []string{"From: <sip:4930555@"}, []string{"pbx"}},
		"caller from Remote-Party-ID": {in(func(p *fsm.Profile) { p.CallerFrom = fsm.CallerRemoteParty }),
			[]string{fromCaller, "Remote-Party-ID: <sip:4930666@x>;party=calling"}, []string{"From: <sip:4930666@"}, []string{"4930123"}},
	} {
		bubble(t, name, "10", func(t *testing.T, w *world) {
			if tc.rule != nil {
				tc.rule(w)
			}
			w.sendRaw(tc.lines...)
			text := w.wire()
			for _, part := range tc.want {
				if !strings.Contains(text, part) {
					t.Errorf("%q is missing in:\n%s", part, text)
				}
			}
			for _, part := range tc.miss {
				if strings.Contains(text, part) {
					t.Errorf("%q is in:\n%s", part, text)
				}
			}
			w.one.says(486, false)
			w.over()
		})
	}
}

// TestCDRNamesTheChosenNumbers: the CDR has the numbers that the ingress chose.
func TestCDRNamesTheChosenNumbers(t *testing.T) {
	bubble(t, "asserted", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "", func(p *fsm.Profile) { p.CallerFrom = fsm.CallerAsserted })
		w.sendRaw(fromCaller, "P-Asserted-Identity: <sip:+49-30-999@x>")
		w.one.says(486, false)
		settle()
		if cdr := w.ledger.lastCDR(t); cdr.RawCaller != "+49-30-999" || cdr.Caller != "4930999" {
			t.Errorf("caller %q, raw %q", cdr.Caller, cdr.RawCaller)
		}
		w.over()
	})
}
