package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"tandem/chaos/sim"
	"tandem/cluster"
)

// TestExitIsKnownAtOnce: with the guard's word nobody waits, not even when the
// leader died.
func TestExitIsKnownAtOnce(t *testing.T) {
	both(t, func(t *testing.T, l *leaseLab, n *labNode, led bool) {
		start := time.Now()
		l.exit(n)
		took := l.dead(n, start)
		t.Log("declared dead after", took)
		if took > 60*time.Millisecond {
			t.Errorf("took %v", took)
		}
		campaigns := uint64(0)
		for _, o := range l.live() {
			campaigns += o.c.Counters().Campaigns
		}
		if want := map[bool]uint64{true: 1}[led]; campaigns != want {
			t.Errorf("%d campaigns, want %d", campaigns, want)
		}
		l.propose(l.live()[0], "goes on")
		if l.holders() != 2 {
			t.Errorf("%d leases left", l.holders())
		}
	})
}

// TestSilenceIsDeathByPledges: a machine that vanished is declared dead when
// its lease must have run out, and not before.
func TestSilenceIsDeathByPledges(t *testing.T) {
	both(t, func(t *testing.T, l *leaseLab, n *labNode, led bool) {
		start := time.Now()
		n.disk.Kill()
		n.host.Vanish()
		n.stop()
		n.mu.Lock()
		n.c = nil
		n.mu.Unlock()
		took := l.dead(n, start)
		t.Log("declared dead after", took)
		most := 1200 * time.Millisecond
		if led {
			most = 2500 * time.Millisecond
		}
		if took > most || took < 850*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// TestPartitionedNodeFallsSilentFirst: cut off from all, a node loses its lease
// by itself before the others replace it, and comes back after the heal in a new
// life.
func TestPartitionedNodeFallsSilentFirst(t *testing.T) {
	both(t, func(t *testing.T, l *leaseLab, n *labNode, led bool) {
		before := n.c.Incarnation()
		start := time.Now()
		l.isolate(n)
		l.await("its lease is lost", time.Second, func() bool { return !n.c.Lease() })
		if lost := time.Since(start); lost < 700*time.Millisecond {
			t.Errorf("lease was lost after %v", lost)
		}
		l.dead(n, start)
		if l.holders() != 2 {
			t.Errorf("%d leases on the other side", l.holders())
		}
		time.Sleep(8 * time.Second)
		healed := time.Now()
		l.net.Heal()
		l.await("it is back", 10*time.Second, func() bool { return n.c.Lease() })
		t.Log("back after", time.Since(healed))
		if n.c.Incarnation() == before {
			t.Error("it is back in its old life")
		}
		if n.happened(cluster.EventLeaseLost) == 0 || n.c.Counters().LeaseLost == 0 {
			t.Error("nobody was told")
		}
	})
}

// TestPauseOfHalfASecondIsNoDeath, and one of two seconds is: the lease is over
// when the process wakes up.
func TestPause(t *testing.T) {
	for _, pause := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 10 * time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			both(t, func(t *testing.T, l *leaseLab, n *labNode, led bool) {
				before := n.c.Incarnation()
				n.hang(true)
				n.life.FreezeFor(pause)
				time.Sleep(pause)
				n.hang(false)
				if woke := n.c.Lease(); woke != (pause < time.Second) {
					t.Errorf("on waking its lease is %v", woke)
				}
				time.Sleep(10 * time.Second)
				if pause < time.Second && (l.deaths() > 0 || n.c.Incarnation() != before) {
					t.Errorf("%d deaths", l.deaths())
				}
				if pause > time.Second && l.deaths() != 1 {
					t.Errorf("%d deaths, want 1", l.deaths())
				}
				l.await("all have leases again", 10*time.Second, func() bool { return l.holders() == 3 })
			})
		})
	}
}

