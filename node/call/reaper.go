package call

import (
	"fmt"
	"sync"
	"time"
)

// Bounds of the reaper: what ends calls of which nothing shows that they are still
// there. It works slowly, so that somebody can look at it: when many calls seem
// dead at once, it is rather the network that is.
const (
	// reapsPerSecond bounds the calls that a node ends for want of life.
	reapsPerSecond = 50
	// reapWindow is the time over which they are counted for the alarm, and
	// reapShare the part of the live calls, in percent, beyond which it is raised.
	reapWindow = time.Minute
	reapShare  = 5
	// minReaped is the number below which a share says nothing.
	minReaped = 10
	// spareFor is the pause before a spared call is probed again.
	spareFor = time.Minute
)

// reaper says when a call without any proof of life may be ended
// (ARCHITECTURE.md, rule 12).
type reaper struct {
	control *Control

	mu      sync.Mutex // guards what follows
	pace    pace
	begun   time.Time // of the window
	reaped  int       // within it
	alarmed bool      // in it
}

func newReaper(c *Control) *reaper {
	return &reaper{control: c, pace: pace{every: time.Second / reapsPerSecond}}
}

// ask returns 0 when a call may be ended now, or else how long to wait.
func (r *reaper) ask(now time.Time) time.Duration {
	c := r.control
	if c.cfg.SpareDead != nil && c.cfg.SpareDead() {
		c.stats.add(Spared)
		r.note(now)
		return spareFor
	}
	if !r.pace.take(now) {
		return time.Second
	}
	r.note(now)
	return 0
}

// note counts a call and raises the alarm when there are too many.
func (r *reaper) note(now time.Time) {
	live := r.control.Live()
	r.mu.Lock()
	if now.Sub(r.begun) >= reapWindow {
		r.begun, r.reaped, r.alarmed = now, 0, false
	}
	r.reaped++
	n := r.reaped
	raise := !r.alarmed && n >= minReaped && n*100 > reapShare*(live+n)
	r.alarmed = r.alarmed || raise
	r.mu.Unlock()
	if raise {
		r.control.alarm("reaper", fmt.Sprintf("%d of %d calls showed no life within %v", n, live+n, reapWindow))
	}
}

// alarm tells an operator.
func (c *Control) alarm(kind, text string) {
	c.log.Error("alarm", "kind", kind, "text", text)
	if c.cfg.Alarm != nil {
		c.cfg.Alarm(kind, text)
	}
}

// pace spreads events over time. Its methods may be called from any goroutine.
type pace struct {
	every time.Duration

	mu   sync.Mutex // guards last
	last time.Time
}

// take reports whether an event may happen now, and counts it.
func (p *pace) take(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) < p.every {
		return false
	}
	p.last = now
	return true
}

// next returns when the next event may happen, and counts it.
func (p *pace) next(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = p.last.Add(p.every)
	if p.last.Before(now) {
		p.last = now
	}
	return p.last
}
