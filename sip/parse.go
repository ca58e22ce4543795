package sip

import (
	"bytes"
	"strconv"
	"strings"
)

// Messages are cut into lines here and not by sipgo, whose parser knows a part of
// the compact names, takes what has to be refused (RFC 4475), and rewrites headers
// that have to be repeated as they were. Its URI parser is used.

// Limits of a received message. The first is the largest UDP datagram; the
// others stop a sender from buying much memory or time with one packet: none
// costs more than 256 kB.
const (
	maxMessage = 64 << 10 // bytes of a message
	maxHeaders = 256      // header lines
	maxLine    = 8 << 10  // bytes of a line, folded lines together
	maxURI     = 2 << 10  // bytes of the Request-URI
	maxName    = 512      // bytes of a Call-ID, tag or branch: they are kept for each transaction
	maxList    = 64       // entries of Via, Contact, Require, Route or Record-Route: above any legal hop count
	maxBody    = 32 << 10 // bytes of a body
)

// parseError says why a message is not taken, and the status to refuse a request
// with; 0: silence.
type parseError struct {
	status int
	reason Malformed
}

func (e *parseError) Error() string { return "sip: malformed message: " + e.reason.String() }

// message is the result of parsing: exactly one of req and res is set when the
// start line could be read.
type message struct {
	req *Request
	res *Response
}

// parse reads one message. On an error it returns what it could read, so that
// a request can be refused with a response. Nothing refers to raw afterwards.
func parse(raw []byte) (m message, err *parseError) {
	p := parser{}
	head, body := p.split(raw)
	p.text = string(head)
	m = p.startLine(p.line())
	headers := p.headers()
	if m.req == nil && m.res == nil {
		return m, p.err
	}
	f := p.fields(headers)
	body = p.body(f, body)
	if m.res != nil {
		p.response(m.res, f, body)
	} else {
		p.request(m.req, f, body)
	}
	if tooManyParts(f.rest.Get("Content-Type"), body) {
		p.refuse(413, MalformedParts)
	}
	return m, p.err
}

// parser keeps the text that is left and the first error.
type parser struct {
	text string
	err  *parseError
}

func (p *parser) fail(reason Malformed) { p.refuse(400, reason) }

func (p *parser) refuse(status int, reason Malformed) {
	if p.err == nil {
		p.err = &parseError{status, reason}
	}
}

// split cuts a message at its empty line. Lines that end in a bare LF are read,
// to be able to answer them, but refused: other elements would see other lines.
func (p *parser) split(raw []byte) (head, body []byte) {
	if len(raw) > maxMessage {
		p.refuse(513, MalformedSize)
		raw = raw[:maxMessage]
	}
	end := bytes.Index(raw, []byte("\r\n\r\n"))
	before := raw
	if end >= 0 {
		before = raw[:end]
	}
	if bare := bytes.Index(before, []byte("\n\n")); bare >= 0 {
		p.fail(MalformedLine)
		return raw[:bare+1], raw[bare+2:]
	}
	if end < 0 {
		p.fail(MalformedLine)
		return raw, nil
	}
	return raw[:end+2], raw[end+4:]
}

// line takes the next line off the text.
func (p *parser) line() string {
	line, rest, _ := strings.Cut(p.text, "\n")
	p.text = rest
	if !strings.HasSuffix(line, "\r") {
		p.fail(MalformedLine)
	}
	return strings.TrimSuffix(line, "\r")
}