// TestOneWayCut: a node that can send and hears nothing, or hears and cannot
// send, has no lease and is replaced.
func TestOneWayCut(t *testing.T) {
	for _, deaf := range []bool{true, false} {
		t.Run(fmt.Sprintf("deaf %v", deaf), func(t *testing.T) {
			both(t, func(t *testing.T, l *leaseLab, n *labNode, led bool) {
				for _, o := range l.nodes {
					if o == n {
						continue
					}
					from, to := n.host, o.host
					if deaf {
						from, to = to, from
					}
					l.net.EditLink(from, to, func(k *sim.Link) { k.Cut = true })
				}
				start := time.Now()
				l.await("its lease is lost", time.Second, func() bool { return !n.c.Lease() })
				l.dead(n, start)
				l.net.Heal()
				l.await("all have leases again", 20*time.Second, func() bool { return l.holders() == 3 })
			})
		})
	}
}

// TestOneLinkIsNoDeath: two nodes that do not see each other, while both see the
// third, are alive.
func TestOneLinkIsNoDeath(t *testing.T) {
	leases(t, 3, func(t *testing.T, l *leaseLab) {
		a, b := l.nodes[0].host, l.nodes[1].host
		l.net.EditLink(a, b, func(k *sim.Link) { k.Cut = true })
		l.net.EditLink(b, a, func(k *sim.Link) { k.Cut = true })
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if l.holders() != 3 {
				t.Fatalf("%d leases", l.holders())
			}
		}
		l.net.Heal()
		time.Sleep(3 * time.Second)
		if l.deaths() > 0 {
			t.Errorf("%d deaths", l.deaths())
		}
		for _, n := range l.nodes {
			if c := n.c.Counters(); c.PledgesGiven > 0 {
				t.Errorf("%s pledged", n.id)
			}
		}
	})
}

// TestFlapping: a node whose links fail for 600 ms every 1.5 s keeps its lease,
// since new connections get through where TCP would wait.
func TestFlapping(t *testing.T) {
	leases(t, 3, func(t *testing.T, l *leaseLab) {
		n := l.follower()
		for range 20 {
			l.isolate(n)
			time.Sleep(600 * time.Millisecond)
			l.net.Heal()
			time.Sleep(900 * time.Millisecond)
		}
		if lost := n.c.Counters().LeaseLost; lost > 0 {
			t.Errorf("lease lost %d times", lost)
		}
		if l.deaths() > 0 {
			t.Errorf("%d deaths", l.deaths())
		}
	})
}

// TestSlowNodeIsNotDead: 200 ms to everywhere is far, not dead.
func TestSlowNodeIsNotDead(t *testing.T) {
	leases(t, 3, func(t *testing.T, l *leaseLab) {
		n := l.follower()
		for _, o := range l.nodes {
			if o != n {
				l.net.EditLink(n.host, o.host, func(k *sim.Link) { k.Delay = 100 * time.Millisecond })
				l.net.EditLink(o.host, n.host, func(k *sim.Link) { k.Delay = 100 * time.Millisecond })
			}
		}
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if l.holders() != 3 {
				t.Fatalf("%d leases", l.holders())
			}
		}
		if l.deaths() > 0 {
			t.Errorf("%d deaths", l.deaths())
		}
	})
}

// TestMajorityIsGone: who is left has no lease within a second, and gets it back
// when one of the others does.
func TestMajorityIsGone(t *testing.T) {
	leases(t, 3, func(t *testing.T, l *leaseLab) {
		n := l.nodes[0]
		l.exit(l.nodes[1])
		l.dead(l.nodes[1], time.Now().Add(-time.Second))
		if !n.c.Lease() {
			t.Error("two of three have no lease")
		}
		l.kill(l.nodes[2])
		l.await("the last one has no lease", time.Second, func() bool { return !n.c.Lease() })
		time.Sleep(5 * time.Second)
		if n.c.Lease() {
			t.Error("it has a lease again")
		}
		l.begin(l.nodes[1])
		l.await("two have leases", 10*time.Second, func() bool { return l.holders() == 2 })
	})
}

// TestStopSaysGoodbye: a node that stops in good order is replaced at once.
func TestStopSaysGoodbye(t *testing.T) {
	both(t, func(t *testing.T, l *leaseLab, n *labNode, led bool) {
		start := time.Now()
		n.stop()
		took := l.dead(n, start)
		t.Log("declared dead after", took)
		if took > 200*time.Millisecond {
			t.Errorf("took %v", took)
		}
		n.mu.Lock()
		n.c = nil
		n.mu.Unlock()
		time.Sleep(time.Second)
		l.begin(n)
		l.await("all have leases again", 10*time.Second, func() bool { return l.holders() == 3 })
	})
}

