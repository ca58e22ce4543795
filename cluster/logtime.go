package cluster

import (
	"slices"
	"sync"
	"time"
)

// logClock is log time (ha.md 6): the time of the newest entry plus the
// monotonic time since this node saw it, slewed towards the median wall clock of
// the members and never stepped. Only a leader stamps.
type logClock struct {
	mu   sync.Mutex // guards what follows
	at   int64      // log time of the newest entry, in nanoseconds so that slewing short steps adds up
	seen time.Time  // when this node saw it, monotonic
	live bool       // seen means something: the log was alive then, not replayed
}

// slewDivisor bounds the drift of log time against the monotonic clock: 1 ms/s.
const slewDivisor = 1000

// micro is a microsecond of log time in the clock's unit.
const micro = int64(time.Microsecond)

// applied notes an entry's time. Replayed entries move the time but do not make
// the clock live.
func (c *logClock) applied(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at*micro > c.at {
		c.at, c.seen = at*micro, time.Now()
	}
}

// lastAt is the time of the newest entry.
func (c *logClock) lastAt() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at / micro
}

// now estimates the present log time; live says whether the log has been alive
// in this process's time, so that the estimate is not that of a replay.
func (c *logClock) now() (at int64, live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.estimate(), c.live
}

// estimate is called with mu held.
func (c *logClock) estimate() int64 {
	if !c.live {
		return c.at / micro
	}
	return (c.at + time.Since(c.seen).Nanoseconds()) / micro
}

// adopt learns a running clock from a peer. It never moves a running clock
// back, and a clock that runs already ignores peers.
func (c *logClock) adopt(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		return
	}
	c.at, c.seen, c.live = max(c.at, at*micro), time.Now(), true
}

// start makes the clock live for a new leader: it goes on where it was or, when
// no clock survived (restart of all nodes), at the median wall clock.
func (c *logClock) start(median time.Time) {
	c.adopt(median.UnixMicro())
}

// stamp returns the time of the next entry, given the median wall clock.
func (c *logClock) stamp(median time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	elapsed := now.Sub(c.seen).Nanoseconds()
	at := c.at + elapsed
	bound := elapsed / slewDivisor
	at += min(max(median.UnixNano()-at, -bound), bound)
	c.at, c.seen = max(at, c.at), now
	return c.at / micro
}

// medianWall returns the median of the members' wall clocks, given this node's
// and the offsets of the others to it.
func medianWall(own time.Time, offsets []time.Duration) time.Time {
	all := append(slices.Clone(offsets), 0)
	slices.Sort(all)
	mid := len(all) / 2
	if len(all)%2 == 1 {
		return own.Add(all[mid])
	}
	return own.Add((all[mid-1] + all[mid]) / 2)
}
