package cluster

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a scenario over a fresh cluster in virtual time.
func bubble(t *testing.T, size int, script func(*testing.T, *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, size)
		defer l.close()
		script(t, l)
	})
}

func TestEveryNodeProposes(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		l.leader()
		for i := range 30 {
			if place := l.propose(l.nodes[i%3], fmt.Sprint(i)); place != uint64(i+1) {
				t.Fatalf("command %d has place %d", i, place)
			}
		}
		l.equal(30)
	})
}

func TestLatencyOfAFollowersCommand(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		n := l.follower()
		time.Sleep(time.Second)
		for range 20 {
			start := time.Now()
			l.propose(n, "x")
			if d := time.Since(start); d > 3*time.Millisecond {
				t.Errorf("took %v: the commit hint does not work", d)
			}
			time.Sleep(77 * time.Millisecond)
		}
	})
}
