package fsm_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tandem/fsm"
)

func TestParseAddr(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:5060":         "192.0.2.1:5060",
		"192.0.2.1":              "192.0.2.1",
		"[2001:db8::1]:5060":     "[2001:db8::1]:5060",
		"[2001:db8::1]":          "2001:db8::1",
		"2001:DB8:0:0:0:0:0:1":   "2001:db8::1",
		"::":                     "",
		"::ffff:192.0.2.1":       "192.0.2.1",
		"[::ffff:192.0.2.1]:9":   "192.0.2.1:9",
		"64:ff9b::192.0.2.33":    "64:ff9b::c000:221",
		"1:2:3:4:5:6:192.0.2.33": "1:2:3:4:5:6:c000:221",
		"1:0:0:2:0:0:0:3":        "1:0:0:2::3",
		"1:0:2:3:4:5:6:7":        "1:0:2:3:4:5:6:7",
		"0.0.0.0:0":              "0.0.0.0",
	} {
		a, err := fsm.ParseAddr(text)
		if err != nil || a.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, a, err, want)
		}
	}
	for _, text := range []string{
		"", ":", ":5060", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:+1", "192.0.2", "192.0.2.256", "192.0.2.01",
		"192.0.2.1.5", "[192.0.2.1]:5060", "[::1", "::1]", "[::1]5060", "1::2::3", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7::8", "::1.2.3.4.5", "1.2.3.4::", "::fffff", "::g", "fe80::1%eth0", "example.org", "192.0.2.1 ",
	} {
		if a, err := fsm.ParseAddr(text); !errors.Is(err, fsm.ErrAddress) {
			t.Errorf("%q was read as %s, %v", text, a, err)
		}
	}
}

// TestAddrLikeNetip compares reading and printing with the standard library's.
func TestAddrLikeNetip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[0-9a-f]{0,2}(:[0-9a-f]{0,5}){1,8}(\.[0-9]{1,3}){0,3}`),
			rapid.StringMatching(`[0-9]{1,3}(\.[0-9]{1,3}){2,4}`),
		).Draw(t, "text")
		want, err := netip.ParseAddr(text)
		if strings.Count(text, ":") == 1 {
			err = errors.New("a port")
			if _, e := netip.ParseAddrPort(text); e == nil {
				return
			}
		}
		a, gotErr := fsm.ParseAddr(text)
		if (err == nil) != (gotErr == nil) {
			t.Fatalf("%q: %v, netip: %v", text, gotErr, err)
		}
		if err == nil && a != fsm.AddrFrom16(want.As16(), 0) {
			t.Errorf("%q: %s, netip %s", text, a, want)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		var ip [16]byte
		for i := range ip {
			ip[i] = byte(rapid.SampledFrom([]int{0, 0, 0, 1, 255}).Draw(t, "byte"))
		}
		port := rapid.Uint16Min(1).Draw(t, "port")
		want := netip.AddrFrom16(ip).Unmap()
		a := fsm.AddrFrom16(ip, port)
		if a.String() != netip.AddrPortFrom(want, port).String() || a.Is4() != want.Is4() {
			t.Errorf("%s, netip %s", a, netip.AddrPortFrom(want, port))
		}
		if again, err := fsm.ParseAddr(a.String()); again != a || err != nil {
			t.Errorf("%s read again: %s, %v", a, again, err)
		}
	})
}

func TestPrefix(t *testing.T) {
	tests := []struct {
		text, want string
		in, out    string
	}{
		{"192.0.2.0/24", "192.0.2.0/24", "192.0.2.255:9", "192.0.3.0"},
		{"192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.6"},
		{"192.0.2.7/32", "192.0.2.7", "192.0.2.7", "::7"},
		{"0.0.0.0/0", "0.0.0.0/0", "203.0.113.1", "2001:db8::1"},
		{"::/0", "::/0", "203.0.113.1", ""},
		{"2001:db8::/33", "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
		{"[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:5060", "2001:db8::2"},
	}
	for _, tt := range tests {
		p, err := fsm.ParsePrefix(tt.text)
		if err != nil || p.String() != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.text, p, err, tt.want)
		}
		if in, err := fsm.ParseAddr(tt.in); err != nil || !p.Contains(in) {
			t.Errorf("%s is not in %s", tt.in, p)
		}
		if out, err := fsm.ParseAddr(tt.out); tt.out != "" && (err != nil || p.Contains(out)) {
			t.Errorf("%s is in %s", tt.out, p)
		}
	}
	for text, want := range map[string]string{
		"192.0.2.1/24":  `"192.0.2.1/24": bits behind the length; is 192.0.2.0/24 meant? not an address`,
		"192.0.2.0/33":  `"192.0.2.0/33": length "33": not an address`,
		"2001:db8::/-1": `"2001:db8::/-1": length "-1": not an address`,
		"net/8":         `"net/8": not an address`,
		"192.0.2.0/":    `"192.0.2.0/": length "": not an address`,
	} {
		if _, err := fsm.ParsePrefix(text); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
	}
}

func TestAddrText(t *testing.T) {
	type record struct {
		A fsm.Addr
		P fsm.Prefix
		Z fsm.Addr
	}
	var r record
	in := `{"A":"192.0.2.1:5060","P":"192.0.2.0/24","Z":""}`
	if err := json.Unmarshal([]byte(in), &r); err != nil {
		t.Fatal(err)
	}
	if out, err := json.Marshal(r); string(out) != in || err != nil || !r.Z.IsZero() || !r.P.Contains(r.A) {
		t.Errorf("%s, %v", out, err)
	}
	if r.A != fsm.AddrFrom4([4]byte{192, 0, 2, 1}, 5060) || r.A.Host().String() != "192.0.2.1" || !r.P.Is4() {
		t.Errorf("%v", r.A)
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"192.0.2.1:5060", "[2001:db8::1]:5060", "::ffff:1.2.3.4", "1::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := fsm.ParseAddr(s)
		if err != nil || a.IsZero() {
			return
		}
		if again, err := fsm.ParseAddr(a.String()); again != a || err != nil {
			t.Errorf("%q: %s, then %s, %v", s, a, again, err)
		}
	})
}
