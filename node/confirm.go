package node

import (
	"context"
	"sync"
	"time"
)

// confirmWait is how long the cluster may take to say that the replica is up to
// date: peers repeat themselves meanwhile.
const confirmWait = 2 * time.Second

// confirmer asks the cluster whether the local replica is up to date, in rounds
// that all who ask share. Call control bounds how many ask.
type confirmer struct {
	wake chan struct{} // capacity 1: somebody waits
	ask  func(context.Context) error

	mu      sync.Mutex // guards waiting
	waiting []func(ok bool)
}

func newConfirmer(ask func(context.Context) error) *confirmer {
	return &confirmer{wake: make(chan struct{}, 1), ask: ask}
}

// Confirm calls done once everything that was committed before is applied here.
func (c *confirmer) Confirm(done func(ok bool)) {
	c.mu.Lock()
	c.waiting = append(c.waiting, done)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *confirmer) take() []func(bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.waiting
	c.waiting = nil
	return waiting
}

// run answers until ctx ends.
func (c *confirmer) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		waiting := c.take()
		round, cancel := context.WithTimeout(ctx, confirmWait)
		err := c.ask(round)
		cancel()
		for _, done := range waiting {
			done(err == nil)
		}
	}
}
