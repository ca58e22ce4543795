package address

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
)

var ours = net.HardwareAddr{2, 0, 0, 0, 0, 1}

// TestFramesAreOnTheWireAsWritten pins the bytes, the checksum computed apart.
func TestFramesAreOnTheWireAsWritten(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"arp announcement", announcement(netip.MustParseAddr("10.1.2.3"), ours),
			"ffffffffffff020000000001" + "0806" + "0001080006040001" + "0200000000010a010203" + "0000000000000a010203"},
		{"arp probe", probe(netip.MustParseAddr("10.1.2.3"), ours),
			"ffffffffffff020000000001" + "0806" + "0001080006040001" + "02000000000100000000" + "0000000000000a010203"},
		{"neighbour advertisement", announcement(netip.MustParseAddr("fe80::1"), ours),
			"333300000001020000000001" + "86dd" + "6000000000203aff" +
				"fe800000000000000000000000000001" + "ff020000000000000000000000000001" +
				"8800" + "579b" + "20000000" + "fe800000000000000000000000000001" + "0201020000000001"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestAnnouncementsAreClaimsAndProbesAreNot(t *testing.T) {
	for _, text := range []string{"192.0.2.7", "2001:db8::7"} {
		ip := netip.MustParseAddr(text)
		frame := announcement(ip, ours)
		if whose, mac, ok := claim(frame); !ok || whose != ip || mac.String() != ours.String() {
			t.Errorf("%s: announcement reads as %v at %v, %v", ip, whose, mac, ok)
		}
		if _, _, ok := claim(probe(ip, ours)); ok {
			t.Errorf("%s: a probe is no claim", ip)
		}
		for n := range frame {
			claim(frame[:n]) // must not panic
		}
	}
	reply := announcement(netip.MustParseAddr("192.0.2.7"), ours)
	reply[etherSize+7] = 2 // an answer to somebody's question
	if _, _, ok := claim(reply); !ok {
		t.Error("an ARP reply claims its sender's address")
	}
}

func FuzzClaim(f *testing.F) {
	f.Add(announcement(netip.MustParseAddr("192.0.2.7"), ours))
	f.Add(announcement(netip.MustParseAddr("2001:db8::7"), ours))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ip, mac, ok := claim(b); ok && (!ip.IsValid() || len(mac) != 6) {
			t.Errorf("claim of %v at %v", ip, mac)
		}
	})
}
