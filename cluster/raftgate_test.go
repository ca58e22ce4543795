package cluster_test

import (
	"context"
	"testing"
	"time"
)

// TestLongDeadFollowerIsFedAtOnce: raft itself waits up to 10 s between its
// attempts to feed a follower that has been dead for some time.
func TestLongDeadFollowerIsFedAtOnce(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		leader, n := l.leader(), l.follower()
		for _, dead := range []time.Duration{9 * time.Second, 3 * time.Minute} {
			l.kill(n)
			end := time.Now().Add(dead)
			for time.Now().Before(end) {
				l.propose(leader, "x")
				time.Sleep(time.Second)
			}
			l.restart(n)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if err := n.cluster().WaitApplied(ctx, leader.cluster().Applied()); err != nil {
				t.Fatal(err)
			}
			cancel()
			if d := time.Since(start); d > 700*time.Millisecond {
				t.Errorf("dead for %v: level with the others %v after its start", dead, d)
			}
		}
	})
}
