package sip

import (
	"container/heap"
	"context"
	"net/netip"
	"time"
)

// Bounds of a shard's queue. Packets above the first are dropped: 4,096 is more
// than a shard works off in 100 ms, and a peer sends again what was lost. The rest
// is room for what call control wants to send; above it there is ErrBusy.
const (
	packetBound  = 4096
	commandBound = 64 << 10
)

// maxServers bounds the server transactions of a shard: each lives for 32 s, so this
// is 4,000 requests a second. Above it new requests are dropped, as if lost.
const maxServers = 128 << 10

// maxSourceServers bounds those of one address, so that nobody shuts out the others,
// not even who forges the address of a trunk.
const maxSourceServers = maxServers / 4

// event is one thing for a shard to do: a message from the network or a command.
type event struct {
	req   *Request
	res   *Response
	again *ServerTx // its request came again, byte for byte
	out   *packet   // to be sent as it is
	do    func(now time.Time)
}

// shard owns the transactions and timers of its Call-IDs. All its fields but
// the queue belong to the goroutine of run.
type shard struct {
	e       *Endpoint
	queue   *queue[event]
	timers  timerHeap
	order   uint64 // of the last timer that was set
	servers map[txKey]*ServerTx
	clients map[txKey]*ClientTx
	answers map[answerKey]*ServerTx // INVITEs answered with a 2xx
	fresh   map[sourceKey]*ServerTx // requests outside of dialogs, but OPTIONS
	sources map[netip.Addr]int      // server transactions by the address of the peer

	writer datagramWriter
	out    []outgoing // datagrams of the events at hand
	failed []failure
}

// txKey names a transaction (RFC 3261 sections 17.1.3 and 17.2.3). sentBy is
// empty for a client transaction: it is always us. The Call-ID is no part of the
// name in the RFC; with it the branches of a bad generator meet less often, and
// never differently for another number of shards.
type txKey struct {
	branch, sentBy, callID string
	method                 Method
}

// answerKey names the dialog whose 2xx waits for its ACK.
type answerKey struct{ callID, localTag string }

// sourceKey names a request as its sender knows it.
type sourceKey struct {
	callID, fromTag string
	cseq            uint32
	method          Method
}

func newShard(e *Endpoint) *shard {
	return &shard{
		e: e, queue: newQueue[event](),
		servers: make(map[txKey]*ServerTx),
		clients: make(map[txKey]*ClientTx),
		answers: make(map[answerKey]*ServerTx),
		fresh:   make(map[sourceKey]*ServerTx),
		sources: make(map[netip.Addr]int),
		writer:  newWriter(e.cfg.Packet),
	}
}

// shard returns the one that owns a Call-ID: FNV-1a, begun at the secret seed.
func (e *Endpoint) shard(callID string) *shard {
	h := e.seed
	for i := 0; i < len(callID); i++ {
		h = (h ^ uint64(callID[i])) * 1099511628211
	}
	return e.shards[(h>>32)%uint64(len(e.shards))]
}

// command runs do on the shard, behind what is queued already.
func (s *shard) command(do func(now time.Time)) error {
	if !s.queue.push(event{do: do}, commandBound) {
		s.e.stats.DroppedFull.Add(1)
		return ErrBusy
	}
	return nil
}

// run works off the queue and the timers in turn until ctx ends.
func (s *shard) run(ctx context.Context) {
	defer s.queue.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var events []event
	for {
		events = s.queue.take(events)
		now := time.Now()
		for i := range events {
			s.handle(events[i], now)
			s.tell()
		}
		s.fire(now)
		s.flush()
		s.tell()
		if len(s.timers) > 0 {
			timer.Reset(time.Until(s.timers[0].at))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.queue.wake:
		case <-timer.C:
		}
	}
}

func (s *shard) handle(ev event, now time.Time) {
	switch {
	case ev.do != nil:
		ev.do(now)
	case ev.res != nil:
		s.response(ev.res, now)
	case ev.again != nil:
		s.e.stats.RetransmitsIn.Add(1)
		ev.again.repeat()
	case ev.out != nil:
		s.send(*ev.out, nil)
	default:
		s.request(ev.req, now)
	}
}

