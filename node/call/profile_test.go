package call

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// reinvite sends a re-INVITE of the caller through to the callee, whose answer it
// returns to him.
func (w *world) reinvite(offer, answer string) *sip.Response {
	w.t.Helper()
	before := w.one.count(sip.INVITE)
	w.caller.asks(sip.INVITE, offer)
	settle()
	if w.one.count(sip.INVITE) == before+1 {
		req, tx := w.one.last(sip.INVITE)
		res := req.Response(200, "")
		res.Headers.Add("Contact", "<"+w.one.Contact("callee", sip.UDP)+">")
		res.SetBody(sdpType, []byte(answer))
		w.one.reply(tx, res)
		settle()
	}
	got := w.caller.answers()
	if len(got) == 0 {
		w.t.Fatal("no answer to the re-INVITE")
	}
	return got[len(got)-1]
}

func faxSDP(at string, version string) string {
	ip, _, _ := strings.Cut(at, ":")
	return "v=0\r\no=- 7 " + version + " IN IP4 " + ip + "\r\ns=-\r\nc=IN IP4 " + ip + "\r\nt=0 0\r\nm=image 41000 udptl t38\r\n" +
		"a=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
}

// TestFax: a call turns into a fax by re-INVITE, on the same ports, and its
// datagrams pass unread (F183).
func TestFax(t *testing.T) {
	bubble(t, "through", "10", func(t *testing.T, w *world) {
		w.connect()
		voice, err := media.Parse(w.caller.final().Body)
		w.check(err)
		res := w.reinvite(faxSDP(callerAddr, "2"), faxSDP(gwOneAddr, "2"))
		if res.Status != 200 {
			t.Fatalf("re-INVITE: %d", res.Status)
		}
		d, err := media.Parse(res.Body)
		w.check(err)
		fax, err := d.Audio()
		w.check(err)
		if !fax.Fax() || fax.RTP != voice.Media[0].RTP {
			t.Errorf("fax at %s, voice was at %s", fax.RTP, voice.Media[0].RTP)
		}
		contains(t, string(res.Body), "a=T38FaxUdpEC:t38UDPRedundancy")
		conn, err := w.net.listen(netipAddr("10.2.0.1:41000"))
		w.check(err)
		from, err := w.net.listen(netipAddr("10.1.0.1:41000"))
		w.check(err)
		_, err = from.WriteTo([]byte("no rtp at all"), udpAddr(fax.RTP))
		w.check(err)
		buf := make([]byte, 100)
		w.check(conn.SetReadDeadline(time.Now().Add(time.Second)))
		n, _, err := conn.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "no rtp at all" {
			t.Errorf("got %q, %v", buf[:n], err)
		}
		w.check(conn.Close())
		w.check(from.Close())
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "refused by profile: the voice goes on", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.NoFax = true })
		w.connect()
		if res := w.reinvite(faxSDP(callerAddr, "2"), ""); res.Status != 488 || w.one.count(sip.INVITE) != 1 {
			t.Errorf("re-INVITE: %d", res.Status)
		}
		w.caller.sendBye()
		settle()
		if w.caller.byeStatus() != 200 {
			t.Error("the call is gone")
		}
		w.over()
	})
}

// TestCodecs: an egress is offered what both gateways allow (F181).
func TestCodecs(t *testing.T) {
	bubble(t, "intersection", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "", func(p *fsm.Profile) { p.Codecs = "PCMA, PCMU, G729" })
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.Codecs = "PCMU, G722" })
		w.caller.sdp = strings.Replace(w.caller.sdp, "RTP/AVP 8 101", "RTP/AVP 8 9 0 101", 1)
		w.caller.call("4420")
		settle()
		req, _ := w.one.last(sip.INVITE)
		contains(t, string(req.Body), "RTP/AVP 0 101\r\n")
		if strings.Contains(string(req.Body), "PCMA") {
			t.Errorf("an orphan line is left:\n%s", req.Body)
		}
		w.one.says(486, false)
		w.over()
	})
	bubble(t, "none: the next gateway", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.Codecs = "G729" })
		w.caller.call("4420")
		settle()
		if w.one.count(sip.INVITE) != 0 || w.two.count(sip.INVITE) != 1 {
			t.Error("the gateway that shares no codec was tried, or no other")
		}
		w.two.says(486, false)
		w.over()
	})
	bubble(t, "none at all", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "", func(p *fsm.Profile) { p.Codecs = "G729" })
		w.caller.call("4420")
		settle()
		w.caller.want(100, 488)
		if got := w.caller.final().Headers.Get("Reason"); got != "Q.850;cause=88" {
			t.Errorf("reason %q", got)
		}
		w.over()
	})
}

