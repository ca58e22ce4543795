package sim

import "time"

// clock is a clock of a host that may run at another rate than the right one.
type clock struct {
	set  time.Time     // when it was set last
	read time.Duration // what it showed then
	rate float64
}

func newClock() clock { return clock{set: time.Now(), rate: 1} }

// at returns what the clock shows at an instant.
func (c *clock) at(t time.Time) time.Duration {
	return c.read + time.Duration(float64(t.Sub(c.set))*c.rate)
}

// adjust lets the clock jump by step and run at rate from now on.
func (c *clock) adjust(step time.Duration, rate float64) {
	now := time.Now()
	c.read, c.set, c.rate = c.at(now)+step, now, rate
}

// SetClock moves the wall clock by skew against the right time and lets it run
// rate times as fast from now on.
func (h *Host) SetClock(skew time.Duration, rate float64) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.wall = clock{set: time.Now(), read: skew, rate: rate}
}

// Wall is the host's wall clock. It has no monotonic reading.
func (h *Host) Wall() time.Time {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.wall.set.Add(h.wall.at(time.Now())).Round(0)
}

// SetBootRate lets the boot clock run rate times as fast from now on: quartz is
// right to some parts in 100,000, virtual machines are worse.
func (h *Host) SetBootRate(rate float64) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.boot.adjust(0, rate)
}

// SinceBoot is CLOCK_BOOTTIME: the time since the machine came up by its own
// quartz, suspension included, in every life of its programs the same clock.
func (h *Host) SinceBoot() time.Duration {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.boot.at(time.Now())
}

// SinceBoot is the boot clock as the process reads it. In the midst of a
// FreezeFor it is the time at which the process will wake up, since a frozen
// program reads no clock: its timers fire in the bubble meanwhile, and what they
// then decide is what they would decide on waking.
func (r *Process) SinceBoot() time.Duration {
	r.host.net.mu.Lock()
	defer r.host.net.mu.Unlock()
	now := time.Now()
	if r.frozen && r.wakes.After(now) {
		now = r.wakes
	}
	return r.host.boot.at(now)
}
