package sip_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/sip"
)

// message makes a request or response of a start line and headers; what is not
// among the headers gets a good value, and a name with an empty value leaves it out.
func message(start string, headers ...string) []byte {
	defaults := []string{
		"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKtest",
		"From: <sip:1@192.0.2.9>;tag=a", "To: <sip:2@192.0.2.2>", "Call-ID: test", "CSeq: 1 OPTIONS",
		"Max-Forwards: 70",
	}
	var b strings.Builder
	b.WriteString(start + "\r\n")
	for _, d := range defaults {
		name, _, _ := strings.Cut(d, ":")
		given := false
		for _, h := range headers {
			if n, _, _ := strings.Cut(h, ":"); n == name {
				given = true
			}
		}
		if !given {
			b.WriteString(d + "\r\n")
		}
	}
	for _, h := range headers {
		if !strings.HasSuffix(h, ":") {
			b.WriteString(h + "\r\n")
		}
	}
	return []byte(b.String() + "\r\n")
}

const options = "OPTIONS sip:2@192.0.2.2 SIP/2.0"

// Each message gets the status, or silence (0), and only a 200 reaches the handler.
func TestMalformedMessages(t *testing.T) {
	good := string(message(options))
	for _, tt := range []struct {
		name   string
		raw    string
		status int
	}{
		{"good", good, 200},
		{"compact and mixed case", string(message(options, "Via:", "From:", "To:", "Call-ID:", "v: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKc",
			"f: sip:1@192.0.2.9;tag=a", "t: <sip:2@192.0.2.2>", "i: x", "L: 0", "cSEQ: 1 OPTIONS", "CSeq:")), 200},
		{"blanks in via and folded to", string(message(options, "Via: SIP / 2.0 / UDP  192.0.2.9 : 5060 ; branch = z9hG4bKd", "To: <sip:2@192.0.2.2>\r\n  ;x=y")), 200},
		{"tel uri", string(message("OPTIONS tel:+49301234 SIP/2.0")), 200},
		{"body beyond content length is cut", string(message(options, "Content-Length: 2")) + "abcdef", 200},
		{"unknown method", string(message("FROBNICATE sip:2@192.0.2.2 SIP/2.0", "CSeq: 1 FROBNICATE")), 200},

		{"no from", string(message(options, "From:")), 400},
		{"no to", string(message(options, "To:")), 400},
		{"no call-id", string(message(options, "Call-ID:")), 400},
		{"no via", string(message(options, "Via:")), 0},
		{"no cseq", string(message(options, "CSeq:")), 0},
		{"no from tag", string(message(options, "From: <sip:1@192.0.2.9>")), 400},
		{"cseq of another method", string(message(options, "CSeq: 1 INVITE")), 400},
		{"cseq too large", string(message(options, "CSeq: 2147483648 OPTIONS")), 400},
		{"two from", string(message(options, "From: <sip:1@192.0.2.9>;tag=a\r\nFrom: <sip:1@192.0.2.9>;tag=b")), 400},
		{"two call-ids, one compact", string(message(options, "i: other")), 400},
		{"two content lengths", string(message(options, "Content-Length: 0", "l: 3")), 400},
		{"version 7", string(message("OPTIONS sip:2@192.0.2.2 SIP/7.0")), 505},
		{"body too short", string(message(options, "Content-Length: 9999")) + "v=0", 400},
		{"negative length", string(message(options, "Content-Length: -1")), 400},
		{"bare line feeds", strings.ReplaceAll(good, "\r\n", "\n"), 400},
		{"one bare line feed", strings.Replace(good, "Call-ID: test\r\n", "Call-ID: test\n", 1), 400},
		{"control character", string(message(options, "Subject: a\x00b")), 400},
		{"header without colon", string(message(options, "Subject")), 400},
		{"max-forwards is no number", string(message(options, "Max-Forwards: many")), 400},
		{"open angle bracket", string(message(options, "To: <sip:2@192.0.2.2")), 400},
		{"unbalanced quotes", string(message(options, "To: \"Mr. J. User <sip:2@192.0.2.2>")), 400},
		{"blanks in brackets", string(message(options, "To: < sip:2@192.0.2.2 >")), 400},
		{"blank behind the version", string(message(options + " ")), 400},
		{"request uri in brackets", string(message("OPTIONS <sip:2@192.0.2.2> SIP/2.0")), 400},
		{"blank in request uri", string(message("OPTIONS sip:2@192.0.2.2; lr SIP/2.0")), 400},
		{"request uri without host", string(message("OPTIONS sip:2@ SIP/2.0")), 400},
		{"blank in call-id: cannot be repeated", string(message(options, "Call-ID: a b")), 0},
		{"no from, bare line feeds", strings.ReplaceAll(string(message(options, "From:")), "\r\n", "\n"), 400},
		{"257 headers", string(message(options, strings.Repeat("Subject: x\r\n", 257)+"Subject: x")), 513},
		{"line too long", string(message(options, "Subject: "+strings.Repeat("x", 9000))), 513},
		{"folded lines too long", string(message(options, "Subject: x"+strings.Repeat("\r\n yyyyyyyy", 1000))), 513},
		{"a long call-id", string(message(options, "Call-ID: "+strings.Repeat("c", 513))), 513},
		{"a long tag", string(message(options, "From: <sip:1@192.0.2.9>;tag="+strings.Repeat("a", 513))), 513},
		{"a long branch", string(message(options, "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK"+strings.Repeat("b", 513))), 513},
		{"a long request uri", string(message("OPTIONS sip:" + strings.Repeat("2", 2049) + "@192.0.2.2 SIP/2.0")), 414},
		{"a large body", string(message(options)) + strings.Repeat("x", 32<<10+1), 413},
		{"17 media", string(message(options, "Content-Type: application/sdp")) + "v=0\r\n" + strings.Repeat("m=audio 1 RTP/AVP 0\r\n", 17), 413},
		{"16 media", string(message(options, "Content-Type: application/sdp")) + "v=0\r\n" + strings.Repeat("m=audio 1 RTP/AVP 0\r\n", 16), 200},
		{"8 parts", string(message(options, "c: multipart/mixed;boundary=b")) + strings.Repeat("--b\r\n\r\nx\r\n", 8) + "--b--\r\n", 200},
		{"9 parts", string(message(options, "c: multipart/mixed;boundary=\"b\"")) + strings.Repeat("--b\r\n\r\nx\r\n", 9) + "--b--\r\n", 413},
		{"parts in parts in parts", string(message(options, "c: multipart/mixed;boundary=b")) + strings.Repeat("--b\r\nContent-Type: Multipart/mixed;boundary=c\r\n\r\nx\r\n", 3), 413},
		{"parts without a boundary", string(message(options, "c: multipart/mixed")) + "--b--\r\n", 413},
		{"65 vias", string(message(options, "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKv"+strings.Repeat(", SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKw", 64))), 513},
		{"an unreadable second via", string(message(options, "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKv, ;")), 400},
		{"escaped control characters in quotes", string(message(options, "To: \"BEL:\\\a NUL:\\\x00\" <sip:2@192.0.2.2>")), 200},
		{"an escaped line end", string(message(options, "To: \"a\\\r\" <sip:2@192.0.2.2>")), 400},
		{"control characters in quotes", string(message(options, "To: \"BEL:\a\" <sip:2@192.0.2.2>")), 400},
		{"headers in the request uri", string(message("OPTIONS sip:2@192.0.2.2?Route=x SIP/2.0")), 400},
		{"a question mark in the user", string(message("OPTIONS sip:2?3@192.0.2.2 SIP/2.0")), 200},
		{"an unreadable contact", string(message(options, "Contact: Bell, A <sip:1@192.0.2.9>")), 400},
		{"a star is no contact", string(message(options, "Contact: *")), 400},
		{"unknown scheme", string(message("OPTIONS nobody.knows://192.0.2.2 SIP/2.0")), 416},
		{"required extension", string(message(options, "Require: 100rel, foo")), 420},
		{"invite at its last hop", string(message("INVITE sip:2@192.0.2.2 SIP/2.0", "CSeq: 1 INVITE", "Max-Forwards: 0")), 483},
		{"ack is never answered", string(message("ACK sip:2@192.0.2.2 SIP/2.0", "CSeq: 1 INVITE")), 0},

		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01", 0},
		{"keep-alive", "\r\n\r\n", 0},
		{"http", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0},
		{"start line only", options, 0},
		{"response with two vias", string(message("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx, SIP/2.0/UDP 192.0.2.3;branch=z9hG4bKy")), 0},
		{"status 999", string(message("SIP/2.0 999 What")), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				b := n.start(t, "192.0.2.2:5060")
				b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(200, "ours")) }
				peer := n.packet("192.0.2.9:5060")
				n.send(peer.addr, b.addr, []byte(tt.raw))
				got := peer.recv()
				want := ""
				if tt.status != 0 {
					want = fmt.Sprintf("SIP/2.0 %d ", tt.status)
				}
				if !strings.HasPrefix(got, want) || want == "" && got != "" {
					t.Errorf("answer %q, want %q", got, want)
				}
				if reached := b.events() != ""; reached != (tt.status == 200) {
					t.Errorf("handler saw %q", b.events())
				}
			})
		})
	}
}

