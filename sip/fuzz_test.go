package sip

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
)

const fuzzInvite = "INVITE sip:4420@198.51.100.7 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKx;rport\r\n" +
	"Max-Forwards: 70\r\nFrom: \"A\" <sip:1@192.0.2.9>;tag=a\r\nTo: <sip:2@192.0.2.2>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n" +
	"Contact: <sip:1@192.0.2.9>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"

// What parses must be answerable, its answer must parse, and sipgo must agree
// that it is a message.
func FuzzParse(f *testing.F) {
	f.Add([]byte(fuzzInvite))
	f.Add(bytes.ReplaceAll([]byte(fuzzInvite), []byte("\r\n"), []byte("\n")))
	f.Add([]byte("SIP/2.0 200 OK\r\nv: SIP / 2.0 / TCP [::1]:5060;branch=z9hG4bKx\r\nf: a:b;tag=1\r\nt: <a:b>;tag=2\r\ni: c\r\nCSeq: 1 INVITE\r\nl: 0\r\n\r\n"))
	for _, name := range []string{"rfc4475.txt", "rfc5118.txt"} {
		for _, raw := range Torture(f, name) {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parse(raw)
		if err != nil || m.req == nil {
			return
		}
		if _, err := sipgo.ParseMessage(raw); err != nil {
			t.Logf("sipgo does not take it: %v", err)
		}
		m.req.arrived(Peer{UDP, bigAddr})
		res := m.req.Response(200, "tag")
		if err := res.check(); err != nil {
			t.Fatalf("a parsed request cannot be answered: %v", err)
		}
		back, perr := parse(res.encode())
		if perr != nil && perr.reason != MalformedMisrouted && !slices.Contains([]Malformed{MalformedLong, MalformedSize}, perr.reason) {
			t.Fatalf("the answer does not parse: %v\n%q", perr, res.encode())
		}
		if back.res == nil || back.res.CallID != m.req.CallID || back.res.CSeq != m.req.CSeq || back.res.FromTag != m.req.FromTag {
			t.Fatalf("the answer differs: %q", res.encode())
		}
		state := m.req.Invite("tag")
		b, encErr := state.MarshalBinary()
		var again InviteState
		if encErr == nil && again.UnmarshalBinary(b) != nil {
			t.Fatal("the state does not decode")
		}
	})
}

// However a stream is cut into reads, the same messages come out, and nothing
// that is not bounded is kept.
func FuzzFramer(f *testing.F) {
	f.Add([]byte(fuzzInvite+"\r\n\r\n"+fuzzInvite), uint8(7))
	f.Add([]byte("\r\nl: 3\r\n\r\nabcl: 4294967296\r\n\r\n"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint8) {
		whole := frames(t, stream, len(stream)+1)
		if cut := frames(t, stream, int(chunk)+1); !bytes.Equal(whole, cut) {
			t.Fatalf("in one piece %q, in pieces %q", whole, cut)
		}
	})
}

// frames returns the messages of a stream that is read in chunks, joined.
func frames(t *testing.T, stream []byte, chunk int) (joined []byte) {
	var f framer
	for len(stream) > 0 {
		n := copy(f.space(), stream[:min(chunk, len(stream))])
		f.grown(n)
		stream = stream[n:]
		for {
			msg, err := f.next()
			if err != nil {
				return append(joined, "|error"...)
			}
			if msg == nil {
				break
			}
			if len(msg) > maxMessage {
				t.Fatalf("a message of %d bytes", len(msg))
			}
			joined = append(append(joined, '|'), msg...)
		}
		if len(f.buf) > maxMessage+chunk {
			t.Fatalf("%d bytes are kept", len(f.buf))
		}
	}
	return joined
}

