package sip

import (
	"fmt"
	"slices"
	"strings"
)

// defaultMaxForwards is the value of a request that starts at us (RFC 3261 section 8.1.1.6).
const defaultMaxForwards = 70

// Allow is the value of the Allow header that a B2BUA built on this package sends.
const Allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK"

// InviteSpec is what call control decides about an outgoing INVITE. Everything
// in the message comes from here: nothing of the caller's leg leaks by accident.
type InviteSpec struct {
	URI         string // Request-URI
	Dest        Peer   // where it goes
	From        string // name-addr without tag
	To          string // name-addr
	CallID      string
	FromTag     string
	Branch      string // must begin with the magic cookie; see Branch
	CSeq        uint32 // 0: 1
	Contact     string // URI of our Contact
	MaxForwards int    // of the caller's INVITE less one

	// Pass holds headers of the caller that may go on; see PassedHeaders.
	Pass        Headers
	ContentType string
	Body        []byte
}

// NewInvite makes an outgoing INVITE. Max-Forwards below 1 is refused: the call
// has come round too often (answer 483).
func NewInvite(s InviteSpec) (*Request, error) {
	if s.MaxForwards < 1 {
		return nil, fmt.Errorf("%w: max-forwards is used up", ErrMessage)
	}
	if s.Branch != "" && !strings.HasPrefix(s.Branch, magicCookie) {
		return nil, fmt.Errorf("%w: branch %q lacks the magic cookie", ErrMessage, s.Branch)
	}
	req := &Request{
		Method: INVITE, URI: s.URI, Dest: s.Dest,
		From: s.From + ";tag=" + s.FromTag, FromTag: s.FromTag, To: s.To,
		CallID: s.CallID, CSeq: max(s.CSeq, 1), Branch: s.Branch, MaxForwards: s.MaxForwards,
		Headers: make(Headers, 0, 4+len(s.Pass)),
	}
	req.Headers.Add("Contact", "<"+s.Contact+">")
	req.Headers.Add("Allow", Allow)
	req.Headers = append(req.Headers, s.Pass...)
	if len(s.Body) > 0 {
		req.SetBody(s.ContentType, s.Body)
	}
	return req, req.check()
}

// PassedHeaders are the headers of a leg's message that may go to the other leg:
// what the two users tell each other about the call and its bodies.
func PassedHeaders(in Headers) Headers { return pick(in, passed) }

// TrustedHeaders are those that may go on besides when both sides are trusted:
// who calls, who was called before, and the signature over it.
func TrustedHeaders(in Headers) Headers { return pick(in, trusted) }

func pick(in Headers, allowed func(name string) bool) Headers {
	return slices.DeleteFunc(slices.Clone(in), func(h Header) bool { return !allowed(h.Name) })
}

func passed(name string) bool {
	switch strings.ToLower(name) {
	case "subject", "priority", "privacy", "accept", "accept-language", "content-disposition",
		"content-language", "mime-version", "reason", "info-package":
		return true
	}
	return false
}

func trusted(name string) bool {
	switch strings.ToLower(name) {
	case "p-asserted-identity", "p-charging-vector", "diversion", "history-info", "identity", "date":
		return true
	}
	return false
}
