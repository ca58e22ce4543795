package sip

import (
	"bytes"
	"slices"
	"testing"

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
