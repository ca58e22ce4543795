package cluster

import (
	"context"
	"fmt"
	"time"
)

// Command is one proposal.
type Command struct {
	Lane Lane
	// Flow is the key of fairness within LaneStart, the ingress.
	Flow string
	// Body is the encoded command. It must not change afterwards.
	Body []byte
	// Since is when the event that the command reports happened, on the
	// monotonic clock. Zero: now. What travels is the age (ARCHITECTURE.md, rule 2).
	Since time.Time
	// Until is when to give up. Zero: DefaultHold from now.
	Until time.Time
}

// Result is the answer of the leader's Apply.
type Result struct {
	Index uint64
	Data  []byte
}

// DefaultHold is how long a command is retried through elections.
const DefaultHold = 4 * time.Second

// Propose commits a command and returns its result after this node's own
// replica has applied it (ARCHITECTURE.md, rule 13). Elections are waited through and the
// command is repeated idempotently until ctx or cmd.Until ends: ErrTimeout. A
// full lane is ErrBusy at once.
func (c *Cluster) Propose(ctx context.Context, cmd Command) (Result, error) {
	type answer struct {
		r   Result
		err error
	}
	answers := make(chan answer, 1) // one answer, which nobody may be waiting for any more
	if d, ok := ctx.Deadline(); ok && cmd.Until.IsZero() {
		cmd.Until = d
	}
	op := c.proposer.submit(cmd, func(r Result, err error) { answers <- answer{r, err} })
	select {
	case a := <-answers:
		return a.r, a.err
	case <-ctx.Done():
		c.proposer.abandon(op)
		return Result{}, fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	}
}

// Submit is Propose without a goroutine: done is called once, from a goroutine
// of the cluster, and must not block. It may be called before Submit returns.
func (c *Cluster) Submit(cmd Command, done func(Result, error)) { c.proposer.submit(cmd, done) }
