package media

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// sdpSamples are bodies as they are met.
func sdpSamples() []string {
	crlf := func(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }
	return []string{
		crlf("v=0", "o=user1 53655765 2353687637 IN IP4 198.51.100.1", "s=-", "c=IN IP4 198.51.100.1", "t=0 0",
			"m=audio 6000 RTP/AVP 8 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20"),
		crlf("v=0", "o=alice 1 2 IN IP4 10.0.0.5", "s=My phone", "i=kept", "c=IN IP4 10.0.0.5", "b=AS:64", "t=0 0",
			"a=ice-ufrag:abcd", "a=group:BUNDLE 0 1",
			"m=audio 4000/2 RTP/AVP 111 0", "c=IN IP4 10.0.0.6", "a=rtcp:4009 IN IP4 10.0.0.7", "a=rtcp-mux",
			"a=candidate:1 1 UDP 2130706431 10.0.0.5 4000 typ host", "a=rtpmap:111 opus/48000/2", "a=sendonly", "a=x-unknown:  spaces  kept ",
			"m=video 5000 RTP/AVP 96", "a=rtcp:5001 IN IP4 10.0.0.7", "a=rtpmap:96 VP8/90000",
			"m=audio 6000 RTP/AVP 8"),
		"v=0\no=- 1 1 IN IP4 198.51.100.1\ns= \nc=IN IP4 0.0.0.0\nt=0 0\na=inactive\nm=audio 6000 RTP/AVP 18\nm=image 0 udptl t38",
		crlf("v=0", "o=- 1 1 IN IP6 2001:db8::1", "s=-", "c=IN IP6 2001:db8::1", "t=0 0", "m=audio 6000 RTP/SAVP 0",
			"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"),
	}
}

func TestParse(t *testing.T) {
	samples := sdpSamples()
	for i, want := range []Media{
		{Type: "audio", Proto: "RTP/AVP", Formats: []string{"8", "101"}, RTP: netip.MustParseAddrPort("198.51.100.1:6000"),
			Ptime: 20 * time.Millisecond, Codec: "PCMA", ClockRate: 8000, Line: 6},
		{Type: "audio", Proto: "RTP/AVP", Formats: []string{"111", "0"}, RTP: netip.MustParseAddrPort("10.0.0.6:4000"),
			RTCP: netip.MustParseAddrPort("10.0.0.7:4009"), Mux: true, Direction: SendOnly, Codec: "opus", ClockRate: 48000, Line: 10},
		{Type: "audio", Proto: "RTP/AVP", Formats: []string{"18"}, RTP: netip.MustParseAddrPort("0.0.0.0:6000"),
			Direction: Inactive, Codec: "G729", ClockRate: 8000, Line: 7},
		{Type: "audio", Proto: "RTP/SAVP", Formats: []string{"0"}, RTP: netip.MustParseAddrPort("[2001:db8::1]:6000"),
			Codec: "PCMU", ClockRate: 8000, Line: 6},
	} {
		d, err := Parse([]byte(samples[i]))
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Audio()
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != want.Type || got.Proto != want.Proto || strings.Join(got.Formats, " ") != strings.Join(want.Formats, " ") ||
			got.RTP != want.RTP || got.RTCP != want.RTCP || got.Mux != want.Mux || got.Direction != want.Direction ||
			got.Ptime != want.Ptime || got.Codec != want.Codec || got.ClockRate != want.ClockRate || got.Line != want.Line {
			t.Errorf("sample %d: %+v, want %+v", i, got, want)
		}
	}
}

func TestRewrite(t *testing.T) {
	rw := Rewriting{Local: netip.MustParseAddrPort("203.0.113.1:20000"), SessionID: 7, Version: 9}
	want := []string{
		"v=0", "o=- 7 9 IN IP4 203.0.113.1", "s=-", "i=kept", "c=IN IP4 203.0.113.1", "b=AS:64", "t=0 0",
		"a=group:BUNDLE 0 1",
		"m=audio 20000 RTP/AVP 111 0", "c=IN IP4 203.0.113.1", "a=rtcp:20001", "a=rtcp-mux",
		"a=rtpmap:111 opus/48000/2", "a=sendonly", "a=x-unknown:  spaces  kept ",
		"m=video 0 RTP/AVP 96", "a=rtpmap:96 VP8/90000",
		"m=audio 0 RTP/AVP 8", "",
	}
	got, err := Rewrite([]byte(sdpSamples()[1]), rw)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(string(got), "\r\n"); strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	held, err := Rewrite([]byte(sdpSamples()[2]), rw)
	if err != nil {
		t.Fatal(err)
	}
	const wantHeld = "v=0\no=- 7 9 IN IP4 203.0.113.1\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\na=inactive\nm=audio 20000 RTP/AVP 18\nm=image 0 udptl t38"
	if string(held) != wantHeld {
		t.Errorf("got %q", held)
	}
	for i, body := range sdpSamples() {
		before, err := Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		out, err := Rewrite([]byte(body), rw)
		if err != nil {
			t.Fatal(err)
		}
		after, err := Parse(out)
		if err != nil {
			t.Fatalf("sample %d: %v", i, err)
		}
		checkRewritten(t, before, after, rw)
		if strings.Contains(string(out), "10.0.0.") || strings.Contains(string(out), "198.51.100.") {
			t.Errorf("sample %d shows the sender's network:\n%s", i, out)
		}
	}
}

