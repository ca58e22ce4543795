package media

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Bounds of a session description. What is larger is no telephone call.
const (
	maxBody     = 64 << 10
	maxLine     = 8 << 10
	maxSections = 16
	maxFormats  = 64
)

// Direction is a stream's direction attribute as its sender wrote it.
type Direction uint8

// The directions (RFC 8866 section 6.7).
const (
	SendRecv Direction = iota
	SendOnly
	RecvOnly
	Inactive
)

// String returns the attribute's name.
func (d Direction) String() string {
	names := [...]string{"sendrecv", "sendonly", "recvonly", "inactive"}
	if int(d) >= len(names) {
		return "unknown"
	}
	return names[d]
}

// Description is what the relay reads from a session description.
type Description struct {
	SessionID string // o= session id
	Version   string // o= session version: unchanged means unchanged SDP
	Media     []Media
}

// Media is one m= section.
type Media struct {
	Type      string         // "audio", "video", ...
	Proto     string         // "RTP/AVP", ...
	Formats   []string       // payload types as written
	RTP       netip.AddrPort // c= and m=; port 0: refused, unspecified address: hold
	RTCP      netip.AddrPort // a=rtcp; zero if absent: the port above RTP
	Mux       bool           // a=rtcp-mux
	Direction Direction
	Ptime     time.Duration // a=ptime, 0 if absent
	Codec     string        // encoding name of the first format, as "PCMA"
	ClockRate uint32        // of the first format, Hz
	Events    uint8         // payload type of telephone-event of that clock rate; 0: none
	Line      int           // of the m= line, from 1
}

// Parse reads a description. Errors wrap ErrSDP and name the line.
func Parse(body []byte) (Description, error) {
	lines, err := splitSDP(body)
	if err != nil {
		return Description{}, err
	}
	p := parser{direction: SendRecv}
	for _, line := range lines {
		if err := p.line(line); err != nil {
			return Description{}, err
		}
	}
	return p.finish()
}

// Audio returns the stream that is relayed: the first audio stream over RTP
// that is not refused, or where there is none the first fax over UDPTL. It returns
// ErrNoAudio when there is neither.
func (d Description) Audio() (Media, error) {
	for _, m := range d.Media {
		if m.relayable() {
			return m, nil
		}
	}
	for _, m := range d.Media {
		if m.Fax() && m.RTP.Port() != 0 {
			return m, nil
		}
	}
	return Media{}, ErrNoAudio
}

// Fax reports a T.38 stream over UDPTL (ITU-T T.38 annex D): datagrams that the
// relay passes unread.
func (m Media) Fax() bool { return isFax(m.Type, m.Proto) }

// Remote returns the relayed stream as SetRemote wants it; the caller adds the
// source rule. It returns ErrNoAudio when there is none.
func (d Description) Remote(signalling netip.Addr) (Remote, error) {
	m, err := d.Audio()
	if err != nil {
		return Remote{}, err
	}
	return Remote{
		RTP: m.RTP, RTCP: m.RTCP, Mux: m.Mux, Signalling: signalling,
		Direction: m.Direction, ClockRate: m.ClockRate, Opaque: m.Fax(),
	}, nil
}

// relayable reports whether a relay of RTP can carry the stream. SRTP with keys
// in the SDP passes through; DTLS would end at the relay and is not offered on.
func (m Media) relayable() bool {
	switch strings.ToUpper(m.Proto) {
	case "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF":
		return strings.EqualFold(m.Type, "audio") && m.RTP.Port() != 0
	}
	return false
}

// sdpLine is one line of a body.
type sdpLine struct {
	number int    // from 1
	kind   byte   // the letter before the equals sign
	value  string // what follows it, without the line's end
	raw    []byte // the whole line with its end
}

// errorf says what is wrong with a line.
func (l sdpLine) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s: %w", l.number, fmt.Sprintf(format, args...), ErrSDP)
}

// attribute splits an a= line at the colon.
func (l sdpLine) attribute() (name, value string) {
	name, value, _ = strings.Cut(l.value, ":")
	return name, value
}

