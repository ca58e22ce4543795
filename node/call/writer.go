package call

import (
	"context"
	"log/slog"
	"sync"
)

// writer is the one goroutine that waits for the outbox's disk, so that no shard
// does. Its queue is bounded by the calls of the node: each stores one end.
type writer struct {
	box  Outbox
	log  *slog.Logger
	wake chan struct{} // capacity 1: something is queued

	mu    sync.Mutex // guards queue
	queue []write
}

type write struct {
	store
	done func(error)
}

func newWriter(box Outbox, log *slog.Logger) *writer {
	return &writer{box: box, log: log, wake: make(chan struct{}, 1)}
}

// put stores a settlement and then calls done.
func (w *writer) put(s store, done func(error)) {
	w.mu.Lock()
	w.queue = append(w.queue, write{s, done})
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and then what is queued still.
func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-w.wake:
		case <-ctx.Done():
		}
		w.flush()
	}
}

func (w *writer) flush() {
	w.mu.Lock()
	queue := w.queue
	w.queue = nil
	w.mu.Unlock()
	for _, q := range queue {
		q.done(w.box.Put(q.body, q.since))
	}
}