// TestProbe: on one kernel a lost connection and a free socket are proof.
func TestProbe(t *testing.T) {
	both(t, func(t *testing.T, l *leaseLab, n *labNode, led bool) {
		start := time.Now()
		l.kill(n)
		took := l.dead(n, start)
		t.Log("declared dead after", took)
		if took < 800*time.Millisecond {
			t.Errorf("a lost connection alone was proof: %v", took)
		}
		l.begin(n)
		l.await("all have leases again", 10*time.Second, func() bool { return l.holders() == 3 })
		gone := make(chan struct{})
		for _, o := range l.nodes {
			o.probe = func(id string) bool {
				select {
				case <-gone:
					return id == n.id
				default:
					return false
				}
			}
		}
		for _, o := range l.nodes { // they learn of the callback in their next life
			if o != n {
				l.kill(o)
				time.Sleep(time.Second)
				l.begin(o)
				l.await("all have leases again", 20*time.Second, func() bool { return l.holders() == 3 })
			}
		}
		time.Sleep(10 * time.Second)
		start = time.Now()
		close(gone)
		l.kill(n)
		if took := l.dead(n, start); took > 60*time.Millisecond {
			t.Errorf("declared dead after %v", took)
		}
	})
}

// TestClocksThatDrift: rates that differ by 200 parts in a million, and more,
// cost nobody anything.
func TestClocksThatDrift(t *testing.T) {
	leases(t, 3, func(t *testing.T, l *leaseLab) {
		l.nodes[0].host.SetBootRate(1 - 0.0002)
		l.nodes[1].host.SetBootRate(1 + 0.0002)
		for range 3 {
			n := l.nodes[0] // the slow clock believes for longest
			start := time.Now()
			l.isolate(n)
			l.dead(n, start)
			l.net.Heal()
			l.await("all have leases again", 20*time.Second, func() bool { return l.holders() == 3 })
		}
	})
}

// TestGrowth: two nodes join three while one is cut off with the old members in
// its state.
func TestGrowth(t *testing.T) {
	leases(t, 3, func(t *testing.T, l *leaseLab) {
		old := l.follower()
		l.isolate(old)
		for range 2 {
			n := l.join(0)
			l.begin(n)
			n.cutFrom(l, old)
		}
		l.dead(old, time.Now().Add(-10*time.Second))
		l.await("the others have leases", 40*time.Second, func() bool { return l.holders() == 4 })
		l.net.Heal()
		l.await("all have leases", 40*time.Second, func() bool { return l.holders() == 5 })
		time.Sleep(15 * time.Second) // the new ones vote
		for range 2 {                // two of five may go
			n := l.follower()
			start := time.Now()
			l.kill(n)
			l.dead(n, start)
		}
		if l.holders() != 3 {
			t.Errorf("%d of the three left have leases", l.holders())
		}
	})
}

// cutFrom cuts a node off from another one.
func (n *labNode) cutFrom(l *leaseLab, o *labNode) {
	l.net.EditLink(n.host, o.host, func(k *sim.Link) { k.Cut = true })
	l.net.EditLink(o.host, n.host, func(k *sim.Link) { k.Cut = true })
}

// TestTwoAndAWitness: the witness votes and pledges, and does not lead.
func TestTwoAndAWitness(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("exit known %v", known), func(t *testing.T) {
			leasesWith(t, 3, func(c *cluster.Config) { c.Witness = true }, func(t *testing.T, l *leaseLab) {
				witness := l.nodes[0]
				l.await("a full node leads", 10*time.Second, func() bool { return l.leader() != witness })
				dead := l.leader()
				start := time.Now()
				if known {
					l.exit(dead)
				} else {
					l.kill(dead)
				}
				t.Log("declared dead after", l.dead(dead, start))
				time.Sleep(2 * time.Second)
				if l.leader() == witness {
					t.Error("the witness leads")
				}
				if l.holders() != 2 {
					t.Errorf("%d leases", l.holders())
				}
			})
		})
	}
}
