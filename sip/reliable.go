package sip

import (
	"fmt"
	"strconv"
	"strings"
)

// Tag100rel is the option tag of reliable provisional responses (RFC 3262).
const Tag100rel = "100rel"

// RAck names the reliable provisional response that a PRACK acknowledges
// (RFC 3262 section 7.2).
type RAck struct {
	RSeq   uint32 // of the response
	CSeq   uint32 // of the request that it answers
	Method Method // of that request
}

// String returns the value of the RAck header.
func (r RAck) String() string {
	return strconv.FormatUint(uint64(r.RSeq), 10) + " " + strconv.FormatUint(uint64(r.CSeq), 10) + " " + string(r.Method)
}

// ParseRAck reads the value of a RAck header.
func ParseRAck(value string) (RAck, error) {
	f := strings.Fields(value)
	if len(f) != 3 || !isToken(f[2]) {
		return RAck{}, fmt.Errorf("%w: rack %q", ErrMessage, value)
	}
	rseq, ok := parseRSeq(f[0])
	cseq, err := strconv.ParseUint(f[1], 10, 31)
	if !ok || err != nil {
		return RAck{}, fmt.Errorf("%w: rack %q", ErrMessage, value)
	}
	return RAck{rseq, uint32(cseq), Method(f[2])}, nil
}

func parseRSeq(s string) (uint32, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return uint32(n), err == nil && n > 0
}

// Reliable returns the RSeq of a provisional response that wants a PRACK
// (RFC 3262 section 4), and whether it is one.
func (r *Response) Reliable() (rseq uint32, ok bool) {
	if r.Status <= 100 || r.Status >= 200 || !r.Headers.HasTag("Require", Tag100rel) {
		return 0, false
	}
	return parseRSeq(r.Headers.Get("RSeq"))
}

// Accepts100rel reports whether the sender of an INVITE takes reliable
// provisional responses, and whether it demands them.
func (r *Request) Accepts100rel() (accepts, demands bool) {
	demands = r.Headers.HasTag("Require", Tag100rel)
	return demands || r.Headers.HasTag("Supported", Tag100rel), demands
}

// Prack makes the PRACK for a reliable provisional response of this (early)
// dialog. Whoever keeps the dialogs of a fork apart knows by the RSeq which
// responses are repeated, or came before their time (RFC 3262 section 4).
func (d *Dialog) Prack(res *Response) (*Request, error) {
	rseq, ok := res.Reliable()
	if !ok {
		return nil, fmt.Errorf("%w: a %d that needs no PRACK", ErrMessage, res.Status)
	}
	req := d.Request(PRACK)
	req.Headers.Add("RAck", RAck{rseq, res.CSeq, res.CSeqMethod}.String())
	return req, nil
}
