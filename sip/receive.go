package sip

import (
	"bytes"
	"encoding/hex"
	"hash/fnv"
	"strconv"
)

// arrival is where a message came from.
type arrival struct {
	peer      Peer
	conn      *conn // nil: a datagram
	authentic bool  // the connection's certificate was checked
}

// receive takes one message from a socket: budget, gate, repetition, parse, refuse
// or hand to its shard. It is called by the readers; raw is theirs. Up to parse it
// allocates nothing, so what is dropped costs little whoever sends it.
func (e *Endpoint) receive(from arrival, raw []byte) {
	if isKeepAlive(raw) {
		e.stats.KeepAlives.Add(1)
		return
	}
	src := from.peer.Addr
	known := e.known(src.Addr())
	if !known && !e.afford(src.Addr(), 1) {
		return
	}
	if e.cfg.Gate != nil && !e.cfg.Gate(src, raw) {
		e.stats.DroppedGate.Add(1)
		return
	}
	if e.cfg.Trace != nil {
		e.cfg.Trace(false, from.peer, raw)
	}
	var sum uint64
	if from.conn == nil && !bytes.HasPrefix(raw, []byte("SIP/2.0 ")) {
		sum = e.repeats.sum(src, raw)
		if tx := e.repeats.find(sum); tx != nil {
			e.stats.RequestsIn.add(tx.method)
			e.push(tx.shard, event{again: tx}, packetBound)
			return
		}
	}
	m, err := parse(raw)
	switch {
	case err != nil:
		e.stats.Malformed[err.reason].Add(1)
		if m.req != nil {
			e.answer(m.req, from, err.status)
		}
	case m.res != nil:
		e.stats.ResponsesIn[m.res.Status/100].Add(1)
		m.res.Source, m.res.Conn = from.peer, from.name()
		e.push(e.shard(m.res.CallID), event{res: m.res}, packetBound)
	default:
		m.req.sum = sum
		e.request(m.req, from, known)
	}
}

// name is that of the connection, 0 for a datagram.
func (a arrival) name() Conn {
	if a.conn == nil {
		return 0
	}
	return a.conn.id
}

// request takes a request that parsed well.
func (e *Endpoint) request(req *Request, from arrival, known bool) {
	e.stats.RequestsIn.add(req.Method)
	if status, extra := e.refusal(req); status != 0 {
		e.stats.Refused.add(status)
		e.answer(req, from, status, extra...)
		return
	}
	s := e.shard(req.CallID)
	if req.opens() && s.queue.len() >= newCallBound(known) {
		// In the reader and without a transaction, or the refusals would fill the queue
		// that they are to relieve.
		e.stats.Refused.add(503)
		if out, ok := e.refuse(req, from, 503, Header{"Retry-After", overloadRetry}); ok {
			e.transmit(out)
		}
		return
	}
	req.arrived(from.peer)
	req.Conn = from.name()
	if from.authentic {
		e.alias(req, from.conn)
	}
	e.push(s, event{req: req}, packetBound)
}

// overloadRetry is the Retry-After, in seconds, of calls refused for want of time:
// the sender takes the whole trunk down for so long, and a queue is short again
// within one second.
const overloadRetry = "2"

// newCallBound is how long a shard's queue may be for a request that begins
// something new to enter it. What belongs to calls has the rest of the queue.
func newCallBound(known bool) int {
	if known {
		return packetBound / 2
	}
	return packetBound / 8
}

// opens reports a request outside of any dialog that makes work.
func (r *Request) opens() bool { return r.ToTag == "" && r.Method != ACK && r.Method != CANCEL }

func (e *Endpoint) push(s *shard, ev event, bound int) {
	if !s.queue.push(ev, bound) {
		e.stats.DroppedFull.Add(1)
	}
}

// answer refuses a request through its shard.
func (e *Endpoint) answer(req *Request, from arrival, status int, extra ...Header) {
	if out, ok := e.refuse(req, from, status, extra...); ok {
		e.push(e.shard(req.CallID), event{out: &out}, packetBound)
	}
}

// refuse makes an answer without a transaction: the answer to a retransmission is
// the same. A request that is too broken for an answer gets none.
func (e *Endpoint) refuse(req *Request, from arrival, status int, extra ...Header) (out packet, ok bool) {
	if req.Method == ACK || status == 0 {
		return out, false
	}
	req.arrived(from.peer)
	req.Conn = from.name()
	res := req.Response(status, "")
	res.Headers = append(res.Headers, extra...)
	res.partial = true
	if res.check() != nil {
		return out, false
	}
	return packet{raw: res.encode(), status: status, dest: res.dest, flow: res.flow}, true
}

// alias lets later requests to the address where an authenticated peer says he
// listens use his connection (RFC 5923 section 5). The address must be his own: a
// certificate does not say which addresses its owner has.
func (e *Endpoint) alias(req *Request, c *conn) {
	if _, wants := param(req.viaParams, "alias"); !wants {
		return
	}
	host, port := splitHostPort(req.sentBy)
	at, literal := hostPort(host, port, 5061)
	if literal && at.Addr() == c.peer.Addr.Addr() {
		e.streams.named(c, Peer{c.peer.Transport, at})
	}
}

// stableTag is the To-tag of responses for which call control gives none: the same
// for each copy of a request, on any node.
func stableTag(req *Request) string {
	h := fnv.New64a()
	for _, s := range []string{req.CallID, req.FromTag, req.Branch} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// isKeepAlive reports a datagram of line ends or zeros, as clients behind NAT send.
func isKeepAlive(raw []byte) bool {
	if len(raw) > 4 {
		return false
	}
	for _, c := range raw {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
