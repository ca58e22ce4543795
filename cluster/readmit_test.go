package cluster_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tandem/chaos/sim"
	"tandem/cluster"
)

// wipe kills a node and takes its disk away.
func (l *lab) wipe(n *labNode) {
	l.kill(n)
	n.disk = sim.NewDisk()
}

// TestVoterThatLostItsDisk loses its vote until it has caught up.
func TestVoterThatLostItsDisk(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		n := l.follower()
		for i := range 20 {
			l.propose(n, fmt.Sprint(i))
		}
		l.wipe(n)
		l.restart(n)
		if p := l.peer(n.id); p == nil || p.Voter {
			t.Fatalf("an empty voter still votes: %+v", p)
		}
		l.propose(n, "again")
		l.equal(21)
		time.Sleep(15 * time.Second)
		if p := l.peer(n.id); p == nil || !p.Voter {
			t.Errorf("not promoted: %+v", p)
		}
	})
}

// TestEmptyVoterDoesNotElect: the only node that holds what was acknowledged is
// down; an empty voter and a stale one must not elect each other.
func TestEmptyVoterDoesNotElect(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		lead, wiped := l.leader(), l.follower()
		var stale *labNode
		for _, n := range l.nodes {
			if n != lead && n != wiped {
				stale = n
			}
		}
		l.kill(stale)
		l.propose(lead, "acknowledged") // by the leader and the one that is wiped
		l.wipe(wiped)
		l.kill(lead)
		l.restart(stale)
		if err := refused(wiped.cfg, wiped.host, wiped.disk); !errors.Is(err, cluster.ErrLostStores) {
			t.Fatalf("an empty voter started: %v", err)
		}
		l.restart(lead)
		l.restart(wiped)
		l.propose(wiped, "more")
		l.equal(2)
	})
}

// TestGracefulStop: leadership is handed over, commands on the others hardly wait.
func TestGracefulStop(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		old, other := l.leader(), l.follower()
		time.Sleep(2 * time.Second)
		start := time.Now()
		old.stop()
		time.Sleep(20 * time.Millisecond)
		l.propose(other, "next")
		if d := time.Since(start); d > 200*time.Millisecond {
			t.Errorf("service was back after %v", d)
		}
		if err := <-old.ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}