// Compact and oddly written names are found, and all of their values.
func TestHeadersAreFoundHoweverTheyAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060")
		var got sip.Headers
		b.request = func(req *sip.Request, tx *sip.ServerTx) { got = req.Headers }
		peer := n.packet("192.0.2.9:5060")
		n.send(peer.addr, b.addr, message(options, "k: timer", "SUPPORTED: 100rel", "x: 1800", "r: <sip:3@h>", "B: <sip:4@h>",
			"o: dialog", "u: dialog", "s: hello", "p-asserted-identity: <sip:5@h>", "P-Asserted-Identity : <sip:6@h>"))
		synctest.Wait()
		for name, want := range map[string]string{
			"Supported": "timer|100rel", "Session-Expires": "1800", "Refer-To": "<sip:3@h>", "Referred-By": "<sip:4@h>", "Event": "dialog",
			"Allow-Events": "dialog", "Subject": "hello", "P-Asserted-Identity": "<sip:5@h>|<sip:6@h>",
		} {
			if all := strings.Join(got.All(name), "|"); all != want || got.Get(name) == "" {
				t.Errorf("%s: %q, want %q", name, all, want)
			}
		}
	})
}

// Branches of RFC 2543 elements are not unique: the rest of the message tells
// their transactions apart, and joins retransmission and ACK to them.
func TestBranchesWithoutMagicCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060")
		b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(486, "")) }
		peer := n.packet("192.0.2.9:5060")
		const start, via = "INVITE sip:2@192.0.2.2 SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.9;branch=1"
		for i, id := range []string{"one", "two", "one"} {
			n.send(peer.addr, b.addr, message(start, via, "CSeq: 1 INVITE", "Call-ID: "+id))
			if got := peer.recv(); strings.Contains(got, "Call-ID: "+id+"\r\n") != (i < 2) {
				t.Errorf("%s: answer %q", id, got) // the last one was acknowledged already
			}
			n.send(peer.addr, b.addr, message("ACK sip:2@192.0.2.2 SIP/2.0", via, "CSeq: 1 ACK", "Call-ID: "+id))
		}
		pause(30 * time.Second)
		if got := b.events(); got != "INVITE INVITE" {
			t.Errorf("handler saw %q", got)
		}
	})
}

