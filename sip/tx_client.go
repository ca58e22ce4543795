package sip

import "time"

// ResponseFunc receives what a client transaction brings, from the shard's
// goroutine: it must not block. Either res or err is set. For an INVITE every
// provisional response is delivered, then every 2xx, also repeated ones and those
// of other branches of a fork (the caller ACKs each with Dialog.Ack), or one other
// final response, which has been ACKed already. err is or wraps ErrTimeout or
// ErrTransport. After the ErrTimeout of an INVITE a late 18x is answered with a
// CANCEL, and a late 2xx is still delivered: ACK and BYE it.
type ResponseFunc func(res *Response, err error)

// Options of a client transaction.
type Options struct {
	// FirstResponse is how long an INVITE waits for its first response, and another
	// request for its final one (timers B and F); 0: 64*T1.
	FirstResponse time.Duration
	// Restored takes over an INVITE that another node sent with this branch and that
	// may be ringing: nothing is sent, responses are received, Cancel works at once.
	Restored bool
}

// ClientTx is the transaction of a request that we sent: RFC 3261 section 17.1
// with the Accepted state of RFC 6026.
type ClientTx struct {
	shard *shard
}

// Request sends a request in a new client transaction; on may be nil. The request
// must not be changed afterwards. It returns ErrMessage or ErrBusy; it does not block.
func (e *Endpoint) Request(req *Request, opts Options, on ResponseFunc) (*ClientTx, error) {
	return nil, nil
}

// Send sends a request without a transaction: the ACK to a 2xx. It does not block.
func (e *Endpoint) Send(req *Request) error { return nil }

// Cancel cancels an INVITE: at once if a provisional response has come, else when
// one comes (RFC 3261 section 9.1). The transaction goes on: 487, a late 2xx, or
// ErrTimeout follows. headers are added to the CANCEL, for example Reason.
func (tx *ClientTx) Cancel(headers ...Header) {}
