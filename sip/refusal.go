package sip

import (
	"bytes"
	"slices"
	"strings"
)

// Limits of a body, as far as one can be read without knowing what it is for.
const (
	maxMedia = 16 // media descriptions of an SDP
	maxParts = 8  // parts of a multipart body
	maxDepth = 3  // multipart bodies within each other
)

// refusal says whether a request that parsed well cannot be served by this
// endpoint, whatever call control thinks (RFC 3261 section 8.2).
func (e *Endpoint) refusal(req *Request) (status int, extra []Header) {
	if req.Method == ACK || req.Method == CANCEL {
		return 0, nil
	}
	switch scheme, _, _ := strings.Cut(req.URI, ":"); strings.ToLower(scheme) {
	case "sip", "sips", "tel":
	default:
		return 416, nil
	}
	if uri, err := ParseURI(req.URI); err != nil || uri.header {
		return 400, nil // RFC 3261 section 19.1.1: no headers in a Request-URI
	}
	if unsupported, ok := e.unsupported(req); !ok {
		return 400, nil
	} else if unsupported != "" {
		return 420, []Header{{"Unsupported", unsupported}}
	}
	if req.ToTag == "" && req.Method == INVITE && req.MaxForwards == 0 {
		return 483, nil // it would go on to another hop
	}
	if !goodContacts(req) || req.Method == REGISTER && !isSIP(req.To) {
		return 400, nil
	}
	if routes(req.Headers) > MaxDialog {
		return 513, nil // its dialog could not be kept
	}
	if req.opens() && e.loops(req) > maxLoops {
		return 482, nil
	}
	return 0, nil
}

// routes is the length of the route set that a request would make.
func routes(headers Headers) (n int) {
	for i := range headers {
		if strings.EqualFold(headers[i].Name, "Record-Route") {
			n += len(headers[i].Value)
		}
	}
	return n
}

// maxTag is the longest option tag that is read; registered ones have up to 20 bytes.
const maxTag = 64

// unsupported lists the option tags that are required and not supported; ok is
// false when one of them is none.
func (e *Endpoint) unsupported(req *Request) (list string, ok bool) {
	var tags []string
	for _, tag := range splitList(req.Headers.All("Require")) {
		if len(tag) > maxTag || !isToken(tag) {
			return "", false
		}
		if !slices.Contains(e.cfg.Supported, strings.ToLower(tag)) {
			tags = append(tags, tag)
		}
	}
	return strings.Join(tags, ", "), true
}

// goodContacts reports whether all Contacts can be read: those of a dialog and of
// a registration are used later, when it is too late to say so.
func goodContacts(req *Request) bool {
	for i := range req.Headers {
		if !strings.EqualFold(req.Headers[i].Name, "Contact") {
			continue
		}
		value := req.Headers[i].Value
		if value == "*" && req.Method == REGISTER {
			continue
		}
		for _, c := range appendList(nil, value, maxList) {
			if _, _, params, ok := splitAddress(c); !ok || strings.Contains(params, ";;") {
				return false
			}
		}
	}
	return true
}

// isSIP reports whether an address is a SIP one: no other can be registered
// (RFC 3261 section 10.2).
func isSIP(value string) bool {
	_, uri, _, ok := splitAddress(value)
	scheme, _, _ := strings.Cut(uri, ":")
	return ok && (strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips"))
}

// maxLoops is how often a request may have left this endpoint before: a proxy that
// sends a call back to us with another number is legal, one that always does is
// not, and each round costs a call.
const maxLoops = 3

// loops counts the Vias of a request that are our own, behind the top one.
func (e *Endpoint) loops(req *Request) (n int) {
	for _, value := range req.vias[1:] {
		if v, ok := parseVia(value); ok && slices.Contains(e.public[:], v.sentBy) {
			n++
		}
	}
	return n
}

// tooManyParts reports a body with more parts than anybody needs: whoever looks
// into them would be kept busy.
func tooManyParts(contentType string, body []byte) bool {
	kind, params, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if kind == "application/sdp" {
		return countMedia(body) > maxMedia
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return false
	}
	boundary, _ := param(params, "boundary")
	boundary = strings.Trim(boundary, `"`)
	if boundary == "" || bytes.Count(body, []byte("--"+boundary)) > maxParts+1 { // the last one closes
		return true
	}
	return bytes.Count(bytes.ToLower(body), []byte("multipart/")) >= maxDepth || countMedia(body) > maxMedia
}

// countMedia counts the lines that begin with "m=".
func countMedia(body []byte) int {
	n := bytes.Count(body, []byte("\nm="))
	if bytes.HasPrefix(body, []byte("m=")) {
		n++
	}
	return n
}
