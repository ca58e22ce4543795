package sip

import (
	"fmt"
	"time"
)

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
	// Resend are the pauses between repetitions of an INVITE over UDP; after the last
	// one it is repeated no more. Empty: those of RFC 3261.
	Resend []time.Duration
}

// clientState is the state of a client transaction, in the RFC's names.
type clientState uint8

const (
	clientCalling    clientState = iota // sent, nothing received ("Trying" without INVITE)
	clientProceeding                    // 1xx received
	clientAbandoned                     // INVITE: timed out; a late 18x gets a CANCEL
	clientCompleted                     // final response received; repeated ones are absorbed
	clientAccepted                      // INVITE: 2xx received, others are passed up (RFC 6026)
	clientEnded
)

// ClientTx is the transaction of a request that we sent: RFC 3261 section 17.1
// with the Accepted state of RFC 6026.
type ClientTx struct {
	shard  *shard
	key    txKey
	method Method
	opts   Options

	// Only the shard's goroutine touches what follows.
	state    clientState
	out      packet   // the request; once refused, the ACK
	spare    *packet  // the request as a datagram, while it is tried over TCP for its size
	req      *Request // the INVITE, for its CANCEL and ACK
	on       ResponseFunc
	cancel   Headers // of the CANCEL, when canceled
	canceled bool    // Cancel was called
	timer    timer
	resend   time.Time // next retransmission; zero: none
	end      time.Time // end of the present state
	interval time.Duration
}

// Request sends a request in a new client transaction; on may be nil. A missing
// branch is filled in; after that the request must not be changed. It returns
// ErrMessage or ErrBusy; it does not block.
func (e *Endpoint) Request(req *Request, opts Options, on ResponseFunc) (*ClientTx, error) {
	if req.Method == ACK {
		return nil, fmt.Errorf("%w: an ACK has no transaction", ErrMessage)
	}
	if req.Branch == "" {
		req.Branch = Branch(e.NewIdentifier())
	}
	if err := req.check(); err != nil {
		return nil, err
	}
	if opts.FirstResponse <= 0 {
		opts.FirstResponse = 64 * e.cfg.T1
	}
	s := e.shard(req.CallID)
	tx := s.makeClientTx(req, opts, on)
	return tx, s.command(tx.start)
}

// Send sends a request without a transaction: the ACK to a 2xx. It does not block.
func (e *Endpoint) Send(req *Request) error {
	if req.Branch == "" {
		req.Branch = Branch(e.NewIdentifier())
	}
	if err := req.check(); err != nil {
		return err
	}
	out, spare := e.packet(req)
	s := e.shard(req.CallID)
	return s.command(func(time.Time) {
		s.send(out, func(error) {
			if spare != nil {
				s.send(*spare, nil)
			}
		})
	})
}

// Cancel cancels an INVITE: at once if a provisional response has come, else when
// one comes (RFC 3261 section 9.1). The transaction goes on: 487, a late 2xx, or
// ErrTimeout follows. headers are added to the CANCEL, for example Reason. It
// returns ErrBusy when the endpoint is at its bound.
func (tx *ClientTx) Cancel(headers ...Header) error {
	return tx.shard.command(func(now time.Time) {
		if tx.method != INVITE || tx.canceled || tx.state > clientAbandoned {
			return
		}
		tx.canceled, tx.cancel = true, headers
		if tx.state == clientProceeding {
			tx.sendCancel(now)
		}
	})
}

func (s *shard) makeClientTx(req *Request, opts Options, on ResponseFunc) *ClientTx {
	tx := &ClientTx{
		shard: s, key: txKey{branch: req.Branch, callID: req.CallID, method: req.Method}, method: req.Method,
		opts: opts, on: on,
	}
	tx.out, tx.spare = s.e.packet(req)
	if req.Method == INVITE {
		tx.req = req
	}
	tx.timer = timer{index: -1, fire: tx.fire}
	return tx
}