// request gives a request to its transaction, or makes a new one.
func (s *shard) request(req *Request, now time.Time) {
	if req.Method == ACK {
		s.ack(req, now)
		return
	}
	key := serverKey(req, req.Method)
	if tx := s.servers[key]; tx != nil {
		s.e.stats.RetransmitsIn.Add(1)
		tx.repeat()
		return
	}
	if len(s.servers) >= maxServers || s.sources[req.replyTo.Addr.Addr()] >= maxSourceServers {
		s.e.stats.DroppedFull.Add(1)
		return
	}
	if req.Method == CANCEL {
		s.cancel(req, now)
		return
	}
	if s.merged(req) {
		s.e.stats.Refused.add(482)
		tx := s.newServerTx(key, req)
		tx.start(req, now)
		tx.reply(req.Response(482, ""), now)
		return
	}
	if req.Method == BYE {
		// Who ends a session has seen its 2xx, even if the ACK was lost.
		if tx := s.answers[answerKey{req.CallID, req.ToTag}]; tx != nil {
			tx.acked()
		}
	}
	tx := s.newServerTx(key, req)
	tx.start(req, now)
	s.e.cfg.Handler.Request(req, tx)
}

// merged reports a request that came on another way already and is not refused
// yet: somebody before us forked it (RFC 3261 section 8.2.2.2). An INVITE would be
// a second call, paid twice.
func (s *shard) merged(req *Request) bool {
	if !req.fresh() {
		return false
	}
	tx := s.fresh[sourceKey{req.CallID, req.FromTag, req.CSeq, req.Method}]
	return tx != nil && (tx.state < serverCompleted || tx.state == serverAccepted)
}

// ack ends the retransmission of a final response. One for a 2xx is a transaction
// of its own in the RFC's eyes; the handler sees the first of them.
func (s *shard) ack(req *Request, now time.Time) {
	if tx := s.servers[serverKey(req, INVITE)]; tx != nil && tx.state != serverAccepted {
		tx.ackRefusal(now)
		return
	}
	if tx := s.answers[answerKey{req.CallID, req.ToTag}]; tx != nil && tx.cseq == req.CSeq {
		// One from elsewhere may be a forgery that came first: the handler has to see both.
		src := req.Source.Addr.Addr()
		if !tx.acked() && src == tx.ackedBy {
			s.e.stats.RetransmitsIn.Add(1)
			return
		}
		tx.ackedBy = src
	}
	s.e.cfg.Handler.Request(req, nil)
}

// cancel answers a CANCEL and tells the handler (RFC 3261 section 9.2).
func (s *shard) cancel(req *Request, now time.Time) {
	tx := s.newServerTx(serverKey(req, CANCEL), req)
	tx.start(req, now)
	invite := s.servers[serverKey(req, INVITE)]
	if invite == nil {
		s.e.stats.Refused.add(481)
		tx.reply(req.Response(481, ""), now)
		return
	}
	tx.reply(req.Response(200, invite.tag), now)
	if invite.state < serverCompleted && !invite.canceled {
		invite.canceled = true
		s.e.cfg.Handler.Canceled(invite, req)
	}
}

// response gives a response to its transaction. Our INVITE transactions see every
// 2xx; what nobody here asked for goes to the handler.
func (s *shard) response(res *Response, now time.Time) {
	if tx := s.clients[txKey{branch: res.Branch, callID: res.CallID, method: res.CSeqMethod}]; tx != nil {
		tx.receive(res, now)
		return
	}
	s.e.stats.Stray.Add(1)
	s.e.cfg.Handler.StrayResponse(res)
}

// serverKey names the server transaction that a request belongs to. A branch
// without the magic cookie is not unique, so the rest of RFC 3261 section 17.2.3
// joins it.
func serverKey(req *Request, method Method) txKey {
	branch := req.Branch
	if len(branch) <= len(magicCookie) || branch[:len(magicCookie)] != magicCookie {
		branch = req.FromTag + " " + branch + " " + decimal(req.CSeq)
	}
	return txKey{branch, req.sentBy, req.CallID, method}
}

// timer is one entry of a shard's heap; a transaction has one, and moves it.
type timer struct {
	at    time.Time
	order uint64 // among equal times: first set, first fired
	index int    // in the heap; -1: not in it
	fire  func(now time.Time)
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].order < h[j].order
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = -1
	return t
}

// set arms the timer for the earlier of two times; a zero time counts for none.
func (s *shard) set(t *timer, a, b time.Time) {
	at := a
	if at.IsZero() || !b.IsZero() && b.Before(at) {
		at = b
	}
	if at.IsZero() {
		if t.index >= 0 {
			heap.Remove(&s.timers, t.index)
		}
		return
	}
	s.order++
	t.at, t.order = at, s.order
	if t.index >= 0 {
		heap.Fix(&s.timers, t.index)
	} else {
		heap.Push(&s.timers, t)
	}
}

// fire runs the timers that are due. A timer that is set again fires in a later round.
func (s *shard) fire(now time.Time) {
	for len(s.timers) > 0 && !s.timers[0].at.After(now) {
		t := heap.Pop(&s.timers).(*timer)
		t.fire(now)
	}
}
