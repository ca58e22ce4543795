package cluster

import (
	"context"
	"fmt"

	"tandem/fsm/wire"
)

const (
	batchName = "cluster.batch"
	// maxOutcome bounds one command's result.
	maxOutcome = 64 << 10
)

func (r *request) code(c *wire.Codec) {
	wire.Enum(c, &r.lane, lanes-1)
	c.String(&r.flow, maxFlow)
	c.Bytes(&r.envelope, maxEnvelope)
}

// maxFlow bounds the name of a flow on its way; a longer one is cut, which only
// costs fairness.
const maxFlow = 128

func (o *outcome) code(c *wire.Codec) {
	c.Bool(&o.retry)
	c.Bool(&o.large)
	c.Uint(&o.index)
	c.Bytes(&o.data, maxOutcome)
}

// sendBatch brings a batch to the leader, which may be this node.
func (c *Cluster) sendBatch(ctx context.Context, leader leaderInfo, reqs []request) ([]outcome, error) {
	if leader.id == c.cfg.ID {
		return c.sequence(ctx, reqs)
	}
	w := wire.Encoder(nil)
	for i := range reqs {
		reqs[i].flow = reqs[i].flow[:min(len(reqs[i].flow), maxFlow)]
	}
	wire.Slice(w, &reqs, maxEntryCommands, func(w *wire.Codec, r *request) { r.code(w) })
	b, err := c.rpc.call(ctx, leader.addr, batchName, w.Buffer())
	if err != nil {
		return nil, err
	}
	var out []outcome
	d := wire.Decoder(b)
	wire.Slice(d, &out, maxEntryCommands, func(d *wire.Codec, o *outcome) { o.code(d) })
	return out, d.Finish()
}

// serveBatch takes a batch of another node. A node that does not lead refuses:
// forwarding is one hop.
func (c *Cluster) serveBatch(ctx context.Context, from string, b []byte) ([]byte, error) {
	var reqs []request
	d := wire.Decoder(b)
	wire.Slice(d, &reqs, maxEntryCommands, func(d *wire.Codec, r *request) { r.code(d) })
	if err := d.Finish(); err != nil {
		return nil, err
	}
	for i := range reqs {
		reqs[i].origin = from
		e, err := decodeEnvelope(reqs[i].envelope)
		if err == nil && e.Node != from { // owners are checked by the name in it
			err = fmt.Errorf("command of %s", e.Node)
		}
		if err == nil {
			err = c.cfg.Check(e.Body)
		}
		if err != nil {
			return nil, fmt.Errorf("batch of %s, command %d: %w", from, i, err)
		}
	}
	out, err := c.sequence(ctx, reqs)
	if err != nil {
		return nil, err
	}
	w := wire.Encoder(nil)
	wire.Slice(w, &out, maxEntryCommands, func(w *wire.Codec, o *outcome) { o.code(w) })
	return w.Buffer(), w.Err()
}

// sequence hands a batch to this node's sequencer and waits.
func (c *Cluster) sequence(ctx context.Context, reqs []request) ([]outcome, error) {
	if len(reqs) == 0 {
		return nil, nil
	}
	done := make(chan []outcome, 1) // one answer, perhaps after the wait was given up
	if err := c.sequencer.add(reqs, func(out []outcome) { done <- out }); err != nil {
		return nil, err
	}
	select {
	case out := <-done:
		return out, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