// start enters the transaction and sends the request.
func (tx *ClientTx) start(now time.Time) {
	s := tx.shard
	if old := s.clients[tx.key]; old != nil {
		old.finish()
	}
	s.clients[tx.key] = tx
	s.e.stats.ClientTx.Add(1)
	if tx.opts.Restored {
		tx.state, tx.end = clientProceeding, now.Add(maxRinging)
		tx.schedule()
		return
	}
	tx.end = now.Add(tx.opts.FirstResponse)
	switch {
	case tx.spare != nil:
		tx.resend = now.Add(switchTimeout)
	case tx.out.dest.Transport == UDP:
		tx.interval = s.e.cfg.T1
		if tx.method == INVITE && len(tx.opts.Resend) > 0 {
			tx.interval = tx.opts.Resend[0]
		}
		tx.resend = now.Add(tx.interval) // timers A and E
	}
	tx.schedule()
	tx.send()
}

func (tx *ClientTx) schedule() { tx.shard.set(&tx.timer, tx.resend, tx.end) }

func (tx *ClientTx) send() { tx.shard.send(tx.out, tx.failed) }

// failed ends the transaction on a transport error, unless something came already.
func (tx *ClientTx) failed(err error) {
	if tx.state != clientCalling {
		return
	}
	if tx.spare != nil {
		tx.fallBack(time.Now())
		return
	}
	on := tx.on
	tx.finish()
	if on != nil {
		on(nil, fmt.Errorf("%w: %s to %s: %w", ErrTransport, tx.method, tx.out.dest, err))
	}
}

// receive takes a response.
func (tx *ClientTx) receive(res *Response, now time.Time) {
	if tx.spare != nil {
		tx.spare, tx.resend = nil, time.Time{}
	}
	if tx.method == INVITE {
		tx.receiveInvite(res, now)
	} else {
		tx.receiveOther(res, now)
	}
	if tx.state != clientEnded {
		tx.schedule()
	}
}

func (tx *ClientTx) receiveOther(res *Response, now time.Time) {
	switch {
	case tx.state == clientCompleted:
		tx.shard.e.stats.RetransmitsIn.Add(1)
		return
	case res.Status < 200:
		tx.state = clientProceeding
		tx.interval = tx.shard.e.cfg.T2 // RFC 3261 section 17.1.2.2
	default:
		tx.state = clientCompleted
		tx.deliver(res)
		tx.linger(now, tx.shard.e.cfg.T4) // timer K
		return
	}
	tx.deliver(res)
}

func (tx *ClientTx) receiveInvite(res *Response, now time.Time) {
	switch {
	case res.Status < 200:
		tx.provisional(res, now)
	case res.Status < 300:
		if tx.state == clientCompleted {
			return // RFC 3261 section 17.1.1.2: one final answer; a 2xx after a refusal is nonsense
		}
		if tx.state != clientAccepted {
			tx.state, tx.resend = clientAccepted, time.Time{}
			tx.end = now.Add(64 * tx.shard.e.cfg.T1) // timer M
			tx.req, tx.out.raw = nil, nil
			tx.shard.e.befriend(res.Source.Addr.Addr())
		}
		tx.deliver(res)
	case tx.state == clientAccepted:
	case tx.state == clientCompleted:
		tx.shard.e.stats.RetransmitsIn.Add(1)
		tx.shard.send(tx.out, nil) // the ACK again
	default:
		late := tx.state == clientAbandoned
		tx.ack(res)
		tx.state = clientCompleted
		if !late {
			tx.deliver(res)
		}
		tx.linger(now, 64*tx.shard.e.cfg.T1) // timer D: at least 32 s
	}
}

func (tx *ClientTx) provisional(res *Response, now time.Time) {
	switch tx.state {
	case clientCalling:
		tx.state, tx.resend = clientProceeding, time.Time{}
		tx.end = now.Add(maxRinging)
		tx.out.raw = nil
		if tx.canceled {
			tx.sendCancel(now)
		}
		tx.deliver(res)
	case clientProceeding:
		tx.deliver(res)
	case clientAbandoned:
		// It rings after we gave up on it, and nobody would ever stop it.
		tx.state, tx.canceled = clientProceeding, true
		tx.on = lateAnswers(tx.on)
		tx.sendCancel(now)
	}
}

// lateAnswers passes on what still concerns a caller that was told of a timeout:
// a 2xx, which has to be ACKed and ended.
func lateAnswers(on ResponseFunc) ResponseFunc {
	if on == nil {
		return nil
	}
	return func(res *Response, _ error) {
		if res != nil && res.Status/100 == 2 {
			on(res, nil)
		}
	}
}