func (p *parser) startLine(line string) message {
	first, rest, _ := strings.Cut(line, " ")
	if !clean(line) {
		p.fail(MalformedLine)
	}
	if strings.HasPrefix(first, "SIP/") {
		code, phrase, _ := strings.Cut(rest, " ")
		status, err := strconv.Atoi(code)
		if first != "SIP/2.0" || err != nil || len(code) != 3 || status < 100 || status > 699 {
			p.fail(MalformedStart)
			return message{}
		}
		return message{res: &Response{Status: status, Reason: phrase}}
	}
	trimmed := strings.TrimRight(rest, " \t")
	blank := strings.LastIndexByte(trimmed, ' ')
	if !isToken(first) || blank < 0 || !strings.HasPrefix(trimmed[blank+1:], "SIP/") {
		p.fail(MalformedStart)
		return message{}
	}
	uri, version := trimmed[:blank], trimmed[blank+1:]
	switch {
	case len(uri) > maxURI:
		p.refuse(414, MalformedURI)
		uri = uri[:maxURI]
	case !isBareURI(uri) || trimmed != rest:
		p.fail(MalformedStart)
	case version != "SIP/2.0":
		p.refuse(505, MalformedVersion)
	}
	return message{req: &Request{Method: Method(first), URI: uri}}
}

// headers reads the header lines.
func (p *parser) headers() Headers {
	headers := make(Headers, 0, 16)
	for p.text != "" {
		line := p.unfold(p.line())
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimRight(name, " \t")
		switch {
		case len(line) > maxLine:
			p.refuse(513, MalformedLong)
			continue
		case !ok || !isToken(name) || !cleanQuoted(value):
			p.fail(MalformedLine)
			continue
		case len(headers) == maxHeaders:
			p.refuse(513, MalformedHeaders)
			return headers
		}
		headers = append(headers, Header{canonical(name), strings.TrimSpace(value)})
	}
	return headers
}

// unfold appends the folded lines that continue a line, each with one blank for
// the fold (RFC 3261 section 7.3.1). It joins them at once, however many there are.
func (p *parser) unfold(line string) string {
	if p.text == "" || p.text[0] != ' ' && p.text[0] != '\t' {
		return line
	}
	var b strings.Builder
	b.WriteString(line)
	for p.text != "" && (p.text[0] == ' ' || p.text[0] == '\t') {
		more := strings.TrimSpace(p.line())
		if b.Len() > maxLine || more == "" {
			continue
		}
		b.WriteByte(' ')
		b.WriteString(more)
	}
	return b.String()
}

// fields are the headers that every message needs.
type fields struct {
	vias        []string
	via         via
	from, to    string
	fromTag     string
	toTag       string
	callID      string
	cseq        uint32
	cseqMethod  Method
	badCSeq     string // the value, when its number cannot be read
	maxForwards int
	length      int // -1: no Content-Length
	rest        Headers
	seen        [singles]bool
}

// Headers that may stand only once; a second one means that two elements
// could read the message differently.
const (
	singleFrom = iota
	singleTo
	singleCallID
	singleCSeq
	singleMaxForwards
	singleLength
	singles
)

func (p *parser) single(f *fields, which int) {
	if f.seen[which] {
		p.fail(MalformedDuplicate)
	}
	f.seen[which] = true
}

// fields takes the needed headers out of the list; the others stay in order.
func (p *parser) fields(headers Headers) *fields {
	f := &fields{maxForwards: defaultMaxForwards, length: -1, rest: headers[:0]}
	for _, h := range headers {
		switch h.Name {
		case "Via":
			f.vias = appendList(f.vias, h.Value, maxList+1)
		case "From":
			p.single(f, singleFrom)
			f.from = h.Value
		case "To":
			p.single(f, singleTo)
			f.to = h.Value
		case "Call-ID":
			p.single(f, singleCallID)
			f.callID = h.Value
		case "CSeq":
			p.single(f, singleCSeq)
			p.cseq(f, h.Value)
		case "Max-Forwards":
			p.single(f, singleMaxForwards)
			n, err := strconv.ParseUint(h.Value, 10, 8)
			if err != nil {
				p.fail(MalformedHeader)
			}
			f.maxForwards = int(n)
		case "Content-Length":
			p.single(f, singleLength)
			n, err := strconv.ParseUint(h.Value, 10, 31)
			if err != nil {
				p.fail(MalformedLength)
			}
			f.length = int(n)
		default:
			f.rest = append(f.rest, h)
		}
	}
	p.ends(f)
	return f
}