// What some devices get wrong and nobody is harmed by.
func TestTolerated(t *testing.T) {
	good := sdpSamples()[0]
	for name, body := range map[string]string{
		"empty lines at the end": good + "\r\n\r\n",
		"bare line feeds":        strings.ReplaceAll(good, "\r\n", "\n") + "\n",
		"no end of line":         strings.TrimSuffix(good, "\r\n"),
		"spaces in the user":     strings.Replace(good, "o=user1 ", "o=Some Phone 7 ", 1),
		"odd ptime":              strings.Replace(good, "ptime:20", "ptime:20.0", 1),
		"no subject":             strings.Replace(good, "s=-\r\n", "", 1),
	} {
		d, err := Parse([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m, err := d.Audio()
		if err != nil || d.SessionID != "53655765" || d.Version != "2353687637" || m.Ptime != 20*time.Millisecond {
			t.Errorf("%s: %+v %v", name, d, err)
		}
		if _, err := Rewrite([]byte(body), Rewriting{Local: netip.MustParseAddrPort("203.0.113.1:20000")}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRewriteToIPv6(t *testing.T) {
	out, err := Rewrite([]byte(sdpSamples()[0]), Rewriting{Local: netip.MustParseAddrPort("[2001:db8::9]:20000")})
	if err != nil || !strings.Contains(string(out), "c=IN IP6 2001:db8::9\r\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Each error says what is wrong, and where.
func TestSDPErrors(t *testing.T) {
	good := sdpSamples()[0]
	edit := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for _, c := range []struct{ body, want string }{
		{"", "line 1: v=0 expected"},
		{edit("v=0", "v=1"), "line 1: v=0 expected"},
		{"hello\r\n", `line 1: "hello" is not of the form x=value`},
		{edit("s=-", "s"), `line 3: "s" is not of the form x=value`},
		{edit("s=-\r\n", "\r\n"), `line 3: "" is not of the form x=value`},
		{edit("s=-", "s=a\x00b"), "line 3: control character"},
		{edit("o=user1 ", "o="), "line 2: o= has 5 fields, not 6"},
		{edit("o=user1 53655765 2353687637 IN IP4 198.51.100.1\r\n", ""), "no o= line"},
		{edit("c=IN IP4 198.51.100.1", "c=IN IP4 gw.example.com"), `line 4: c=: "gw.example.com" is not an IP address`},
		{edit("c=IN IP4 198.51.100.1", "c=IN IP6 198.51.100.1"), `line 4: c=: 198.51.100.1 is not of family "IP6"`},
		{edit("c=IN IP4 198.51.100.1", "c=198.51.100.1"), "line 4: c= is not of the form IN IP4 address"},
		{edit("c=IN IP4 198.51.100.1\r\n", ""), "line 5: no c= line for this stream"},
		{edit("audio 6000", "audio 66000"), `line 6: port "66000"`},
		{edit("audio 6000", "audio -1"), `line 6: port "-1"`},
		{edit("m=audio 6000 RTP/AVP 8 101", "m=audio 6000 RTP/AVP"), "line 6: m= has 3 fields, at least 4 are needed"},
		{edit("PCMA/8000", "PCMA/zero"), `line 7: clock rate "zero"`},
		{edit("a=ptime:20", "a=rtcp:x"), `line 6: a=rtcp: port "x"`},
		{good + strings.Repeat("m=audio 0 RTP/AVP 0\r\n", 16), "line 26: more than 16 media sections"},
		{good + "a=" + strings.Repeat("x", maxLine) + "\r\n", "line 11: 8194 bytes, at most 8192"},
		{good + strings.Repeat("a=x\r\n", maxBody/5), "65738 bytes, at most 65536"},
		{edit("AVP 8 101", "AVP"+strings.Repeat(" 8", 65)), "line 6: more than 64 formats"},
	} {
		_, err := Parse([]byte(c.body))
		if !errors.Is(err, ErrSDP) || err.Error() != c.want+": malformed sdp" {
			t.Errorf("got %q, want %q", err, c.want)
		}
		if _, err := Rewrite([]byte(c.body), Rewriting{}); !errors.Is(err, ErrSDP) {
			t.Errorf("rewrite of %q: %v", c.want, err)
		}
	}
}

func TestNoAudio(t *testing.T) {
	for _, m := range []string{
		"", "m=video 5000 RTP/AVP 96\r\n", "m=audio 0 RTP/AVP 8\r\n", "m=image 0 udptl t38\r\n",
		"m=audio 5000 UDP/TLS/RTP/SAVPF 111\r\n",
	} {
		body := "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n" + m
		d, err := Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Remote(netip.Addr{}); !errors.Is(err, ErrNoAudio) {
			t.Errorf("%q: %v", m, err)
		}
		if _, err := Rewrite([]byte(body), Rewriting{}); !errors.Is(err, ErrNoAudio) {
			t.Errorf("%q: %v", m, err)
		}
	}
}

func BenchmarkRewrite(b *testing.B) {
	body := []byte(sdpSamples()[0])
	rw := Rewriting{Local: netip.MustParseAddrPort("203.0.113.1:20000")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Rewrite(body, rw); err != nil {
			b.Fatal(err)
		}
	}
}