// sendCancel sends the CANCEL, a transaction of its own under the INVITE's branch,
// and gives the INVITE 64*T1 to end (RFC 3261 section 9.1).
func (tx *ClientTx) sendCancel(now time.Time) {
	req := tx.companion(CANCEL, tx.req.To)
	req.Headers = append(req.Headers, tx.cancel...)
	tx.end = now.Add(64 * tx.shard.e.cfg.T1)
	tx.schedule()
	if req.check() != nil {
		req.Headers = req.Headers[:len(req.Headers)-len(tx.cancel)]
	}
	c := tx.shard.makeClientTx(req, Options{FirstResponse: 64 * tx.shard.e.cfg.T1}, nil)
	c.start(now)
}

// ack acknowledges a refusal (RFC 3261 section 17.1.1.3) and keeps the bytes.
func (tx *ClientTx) ack(res *Response) {
	tx.out, _ = tx.shard.e.packet(tx.companion(ACK, res.To))
	tx.req, tx.cancel = nil, nil
	tx.shard.send(tx.out, nil)
}

// companion makes a CANCEL or ACK that belongs to the INVITE's transaction.
func (tx *ClientTx) companion(method Method, to string) *Request {
	req := &Request{
		Method: method, URI: tx.req.URI, From: tx.req.From, FromTag: tx.req.FromTag, To: to,
		CallID: tx.req.CallID, CSeq: tx.req.CSeq, Branch: tx.req.Branch,
		MaxForwards: defaultMaxForwards, Dest: tx.out.dest, Flow: tx.req.Flow, FlowConn: tx.req.FlowConn,
	}
	for _, value := range tx.req.Headers.All("Route") {
		req.Headers.Add("Route", value)
	}
	return req
}

func (tx *ClientTx) deliver(res *Response) {
	if tx.on != nil {
		tx.on(res, nil)
	}
}

// linger keeps the transaction for late retransmissions, which only UDP has.
func (tx *ClientTx) linger(now time.Time, d time.Duration) {
	tx.resend, tx.end = time.Time{}, now.Add(d)
	tx.on = nil
	if tx.method != INVITE {
		tx.out.raw = nil
	}
	if tx.out.dest.Transport != UDP {
		tx.finish()
	}
}

// fire is called when resend or end has come.
func (tx *ClientTx) fire(now time.Time) {
	if !tx.end.After(now) {
		tx.expire(now)
		return
	}
	if tx.spare != nil {
		tx.fallBack(now)
		return
	}
	tx.shard.e.stats.RetransmitsOut.Add(1)
	tx.send()
	if tx.method == INVITE && len(tx.opts.Resend) > 0 {
		tx.resendNext(now)
		return
	}
	tx.interval *= 2
	if tx.method != INVITE {
		tx.interval = min(tx.interval, tx.shard.e.cfg.T2) // timer E; timer A goes on doubling
	}
	tx.resend = now.Add(tx.interval)
	tx.schedule()
}

// resendNext takes the next pause of the list.
func (tx *ClientTx) resendNext(now time.Time) {
	tx.opts.Resend = tx.opts.Resend[1:]
	if tx.resend = (time.Time{}); len(tx.opts.Resend) > 0 {
		tx.resend = now.Add(tx.opts.Resend[0])
	}
	tx.schedule()
}

// expire ends the present state.
func (tx *ClientTx) expire(now time.Time) {
	on := tx.on
	switch tx.state {
	case clientCalling, clientProceeding:
		tx.shard.e.stats.Timeouts.Add(1)
		if tx.method == INVITE && tx.state == clientCalling {
			tx.state, tx.resend = clientAbandoned, time.Time{}
			tx.end = now.Add(64 * tx.shard.e.cfg.T1)
			tx.schedule()
		} else {
			tx.finish()
		}
		if on != nil {
			on(nil, fmt.Errorf("%w: %s to %s", ErrTimeout, tx.method, tx.out.dest))
		}
	default:
		tx.finish()
	}
}

// finish takes the transaction out of the tables.
func (tx *ClientTx) finish() {
	if tx.state == clientEnded {
		return
	}
	s := tx.shard
	tx.state, tx.out.raw, tx.req, tx.on, tx.cancel = clientEnded, nil, nil, nil, nil
	s.set(&tx.timer, time.Time{}, time.Time{})
	if s.clients[tx.key] == tx {
		delete(s.clients, tx.key)
	}
	s.e.stats.ClientTx.Add(-1)
}
