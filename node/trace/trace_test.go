package trace

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	caller  = netip.MustParseAddrPort("198.51.100.7:5060")
	node    = netip.MustParseAddrPort("203.0.113.20:5060")
	carrier = netip.MustParseAddrPort("192.0.2.9:5060")
	epoch   = time.Unix(1_700_000_000, 0)
)

func message(direction Direction, peer netip.AddrPort, ms int, first, callID, body string) Message {
	raw := first + "\r\nVia: SIP/2.0/UDP 192.0.2.1\r\nCall-ID: " + callID + "\r\n\r\n" + body
	return Message{
		At: epoch.Add(time.Duration(ms) * time.Millisecond), Direction: direction, Transport: "udp",
		Local: node, Peer: peer, Raw: []byte(raw),
	}
}

// call is a call of two legs, recorded out of order.
func call(r *Ring) {
	for _, m := range []Message{
		message(Out, carrier, 5, "INVITE sip:1@192.0.2.9 SIP/2.0", "leg-b", "v=0\r\n"),
		message(In, caller, 0, "INVITE sip:1@203.0.113.20 SIP/2.0", "leg-a", "v=0\r\n"),
		message(Out, caller, 2, "SIP/2.0 100 Trying", "leg-a", ""),
		message(In, carrier, 212, "SIP/2.0 486 Busy Here", "leg-b", ""),
		message(Out, caller, 213, "SIP/2.0 486 Busy Here", "leg-a", ""),
		message(In, caller, 214, "INVITE sip:2@203.0.113.20 SIP/2.0", "another", ""),
	} {
		r.Record(m)
	}
}

func TestLadder(t *testing.T) {
	r := New(Config{})
	call(r)
	var out strings.Builder
	if err := Ladder(&out, r.Find(Query{CallIDs: []string{"leg-a"}, Prefix: "leg-b"})); err != nil {
		t.Fatal(err)
	}
	const want = `         198.51.100.7:5060           203.0.113.20:5060           192.0.2.9:5060
   0.000 |-- INVITE sdp ------------>|                           |
   0.002 |<- 100 Trying -------------|                           |
   0.005 |                           |-- INVITE sdp ------------>|
   0.212 |                           |<- 486 Busy Here ----------|
   0.213 |<- 486 Busy Here ----------|                           |
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTextObeysNobody(t *testing.T) {
	r := New(Config{})
	r.Record(message(In, caller, 0, "INVITE sip:\x1b[2J@x SIP/2.0", "evil", ""))
	var out strings.Builder
	if err := Text(&out, r.Find(Query{CallIDs: []string{"evil"}})); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, "\x1b") || !strings.Contains(got, "Call-ID: evil") {
		t.Errorf("got %q", got)
	}
}

func TestPCAP(t *testing.T) {
	r := New(Config{})
	call(r)
	six := message(In, netip.MustParseAddrPort("[2001:db8::1]:5060"), 300, "BYE sip:x SIP/2.0", "leg-a", "")
	six.Local = netip.MustParseAddrPort("[2001:db8::2]:5060")
	r.Record(six)
	var out bytes.Buffer
	if err := PCAP(&out, r.Find(Query{Prefix: "leg-"})); err != nil {
		t.Fatal(err)
	}
	b := out.Bytes()[24:]
	packets := 0
	for ; len(b) > 16; packets++ {
		n := int(b[8]) | int(b[9])<<8
		ip := b[16 : 16+n]
		switch ip[0] >> 4 {
		case 4:
			if sum(0, ip[:20]) != 0xffff {
				t.Errorf("packet %d: wrong checksum of IPv4", packets)
			}
		case 6:
			if sum(uint32(n-40+17), ip[8:]) != 0xffff {
				t.Errorf("packet %d: wrong checksum of UDP over IPv6", packets)
			}
		}
		b = b[16+n:]
	}
	if packets != 6 || len(b) != 0 {
		t.Errorf("%d packets and %d bytes, want 6 packets", packets, len(b))
	}
}

// The ring holds the newest messages of a call whatever their sizes, whole and in order.
func TestRingKeepsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := New(Config{})
		for i := range r.stripes {
			r.stripes[i].slab = make([]byte, rapid.IntRange(600, 4000).Draw(t, "size"))
		}
		var all []string
		for i := range rapid.IntRange(1, 200).Draw(t, "messages") {
			body := strings.Repeat("x", rapid.IntRange(0, 300).Draw(t, "body"))
			m := message(In, caller, i, fmt.Sprintf("OPTIONS sip:%d SIP/2.0", i), "one", body)
			r.Record(m)
			all = append(all, string(m.Raw))
		}
		found := r.Find(Query{CallIDs: []string{"one"}})
		if len(found) == 0 {
			t.Fatal("nothing found")
		}
		for i, m := range found {
			if want := all[len(all)-len(found)+i]; string(m.Raw) != want {
				t.Fatalf("message %d of %d: %q, want %q", i, len(found), m.Raw, want)
			}
		}
	})
}

func TestCallIDOf(t *testing.T) {
	for raw, want := range map[string]string{
		"OPTIONS sip:x SIP/2.0\r\nCALL-ID : a b \r\n\r\n":         "a b",
		"OPTIONS sip:x SIP/2.0\r\ni:short\r\n\r\n":                "short",
		"OPTIONS sip:x SIP/2.0\nCall-ID: lf\n\n":                  "lf",
		"OPTIONS sip:x SIP/2.0\r\nTo: x\r\n\r\nCall-ID: body\r\n": "",
		"": "",
	} {
		if got := string(callIDOf([]byte(raw))); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	r := New(Config{})
	m := message(In, caller, 0, "INVITE sip:1@203.0.113.20 SIP/2.0", "leg-a", strings.Repeat("v", 300))
	b.ReportAllocs()
	for b.Loop() {
		r.Record(m)
	}
}
