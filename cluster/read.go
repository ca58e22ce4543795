package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tandem/chaos/plant"
	"tandem/fsm/wire"
)

const readName = "cluster.read"

// reader lets reads share rounds: those that come while a round is under way
// wait for the next one, since the present one may have looked too early.
type reader struct {
	ask func(context.Context) (uint64, error)

	mu   sync.Mutex // guards what follows
	busy bool
	next *round // being gathered while busy
}

// round is one confirmation of leadership for many reads.
type round struct {
	done  chan struct{} // closed when index and err are set
	index uint64
	err   error
}

// roundTimeout bounds a round, whoever asked for it.
const roundTimeout = 2 * time.Second

// index returns an index that was committed after the call began.
func (r *reader) index(ctx context.Context) (uint64, error) {
	r.mu.Lock()
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
	}
	mine := r.next
	start := !r.busy
	r.busy = true
	r.mu.Unlock()
	if start {
		r.rounds(ctx)
	}
	select {
	case <-mine.done:
		return mine.index, mine.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// rounds runs the round that its caller waits for. A further one gets a goroutine
// that lives no longer than those who wait for it, or roundTimeout.
func (r *reader) rounds(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundTimeout)
	defer cancel()
	r.mu.Lock()
	now := r.next
	r.next = nil
	r.mu.Unlock()
	now.index, now.err = r.ask(ctx)
	close(now.done)
	r.mu.Lock()
	more := r.next != nil
	r.busy = more
	r.mu.Unlock()
	if more {
		go r.rounds(ctx)
	}
}

// ReadIndex returns an index such that whoever has applied it sees everything
// that was acknowledged anywhere before the call. It waits for that index, and
// through an election until ctx ends.
func (c *Cluster) ReadIndex(ctx context.Context) (uint64, error) {
	if plant.On(plant.StaleRead) {
		return c.Applied(), nil
	}
	for {
		index, err := c.reader.index(ctx)
		if err == nil {
			return index, c.replica.wait(ctx, index)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("read index: %w: %w", ErrTimeout, err)
		case <-c.dead:
			return 0, ErrClosed
		case <-time.After(retryPause):
		}
	}
}

// readIndex asks the leader, which may be this node.
func (c *Cluster) readIndex(ctx context.Context) (uint64, error) {
	info, changed := c.leader.get()
	switch info.id {
	case "":
		return 0, ErrNoLeader
	case c.cfg.ID:
		return c.leaderIndex()
	}
	ctx, stop := whileLeads(ctx, changed)
	defer stop()
	b, err := c.rpc.call(ctx, info.addr, readName, nil)
	if err != nil {
		return 0, err
	}
	var index uint64
	d := wire.Decoder(b)
	d.Uint(&index)
	return index, d.Finish()
}

// leaderIndex is the commit index of a leader that has committed an entry of
// its term and is then confirmed by a majority (raft thesis, section 6.4).
func (c *Cluster) leaderIndex() (uint64, error) {
	if _, leads := c.sequencer.leads(); !leads {
		return 0, ErrNoLeader
	}
	index := c.raft.CommitIndex()
	if err := c.raft.VerifyLeader().Error(); err != nil {
		return 0, fmt.Errorf("verify leader: %w", err)
	}
	return index, nil
}

// serveRead answers another node's readIndex.
func (c *Cluster) serveRead(context.Context, string, []byte) ([]byte, error) {
	index, err := c.leaderIndex()
	if err != nil {
		return nil, err
	}
	w := wire.Encoder(nil)
	w.Uint(&index)
	return w.Buffer(), nil
}

// Applied is the index of the newest entry that the machine has applied.
func (c *Cluster) Applied() uint64 { return c.replica.index() }

// WaitApplied returns when the machine has applied index.
func (c *Cluster) WaitApplied(ctx context.Context, index uint64) error {
	return c.replica.wait(ctx, index)
}

// LogTime is this node's estimate of log time, in microseconds since 1970.
func (c *Cluster) LogTime() int64 {
	at, _ := c.clock.now()
	return at
}
