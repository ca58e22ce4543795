package media

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Restriction says what an offer may hold.
type Restriction struct {
	// Codecs are the encoding names that may be offered, best first; empty: all, in
	// the sender's order. Telephone events and comfort noise stay beside a codec of
	// their clock rate.
	Codecs []string
	NoFax  bool // T.38 streams are refused
}

// Restrict takes out of an offer what the other side must not be offered: formats
// with their a=rtpmap, a=fmtp and a=rtcp-fb lines, in the order of preference of
// what stays; a stream that has nothing left gets port 0 (RFC 3264 section 6). All
// else is kept byte for byte. It returns ErrNoAudio when nothing is left to talk or
// fax by (488), and errors that wrap ErrSDP.
func Restrict(body []byte, r Restriction) ([]byte, error) {
	lines, err := splitSDP(body)
	if err != nil {
		return nil, err
	}
	if _, err := Parse(body); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(len(body))
	usable := false
	for len(lines) > 0 {
		end := 1
		for end < len(lines) && lines[end].kind != 'm' {
			end++
		}
		if lines[0].kind == 'm' {
			usable = r.section(&out, lines[:end]) || usable
		} else {
			writeLines(&out, lines[:end])
		}
		lines = lines[end:]
	}
	if !usable {
		return nil, ErrNoAudio
	}
	return out.Bytes(), nil
}

func writeLines(out *bytes.Buffer, lines []sdpLine) {
	for _, l := range lines {
		out.Write(l.raw)
	}
}

// section writes one m= section and reports whether a call can use it.
func (r Restriction) section(out *bytes.Buffer, lines []sdpLine) bool {
	fields := strings.Fields(lines[0].value) // Parse has seen at least four
	refused := fields[1] == "0" || strings.HasPrefix(fields[1], "0/")
	switch {
	case isFax(fields[0], fields[2]):
		if r.NoFax {
			refuse(out, lines)
			return false
		}
		writeLines(out, lines)
		return !refused
	case !strings.EqualFold(fields[0], "audio") || len(r.Codecs) == 0 || refused:
		writeLines(out, lines)
		return strings.EqualFold(fields[0], "audio") && !refused
	}
	kept := r.formats(fields[3:], lines)
	if len(kept) == 0 {
		refuse(out, lines)
		return false
	}
	m := lines[0]
	out.WriteString("m=" + strings.Join(append(fields[:3:3], kept...), " "))
	out.Write(m.raw[2+len(m.value):])
	for _, l := range lines[1:] {
		if format, of := formatOf(l); !of || format == "*" || slices.Contains(kept, format) {
			out.Write(l.raw)
		}
	}
	return true
}

// refuse writes a section that is not offered on. Its attributes mean nothing.
func refuse(out *bytes.Buffer, lines []sdpLine) {
	out.WriteString("m=" + withPort(lines[0].value, 0))
	out.Write(lines[0].raw[2+len(lines[0].value):])
	for _, l := range lines[1:] {
		if l.kind == 'c' || l.kind == 'i' {
			out.Write(l.raw)
		}
	}
}

// formatOf returns the payload type that an attribute line belongs to.
func formatOf(l sdpLine) (format string, of bool) {
	if l.kind != 'a' {
		return "", false
	}
	name, value := l.attribute()
	switch name {
	case "rtpmap", "fmtp", "rtcp-fb":
		format, _, _ = strings.Cut(value, " ")
		return format, true
	}
	return "", false
}

// encoding is what a payload type stands for.
type encoding struct {
	name  string
	clock uint32
}

// formats chooses the payload types that stay: the allowed codecs in our order, and
// behind them what goes with them, in the sender's.
func (r Restriction) formats(offered []string, lines []sdpLine) []string {
	encodings := map[string]encoding{}
	for _, format := range offered {
		var e encoding
		e.name, e.clock = staticCodec(format)
		encodings[format] = e
	}
	for _, l := range lines[1:] {
		name, value := l.attribute()
		if l.kind != 'a' || name != "rtpmap" {
			continue
		}
		format, text, _ := strings.Cut(value, " ")
		codec, rest, _ := strings.Cut(strings.TrimSpace(text), "/")
		rate, _, _ := strings.Cut(rest, "/")
		clock, err := strconv.ParseUint(rate, 10, 32)
		if err != nil {
			continue
		}
		encodings[format] = encoding{codec, uint32(clock)}
	}
	var kept []string
	clocks := map[uint32]bool{}
	for _, codec := range r.Codecs {
		for _, format := range offered {
			if e := encodings[format]; strings.EqualFold(e.name, codec) && !slices.Contains(kept, format) {
				kept = append(kept, format)
				clocks[e.clock] = true
			}
		}
	}
	for _, format := range offered {
		if e := encodings[format]; isCompanion(e.name) && clocks[e.clock] && !slices.Contains(kept, format) {
			kept = append(kept, format)
		}
	}
	return kept
}

// isCompanion names the encodings that go with a codec and are none: RFC 4733,
// RFC 3389.
func isCompanion(name string) bool {
	return strings.EqualFold(name, "telephone-event") || strings.EqualFold(name, "CN")
}

// isFax reports a T.38 stream over UDPTL (RFC 7345, ITU-T T.38 annex D).
func isFax(kind, proto string) bool {
	return strings.EqualFold(kind, "image") && strings.EqualFold(proto, "udptl")
}