// What decodes must encode to the same bytes: there is one form of each record.
func FuzzDialog(f *testing.F) {
	b, _ := Dialog{CallID: "c", Local: "<sip:a@b>;tag=1", Peer: bigAddr, LocalSeq: 300, SDPSent: 1 << 40}.MarshalBinary()
	f.Add(b)
	s, _ := InviteState{Vias: []string{"SIP/2.0/UDP h"}, CallID: "c", Source: Peer{TCP, bigAddr}}.MarshalBinary()
	f.Add(s)
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Dialog
		if d.UnmarshalBinary(b) == nil {
			again, err := d.MarshalBinary()
			var second Dialog
			if err != nil || second.UnmarshalBinary(again) != nil || second != d {
				t.Fatalf("%x decodes to %+v, which encodes to %x, %v", b, d, again, err)
			}
		}
		var s InviteState
		if s.UnmarshalBinary(b) == nil {
			if _, err := s.MarshalBinary(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Whatever a datagram holds, the endpoint answers nobody but its source, with
// something that parses, and not with much more than it got.
func FuzzDatagram(f *testing.F) {
	for _, name := range []string{"rfc4475.txt", "rfc5118.txt"} {
		for _, raw := range Torture(f, name) {
			f.Add(raw)
		}
	}
	f.Add([]byte(fuzzInvite))
	f.Fuzz(func(t *testing.T, raw []byte) {
		out := &recorder{}
		e := still(t, func(c *Config) { c.Packet, c.Handler = out, reader{} })
		s := e.shards[0]
		e.receive(datagramFrom("192.0.2.9:5060"), raw)
		for range 3 { // commands queue commands
			for _, ev := range s.queue.take(nil) {
				s.handle(ev, time.Now())
			}
			s.flush()
		}
		for i, answer := range out.sent {
			if got := out.to[i].Addr(); got != netip.MustParseAddr("192.0.2.9") {
				t.Fatalf("%q goes to %s", answer, got)
			}
			m, err := parse(answer)
			if m.res == nil || err != nil && err.reason != MalformedMissing && err.reason != MalformedMisrouted && m.res.Status < 400 {
				t.Fatalf("%q does not parse: %v", answer, err)
			}
			if len(answer) > len(raw)+512 {
				t.Fatalf("%d bytes bring %d", len(raw), len(answer))
			}
		}
	})
}

// What reads as an address reads the same when it is written again.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{
		"<sip:1@h>;tag=a", "sip:1@h;tag=a", "\"J Rosenberg \\\\\\\"\" <sip:j@h;lr?a=b> ; tag = x", "Anna <tel:+4930;phone-context=x>", "caller<sip:c@h>",
		"\"BEL:\\\a\" <sips:[::1]:5061;transport=tls>", "*", "<sip:u@[2001:db8:::192.0.2.1]>", "\"unbalanced <sip:x@y>", "<sip:a;b=\";\"@h>;c=\">\"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		display, uri, params, ok := splitAddress(value)
		if !ok {
			return
		}
		again := "<" + uri + ">"
		if display != "" {
			again = "\"" + strings.NewReplacer("\\", "\\\\", "\"", "\\\"").Replace(display) + "\" " + again
		}
		if params != "" {
			again += ";" + params
		}
		d, u, p, ok := splitAddress(again)
		if !ok || u != uri || strings.TrimSpace(p) != strings.TrimSpace(params) || clean(value) && d != display {
			t.Fatalf("%q is %q %q %q; written as %q it is %q %q %q", value, display, uri, params, again, d, u, p)
		}
		a, err := ParseAddress(value)
		if err == nil && (a.URI.String() != uri || a.URI.Scheme == "" || a.URI.Port < 0 || a.URI.Port > 65535) {
			t.Fatalf("%q parses to %+v", value, a)
		}
		if at, ok := a.URI.AddrPort(); ok && (!at.IsValid() || at.Port() == 0) {
			t.Fatalf("%q is at %s", value, at)
		}
	})
}

// A Via that reads names a host, and completing it changes nothing but rport.
func FuzzVia(f *testing.F) {
	for _, s := range []string{
		"SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKx;rport", "SIP / 2.0 / TCP [::1] : 5060 ;  rport = 1 ; branch = b", "SIP/2.0/UDP h;rport=;rport",
		"SIP/2.0/TLS h.example.com;alias;received=[::1]", "SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP h;x=\";rport\"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		v, ok := parseVia(value)
		if !ok || !cleanQuoted(value) {
			return
		}
		done := setRport(value, 5062)
		again, ok := parseVia(done)
		if !ok || again.sentBy != v.sentBy || again.branch != v.branch || again.transport != v.transport || v.rport && !again.rport {
			t.Fatalf("%q became %q", value, done)
		}
		if !cleanQuoted(done) || len(done) > len(value)+len("rport=65535")*(1+strings.Count(value, ";")) {
			t.Fatalf("%q became %q", value, done)
		}
	})
}

// However frames are cut into reads, the same messages come out.
func FuzzWebFramer(f *testing.F) {
	f.Add([]byte("\x81\x85\x00\x00\x00\x00hello\x89\x80\x01\x02\x03\x04\x01\x81\x00\x00\x00\x00a\x80\x81\x00\x00\x00\x00b"), uint8(1))
	f.Add([]byte("\x81\xfe\x00\x03\x01\x01\x01\x01abc\x88\x80\x00\x00\x00\x00"), uint8(3))
	f.Add([]byte("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"), uint8(200))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint8) {
		read := func(chunk int) (joined []byte) {
			var w webFramer
			for rest := stream; len(rest) > 0; {
				n := copy(w.space(), rest[:min(chunk, len(rest))])
				w.grown(n)
				rest = rest[n:]
				for {
					msg, err := w.next()
					if err != nil {
						return append(joined, "|error"...)
					}
					if msg == nil {
						break
					}
					if len(msg) > maxMessage {
						t.Fatalf("a message of %d bytes", len(msg))
					}
					joined = append(append(joined, '|'), msg...)
				}
			}
			return joined
		}
		if whole, cut := read(len(stream)+1), read(int(chunk)+1); !bytes.Equal(whole, cut) {
			t.Fatalf("in one piece %q, in pieces %q", whole, cut)
		}
	})
}
