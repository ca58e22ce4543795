package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"tandem/cluster"
)

// monotonic checks that log time never goes back on any node.
func (l *lab) monotonic() {
	l.t.Helper()
	for _, n := range l.live() {
		at := n.m.times()
		for i := 1; i < len(at); i++ {
			if at[i] < at[i-1] {
				l.t.Errorf("%s: log time goes back by %d µs at entry %d", n.id, at[i-1]-at[i], i)
			}
		}
	}
}

// advanced proposes before and after a script and returns how far log time and
// true time moved.
func (l *lab) advanced(script func()) (log, real time.Duration) {
	l.t.Helper()
	mark := func() (int64, time.Time) {
		lead := l.leader()
		l.propose(lead, "mark")
		at := lead.m.times()
		return at[len(at)-1], time.Now()
	}
	at, begin := mark()
	script()
	until, end := mark()
	return time.Duration(until-at) * time.Microsecond, end.Sub(begin)
}

// TestLogTimeSurvivesLeaders: through two changes of leadership log time loses
// nothing but the way of an entry to the follower.
func TestLogTimeSurvivesLeaders(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		log, real := l.advanced(func() {
			for i := range 2 {
				time.Sleep(time.Duration(i+1) * 10 * time.Second)
				dead := l.leader()
				l.kill(dead)
				l.leader()
				l.restart(dead)
			}
		})
		if off := (log - real).Abs(); off > 100*time.Millisecond {
			t.Errorf("log time moved %v in %v", log, real)
		}
		l.monotonic()
	})
}

// TestWallClockOfTheLeaderJumps: log time does not, the node says so and stops
// leading, and the next leader's log time goes on.
func TestWallClockOfTheLeaderJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, l *lab) {
				time.Sleep(5 * time.Second)
				old := l.leader()
				log, real := l.advanced(func() {
					old.host.SetClock(jump, 1)
					time.Sleep(time.Minute)
				})
				if off := (log - real).Abs(); off > real/cluster.SlewDivisor+10*time.Millisecond {
					t.Errorf("log time moved %v in %v", log, real)
				}
				if old.happened(cluster.EventClock) != 1 {
					t.Errorf("%d alarms, want 1", old.happened(cluster.EventClock))
				}
				if l.leader() == old {
					t.Error("a node with a wrong clock still leads")
				}
				l.monotonic()
			})
		})
	}
}

// TestSlew: log time follows the median wall clock by a millisecond a second.
func TestSlew(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		time.Sleep(5 * time.Second)
		log, real := l.advanced(func() {
			for _, n := range l.nodes {
				n.host.SetClock(time.Second, 1) // all of them: the median moves
			}
			for i := range 100 {
				time.Sleep(time.Second)
				l.propose(l.nodes[i%3], fmt.Sprint(i))
			}
		})
		if gain := log - real; gain < 80*time.Millisecond || gain > 101*time.Millisecond {
			t.Errorf("log time gained %v in %v, want 100ms", gain, real)
		}
		l.monotonic()
	})
}

// TestRestartOfOneNodeKeepsLogTime: a node that restarts and becomes leader
// continues the clock of the others.
func TestRestartOfOneNodeKeepsLogTime(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		time.Sleep(5 * time.Second)
		for _, n := range l.nodes {
			n.host.SetClock(30*time.Minute, 1) // wall clock and log time have drifted apart
		}
		log, real := l.advanced(func() {
			n := l.follower()
			l.kill(n)
			time.Sleep(5 * time.Second)
			l.restart(n)
			time.Sleep(time.Second)
			if err := l.leader().c.TransferTo(n.id, n.cfg.Advertise); err != nil {
				t.Fatal(err)
			}
			if l.leader() != n {
				t.Fatal("leadership was not handed over")
			}
		})
		if off := (log - real).Abs(); off > 100*time.Millisecond {
			t.Errorf("log time moved %v in %v", log, real)
		}
		l.monotonic()
	})
}

func TestTicks(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		lead := l.leader()
		time.Sleep(10 * time.Second)
		idle := len(lead.m.times())
		for _, n := range l.nodes {
			n.m.mu.Lock()
			n.m.tick = true
			n.m.mu.Unlock()
		}
		time.Sleep(10 * time.Second)
		if n := len(lead.m.times()) - idle; n < 19 || n > 21 {
			t.Errorf("%d ticks in 10s, want 20", n)
		}
		if idle > 2 {
			t.Errorf("%d entries without a deadline in the state", idle)
		}
	})
}
