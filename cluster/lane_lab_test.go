package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tandem/cluster"
)

// TestLaneStartIsBounded: while there is no leader 1,000 commands wait, the rest
// is refused at once, and urgent commands and those of a quiet ingress get in.
func TestLaneStartIsBounded(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		lead := l.leader()
		for _, n := range l.nodes {
			if n != lead {
				l.kill(n)
			}
		}
		time.Sleep(2 * time.Second) // the lease is over
		var mu sync.Mutex
		outcomes := map[error]int{}
		done := func(_ cluster.Result, err error) {
			mu.Lock()
			defer mu.Unlock()
			outcomes[err]++
		}
		for i := range 1500 {
			lead.c.Submit(cluster.Command{Lane: cluster.LaneStart, Flow: fmt.Sprint(i % 7), Body: []byte("x")}, done)
		}
		for range 100 {
			lead.c.Submit(cluster.Command{Lane: cluster.LaneUrgent, Body: []byte("y")}, done)
			lead.c.Submit(cluster.Command{Lane: cluster.LaneStart, Flow: "quiet", Body: []byte("z")}, done)
		}
		time.Sleep(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if outcomes[cluster.ErrBusy] != 600 || outcomes[cluster.ErrUnsent] != 1100 {
			t.Errorf("outcomes %v", outcomes)
		}
	})
}

// TestEntriesAreBounded: a burst is packed into entries of at most 128 commands.
func TestEntriesAreBounded(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		l.leader()
		var all sync.WaitGroup
		for i := range 3000 {
			all.Add(1)
			l.nodes[i%3].c.Submit(cluster.Command{Lane: cluster.LaneExtend, Body: fmt.Append(nil, i)}, func(_ cluster.Result, err error) {
				defer all.Done()
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		l.equal(3000)
		sizes := l.nodes[0].m.sizes
		if biggest := slices.Max(sizes); biggest > cluster.MaxEntryCommands || len(sizes) > 100 {
			t.Errorf("%d entries, the biggest of %d commands", len(sizes), biggest)
		}
	})
}

func TestRefusals(t *testing.T) {
	bubble(t, 1, func(t *testing.T, l *lab) {
		l.leader()
		c := l.nodes[0].c
		ctx := context.Background()
		if _, err := c.Propose(ctx, cluster.Command{Body: make([]byte, cluster.MaxCommand+1)}); err == nil {
			t.Error("an oversized command was accepted")
		}
		if _, err := c.Propose(ctx, cluster.Command{Lane: cluster.Lanes}); err == nil {
			t.Error("an unknown lane was accepted")
		}
		if _, err := c.Propose(ctx, cluster.Command{Lane: cluster.LaneStart, Body: make([]byte, cluster.MaxCommand)}); err != nil {
			t.Errorf("the largest command: %v", err)
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := c.Propose(gone, cluster.Command{}); !errors.Is(err, cluster.ErrTimeout) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// TestNewCallsAreHeldThroughAnElection: the bound of LaneStart is for overload. A
// leader that falls silent or dies refuses nobody.
func TestNewCallsAreHeldThroughAnElection(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		dead := l.leader()
		var survivors []*labNode
		for _, n := range l.nodes {
			if n != dead {
				survivors = append(survivors, n)
			}
		}
		var all sync.WaitGroup
		for i := range 100 {
			if i == 20 {
				l.isolate(dead)
			}
			time.Sleep(50 * time.Millisecond)
			all.Add(1)
			survivors[i%2].c.Submit(cluster.Command{Lane: cluster.LaneStart, Flow: "gw", Body: fmt.Append(nil, i)}, func(_ cluster.Result, err error) {
				defer all.Done()
				if err != nil {
					t.Errorf("command %d: %v", i, err)
				}
			})
		}
		all.Wait()
	})
}
