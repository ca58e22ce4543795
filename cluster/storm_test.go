package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestStorm kills, cuts off and stalls nodes at random under load: nothing that
// was acknowledged is lost or doubled, log time never goes back, no command is
// applied after its deadline. Package chaos/sim does more of it.
func TestStorm(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, 3+2*int(seed%2), func(t *testing.T, l *lab) {
				l.leader()
				rng := rand.New(rand.NewPCG(seed, 99))
				until := time.Now().Add(60 * time.Second)
				workers := make([]worker, 4)
				var all sync.WaitGroup
				for i := range workers {
					all.Go(func() { workers[i].run(l, i, until, rand.New(rand.NewPCG(seed, uint64(i)))) })
				}
				for time.Now().Before(until) {
					n := l.nodes[rng.IntN(len(l.nodes))]
					if rng.IntN(2) == 0 {
						n = l.leader()
					}
					l.harm(n, rng)
					time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
				}
				all.Wait()
				for i := range workers {
					workers[i].slowest = 0
				}
				l.check(workers)
				l.monotonic()
			})
		})
	}
}

// harm does something to a node for a while.
func (l *lab) harm(n *labNode, rng *rand.Rand) {
	pause := func(most int) { time.Sleep(time.Duration(rng.IntN(most)) * time.Millisecond) }
	switch rng.IntN(3) {
	case 0:
		l.kill(n)
		pause(5000)
		l.restart(n)
	case 1:
		l.isolate(n)
		pause(8000)
		l.net.Heal()
	case 2:
		n.hang(true)
		pause(4000)
		n.hang(false)
	}
}
