package cluster_test

import (
	"testing"
	"time"
)

// TestNodeIsBackAfterALongCut: TCP with a kernel's patience sends again ever more
// rarely, so a connection that lived through a cut stays silent long after it. A
// node does not wait for that.
func TestNodeIsBackAfterALongCut(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		n := l.leader()
		l.propose(n, "before")
		l.isolate(n)
		time.Sleep(2 * time.Minute)
		l.net.Heal()
		time.Sleep(3 * time.Second)
		l.propose(n, "after")
		l.equal(2)
	})
}
