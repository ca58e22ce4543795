package sip

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxDatagram is the size above which a request goes over TCP although its
	// destination says UDP: a fragment that is lost loses all of it, and firewalls
	// drop fragments (RFC 3261 section 18.1.1).
	maxDatagram = 1300

	// switchTimeout is how long such a request waits for an answer before it goes by
	// UDP after all: a firewall that drops TCP in silence must not cost the call.
	// Who got both takes the second for a repetition: their branch is the same.
	switchTimeout = time.Second

	// narrowFor is how long a peer that did not take TCP is not asked again.
	narrowFor = 10 * time.Minute
	// maxNarrow bounds the peers that are remembered; above it nobody new is.
	maxNarrow = 1024
)

// narrow are the peers that take large requests by UDP only.
type narrow struct {
	mu    sync.Mutex // guards until
	until map[netip.AddrPort]time.Time
}

func (n *narrow) has(peer netip.AddrPort, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	until, ok := n.until[peer]
	if ok && until.Before(now) {
		delete(n.until, peer)
		return false
	}
	return ok
}

func (n *narrow) add(peer netip.AddrPort, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.until == nil {
		n.until = make(map[netip.AddrPort]time.Time)
	}
	if len(n.until) < maxNarrow {
		n.until[peer] = now.Add(narrowFor)
	}
}

// packet encodes a request for its destination. spare is nil, or the same request
// as a datagram, when it goes over TCP for its size alone.
func (e *Endpoint) packet(req *Request) (out packet, spare *packet) {
	out = packet{
		dest: req.Dest, flow: flow{req.Flow, req.FlowConn}, method: req.Method,
		raw: req.encode(e.via(req.Dest.Transport, req.Branch)),
	}
	if req.Dest.Transport != UDP || len(out.raw) <= maxDatagram || !e.dials(TCP) || e.narrow.has(req.Dest.Addr, time.Now()) {
		return out, nil
	}
	datagram := out
	out.dest.Transport = TCP
	out.raw = req.encode(e.via(TCP, req.Branch))
	return out, &datagram
}

// fallBack sends by UDP what TCP did not take.
func (tx *ClientTx) fallBack(now time.Time) {
	s := tx.shard
	s.e.narrow.add(tx.spare.dest.Addr, now)
	tx.out, tx.spare = *tx.spare, nil
	tx.interval = s.e.cfg.T1
	tx.resend = now.Add(tx.interval)
	tx.schedule()
	tx.send()
}
