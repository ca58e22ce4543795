package sip

import (
	"net/netip"
	"strings"
)

// Method is a request method, in capitals.
type Method string

// The methods that the package itself deals with; others pass through.
const (
	INVITE  Method = "INVITE"
	ACK     Method = "ACK"
	BYE     Method = "BYE"
	CANCEL  Method = "CANCEL"
	OPTIONS Method = "OPTIONS"
	UPDATE  Method = "UPDATE"
	INFO    Method = "INFO"

	PRACK     Method = "PRACK"
	REGISTER  Method = "REGISTER"
	MESSAGE   Method = "MESSAGE"
	SUBSCRIBE Method = "SUBSCRIBE"
	NOTIFY    Method = "NOTIFY"
	PUBLISH   Method = "PUBLISH"
	REFER     Method = "REFER"
)

// Header is one header field; Name is in its full, canonical form.
type Header struct{ Name, Value string }

// Headers are the header fields of a message in order. Names are compared
// without regard to case, and all occurrences count.
type Headers []Header

// Get returns the first value of the header, or "".
func (h Headers) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// All returns every value of the header, in order, one for each header line.
func (h Headers) All(name string) []string {
	var values []string
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			values = append(values, h[i].Value)
		}
	}
	return values
}

// List returns the entries of a header that is a list of addresses, in order:
// several in a line and one a line read alike (RFC 3261 section 7.3.1).
func (h Headers) List(name string) []string { return splitList(h.All(name)) }

// HasTag reports whether a list of tokens, such as Supported, Require and Allow,
// holds one of them.
func (h Headers) HasTag(name, tag string) bool {
	for i := range h {
		if !strings.EqualFold(h[i].Name, name) {
			continue
		}
		for rest := h[i].Value; rest != ""; {
			var item string
			item, rest, _ = strings.Cut(rest, ",")
			if strings.EqualFold(strings.TrimSpace(item), tag) {
				return true
			}
		}
	}
	return false
}

// Add appends a header field.
func (h *Headers) Add(name, value string) { *h = append(*h, Header{name, value}) }

// Request is a request, received or to be sent. The fields that every message
// needs are parsed once; From and To are verbatim header values, because they
// have to be repeated exactly.
//
// For a request that is to be sent, the endpoint writes Via, CSeq, Call-ID,
// Max-Forwards, From, To and Content-Length from the fields; Headers holds the rest.
// For a received one, Headers holds all that is not a field here.
type Request struct {
	Method      Method
	URI         string // the Request-URI, verbatim
	From, To    string
	FromTag     string
	ToTag       string // "" outside of a dialog
	CallID      string
	CSeq        uint32
	Branch      string // of the top Via; empty in an outgoing request: random
	MaxForwards int    // 70 if the received request has none
	Headers     Headers
	Body        []byte

	// User is who has proven to be the sender of a received request. Whoever stands
	// before call control sets it; it is never read from the message.
	User string
	// Source is where a received request came from, and Conn the connection.
	Source Peer
	Conn   Conn
	// Dest is where an outgoing request goes. On a stream the connection to Flow, if
	// that is set and its name is FlowConn, is taken before one to Dest.Addr, and that
	// before a new one. FlowConn 0 takes any connection to Flow.
	Dest     Peer
	Flow     netip.AddrPort
	FlowConn Conn

	vias   []string // received: Via values, the top one with received and rport
	sentBy string   // received: host:port of the top Via

	viaParams string // received: parameters of the top Via
	badCSeq   string // received: the CSeq, when it is no number and can only be repeated
	rport     bool   // received: the top Via asks for RFC 3581
	sum       uint64 // received: of the datagram, to know it again; 0: came on a stream
	replyTo   Peer   // received: where the responses go (RFC 3261 section 18.2.2, RFC 3581)
}

// Response is a response, received or to be sent.
//
// One to be sent comes from [Request.Response] or [InviteState.Response]; the
// caller may add to Headers and set the body.
type Response struct {
	Status     int
	Reason     string
	From, To   string
	FromTag    string
	ToTag      string
	CallID     string
	CSeq       uint32
	CSeqMethod Method
	Branch     string // of the top Via: ours, in a received response
	Headers    Headers
	Body       []byte

	// Source is where a received response came from, and Conn the connection.
	Source Peer
	Conn   Conn

	vias    []string
	dest    Peer
	flow    flow
	partial bool   // answers a request that lacks From, To or Call-ID
	badCSeq string // answers a request with this unreadable CSeq
}

// SetBody sets the body and its Content-Type.
func (r *Request) SetBody(contentType string, body []byte) {
	r.Body = body
	r.Headers.Add("Content-Type", contentType)
}

// SetBody sets the body and its Content-Type.
func (r *Response) SetBody(contentType string, body []byte) {
	r.Body = body
	r.Headers.Add("Content-Type", contentType)
}

// Response makes a response to a received request (RFC 3261 section 8.2.6.2).
// tag becomes the To-tag if the request has none; when it is empty, the tag is
// derived from the request, and a 100 goes without.
func (r *Request) Response(status int, tag string) *Response {
	if tag == "" && status > 100 {
		tag = stableTag(r)
	}
	res := &Response{
		Status: status, Reason: ReasonPhrase(status),
		From: r.From, FromTag: r.FromTag, To: r.To, ToTag: r.ToTag,
		CallID: r.CallID, CSeq: r.CSeq, CSeqMethod: r.Method, Branch: r.Branch,
		vias: r.vias, dest: r.replyTo, flow: flow{r.Source.Addr, r.Conn}, badCSeq: r.badCSeq,
	}
	if r.ToTag == "" && tag != "" && r.To != "" {
		res.To, res.ToTag = r.To+";tag="+tag, tag
	}
	if status == 100 {
		// RFC 3261 section 8.2.6.1: the sender measures the round trip by it.
		if stamp := r.Headers.Get("Timestamp"); stamp != "" {
			res.Headers.Add("Timestamp", stamp)
		}
	}
	if status > 100 && status < 300 && r.Method == INVITE {
		// RFC 3261 section 12.1.1: a response that makes a dialog repeats the route.
		for _, value := range r.Headers.All("Record-Route") {
			res.Headers.Add("Record-Route", value)
		}
	}
	return res
}