// Keep-alives from any number of ports cost a counter, not memory.
func TestKeepAlivesLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060")
		for port := range uint16(2000) {
			n.send(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), port+1), b.addr, []byte("\r\n\r\n"))
		}
		synctest.Wait()
		if got := b.Stats().KeepAlives.Load(); got != 2000 || b.Stats().ServerTx.Load() != 0 {
			t.Errorf("%d keep-alives", got)
		}
	})
}

func TestRefusalsNameWhatIsUnsupported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := n.start(t, "192.0.2.2:5060", func(c *sip.Config) { c.Supported = []string{"timer"} })
		peer := n.packet("192.0.2.9:5060")
		for range 2 {
			n.send(peer.addr, b.addr, message(options, "Require: timer", "require: 100rel"))
		}
		first, second := peer.recv(), peer.recv()
		if !strings.Contains(first, "\r\nUnsupported: 100rel\r\n") || first != second {
			t.Errorf("answers %q and %q: the same To-tag for a retransmission", first, second)
		}
	})
}

// RFC 3581, and RFC 3261 section 18.2.2: never to a host that the Via names.
func TestWhereResponsesGo(t *testing.T) {
	for _, tt := range []struct{ via, to, received string }{
		{"SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK1", "192.0.2.9:9999", ";rport=9999;branch=z9hG4bK1;received=192.0.2.9"},
		{"SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bK1", "192.0.2.9:5070", ""},
		{"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1", "192.0.2.9:5060", ""},
		{"SIP/2.0/UDP 203.0.113.1:5070;branch=z9hG4bK1", "192.0.2.9:5070", ";received=192.0.2.9"},
		{"SIP/2.0/UDP host.example.com;branch=z9hG4bK1", "192.0.2.9:5060", ";received=192.0.2.9"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			b := n.start(t, "192.0.2.2:5060")
			b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(200, "t")) }
			expected := n.packet(tt.to)
			n.send(netip.MustParseAddrPort("192.0.2.9:9999"), b.addr, message(options, "Via: "+tt.via))
			got := expected.recv()
			if !strings.Contains(got, tt.received+"\r\n") || got == "" {
				t.Errorf("%s: at %s arrived %q", tt.via, tt.to, got)
			}
		})
	}
}

func TestGateAndPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		leased := true
		b := n.start(t, "192.0.2.2:5060", func(c *sip.Config) {
			c.Gate = func(src netip.AddrPort, _ []byte) bool { return src.Port() == 5060 }
			c.Permit = func(status int) bool { return leased || status == 503 }
		})
		status := 200
		b.request = func(req *sip.Request, tx *sip.ServerTx) { tx.Respond(req.Response(status, "t")) }
		known, unknown := n.packet("192.0.2.9:5060"), n.packet("192.0.2.9:5999")
		n.send(unknown.addr, b.addr, message(options))
		if got := unknown.recv() + b.events(); got != "" || b.Stats().DroppedGate.Load() != 1 {
			t.Errorf("unknown source: %q", got)
		}
		leased = false
		n.send(known.addr, b.addr, message(options))
		if got := known.recv(); got != "" || b.Stats().DroppedPermit.Load() != 1 {
			t.Errorf("without a lease: %q", got)
		}
		status = 503
		n.send(known.addr, b.addr, message(options, "CSeq: 2 OPTIONS", "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKother"))
		if got := known.recv(); !strings.HasPrefix(got, "SIP/2.0 503 ") {
			t.Errorf("without a lease: %q, want 503", got)
		}
	})
}
