package media

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CryptoLine is one a=crypto line of SDES (RFC 4568 section 4).
type CryptoLine struct {
	Tag   int // the answer repeats the offer's
	Suite Suite
	Key   Keying
}

// maxCryptoTag is the highest tag: nine digits (RFC 4568 section 9.1).
const maxCryptoTag = 999_999_999

// String returns the line without its end.
func (c CryptoLine) String() string {
	return fmt.Sprintf("a=crypto:%d %s inline:%s", c.Tag, c.Suite, base64.StdEncoding.EncodeToString(c.Key[:c.Suite.length()]))
}

// CryptoLines returns the relayed stream's a=crypto lines that the relay can use, in
// the sender's order: those of a known suite, with one key and nothing that would
// change how packets look. It returns ErrNoAudio when no stream is relayed.
func CryptoLines(body []byte) ([]CryptoLine, error) {
	var usable []CryptoLine
	err := eachRelayed(body, func(l sdpLine) {
		if name, value := l.attribute(); l.kind == 'a' && name == "crypto" {
			if c, ok := parseCrypto(value); ok {
				usable = append(usable, c)
			}
		}
	})
	return usable, err
}

// eachRelayed calls fn for each line of the relayed stream's section.
func eachRelayed(body []byte, fn func(sdpLine)) error {
	d, err := Parse(body)
	if err != nil {
		return err
	}
	audio, err := d.Audio()
	if err != nil {
		return err
	}
	lines, err := splitSDP(body)
	if err != nil {
		return err
	}
	end := slices.IndexFunc(lines[audio.Line:], func(l sdpLine) bool { return l.kind == 'm' })
	if end < 0 {
		end = len(lines) - audio.Line
	}
	for _, l := range lines[audio.Line-1 : audio.Line+end] {
		fn(l)
	}
	return nil
}

// parseCrypto reads tag, suite, keys and session parameters. Lines that the relay
// cannot honour are passed over, as RFC 4568 section 5.1.2 says, not refused.
func parseCrypto(value string) (c CryptoLine, ok bool) {
	fields := strings.Fields(value)
	if len(fields) < 3 {
		return c, false
	}
	tag, err := strconv.Atoi(fields[0])
	if err != nil || tag < 0 || tag > maxCryptoTag {
		return c, false
	}
	c.Tag = tag
	for s := SuiteNone + 1; s < suites; s++ {
		if strings.EqualFold(fields[1], s.String()) {
			c.Suite = s
		}
	}
	for _, parameter := range fields[3:] {
		if !strings.HasPrefix(parameter, "WSH=") { // a hint for the replay window
			return c, false
		}
	}
	text, found := strings.CutPrefix(fields[2], "inline:")
	text, rest, _ := strings.Cut(text, "|")
	if strings.Contains(rest, ":") { // an MKI, in each packet
		return c, false
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil { // some leave the padding out
		key, err = base64.RawStdEncoding.DecodeString(text)
	}
	if !found || err != nil || c.Suite == SuiteNone || len(key) != c.Suite.length() {
		return c, false
	}
	copy(c.Key[:], key)
	return c, true
}

// WithCrypto returns the description with the relayed stream as SRTP under these
// keys, or as plain RTP if there are none: m= and a=crypto are replaced, all else is
// kept byte for byte.
func WithCrypto(body []byte, lines ...CryptoLine) ([]byte, error) {
	out := make([]byte, 0, len(body)+len(lines)*96)
	relayed := make(map[int]bool)
	if err := eachRelayed(body, func(l sdpLine) { relayed[l.number] = true }); err != nil {
		return nil, err
	}
	all, err := splitSDP(body)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		name, _ := l.attribute()
		switch {
		case !relayed[l.number]:
			out = append(out, l.raw...)
		case l.kind == 'm':
			eol := l.raw[2+len(l.value):]
			out = append(append(append(out, "m="...), withProfile(l.value, len(lines) > 0)...), eol...)
		case l.kind == 'a' && name == "crypto":
		default:
			out = append(out, l.raw...)
		}
		if len(lines) > 0 && relayed[l.number] && !relayed[l.number+1] { // the section's last line
			for _, c := range lines {
				if !strings.HasSuffix(string(out), "\n") {
					out = append(out, "\r\n"...)
				}
				out = append(append(out, c.String()...), "\r\n"...)
			}
		}
	}
	return out, nil
}

// withProfile sets the S of RTP/SAVP and RTP/SAVPF in an m= value, or takes it out.
func withProfile(value string, secured bool) string {
	fields := strings.Fields(value)
	feedback := strings.HasSuffix(strings.ToUpper(fields[2]), "AVPF")
	fields[2] = "RTP/AVP"
	if secured {
		fields[2] = "RTP/SAVP"
	}
	if feedback {
		fields[2] += "F"
	}
	return strings.Join(fields, " ")
}
