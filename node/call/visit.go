package call

import (
	"context"
	"time"

	"tandem/fsm"
)

// visit is an event for a shard: look at every call.
type visit struct {
	each func(*Call)
	done chan<- struct{} // has room for one from every shard
}

func (s *shard) visit(v visit) {
	for _, e := range s.calls {
		v.each(e.call)
	}
	v.done <- struct{}{}
}

// gather lets every shard look at its calls, one shard after the other, so that
// each needs no lock. It returns early when ctx ends.
func (c *Control) gather(ctx context.Context, each func(*Call)) error {
	for _, s := range c.shards {
		done := make(chan struct{}, 1)
		s.post(item{ev: visit{each: each, done: done}, sure: true})
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Served returns the calls that this node serves and that have not ended, for the
// comparison with those that the state says are its own (ARCHITECTURE.md, rule 6).
func (c *Control) Served(ctx context.Context) ([]fsm.CallID, error) {
	var ids []fsm.CallID
	err := c.gather(ctx, func(call *Call) {
		if call.phase < ending {
			ids = append(ids, call.id)
		}
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// Silent returns the answered calls whose RTP has stopped on both sides for as
// long as quiet, for the node's Beat (ARCHITECTURE.md, rule 12). A call that never had any is not
// among them: its media may go past us. An adopted call is, until something of it
// has been heard.
func (c *Control) Silent(ctx context.Context, quiet time.Duration) ([]fsm.CallID, error) {
	since := time.Now().Add(-quiet)
	var ids []fsm.CallID
	err := c.gather(ctx, func(call *Call) {
		stopped := call.since.Before(since) && call.heard() && call.silentSince(since)
		if call.phase == talking && (stopped || call.unproven()) {
			ids = append(ids, call.id)
		}
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// Settled says that no call on a line is in the middle of something that a new
// owner could not see: set-up before the callee rings, an answer or an offer under
// way. A call that is over is none of these.
func (c *Control) Settled(ctx context.Context, l *Line) (bool, error) {
	settled := true
	err := c.gather(ctx, func(call *Call) {
		if call.line == l {
			settled = settled && call.movable()
		}
	})
	return settled, err
}

// Flush commits what has changed in the calls on a line since their last commit.
func (c *Control) Flush(l *Line) {
	for _, s := range c.shards {
		s.post(item{ev: flush{line: l}, sure: true})
	}
}

// Flushed says that no call on a line waits for a commit.
func (c *Control) Flushed(ctx context.Context, l *Line) (bool, error) {
	flushed := true
	err := c.gather(ctx, func(call *Call) {
		if call.line == l && call.phase < over {
			flushed = flushed && call.inflight == nil && len(call.queue) == 0
		}
	})
	return flushed, err
}
