package sip

import "sync/atomic"

// Malformed says why a received message was not taken.
type Malformed uint8

// The reasons, in the order of Stats.Malformed.
const (
	MalformedStart      Malformed = iota // not a SIP start line
	MalformedVersion                     // not SIP/2.0
	MalformedLine                        // bare LF, control character, no empty line, no header name
	MalformedSize                        // the message is too long: 513
	MalformedHeaders                     // too many header lines: 513
	MalformedLong                        // a header line, Call-ID, tag or branch is too long: 513
	MalformedList                        // too many entries of one header: 513
	MalformedURI                         // the Request-URI is too long: 414
	MalformedBody                        // the body is too long: 413
	MalformedParts                       // too many parts or media descriptions in the body: 413
	MalformedMissing                     // Via, From, To, Call-ID, CSeq or From-tag
	MalformedDuplicate                   // a header that may stand only once
	MalformedHeader                      // a needed header that cannot be read
	MalformedLength                      // Content-Length is no number, or more than there is
	MalformedCSeqMethod                  // CSeq names another method
	MalformedMisrouted                   // a response with more than one Via
	malformedReasons
)

// String returns the reason in words.
func (m Malformed) String() string {
	return [malformedReasons]string{
		"start line", "version", "line", "message size", "header count", "line length", "list length",
		"uri length", "body size", "body parts", "missing header", "duplicate header",
		"header", "content length", "cseq method", "misrouted response",
	}[m]
}

// statMethods are the methods that are counted by name; the last counter is for
// all others.
var statMethods = [...]Method{
	INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, PRACK, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, REFER, "OTHER",
}

// MethodCounters count requests by method.
type MethodCounters [len(statMethods)]atomic.Uint64

// Each calls f with each method's name ("OTHER" for all that have no counter) and count.
func (c *MethodCounters) Each(f func(method Method, n uint64)) {
	for i, m := range statMethods {
		f(m, c[i].Load())
	}
}

func (c *MethodCounters) add(method Method) {
	for i, m := range statMethods {
		if m == method || i == len(statMethods)-1 {
			c[i].Add(1)
			return
		}
	}
}

// refusals are the statuses that the endpoint itself refuses with; the last
// counter is for all others.
var refusals = [...]int{400, 413, 414, 416, 420, 481, 482, 483, 500, 503, 505, 513, 0}

// StatusCounters count refusals by status.
type StatusCounters [len(refusals)]atomic.Uint64

// Each calls f with each status (0 for all that have no counter) and its count.
func (c *StatusCounters) Each(f func(status int, n uint64)) {
	for i, status := range refusals {
		f(status, c[i].Load())
	}
}

// Load returns the sum.
func (c *StatusCounters) Load() (sum uint64) {
	for i := range c {
		sum += c[i].Load()
	}
	return sum
}

func (c *StatusCounters) add(status int) {
	for i, s := range refusals {
		if s == status || s == 0 {
			c[i].Add(1)
			return
		}
	}
}

// Stats are the live counters of an endpoint. All but the gauges only grow.
type Stats struct {
	RequestsIn, RequestsOut   MethodCounters
	ResponsesIn, ResponsesOut [7]atomic.Uint64 // by status class: 1 to 6

	Malformed [malformedReasons]atomic.Uint64 // by reason
	Refused   StatusCounters                  // well-formed requests that were refused here, by status

	RetransmitsIn  atomic.Uint64 // received again and absorbed
	RetransmitsOut atomic.Uint64 // sent again
	Timeouts       atomic.Uint64 // client transactions without an answer
	AckTimeouts    atomic.Uint64 // 2xx without an ACK
	Stray          atomic.Uint64 // responses without a transaction

	DroppedGate    atomic.Uint64 // refused by Gate
	DroppedPermit  atomic.Uint64 // refused by Permit
	DroppedFull    atomic.Uint64 // a queue or table was at its bound
	DroppedSource  atomic.Uint64 // beyond the budget of its unknown source
	DroppedUnknown atomic.Uint64 // beyond the budget of all unknown sources
	SendErrors     atomic.Uint64 // the socket or connection refused it
	KeepAlives     atomic.Uint64 // CRLF only

	AcceptErrors    atomic.Uint64 // a connection could not be taken: out of files, most likely
	HandshakeErrors atomic.Uint64 // an accepted connection failed in its TLS or WebSocket handshake

	ServerTx atomic.Int64 // gauge: server transactions alive
	ClientTx atomic.Int64 // gauge: client transactions alive
	Conns    atomic.Int64 // gauge: connections of all streams
}
