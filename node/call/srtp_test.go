package call

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// secured makes a phone's SDP one of SRTP, with a key under a tag.
func secured(t *testing.T, body string, tag int, suite media.Suite) (string, media.Keying) {
	t.Helper()
	key := media.NewKeying(suite)
	out, err := media.WithCrypto([]byte(body), media.CryptoLine{Tag: tag, Suite: suite, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return string(out), key
}

// cryptoIn returns the keys of an SDP.
func cryptoIn(t *testing.T, body []byte) []media.CryptoLine {
	t.Helper()
	lines, err := media.CryptoLines(body)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestSRTP(t *testing.T) {
	bubble(t, "towards the gateway", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.SRTP = fsm.SRTPOn })
		w.caller.call("4420")
		settle()
		offer, _ := w.one.last(sip.INVITE)
		ours := cryptoIn(t, offer.Body)
		if len(ours) != 1 || ours[0].Suite != media.SuiteAES128SHA80 || !strings.Contains(string(offer.Body), "RTP/SAVP") {
			t.Fatalf("offer:\n%s", offer.Body)
		}
		w.one.sdp, _ = secured(t, w.one.sdp, 1, media.SuiteAES128SHA80)
		w.one.says(200, true)
		settle()
		w.caller.want(100, 200)
		answer := w.caller.final().Body
		if len(cryptoIn(t, answer)) != 0 || !strings.Contains(string(answer), "RTP/AVP ") {
			t.Errorf("answer:\n%s", answer)
		}
		d, err := media.Parse(answer)
		w.check(err)
		from, err := w.net.listen(netipAddr("10.1.0.1:40000"))
		w.check(err)
		at, err := w.net.listen(netipAddr("10.2.0.1:40000"))
		w.check(err)
		plain := append([]byte{0x80, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7}, bytes.Repeat([]byte{0x55}, 160)...)
		buf := make([]byte, 300)
		for n := range 8 { // five of them make the source known
			plain[3] = byte(n)
			_, err = from.WriteTo(plain, udpAddr(d.Media[0].RTP))
			w.check(err)
			settle()
		}
		w.check(at.SetReadDeadline(time.Now().Add(time.Second)))
		n, _, err := at.ReadFrom(buf)
		if err != nil || n != len(plain)+10 || bytes.Contains(buf[:n], plain[12:]) {
			t.Errorf("%d bytes in the clear, or none: %v", n, err)
		}
		w.check(from.Close())
		w.check(at.Close())
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "from the caller, and not beyond", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.SRTP = fsm.SRTPOff })
		w.caller.sdp, _ = secured(t, w.caller.sdp, 7, media.SuiteAES128SHA32)
		w.caller.call("4420")
		settle()
		offer, _ := w.one.last(sip.INVITE)
		if len(cryptoIn(t, offer.Body)) != 0 || strings.Contains(string(offer.Body), "SAVP") {
			t.Errorf("offer:\n%s", offer.Body)
		}
		w.one.says(200, true)
		settle()
		lines := cryptoIn(t, w.caller.final().Body)
		if len(lines) != 1 || lines[0].Tag != 7 || lines[0].Suite != media.SuiteAES128SHA32 {
			t.Errorf("answer:\n%s", w.caller.final().Body)
		}
		// The key stays while the call goes on, also under another owner.
		w.node.stop()
		w.start()
		w.adoptAll()
		settle()
		hold := strings.Replace(w.caller.sdp, "o=- 7 1 ", "o=- 7 2 ", 1)
		again := w.reinvite(strings.Replace(hold, "sendrecv", "sendonly", 1), sdp(gwOneAddr, 40000, 2))
		if kept := cryptoIn(t, again.Body); again.Status != 200 || len(kept) != 1 || kept[0].Key != lines[0].Key {
			t.Errorf("re-INVITE: %d\n%s", again.Status, again.Body)
		}
		w.caller.sendBye()
		w.over()
	})
	bubble(t, "keys pass where nobody wants otherwise", "10", func(t *testing.T, w *world) {
		var key media.Keying
		w.caller.sdp, key = secured(t, w.caller.sdp, 1, media.SuiteAES128SHA80)
		w.caller.call("4420")
		settle()
		offer, _ := w.one.last(sip.INVITE)
		if lines := cryptoIn(t, offer.Body); len(lines) != 1 || lines[0].Key != key {
			t.Errorf("offer:\n%s", offer.Body)
		}
		w.one.says(486, false)
		w.over()
	})
	bubble(t, "no key of use", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.SRTP = fsm.SRTPOff })
		w.caller.sdp = strings.Replace(w.caller.sdp, "RTP/AVP", "RTP/SAVP", 1)
		w.caller.call("4420")
		settle()
		w.caller.want(100, 488)
		w.over()
	})
	bubble(t, "a gateway that answers in the clear", "10", func(t *testing.T, w *world) {
		w.ledger.profile(t, "gw1", func(p *fsm.Profile) { p.SRTP = fsm.SRTPOn })
		w.caller.call("4420")
		settle()
		w.one.says(200, true)
		settle()
		w.caller.want(100, 488)
		if w.one.count(sip.BYE) != 1 {
			t.Error("the callee is left alone")
		}
		w.over()
	})
}
