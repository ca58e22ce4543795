package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMedianWall(t *testing.T) {
	own := time.Unix(1000, 0)
	for _, c := range []struct {
		offsets []time.Duration
		want    time.Duration
	}{
		{nil, 0},
		{[]time.Duration{time.Hour}, 30 * time.Minute},
		{[]time.Duration{time.Hour, time.Second}, time.Second},
		{[]time.Duration{-time.Hour, -time.Hour}, -time.Hour},
	} {
		if got := medianWall(own, c.offsets).Sub(own); got != c.want {
			t.Errorf("%v: %v, want %v", c.offsets, got, c.want)
		}
	}
}

// TestStampNeverGoesBack even if the median is far behind.
func TestStampNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &logClock{}
		c.start(time.Now())
		last := c.stamp(time.Now())
		for range 1000 {
			time.Sleep(300 * time.Microsecond)
			at := c.stamp(time.Now().Add(-24 * time.Hour))
			if d := at - last; d < 299 || d > 300 {
				t.Fatalf("moved %d µs in 300", d)
			}
			last = at
		}
	})
}

// TestSlowCommitsDoNotSlowTheClock: a leader's clock runs at its own pace however
// long its entries are on their way to the majority.
func TestSlowCommitsDoNotSlowTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &logClock{}
		c.start(time.Now())
		first, begin := c.stamp(time.Now()), time.Now()
		for range 100 {
			at := c.stamp(time.Now())
			time.Sleep(80 * time.Millisecond)
			c.applied(at)
		}
		log, real := time.Duration(c.stamp(time.Now())-first)*time.Microsecond, time.Since(begin)
		if off := (log - real).Abs(); off > time.Millisecond {
			t.Errorf("log time moved %v in %v", log, real)
		}
	})
}
