package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// group runs goroutines that live and die together: when one returns, the
// others are told to stop, and stop waits for all.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex // err
	err error
}

func newGroup(ctx context.Context) *group {
	g := &group{}
	g.ctx, g.cancel = context.WithCancel(ctx)
	return g
}

// run starts one part.
func (g *group) run(name string, part func(context.Context) error) {
	g.wg.Go(func() {
		defer g.cancel()
		if err := part(g.ctx); err != nil && !errors.Is(err, context.Canceled) {
			g.mu.Lock()
			g.err = errors.Join(g.err, fmt.Errorf("%s: %w", name, err))
			g.mu.Unlock()
		}
	})
}

// failed is closed when a part has returned.
func (g *group) failed() <-chan struct{} { return g.ctx.Done() }

// stop ends all parts, waits for them and returns what went wrong.
func (g *group) stop() error {
	g.cancel()
	g.wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