// splitSDP cuts a body into lines, which may end in CRLF or LF (RFC 8866
// section 5: parsers should accept both).
func splitSDP(body []byte) ([]sdpLine, error) {
	if len(body) > maxBody {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(body), maxBody, ErrSDP)
	}
	for bytes.HasSuffix(body, []byte("\n\r\n")) || bytes.HasSuffix(body, []byte("\n\n")) {
		body = bytes.TrimSuffix(body[:len(body)-1], []byte{'\r'}) // empty lines at the end mean nothing
	}
	lines := make([]sdpLine, 0, 1+bytes.Count(body, []byte{'\n'}))
	for raw := range bytes.Lines(body) {
		l := sdpLine{number: len(lines) + 1, raw: raw}
		text := bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte{'\n'}), []byte{'\r'})
		switch {
		case len(text) > maxLine:
			return nil, l.errorf("%d bytes, at most %d", len(text), maxLine)
		case len(text) < 2 || text[1] != '=' || text[0] < 'a' || text[0] > 'z':
			return nil, l.errorf("%.20q is not of the form x=value", text)
		case bytes.ContainsAny(text, "\r\x00"):
			return nil, l.errorf("control character")
		}
		l.kind, l.value = text[0], string(text[2:])
		lines = append(lines, l)
	}
	if len(lines) == 0 || lines[0].kind != 'v' || lines[0].value != "0" {
		return nil, fmt.Errorf("line 1: v=0 expected: %w", ErrSDP)
	}
	return lines, nil
}

// parser collects a description line by line. What a line says before the first
// m= is the default of all sections.
type parser struct {
	d         Description
	origin    bool       // o= has come
	host      netip.Addr // session-level c=
	direction Direction  // session-level
	current   *section   // nil before the first m=
	sections  []*section
}

// section is a Media in the making.
type section struct {
	Media
	sdpLine
	host netip.Addr
	port uint16
	rtcp string // a=rtcp, read when the host is known

	events []event
}

func (p *parser) line(l sdpLine) (err error) {
	switch l.kind {
	case 'o':
		return p.readOrigin(l)
	case 'c':
		host, err := parseConnection(l)
		if p.current != nil {
			p.current.host = host
		} else {
			p.host = host
		}
		return err
	case 'm':
		if len(p.sections) == maxSections {
			return l.errorf("more than %d media sections", maxSections)
		}
		p.current, err = parseSection(l, p.direction)
		p.sections = append(p.sections, p.current)
		return err
	case 'a':
		return p.attribute(l)
	}
	return nil
}

// readOrigin reads o=: username, session id, version, network, family, address.
func (p *parser) readOrigin(l sdpLine) error {
	fields := strings.Fields(l.value)
	switch {
	case p.origin || p.current != nil:
		return l.errorf("misplaced o=")
	case len(fields) < 6:
		return l.errorf("o= has %d fields, not 6", len(fields))
	}
	p.origin = true
	// Counted from the end: some user names contain spaces.
	p.d.SessionID, p.d.Version = fields[len(fields)-5], fields[len(fields)-4]
	return nil
}

func (p *parser) attribute(l sdpLine) error {
	name, value := l.attribute()
	for d := SendRecv; d <= Inactive; d++ {
		if name == d.String() {
			if p.current != nil {
				p.current.Direction = d
			} else {
				p.direction = d
			}
			return nil
		}
	}
	if p.current == nil {
		return nil
	}
	switch name {
	case "rtcp":
		p.current.rtcp = value
	case "rtcp-mux":
		p.current.Mux = true
	case "ptime":
		// Some send "20.0"; a wrong ptime harms nobody, so it is no error.
		if ms, err := strconv.ParseFloat(value, 64); err == nil && ms > 0 && ms <= 1000 {
			p.current.Ptime = time.Duration(ms * float64(time.Millisecond))
		}
	case "rtpmap":
		return p.current.readMap(l, value)
	}
	return nil
}

// readMap takes the codec of the section's first format from its a=rtpmap, and
// which format telephone events are.
func (s *section) readMap(l sdpLine, value string) error {
	format, encoding, found := strings.Cut(value, " ")
	if !found {
		return nil
	}
	name, rest, _ := strings.Cut(strings.TrimSpace(encoding), "/")
	clock, _, _ := strings.Cut(rest, "/")
	rate, err := strconv.ParseUint(clock, 10, 32)
	switch {
	case format == s.Formats[0]:
		if err != nil || rate == 0 {
			return l.errorf("clock rate %.20q", clock)
		}
		s.Codec, s.ClockRate = name, uint32(rate)
	case strings.EqualFold(name, "telephone-event") && err == nil:
		if n, err := strconv.ParseUint(format, 10, 7); err == nil {
			s.events = append(s.events, event{uint8(n), uint32(rate)})
		}
	}
	return nil
}

