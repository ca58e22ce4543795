package call

import (
	"log/slog"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// action is what a step wants done: one of the types below. The shard executes
// the actions of a step in order, after the step.
type action any

// respond answers a received request.
type respond struct {
	tx  *sip.ServerTx
	res *sip.Response
}

// send sends a request without a transaction: an ACK.
type send struct{ req *sip.Request }

// dial sends the INVITE of a try, or takes over one that another node sent.
type dial struct {
	try   *try
	first time.Duration // longest wait for the first response
	// resend are the pauses between repetitions; empty: the endpoint\'s.
	resend []time.Duration
}

// cancel cancels the INVITE of a try.
type cancel struct {
	try     *try
	headers []sip.Header
}

// purpose says what a request of ours is for, and so what its reply means.
type purpose uint8

const (
	forBye     purpose = 1 + iota
	forUpdate          // re-INVITE or UPDATE with SDP, passed through
	forInfo            // passed through
	forProbe           // OPTIONS: is anybody there?
	forMove            // re-INVITE of a displaced call
	forPrack           // acknowledges a reliable 18x
	forRefresh         // session timer
	forDigit           // INFO with a digit that came as an RTP event
)

// ask sends a request inside a dialog; its outcome comes back as a reply.
type ask struct {
	leg  media.Side
	to   purpose
	req  *sip.Request
	peer *peer
	// patience is how long the final response may take; 0: the endpoint's default.
	patience time.Duration
}

// submit proposes a command; its outcome comes back as a committed.
type submit struct{ cmd Command }

// store puts a settlement into the outbox; its outcome comes back as a stored.
type store struct {
	body  fsm.Body
	since time.Time
}

// retire keeps a relay session going for a while that the call has left to its new
// owner, and closes it then.
type retire struct{ session *media.Session }

// report tells the node of a call that was refused without the state machine.
type report struct{ refused fsm.Refused }

// backoff tells the node of a gateway's Retry-After.
type backoff struct {
	gateway string
	wait    time.Duration
}

// count raises a counter.
type count struct{ counter Counter }

// note writes a log line.
type note struct {
	level slog.Level
	text  string
	args  []any
}
