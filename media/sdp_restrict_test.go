package media

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// lines joins SDP lines behind the usual session part.
func offerOf(lines ...string) string {
	return "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n" + strings.Join(lines, "\r\n") + "\r\n"
}

func TestRestrict(t *testing.T) {
	audio := []string{
		"m=audio 6000 RTP/AVP 0 8 18 96 101 102 13", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 useinbandfec=1", "a=rtpmap:18 G729/8000",
		"a=fmtp:18 annexb=no", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", "a=rtpmap:102 telephone-event/48000",
		"a=rtcp-fb:* nack", "a=rtcp-fb:96 ccm fir", "a=x-unknown:8 what", "a=sendrecv",
	}
	fax := []string{"m=image 7000 udptl t38", "a=T38FaxVersion:0", "a=T38FaxUdpEC:t38UDPRedundancy"}
	for name, c := range map[string]struct {
		r    Restriction
		in   []string
		want []string // nil: ErrNoAudio
	}{
		"all": {Restriction{}, audio, audio},
		"static one": {Restriction{Codecs: []string{"pcma"}}, audio, []string{
			"m=audio 6000 RTP/AVP 8 101 13", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", "a=rtcp-fb:* nack", "a=x-unknown:8 what", "a=sendrecv",
		}},
		"our order": {Restriction{Codecs: []string{"G729", "PCMU"}}, audio, []string{
			"m=audio 6000 RTP/AVP 18 0 101 13", "a=rtpmap:18 G729/8000", "a=fmtp:18 annexb=no", "a=rtpmap:101 telephone-event/8000",
			"a=fmtp:101 0-16", "a=rtcp-fb:* nack", "a=x-unknown:8 what", "a=sendrecv",
		}},
		"another clock": {Restriction{Codecs: []string{"opus"}}, audio, []string{
			"m=audio 6000 RTP/AVP 96 102", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 useinbandfec=1", "a=rtpmap:102 telephone-event/48000",
			"a=rtcp-fb:* nack", "a=rtcp-fb:96 ccm fir", "a=x-unknown:8 what", "a=sendrecv",
		}},
		"nothing left":        {Restriction{Codecs: []string{"iLBC"}}, audio, nil},
		"fax alone":           {Restriction{Codecs: []string{"PCMA"}}, fax, fax},
		"fax alone, refused":  {Restriction{NoFax: true}, fax, nil},
		"fax beside, refused": {Restriction{NoFax: true}, append([]string{"m=audio 6000 RTP/AVP 8"}, fax...), []string{"m=audio 6000 RTP/AVP 8", "m=image 0 udptl t38"}},
		"voice is refused for fax": {Restriction{Codecs: []string{"PCMA"}}, append([]string{"m=audio 0 RTP/AVP 0"}, fax...),
			append([]string{"m=audio 0 RTP/AVP 0"}, fax...)},
		"voice gone, fax stays": {Restriction{Codecs: []string{"PCMA"}}, append([]string{"m=audio 6000 RTP/AVP 0", "c=IN IP4 198.51.100.2", "a=sendrecv"}, fax...),
			append([]string{"m=audio 0 RTP/AVP 0", "c=IN IP4 198.51.100.2"}, fax...)},
	} {
		got, err := Restrict([]byte(offerOf(c.in...)), c.r)
		switch {
		case c.want == nil && !errors.Is(err, ErrNoAudio):
			t.Errorf("%s: %v, want no audio", name, err)
		case c.want != nil && (err != nil || string(got) != offerOf(c.want...)):
			t.Errorf("%s: %v\n%s\nwant:\n%s", name, err, got, offerOf(c.want...))
		}
	}
	if _, err := Restrict([]byte("v=0\r\nhello"), Restriction{}); !errors.Is(err, ErrSDP) {
		t.Errorf("rubbish: %v", err)
	}
}

// TestRestrictLeavesNothingOpen: what comes out parses, offers what is allowed and
// has no line of a format that is gone.
func TestRestrictLeavesNothingOpen(t *testing.T) {
	codecs := []string{"PCMA", "PCMU", "G729", "opus"}
	rapid.Check(t, func(t *rapid.T) {
		formats := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"0", "8", "18", "96", "101"}), 1, 5, rapid.ID).Draw(t, "formats")
		lines := []string{"m=audio 6000 RTP/AVP " + strings.Join(formats, " ")}
		for _, f := range formats {
			switch f {
			case "96":
				lines = append(lines, "a=rtpmap:96 opus/48000/2")
			case "101":
				lines = append(lines, "a=rtpmap:101 telephone-event/8000")
			}
		}
		allowed := rapid.SliceOfNDistinct(rapid.SampledFrom(codecs), 1, 4, rapid.ID).Draw(t, "allowed")
		out, err := Restrict([]byte(offerOf(lines...)), Restriction{Codecs: allowed})
		if errors.Is(err, ErrNoAudio) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		d, err := Parse(out)
		if err != nil {
			t.Fatal(err)
		}
		m, err := d.Audio()
		if err != nil || !strings.EqualFold(m.Codec, allowed[0]) && !contains(allowed, m.Codec) {
			t.Fatalf("first is %q of %v: %v", m.Codec, allowed, err)
		}
		for _, line := range strings.Split(string(out), "\r\n") {
			if rest, ok := strings.CutPrefix(line, "a=rtpmap:"); ok {
				if f, _, _ := strings.Cut(rest, " "); !contains(m.Formats, f) {
					t.Fatalf("orphan %q", line)
				}
			}
		}
	})
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

// FuzzRestrict: no body makes it panic, and what it lets out is SDP that the relay
// can rewrite.
func FuzzRestrict(f *testing.F) {
	f.Add([]byte(offerOf("m=audio 6000 RTP/AVP 0 8 101", "a=rtpmap:101 telephone-event/8000")), "PCMA", true)
	f.Add([]byte(offerOf("m=image 7000 udptl t38", "m=audio 0 RTP/AVP 0")), "", false)
	f.Fuzz(func(t *testing.T, body []byte, codec string, noFax bool) {
		r := Restriction{NoFax: noFax}
		if codec != "" {
			r.Codecs = []string{codec}
		}
		out, err := Restrict(body, r)
		if err != nil {
			if !errors.Is(err, ErrSDP) && !errors.Is(err, ErrNoAudio) {
				t.Errorf("another error: %v", err)
			}
			return
		}
		if _, err := Parse(out); err != nil {
			t.Errorf("%v in\n%q\nof\n%q", err, out, body)
		}
	})
}