// event is a format of telephone events; there may be one for each clock rate.
type event struct {
	payload uint8
	clock   uint32
}

// finish checks what only the whole body can tell.
func (p *parser) finish() (Description, error) {
	if !p.origin {
		return Description{}, fmt.Errorf("no o= line: %w", ErrSDP)
	}
	for _, s := range p.sections {
		if !s.host.IsValid() {
			s.host = p.host
		}
		if s.port != 0 && !s.host.IsValid() {
			return Description{}, s.errorf("no c= line for this stream")
		}
		s.RTP = netip.AddrPortFrom(s.host, s.port)
		if s.rtcp != "" && s.port != 0 {
			addr, err := parseRTCP(s.rtcp, s.host)
			if err != nil {
				return Description{}, s.errorf("a=rtcp: %v", err)
			}
			s.RTCP = addr
		}
		for _, e := range s.events {
			if e.clock == s.ClockRate && s.Events == 0 {
				s.Events = e.payload
			}
		}
		p.d.Media = append(p.d.Media, s.Media)
	}
	return p.d, nil
}

// parseSection reads m=: media, port, transport, formats (RFC 8866 section 5.14).
func parseSection(l sdpLine, direction Direction) (*section, error) {
	fields := strings.Fields(l.value)
	if len(fields) < 4 {
		return nil, l.errorf("m= has %d fields, at least 4 are needed", len(fields))
	}
	if len(fields)-3 > maxFormats {
		return nil, l.errorf("more than %d formats", maxFormats)
	}
	text, _, _ := strings.Cut(fields[1], "/")
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, l.errorf("port %.20q", fields[1])
	}
	s := &section{sdpLine: l, port: uint16(port)}
	s.Media = Media{
		Type: fields[0], Proto: fields[2], Formats: fields[3:],
		Direction: direction, ClockRate: defaultClock, Line: l.number,
	}
	s.Codec, s.ClockRate = staticCodec(fields[3])
	return s, nil
}

// staticCodec returns what RFC 3551 table 4 says of a payload type that needs
// no a=rtpmap.
func staticCodec(format string) (name string, clock uint32) {
	switch format {
	case "0":
		return "PCMU", defaultClock
	case "3":
		return "GSM", defaultClock
	case "4":
		return "G723", defaultClock
	case "8":
		return "PCMA", defaultClock
	case "9":
		return "G722", defaultClock // the clock is 8000 by historical error
	case "13":
		return "CN", defaultClock
	case "15":
		return "G728", defaultClock
	case "18":
		return "G729", defaultClock
	}
	return "", defaultClock
}

// parseConnection reads c=IN IP4 192.0.2.1, with a multicast suffix or not.
func parseConnection(l sdpLine) (netip.Addr, error) {
	fields := strings.Fields(l.value)
	if len(fields) != 3 || fields[0] != "IN" {
		return netip.Addr{}, l.errorf("c= is not of the form IN IP4 address")
	}
	host, err := parseHost(fields[1], fields[2])
	if err != nil {
		return netip.Addr{}, l.errorf("c=: %v", err)
	}
	return host, nil
}

// parseRTCP reads a=rtcp:port [IN IP4 address] (RFC 3605).
func parseRTCP(value string, host netip.Addr) (netip.AddrPort, error) {
	fields := strings.Fields(value)
	if len(fields) != 1 && (len(fields) != 4 || fields[1] != "IN") {
		return netip.AddrPort{}, fmt.Errorf("%.40q", value)
	}
	port, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %.20q", fields[0])
	}
	if len(fields) == 4 {
		if host, err = parseHost(fields[2], fields[3]); err != nil {
			return netip.AddrPort{}, err
		}
	}
	return netip.AddrPortFrom(host, uint16(port)), nil
}

// parseHost reads an address literal of a family. Names are refused: looking
// them up would let an SDP make us ask any name server.
func parseHost(family, text string) (netip.Addr, error) {
	text, _, _ = strings.Cut(text, "/")
	host, err := netip.ParseAddr(text)
	if err != nil || host.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%.60q is not an IP address", text)
	}
	if family != "IP4" && family != "IP6" || host.Is4() != (family == "IP4") {
		return netip.Addr{}, fmt.Errorf("%s is not of family %.10q", host, family)
	}
	return host, nil
}
