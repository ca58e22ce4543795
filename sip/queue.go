package sip

import "sync"

// queue is a bounded queue with many writers and one reader, who takes all
// that is there at once and waits on wake when there is nothing.
type queue[T any] struct {
	wake chan struct{} // capacity 1: a wake-up is kept while the reader works

	mu     sync.Mutex // guards what follows
	items  []T
	closed bool
}

func newQueue[T any]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

// push appends v unless the queue is closed or holds bound items.
func (q *queue[T]) push(v T, bound int) bool {
	q.mu.Lock()
	ok := !q.closed && len(q.items) < bound
	if ok {
		q.items = append(q.items, v)
	}
	q.mu.Unlock()
	if ok {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return ok
}

// len returns how many items wait.
func (q *queue[T]) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// take returns all items; spare is what the reader got last time, for reuse.
func (q *queue[T]) take(spare []T) []T {
	clear(spare)
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = spare[:0]
	return items
}

// close refuses further items and returns what is left.
func (q *queue[T]) close() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.closed = nil, true
	return items
}
