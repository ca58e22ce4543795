package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tandem/chaos/sim"
)

// TestNodeIsBackAfterALongCut: TCP with a kernel's patience sends again ever more
// rarely, so a connection that lived through a cut stays silent long after it. A
// node does not wait for that.
func TestNodeIsBackAfterALongCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, net: sim.New(sim.Config{})}
		defer l.close()
		for range 3 {
			l.add(3)
		}
		for _, n := range l.nodes {
			l.start(n)
		}
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
