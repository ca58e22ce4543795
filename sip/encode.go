package sip

import (
	"fmt"
	"strconv"
	"strings"
)

// check refuses a request that may not leave: every text is looked at here, so
// no caller can slip a line of his own into a message.
func (r *Request) check() error {
	switch {
	case !isToken(string(r.Method)):
		return fmt.Errorf("%w: method %q", ErrMessage, r.Method)
	case r.URI == "" || !clean(r.URI) || strings.ContainsAny(r.URI, " \t<>"):
		return fmt.Errorf("%w: request uri %q", ErrMessage, r.URI)
	case r.CSeq > 1<<31-1:
		return fmt.Errorf("%w: cseq %d", ErrMessage, r.CSeq)
	case r.MaxForwards < 0 || r.MaxForwards > 255:
		return fmt.Errorf("%w: max-forwards %d", ErrMessage, r.MaxForwards)
	case !isTag(r.Branch) || !clean(r.Branch):
		return fmt.Errorf("%w: branch %q", ErrMessage, r.Branch)
	case !r.Dest.Addr.IsValid() || r.Dest.Addr.Port() == 0:
		return fmt.Errorf("%w: no destination", ErrMessage)
	}
	if r.From == "" || r.To == "" || r.CallID == "" {
		return fmt.Errorf("%w: no from, to or call-id", ErrMessage)
	}
	return checkCommon(r.From, r.To, r.CallID, r.Headers, r.Body)
}

func (r *Response) check() error {
	switch {
	case r.Status < 100 || r.Status > 699:
		return fmt.Errorf("%w: status %d", ErrMessage, r.Status)
	case !clean(r.Reason):
		return fmt.Errorf("%w: reason phrase %q", ErrMessage, r.Reason)
	case len(r.vias) == 0 || !r.dest.Addr.IsValid():
		return fmt.Errorf("%w: a response that was not made from a request", ErrMessage)
	}
	for _, v := range r.vias {
		if !cleanQuoted(v) {
			return fmt.Errorf("%w: via %q", ErrMessage, v)
		}
	}
	if !r.partial && (r.From == "" || r.To == "" || r.CallID == "") {
		return fmt.Errorf("%w: no from, to or call-id", ErrMessage)
	}
	return checkCommon(r.From, r.To, r.CallID, r.Headers, r.Body)
}

func checkCommon(from, to, callID string, headers Headers, body []byte) error {
	switch {
	case !cleanQuoted(from):
		return fmt.Errorf("%w: from %q", ErrMessage, from)
	case !cleanQuoted(to):
		return fmt.Errorf("%w: to %q", ErrMessage, to)
	case !clean(callID) || strings.ContainsAny(callID, " \t"):
		return fmt.Errorf("%w: call-id %q", ErrMessage, callID)
	case len(body) > maxBody:
		return fmt.Errorf("%w: a body of %d bytes", ErrMessage, len(body))
	case len(headers) > maxHeaders:
		return fmt.Errorf("%w: %d headers", ErrMessage, len(headers))
	}
	for _, h := range headers {
		if !isToken(h.Name) || !cleanQuoted(h.Value) || len(h.Value) > maxLine || isField(h.Name) {
			return fmt.Errorf("%w: header %q: %q", ErrMessage, h.Name, h.Value)
		}
	}
	return nil
}

// isField reports headers that are written from the fields of a message.
func isField(name string) bool {
	switch canonical(name) {
	case "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length":
		return true
	}
	return false
}

// fixedSize is what the start line, the numbers and the names of the headers that
// are always there take, at most, but for a very long method.
const fixedSize = 192

func sizeOf(from, to, callID string, headers Headers, body []byte) int {
	n := len(from) + len(to) + len(callID) + len(body)
	for i := range headers {
		n += len(headers[i].Name) + len(headers[i].Value) + len(": \r\n")
	}
	return n
}

// encode writes the request with the given Via value.
func (r *Request) encode(via string) []byte {
	b := make([]byte, 0, fixedSize+len(r.URI)+len(via)+sizeOf(r.From, r.To, r.CallID, r.Headers, r.Body))
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.URI...)
	b = append(b, " SIP/2.0\r\n"...)
	b = appendHeader(b, "Via", via)
	b = append(b, "Max-Forwards: "...)
	b = strconv.AppendInt(b, int64(r.MaxForwards), 10)
	b = append(b, "\r\n"...)
	b = appendEnds(b, r.From, r.To, r.CallID)
	b = appendCSeq(b, r.CSeq, r.Method)
	return appendRest(b, r.Headers, r.Body)
}

func (r *Response) encode() []byte {
	size := fixedSize + len(r.Reason) + len(r.badCSeq) + sizeOf(r.From, r.To, r.CallID, r.Headers, r.Body)
	for _, v := range r.vias {
		size += len("Via: \r\n") + len(v)
	}
	b := make([]byte, 0, size)
	b = append(b, "SIP/2.0 "...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, ' ')
	b = append(b, r.Reason...)
	b = append(b, "\r\n"...)
	for _, v := range r.vias {
		b = appendHeader(b, "Via", v)
	}
	b = appendEnds(b, r.From, r.To, r.CallID)
	if r.badCSeq != "" {
		b = appendHeader(b, "CSeq", r.badCSeq)
	} else {
		b = appendCSeq(b, r.CSeq, r.CSeqMethod)
	}
	return appendRest(b, r.Headers, r.Body)
}

func appendEnds(b []byte, from, to, callID string) []byte {
	b = appendHeader(b, "From", from)
	b = appendHeader(b, "To", to)
	return appendHeader(b, "Call-ID", callID)
}

func appendCSeq(b []byte, cseq uint32, method Method) []byte {
	b = append(b, "CSeq: "...)
	b = strconv.AppendUint(b, uint64(cseq), 10)
	b = append(b, ' ')
	b = append(b, method...)
	return append(b, "\r\n"...)
}

func appendRest(b []byte, headers Headers, body []byte) []byte {
	for _, h := range headers {
		b = appendHeader(b, h.Name, h.Value)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

func appendHeader(b []byte, name, value string) []byte {
	if value == "" && isField(name) {
		return b // of a request that lacked it, too
	}
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// via returns the value of our own Via. rport asks the peer to answer to the
// port that it sees (RFC 3581 section 3).
func (e *Endpoint) via(transport Transport, branch string) string {
	return "SIP/2.0/" + transport.String() + " " + e.public[transport] + ";branch=" + branch + ";rport"
}
