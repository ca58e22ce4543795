package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tandem/chaos/sim"
)

// TestLeaseStorm lets everything happen at random: nobody holds a lease for a
// life that was declared dead, and when it is over all have theirs again.
func TestLeaseStorm(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			leases(t, 3+2*int(seed%2), func(t *testing.T, l *leaseLab) {
				rng := rand.New(rand.NewPCG(seed, 5))
				for _, n := range l.nodes {
					n.host.SetBootRate(1 + (rng.Float64()-0.5)*0.0004)
				}
				l.others.Go(func() { l.watch() })
				for until := time.Now().Add(90 * time.Second); time.Now().Before(until); {
					l.strike(l.nodes[rng.IntN(len(l.nodes))], rng)
				}
				l.net.Heal()
				l.await("all have leases again", time.Minute, func() bool { return l.holders() == len(l.nodes) })
				t.Logf("%d deaths", l.deaths())
				if l.deaths() < 5 {
					t.Error("too little happened")
				}
			})
		})
	}
}

// watch looks for leases of the dead until the script ends.
func (l *leaseLab) watch() {
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		l.mu.Lock()
		found := l.found
		l.mu.Unlock()
		for _, d := range found {
			for _, n := range l.nodes {
				c := n.cluster()
				if c != nil && n.id == d.Node && c.Incarnation() == d.Incarnation && c.Lease() {
					l.t.Errorf("%s has a lease again for life %d, which was declared dead", n.id, d.Incarnation)
				}
			}
		}
	}
}

// strike does something to a node, and ends it or leaves it to a later strike.
func (l *leaseLab) strike(n *labNode, rng *rand.Rand) {
	upTo := func(most int) time.Duration { return time.Duration(rng.IntN(most)) * time.Millisecond }
	switch rng.IntN(7) {
	case 0:
		l.isolate(n)
		time.Sleep(upTo(4000))
		l.net.Heal()
	case 1: // one way, to some
		for _, o := range l.nodes {
			if o != n && rng.IntN(2) == 0 {
				l.net.EditLink(n.host, o.host, func(k *sim.Link) { k.Cut = true })
			}
		}
		time.Sleep(upTo(4000))
		l.net.Heal()
	case 2:
		for _, o := range l.nodes {
			if o != n {
				l.net.EditLink(o.host, n.host, func(k *sim.Link) { k.Loss = 0.3 })
			}
		}
		time.Sleep(upTo(3000))
		l.net.EditLinks(func(k *sim.Link) { k.Loss = 0 })
	case 3:
		pause := upTo(3000)
		n.hang(true)
		n.life.FreezeFor(pause)
		time.Sleep(pause)
		n.hang(false)
	case 4:
		l.kill(n)
		time.Sleep(upTo(3000))
		l.begin(n)
	case 5:
		l.exit(n)
		time.Sleep(upTo(500))
		l.begin(n)
	case 6: // all at once: nobody is left to judge
		for _, o := range l.nodes {
			o.life.FreezeFor(2 * time.Second)
		}
		time.Sleep(2 * time.Second)
	}
	time.Sleep(upTo(3000))
}

// TestAllPause: who was paused himself does not judge the silence of others.
func TestAllPause(t *testing.T) {
	leases(t, 3, func(t *testing.T, l *leaseLab) {
		for _, n := range l.nodes {
			n.life.FreezeFor(5 * time.Second)
		}
		time.Sleep(5 * time.Second)
		if l.holders() != 0 {
			t.Errorf("%d leases after five seconds", l.holders())
		}
		l.await("all have leases again", 5*time.Second, func() bool { return l.holders() == 3 })
		time.Sleep(3 * time.Second)
		if l.deaths() > 0 {
			t.Errorf("%d deaths", l.deaths())
		}
	})
}

// TestTwoOfFive vanish at the same moment: the three others replace both. When a
// third one does, nobody has a lease, and nothing is decided.
func TestTwoOfFive(t *testing.T) {
	leases(t, 5, func(t *testing.T, l *leaseLab) {
		start := time.Now()
		for _, n := range l.nodes[:2] {
			l.kill(n)
		}
		for _, n := range l.nodes[:2] {
			if took := l.dead(n, start); took > 3*time.Second {
				t.Errorf("%s was replaced after %v", n.id, took)
			}
		}
		if l.holders() != 3 {
			t.Errorf("%d of three have leases", l.holders())
		}
		l.kill(l.nodes[2])
		time.Sleep(time.Second)
		if l.holders() != 0 {
			t.Errorf("%d of two have leases", l.holders())
		}
		time.Sleep(10 * time.Second)
		if l.deaths() != 2 {
			t.Errorf("%d deaths", l.deaths())
		}
		l.begin(l.nodes[2])
		l.await("three have leases again", 10*time.Second, func() bool { return l.holders() == 3 })
	})
}
