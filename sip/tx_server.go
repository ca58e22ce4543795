package sip

import (
	"net/netip"
	"time"
)

const (
	// tryingAfter is when an INVITE that nobody answered gets its 100
	// (RFC 3261 section 17.2.1).
	tryingAfter = 200 * time.Millisecond
	// maxRinging bounds an INVITE without a final response, in both directions; call
	// control ends it much earlier.
	maxRinging = 15 * time.Minute
)

// serverState is the state of a server transaction, in the RFC's names.
type serverState uint8

const (
	serverTrying     serverState = iota // nothing answered
	serverProceeding                    // 1xx answered
	serverCompleted                     // final response sent; INVITE: waiting for the ACK
	serverConfirmed                     // INVITE: ACK came, more of them are absorbed
	serverAccepted                      // INVITE: 2xx sent (RFC 6026)
	serverEnded
)

// ServerTx is the transaction of a received request: RFC 3261 section 17.2 with
// the Accepted state of RFC 6026. It repeats the last response as bytes.
type ServerTx struct {
	shard  *shard
	key    txKey
	method Method
	callID string
	from   string // From-tag
	cseq   uint32
	fresh  bool   // a request outside of a dialog that may come twice by a fork
	sum    uint64 // of the datagram that it came in
	out    packet // where responses go; its bytes are those of the last response

	// Only the shard's goroutine touches what follows.
	state    serverState
	invite   *Request // for the 100 that is sent if nobody answers in time
	tag      string   // our To-tag, once sent
	canceled bool
	gotAck   bool
	ackedBy  netip.Addr // where the last ACK came from
	timer    timer
	resend   time.Time // next retransmission; zero: none
	end      time.Time // end of the present state
	interval time.Duration
}

// Method returns the method of the request.
func (tx *ServerTx) Method() Method { return tx.method }

// CallID returns the Call-ID of the request.
func (tx *ServerTx) CallID() string { return tx.callID }

// Respond sends a response: any number of provisional ones, then one final one.
// What comes after the final one is ignored. A 2xx to an INVITE is repeated until
// its ACK or the peer's BYE, else AckTimeout is called (RFC 3261 section 13.3.1.4).
// It returns ErrMessage when the response cannot be encoded and ErrBusy when the
// endpoint is at its bound; it does not block.
func (tx *ServerTx) Respond(res *Response) error {
	if err := res.check(); err != nil {
		return err
	}
	status, tag, raw := res.Status, res.ToTag, res.encode()
	return tx.shard.command(func(now time.Time) { tx.respond(status, tag, raw, now) })
}

// Restore gives the INVITE transaction of a call back to a node that adopts it, in
// state Proceeding: retransmissions and the CANCEL of the caller find it, and it is
// answered with Respond like a fresh one. A 200 that the dead node may have sent is
// sent again the same way.
func (e *Endpoint) Restore(s InviteState) (*ServerTx, error) {
	req, trying := s.request(), s.Response(100)
	if err := trying.check(); err != nil {
		return nil, err
	}
	sh := e.shard(s.CallID)
	tx := sh.makeServerTx(serverKey(req, INVITE), req)
	raw := trying.encode()
	err := sh.command(func(now time.Time) {
		sh.add(tx)
		tx.state, tx.tag, tx.out.raw, tx.out.status = serverProceeding, s.ToTag, raw, 100
		tx.end = now.Add(maxRinging)
		tx.schedule()
	})
	return tx, err
}

// newServerTx makes the transaction of a request and enters it.
func (s *shard) newServerTx(key txKey, req *Request) *ServerTx {
	tx := s.makeServerTx(key, req)
	s.add(tx)
	return tx
}

func (s *shard) makeServerTx(key txKey, req *Request) *ServerTx {
	tx := &ServerTx{
		shard: s, key: key, method: req.Method, callID: req.CallID, from: req.FromTag,
		cseq: req.CSeq, fresh: req.fresh(), sum: req.sum, out: packet{dest: req.replyTo},
	}
	own(&tx.key.branch, &tx.key.sentBy, &tx.callID, &tx.from)
	tx.key.callID = tx.callID
	if req.replyTo.Transport.Stream() {
		// RFC 3261 section 18.2.2: on the connection of the request while it lives.
		tx.out.flow = flow{req.Source.Addr, req.Conn}
	}
	tx.timer = timer{index: -1, fire: tx.fire}
	return tx
}

func (s *shard) add(tx *ServerTx) {
	if old := s.servers[tx.key]; old != nil {
		old.finish()
	}
	s.servers[tx.key] = tx
	s.e.repeats.add(tx.sum, tx)
	s.sources[tx.out.dest.Addr.Addr()]++
	if tx.fresh {
		s.fresh[tx.source()] = tx
	}
	s.e.stats.ServerTx.Add(1)
}

// source names the request as its sender knows it, by whichever way it came.
func (tx *ServerTx) source() sourceKey {
	return sourceKey{tx.callID, tx.from, tx.cseq, tx.method}
}

// fresh reports a request outside of any dialog that must not be served twice.
// OPTIONS may: some senders of keep-alives never change their CSeq.
func (r *Request) fresh() bool { return r.opens() && r.Method != OPTIONS }

// start arms the timers of a fresh transaction.
func (tx *ServerTx) start(req *Request, now time.Time) {
	if tx.method == INVITE {
		tx.invite = req
		tx.resend, tx.end = now.Add(tryingAfter), now.Add(maxRinging)
	} else {
		tx.end = now.Add(64 * tx.shard.e.cfg.T1) // the client has given up by then (timer F)
	}
	tx.schedule()
}

func (tx *ServerTx) schedule() { tx.shard.set(&tx.timer, tx.resend, tx.end) }

