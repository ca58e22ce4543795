package node

import (
	"context"
	"errors"
	"time"

	"tandem/fsm"
)

// ErrNoHeir says that no other node can take over what this one has.
var ErrNoHeir = errors.New("no other node can take over")

// heirPoll is how often a node that leaves looks whether anybody is left who can
// take over, and heirWait how long it goes on without: the leadership moves, and
// a lease is in doubt for a moment.
const (
	heirPoll = 100 * time.Millisecond
	heirWait = time.Second
)

// Leave is Drain for a node that is about to stop: it gives up with [ErrNoHeir]
// as soon as waiting makes no sense. What it has then waits in the state for its
// next process, or goes to whoever comes first.
func (n *Node) Leave(ctx context.Context, progress func(DrainStep)) error {
	if n.opts.Witness || !n.hasHeir() {
		return ErrNoHeir
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- n.Drain(ctx, progress) }()
	tick := time.NewTicker(heirPoll)
	defer tick.Stop()
	seen := time.Now()
	for {
		select {
		case err := <-done:
			if errors.Is(context.Cause(ctx), ErrNoHeir) {
				return ErrNoHeir
			}
			return err
		case now := <-tick.C:
			if n.hasHeir() {
				seen = now
			} else if now.Sub(seen) > heirWait {
				cancel(ErrNoHeir)
			}
		}
	}
}

// hasHeir says whether this node can hand something over, and somebody is there
// to take it.
func (n *Node) hasHeir() (ok bool) {
	if !n.Serving() {
		return false
	}
	n.replica.View(func(s *fsm.State) {
		for _, m := range s.Members() {
			ok = ok || m.Up && !m.Witness && !m.Draining && m.Node != n.id
		}
	})
	return ok
}