// TestDigits: digits change their form where a gateway wants another (F184).
func TestDigits(t *testing.T) {
	bubble(t, "INFO becomes events", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.DTMF = fsm.DTMFRTP })
		w.connect()
		w.caller.mu.Lock()
		req := w.caller.dialog.Request(sip.INFO)
		w.caller.mu.Unlock()
		req.SetBody(dtmfType, []byte("Signal=5\r\nDuration=100\r\n"))
		var got *sip.Response
		_, err := w.caller.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, _ error) { got = res })
		w.check(err)
		settle()
		if got == nil || got.Status != 200 || w.one.count(sip.INFO) != 0 {
			t.Errorf("INFO: %+v, %d passed on", got, w.one.count(sip.INFO))
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "events become INFO", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.DTMF = fsm.DTMFInfo })
		w.connect()
		stop := w.talk()
		pause(200 * time.Millisecond)
		stop()
		conn, err := w.net.listen(netipAddr("10.1.0.1:40000"))
		w.check(err)
		answer, err := media.Parse(w.caller.final().Body)
		w.check(err)
		for _, last := range []byte{0, 0x80, 0x80, 0x80} {
			event := []byte{0x80, 101, 9, 9, 0, 0, 9, 9, 0, 0, 0, 7, 11, 10 | last, 3, 0x20}
			_, err = conn.WriteTo(event, udpAddr(answer.Media[0].RTP))
			w.check(err)
		}
		settle()
		w.check(conn.Close())
		if w.one.count(sip.INFO) != 1 {
			t.Fatalf("%d INFOs for one digit", w.one.count(sip.INFO))
		}
		info, _ := w.one.last(sip.INFO)
		if string(info.Body) != "Signal=#\r\nDuration=100\r\n" || info.Headers.Get("Content-Type") != dtmfType {
			t.Errorf("INFO has %q", info.Body)
		}
		w.caller.sendBye()
		w.over()
	})
	for body, want := range map[string]byte{
		"Signal=5\r\nDuration=160": '5', "Signal= *\r\n": '*', "signal=11\n": '#', "Signal=d": 'D', "Signal=55": 0, "Duration=100": 0, "": 0,
	} {
		if d, ok := readDigit("application/dtmf-relay; x=y", body); ok != (want != 0) || d.Key != want {
			t.Errorf("%q is %q", body, d.Key)
		}
	}
	if d, ok := readDigit("application/dtmf", "7\r\n"); !ok || d.Key != '7' {
		t.Error("application/dtmf is not read")
	}
	if _, ok := readDigit("text/plain", "7"); ok {
		t.Error("any text is a digit")
	}
}

// TestInterrupt: whose silence ends a call (F185).
func TestInterrupt(t *testing.T) {
	for name, tc := range map[string]struct {
		mode fsm.InterruptMode
		talk string // who goes on
		ends bool
	}{
		"both, one talks":        {fsm.InterruptBoth, "10.1.0.1:40000", false},
		"both, none":             {fsm.InterruptBoth, "", true},
		"none":                   {fsm.InterruptNone, "", false},
		"here, and it is silent": {fsm.InterruptHere, "10.1.0.1:40000", true},
		"here, and it talks":     {fsm.InterruptHere, "10.2.0.1:40000", false},
		"there, it is silent":    {fsm.InterruptThere, "10.2.0.1:40000", true},
		"either":                 {fsm.InterruptEither, "10.1.0.1:40000", true},
	} {
		bubble(t, name, "10", func(t *testing.T, w *world) {
			w.set("RTP_TIMEOUT", "10")
			w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.Interrupt = tc.mode })
			w.connect()
			w.lose(func(from, _ netAddrPort, raw []byte) bool { return isRTP(raw) && from.String() != tc.talk })
			stop := w.talk()
			pause(25 * time.Second)
			if ended := w.one.count(sip.BYE) == 1; ended != tc.ends {
				t.Errorf("ended: %v, want %v", ended, tc.ends)
			}
			stop()
			w.lose(nil)
			if !tc.ends {
				w.caller.sendBye()
			}
			settle()
			if cdr := w.ledger.lastCDR(t); tc.ends != (cdr.Reason == fsm.EndMediaTimeout) {
				t.Errorf("cdr: %v", cdr.Reason)
			}
			w.over()
		})
	}
}

// TestMediaModes: whether RTP passes through us is both gateways' choice (F177).
func TestMediaModes(t *testing.T) {
	for _, tc := range []struct {
		a, b fsm.MediaMode
		want bool
	}{
		{fsm.MediaAuto, fsm.MediaAuto, true}, {fsm.MediaOff, fsm.MediaAuto, false}, {fsm.MediaAuto, fsm.MediaOff, false},
		{fsm.MediaOff, fsm.MediaOn, true}, {fsm.MediaMustOn, fsm.MediaOff, true}, {fsm.MediaOff, fsm.MediaOff, false},
	} {
		if relays(tc.a, tc.b) != tc.want {
			t.Errorf("%d with %d: relayed %v", tc.a, tc.b, !tc.want)
		}
	}
	bubble(t, "off: the SDP goes as it is", "10", func(t *testing.T, w *world) {
		g, _ := w.ledger.state.RoutingGateway("gw1")
		g.Media = fsm.MediaOff
		w.ledger.must(t, &fsm.PutRoutingGateway{Gateway: g})
		w.connect()
		req, _ := w.one.last(sip.INVITE)
		if string(req.Body) != w.caller.sdp || string(w.caller.final().Body) != w.one.sdp {
			t.Error("SDP was changed")
		}
		if w.node.relay.Totals().Sessions != 0 {
			t.Error("a relay session is open")
		}
		w.caller.sendBye()
		w.over()
	})
}

// TestResend: an INVITE is repeated by its gateway's list (F019).
func TestResend(t *testing.T) {
	bubble(t, "list", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.Resend = "200, 300" })
		var sent atomic.Int32
		w.lose(func(_, to netAddrPort, raw []byte) bool {
			lost := to.String() == gwOneAddr && hasPrefix(raw, "INVITE")
			if lost {
				sent.Add(1)
			}
			return lost
		})
		w.caller.call("4420")
		pause(190 * time.Millisecond)
		if sent.Load() != 1 {
			t.Errorf("%d sent at 190 ms", sent.Load())
		}
		pause(30 * time.Millisecond)
		if sent.Load() != 2 {
			t.Errorf("%d sent at 220 ms", sent.Load())
		}
		pause(300 * time.Millisecond)
		if sent.Load() != 3 {
			t.Errorf("%d sent at 520 ms", sent.Load())
		}
		pause(3 * time.Second)
		if sent.Load() != 3 {
			t.Errorf("%d sent in all", sent.Load())
		}
		w.lose(nil)
		pause(time.Second)
		w.two.says(486, false)
		w.over()
	})
}
