package node

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"tandem/fsm"
	"tandem/fsm/wire"
	"tandem/node/call"
	"tandem/node/trace"
	"tandem/sip"
)

const (
	rpcTrace = "trace.find"
	// traceWait bounds the wait for a peer's messages.
	traceWait = 3 * time.Second
	// maxTraceIDs, maxTraceID and traceBytes bound a question and its answer.
	maxTraceIDs = 16
	maxTraceID  = 512
	traceBytes  = 2 << 20
	maxTraced   = 4096
)

// record shows a message of a service address to the ring.
func (n *Node) record(local netip.AddrPort) func(bool, sip.Peer, []byte) {
	return func(sent bool, peer sip.Peer, raw []byte) {
		m := trace.Message{At: time.Now(), Transport: strings.ToLower(peer.Transport.String()), Local: local, Peer: peer.Addr, Raw: raw}
		if sent {
			m.Direction = trace.Out
		}
		n.ring.Record(m)
	}
}

// tracing is a question for messages, and traced an answer.
type (
	tracing struct{ trace.Query }
	traced  struct{ messages []trace.Message }
)

func (q *tracing) fields(c *wire.Codec) {
	c.String(&q.Prefix, maxTraceID)
	wire.Slice(c, &q.CallIDs, maxTraceIDs, func(c *wire.Codec, s *string) { c.String(s, maxTraceID) })
}

func (t *traced) fields(c *wire.Codec) {
	wire.Slice(c, &t.messages, maxTraced, func(c *wire.Codec, m *trace.Message) {
		at, way := m.At.UnixNano(), uint8(m.Direction)
		c.Int(&at)
		c.U8(&way)
		c.String(&m.Transport, maxTraceID)
		for _, a := range []*netip.AddrPort{&m.Local, &m.Peer} {
			ip, port := a.Addr().As16(), a.Port()
			c.Fixed(ip[:])
			c.U16(&port)
			*a = netip.AddrPortFrom(netip.AddrFrom16(ip).Unmap(), port)
		}
		c.Bytes(&m.Raw, traceBytes)
		m.At, m.Direction = time.Unix(0, at), trace.Direction(way)
	})
}

// handleTrace answers peers that ask for the messages of a call.
func (n *Node) handleTrace() {
	n.cluster.Handle(rpcTrace, func(_ context.Context, _ string, req []byte) ([]byte, error) {
		var q tracing
		d := wire.Decoder(req)
		q.fields(d)
		if err := d.Finish(); err != nil {
			return nil, err
		}
		var answer traced
		size := 0
		found := n.ring.Find(q.Query)
		for i := len(found) - 1; i >= 0 && size+len(found[i].Raw) <= traceBytes; i-- { // the newest
			size += len(found[i].Raw)
			answer.messages = append(answer.messages, found[i])
		}
		c := wire.Encoder(nil)
		answer.fields(c)
		return c.Buffer(), c.Err()
	})
}

// Trace implements [api.Traces]: it asks all members.
func (n *Node) Trace(ctx context.Context, id fsm.CallID, callIDs []string) ([]trace.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, traceWait)
	defer cancel()
	query := trace.Query{CallIDs: callIDs[:min(len(callIDs), maxTraceIDs)]}
	if id != (fsm.CallID{}) {
		query.Prefix = call.LegPrefix(id)
	}
	c := wire.Encoder(nil)
	(&tracing{query}).fields(c)
	if err := c.Err(); err != nil {
		return nil, err
	}
	found := n.ring.Find(query)
	var mu sync.Mutex // found, failed
	var failed error
	var all sync.WaitGroup
	for _, m := range n.cluster.Status().Members {
		if m.ID == string(n.id) || !m.Alive {
			continue
		}
		all.Go(func() {
			b, err := n.cluster.Call(ctx, m.ID, rpcTrace, c.Buffer())
			var answer traced
			if err == nil {
				d := wire.Decoder(b)
				answer.fields(d)
				err = d.Finish()
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = errors.Join(failed, err)
				return
			}
			found = append(found, answer.messages...)
		})
	}
	all.Wait()
	return trace.Newest(found), failed
}