// ends reads Via, From and To.
func (p *parser) ends(f *fields) {
	if len(f.vias) == 0 || f.cseqMethod == "" {
		p.err = &parseError{0, MalformedMissing} // no response could find its way
		return
	}
	if f.from == "" || f.to == "" || f.callID == "" {
		p.fail(MalformedMissing)
	}
	if len(f.vias) > maxList {
		p.refuse(513, MalformedList)
		f.vias = f.vias[:maxList]
	}
	if strings.ContainsAny(f.callID, " \t") {
		p.fail(MalformedHeader)
	}
	var ok bool
	if f.via, ok = parseVia(f.vias[0]); !ok {
		p.fail(MalformedHeader)
	}
	for _, v := range f.vias[1:] {
		if _, ok := parseVia(v); !ok {
			p.fail(MalformedHeader)
		}
	}
	var okFrom, okTo bool
	f.fromTag, okFrom = tagOf(f.from)
	f.toTag, okTo = tagOf(f.to)
	if !okFrom || !okTo || !isTag(f.fromTag) || !isTag(f.toTag) {
		p.fail(MalformedHeader)
	}
	for _, name := range [...]string{f.callID, f.fromTag, f.toTag, f.via.branch, f.via.sentBy} {
		if len(name) > maxName {
			p.refuse(513, MalformedLong)
		}
	}
}

func (p *parser) cseq(f *fields, value string) {
	number, method, _ := strings.Cut(value, " ")
	n, err := strconv.ParseUint(number, 10, 32)
	method = strings.TrimSpace(method)
	if !isToken(method) {
		p.fail(MalformedHeader)
		return
	}
	if err != nil || n >= 1<<31 { // RFC 3261 section 8.1.1.5
		p.fail(MalformedHeader)
		f.badCSeq = value
	}
	f.cseq, f.cseqMethod = uint32(n), Method(method)
}

// body cuts the body to Content-Length: what follows in a datagram is dropped,
// and a body that is too short is refused (RFC 3261 section 18.3).
func (p *parser) body(f *fields, body []byte) []byte {
	if f.length > len(body) {
		p.fail(MalformedLength)
		return nil
	}
	if f.length >= 0 {
		body = body[:f.length]
	}
	if len(body) == 0 {
		return nil
	}
	if len(body) > maxBody {
		p.refuse(413, MalformedBody)
		return nil
	}
	return bytes.Clone(body)
}

func (p *parser) request(r *Request, f *fields, body []byte) {
	r.From, r.FromTag, r.To, r.ToTag = f.from, f.fromTag, f.to, f.toTag
	r.CallID, r.CSeq, r.MaxForwards = f.callID, f.cseq, f.maxForwards
	r.Headers, r.Body = f.rest, body
	r.vias, r.Branch, r.sentBy, r.rport = f.vias, f.via.branch, f.via.sentBy, f.via.rport
	r.viaParams, r.badCSeq = f.via.params, f.badCSeq
	switch {
	case f.cseqMethod != "" && f.cseqMethod != r.Method:
		p.fail(MalformedCSeqMethod)
	case f.fromTag == "" && r.Method != ACK && strings.HasPrefix(r.Branch, magicCookie):
		p.fail(MalformedMissing) // RFC 3261 section 8.1.1.3; RFC 2543 knew no tags
	}
}

func (p *parser) response(r *Response, f *fields, body []byte) {
	r.From, r.FromTag, r.To, r.ToTag = f.from, f.fromTag, f.to, f.toTag
	r.CallID, r.CSeq, r.CSeqMethod = f.callID, f.cseq, f.cseqMethod
	r.Headers, r.Body = f.rest, body
	r.vias, r.Branch = f.vias, f.via.branch
	if len(f.vias) > 1 {
		p.fail(MalformedMisrouted) // RFC 3261 section 8.1.3.3: it was for someone else
	}
}
