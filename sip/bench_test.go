package sip

import (
	"net/netip"
	"testing"
)

var bigAddr = netip.MustParseAddrPort("[2001:db8::1]:5060")

func BenchmarkParse(b *testing.B) {
	raw := []byte(fuzzInvite)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeResponse(b *testing.B) {
	m, _ := parse([]byte(fuzzInvite))
	m.req.arrived(Peer{UDP, bigAddr})
	b.ReportAllocs()
	for b.Loop() {
		res := m.req.Response(200, "tag")
		if res.check() != nil || len(res.encode()) == 0 {
			b.Fatal("no response")
		}
	}
}
