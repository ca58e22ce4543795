package cluster

import (
	"math"
	"slices"
	"sync"
	"time"

	"tandem/chaos/plant"
)

// logClock is log time (ARCHITECTURE.md, rule 2): the time of the newest entry plus the
// monotonic time since this node saw it, slewed towards the median wall clock of
// the members and never stepped. Only a leader stamps.
type logClock struct {
	mu     sync.Mutex // guards what follows, in nanoseconds so that slewing short steps adds up
	newest int64      // log time of the newest entry
	at     int64      // log time when this node last set its clock by an entry or a peer
	seen   time.Time  // when that was, monotonic
	live   bool       // at and seen mean something: the log was alive then, not replayed

	stamped int64 // newest time that this node gave an entry as leader
}

const (
	// slewDivisor bounds the drift of log time against the monotonic clock: 1 ms/s.
	slewDivisor = 1000
	// maxOnTheWay is how old an entry may be, by the clock as it runs, to set it.
	// Older ones are caught up on.
	maxOnTheWay = 100 * time.Millisecond
	// micro is a microsecond of log time in the clock's unit.
	micro = int64(time.Microsecond)
)

// applied notes an entry's time. A clock that runs is set by entries that come as
// they are made, and not by those that are replayed. It follows a late one back
// by no more than twice what the leader may slew: what an entry waited on its way
// is no time that has not passed. A leader's own entries come back after their
// commit and are not looked at.
func (c *logClock) applied(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at *= micro
	c.newest = max(c.newest, at)
	if c.live && at > c.stamped && at > c.running()-maxOnTheWay.Nanoseconds() {
		now := time.Now()
		back := 2 * now.Sub(c.seen).Nanoseconds() / slewDivisor
		c.at, c.seen = max(at, c.running()-back), now
	}
}

// lastAt is the time of the newest entry.
func (c *logClock) lastAt() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest / micro
}

// now estimates the present log time; live says whether the log has been alive
// in this process's time, so that the estimate is not that of a replay.
func (c *logClock) now() (at int64, live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running() / micro, c.live
}

// running is the estimate in nanoseconds. Called with mu held.
func (c *logClock) running() int64 {
	if !c.live {
		return c.newest
	}
	return max(c.newest, c.at+time.Since(c.seen).Nanoseconds())
}

// adopt learns a running clock from a peer. It never moves a running clock
// back, and a clock that runs already ignores peers.
func (c *logClock) adopt(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		return
	}
	c.at, c.seen, c.live = max(c.newest, at*micro), time.Now(), true
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
	if plant.On(plant.WallClock) {
		bound = math.MaxInt64
	}
	at += min(max(median.UnixNano()-at, -bound), bound)
	c.newest = max(at, c.newest)
	c.at, c.seen, c.stamped = c.newest, now, c.newest
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
