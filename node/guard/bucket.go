package guard

import (
	"sync"
	"time"
)

// bucket is a token bucket: rate tokens a second, at most one second's worth.
// One new call costs one token, so its lock is taken once a call.
type bucket struct {
	id   string
	rate uint32

	mu     sync.Mutex // tokens and last
	tokens float64
	last   time.Time
}

func newBucket(id string, rate uint32, now time.Time) *bucket {
	return &bucket{id: id, rate: rate, tokens: float64(rate), last: now}
}

// take takes one token if there is one.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(float64(b.rate), b.tokens+d.Seconds()*float64(b.rate))
		b.last = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