// reply is Respond from the shard's own goroutine, for responses that are made here.
func (tx *ServerTx) reply(res *Response, now time.Time) {
	if res.check() == nil {
		tx.respond(res.Status, res.ToTag, res.encode(), now)
	}
}

// respond sends a response and moves on to the state behind it.
func (tx *ServerTx) respond(status int, tag string, raw []byte, now time.Time) {
	if tx.state >= serverCompleted {
		return
	}
	tx.out.status, tx.out.raw = status, raw
	tx.invite = nil
	if status > 100 && tag != "" {
		tx.tag = tag
	}
	tx.resend = time.Time{}
	tx.send()
	cfg := &tx.shard.e.cfg
	switch {
	case status < 200:
		tx.state = serverProceeding
	case tx.method != INVITE:
		if tx.method == REGISTER && status < 300 {
			tx.shard.e.befriend(tx.out.dest.Addr.Addr()) // he has shown his password
		}
		tx.state = serverCompleted
		tx.linger(now, 64*cfg.T1) // timer J
	case status < 300:
		tx.state = serverAccepted
		tx.shard.answer(tx)
		// Over TCP too: a proxy on the way may use UDP (RFC 3261 section 13.3.1.4).
		tx.interval = cfg.T1
		tx.resend, tx.end = now.Add(cfg.T1), now.Add(64*cfg.T1) // timer L
	default:
		tx.state = serverCompleted
		tx.end = now.Add(64 * cfg.T1) // timer H
		if tx.out.dest.Transport == UDP {
			tx.interval = cfg.T1
			tx.resend = now.Add(cfg.T1) // timer G
		}
	}
	if tx.state != serverEnded {
		tx.schedule()
	}
}

// answer enters an INVITE that was answered with a 2xx. One before it in the same
// dialog is settled: the peer would not send an INVITE without its answer.
func (s *shard) answer(tx *ServerTx) {
	key := answerKey{tx.callID, tx.tag}
	if old := s.answers[key]; old != nil {
		old.acked()
	}
	s.answers[key] = tx
}

// linger keeps the transaction for late retransmissions, which only UDP has.
func (tx *ServerTx) linger(now time.Time, d time.Duration) {
	tx.resend = time.Time{}
	if tx.out.dest.Transport != UDP {
		tx.finish()
		return
	}
	tx.end = now.Add(d)
}

// repeat answers a retransmitted request. In state Accepted the 2xx has its own
// schedule (RFC 6026 section 7.1), and before any answer there is nothing to say.
func (tx *ServerTx) repeat() {
	if tx.state == serverProceeding || tx.state == serverCompleted {
		tx.shard.e.stats.RetransmitsOut.Add(1)
		tx.send()
	}
}

// ackRefusal takes the ACK to a non-2xx response.
func (tx *ServerTx) ackRefusal(now time.Time) {
	if tx.state != serverCompleted {
		tx.shard.e.stats.RetransmitsIn.Add(1)
		return
	}
	tx.state = serverConfirmed
	tx.linger(now, tx.shard.e.cfg.T4) // timer I
	if tx.state != serverEnded {
		tx.schedule()
	}
}

// acked stops the retransmission of a 2xx; it reports whether it was the first time.
func (tx *ServerTx) acked() bool {
	if tx.gotAck {
		return false
	}
	tx.gotAck, tx.resend = true, time.Time{}
	tx.out.raw = nil
	tx.shard.e.befriend(tx.out.dest.Addr.Addr())
	tx.schedule()
	return true
}

// fire is called when resend or end has come.
func (tx *ServerTx) fire(now time.Time) {
	if !tx.end.After(now) {
		unacked := tx.state == serverAccepted && !tx.gotAck
		tx.finish()
		if unacked {
			tx.shard.e.stats.AckTimeouts.Add(1)
			tx.shard.e.cfg.Handler.AckTimeout(tx)
		}
		return
	}
	if tx.state == serverTrying {
		tx.reply(tx.invite.Response(100, ""), now)
		return
	}
	// Without a permit for requests a refusal may be said, but not repeated: its ACK
	// has gone to whoever speaks for this address by now.
	if tx.shard.e.permitted(0) {
		tx.shard.e.stats.RetransmitsOut.Add(1)
		tx.send()
	}
	tx.interval = min(2*tx.interval, tx.shard.e.cfg.T2)
	tx.resend = now.Add(tx.interval)
	tx.schedule()
}

// finish takes the transaction out of the tables.
func (tx *ServerTx) finish() {
	if tx.state == serverEnded {
		return
	}
	s := tx.shard
	s.leave(tx.out.dest.Addr.Addr())
	if tx.state == serverAccepted {
		key := answerKey{tx.callID, tx.tag}
		if s.answers[key] == tx {
			delete(s.answers, key)
		}
	}
	tx.state, tx.out.raw, tx.invite = serverEnded, nil, nil
	s.e.repeats.remove(tx.sum, tx)
	s.set(&tx.timer, time.Time{}, time.Time{})
	if s.servers[tx.key] == tx {
		delete(s.servers, tx.key)
	}
	if tx.fresh && s.fresh[tx.source()] == tx {
		delete(s.fresh, tx.source())
	}
	s.e.stats.ServerTx.Add(-1)
}

// leave takes a transaction off the count of its peer's address.
func (s *shard) leave(peer netip.Addr) {
	if s.sources[peer]--; s.sources[peer] == 0 {
		delete(s.sources, peer)
	}
}

// send sends the last response. A transport that fails is noticed by the missing
// ACK or the peer's retransmission.
func (tx *ServerTx) send() { tx.shard.send(tx.out, nil) }
