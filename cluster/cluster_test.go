package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/chaos/sim"
	"tandem/cluster"
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

// TestFollowerHearsOfItsCommitAtOnce: without the commit hint a follower would
// learn of the commit after CommitTimeout.
func TestFollowerHearsOfItsCommitAtOnce(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		n := l.follower()
		time.Sleep(time.Second)
		for range 20 {
			start := time.Now()
			l.propose(n, "x")
			if d := time.Since(start); d > 3*time.Millisecond {
				t.Errorf("took %v", d)
			}
			time.Sleep(77 * time.Millisecond)
		}
	})
}

// worker proposes from all live nodes, one after the other, and remembers what
// was acknowledged.
type worker struct {
	acked   []string
	slowest time.Duration
}

func (w *worker) run(l *lab, id int, until time.Time, rng *rand.Rand) {
	for i := 0; time.Now().Before(until); i++ {
		live := l.alive()
		n := live[rng.IntN(len(live))]
		body := fmt.Sprintf("w%d-%d", id, i)
		start := time.Now()
		r, err := n.cluster().Propose(context.Background(), cluster.Command{Lane: cluster.Lane(rng.IntN(cluster.Lanes)), Flow: fmt.Sprint(id % 3), Body: []byte(body)})
		if err == nil && len(r.Data) == 0 {
			l.t.Errorf("%s came late and was waited for", body)
		}
		if err == nil && n.stillLives() {
			w.acked = append(w.acked, body)
			w.slowest = max(w.slowest, time.Since(start))
		}
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
	}
}

// TestLeaderDies: nothing that was acknowledged is lost, nothing is there twice,
// no command on a living node waits longer than the hold.
func TestLeaderDies(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, l *lab) {
				l.leader()
				until := time.Now().Add(24 * time.Second)
				workers := make([]worker, 5)
				var all sync.WaitGroup
				for i := range workers {
					all.Go(func() { workers[i].run(l, i, until, rand.New(rand.NewPCG(seed, uint64(i)))) })
				}
				for range 3 {
					time.Sleep(4 * time.Second)
					dead := l.leader()
					l.kill(dead)
					time.Sleep(4 * time.Second)
					l.restart(dead)
				}
				all.Wait()
				l.check(workers)
			})
		})
	}
}

// check compares what the workers were told with what every node holds.
func (l *lab) check(workers []worker) {
	l.t.Helper()
	l.settle()
	count := map[string]int{}
	for _, b := range l.live()[0].m.bodies() {
		count[string(b)]++
	}
	acked := 0
	for _, w := range workers {
		acked += len(w.acked)
		for _, b := range w.acked {
			if count[b] != 1 {
				l.t.Errorf("acknowledged command %s is there %d times", b, count[b])
			}
		}
		if w.slowest > cluster.DefaultHold {
			l.t.Errorf("a command took %v", w.slowest)
		}
	}
	for b, n := range count {
		if n > 1 {
			l.t.Errorf("command %s is there %d times", b, n)
		}
	}
	if acked < 100 {
		l.t.Errorf("only %d commands were acknowledged", acked)
	}
}

// settle waits until all live nodes are equal.
func (l *lab) settle() {
	l.t.Helper()
	l.leader()
	l.propose(l.live()[0], "last")
	l.equal(len(l.leader().m.bodies()))
}

func TestPartitionedLeaderCommitsNothing(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		old := l.leader()
		l.propose(old, "before")
		l.isolate(old)
		_, err := old.c.Propose(context.Background(), cluster.Command{Body: []byte("minority")})
		if !errors.Is(err, cluster.ErrTimeout) {
			t.Errorf("a minority answered %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if _, err := old.c.ReadIndex(ctx); err == nil {
			t.Error("a minority gave a read index")
		}
		var lead *labNode
		for _, n := range l.nodes {
			if n != old && n.c.Leads() {
				lead = n
			}
		}
		if lead == nil {
			t.Fatal("no leader on the majority's side")
		}
		l.propose(lead, "majority")
		time.Sleep(time.Minute) // longer than gossip needs to give up
		l.net.Heal()
		time.Sleep(10 * time.Second)
		l.propose(old, "after")
		l.equal(3)
		for _, n := range l.nodes {
			for _, m := range n.c.Status().Members {
				if !m.Alive {
					t.Errorf("%s still thinks that %s is dead", n.id, m.ID)
				}
			}
		}
	})
}

func TestRestartOfAllNodes(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		l.leader()
		for i := range 50 {
			l.propose(l.nodes[i%3], fmt.Sprint(i))
		}
		before := l.nodes[0].c.Incarnation()
		for _, n := range l.nodes {
			l.kill(n)
		}
		time.Sleep(time.Hour)
		for _, n := range l.nodes {
			l.restart(n)
		}
		l.propose(l.nodes[1], "again")
		l.equal(51)
		if now := l.nodes[0].c.Incarnation(); now <= before {
			t.Errorf("incarnation %d after %d", now, before)
		}
		at := l.nodes[0].m.times()
		if gap := time.Duration(at[len(at)-1]-at[len(at)-4]) * time.Microsecond; gap < 50*time.Minute {
			t.Errorf("log time moved by %v over a stop of an hour", gap)
		}
	})
}

func TestNewNodeBecomesAVoter(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		l.leader()
		l.propose(l.nodes[0], "first")
		n := l.add(0)
		l.start(n)
		time.Sleep(5 * time.Second)
		if p := l.peer("n4"); p == nil || p.Voter {
			t.Fatalf("after 5s: %+v, want a nonvoter", p)
		}
		time.Sleep(10 * time.Second)
		if p := l.peer("n4"); p == nil || !p.Voter {
			t.Fatalf("after 15s: %+v, want a voter", p)
		}
		l.propose(n, "second")
		l.equal(2)
		// It can be removed again, and does not come back by itself.
		if err := l.leader().c.Remove(context.Background(), "n4", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if p := l.peer("n4"); p != nil {
			t.Errorf("a removed node came back: %+v", p)
		}
	})
}

// peer is a node as the leader sees it.
func (l *lab) peer(id string) *cluster.Peer {
	for _, p := range l.leader().c.Status().Peers {
		if p.ID == id {
			return &p
		}
	}
	return nil
}

func TestRemovalKeepsTheQuorum(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		lead, f := l.leader(), l.follower()
		ctx := context.Background()
		if err := lead.c.Remove(ctx, f.id, false); !errors.Is(err, cluster.ErrQuorum) {
			t.Errorf("2 voters left: %v", err)
		}
		if err := f.c.Remove(ctx, lead.id, true); !errors.Is(err, cluster.ErrNoLeader) {
			t.Errorf("removal by a follower: %v", err)
		}
		l.kill(f)
		time.Sleep(5 * time.Second)
		for _, n := range l.live() {
			if n == lead {
				continue
			}
			if err := lead.c.Remove(ctx, n.id, true); !errors.Is(err, cluster.ErrQuorum) {
				t.Errorf("one healthy of two: %v", err)
			}
		}
		if err := lead.c.Remove(ctx, f.id, true); err != nil {
			t.Errorf("forced removal of a dead node: %v", err)
		}
	})
}

// TestFollowerCatchesUpBySnapshot: the log it needs is gone.
func TestFollowerCatchesUpBySnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := emptyLab(t)
		defer l.close()
		for range 3 {
			n := l.add(3)
			n.cfg.Timing = cluster.Timing{SnapshotEntries: 50, TrailingLogs: 10}
		}
		for _, n := range l.nodes {
			l.start(n)
		}
		n := l.follower()
		l.propose(n, "0")
		l.kill(n)
		for i := 1; i < 200; i++ {
			l.propose(l.leader(), fmt.Sprint(i))
		}
		time.Sleep(2 * time.Minute) // snapshots are looked for every 30 s and a bit
		if l.leader().c.Status().Snapshot == 0 {
			t.Fatal("no snapshot")
		}
		first, err := l.leader().volume.FirstIndex()
		if err != nil || first < 100 {
			t.Fatalf("log still starts at %d (%v)", first, err)
		}
		l.restart(n)
		l.propose(n, "last")
		l.equal(201)
	})
}

func TestReadIndexSeesEveryAcknowledgedCommand(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		l.leader()
		for i := range 20 {
			r, err := l.nodes[i%3].c.Propose(context.Background(), cluster.Command{Body: fmt.Append(nil, i)})
			if err != nil {
				t.Fatal(err)
			}
			reader := l.nodes[(i+1)%3]
			index, err := reader.c.ReadIndex(context.Background())
			if err != nil || index < r.Index || reader.c.Applied() < index {
				t.Fatalf("read index %d (%v) with %d applied after a commit at %d", index, err, reader.c.Applied(), r.Index)
			}
		}
		// Many readers share rounds and wait through a change of leadership.
		l.kill(l.leader())
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				if _, err := l.live()[i%2].c.ReadIndex(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// TestUndecodableEntryStopsTheReplica: with index and reason, and without
// another entry being applied.
func TestUndecodableEntryStopsTheReplica(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		n := l.follower()
		n.m.mu.Lock()
		n.m.broken = []byte("poison")
		n.m.mu.Unlock()
		lead := l.leader()
		l.propose(lead, "good")
		l.propose(lead, "poison")
		l.propose(lead, "more")
		time.Sleep(time.Second)
		err := <-n.ended
		if err == nil || n.fatal == nil || len(n.m.bodies()) != 1 {
			t.Errorf("ended with %v after %d commands", err, len(n.m.bodies()))
		}
		t.Log(err)
		l.leader() // the others go on
	})
}

// TestHangingDisk: the leader is replaced, rejoins, and its process lives.
func TestHangingDisk(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		old := l.leader()
		old.hang(true)
		old.c.Submit(cluster.Command{Body: []byte("stuck")}, func(cluster.Result, error) {})
		start := time.Now()
		time.Sleep(500 * time.Millisecond)
		var other *labNode
		for _, n := range l.nodes {
			if n != old {
				other = n
			}
		}
		l.propose(other, "through")
		if d := time.Since(start); d > 4*time.Second {
			t.Errorf("service was back after %v", d)
		}
		time.Sleep(5 * time.Second)
		if other.happened(cluster.EventLeader) == 0 || old.happened(cluster.EventDisk) != 1 {
			t.Errorf("events: %d alarms of the disk", old.happened(cluster.EventDisk))
		}
		old.hang(false)
		time.Sleep(5 * time.Second)
		l.propose(old, "back")
		l.settle()
		if old.fatal != nil {
			t.Errorf("the process ended: %v", old.fatal)
		}
	})
}

func TestDiskThatHangsAloneEndsTheProcess(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		old := l.leader()
		old.hang(true)
		old.c.Submit(cluster.Command{Body: []byte("stuck")}, func(cluster.Result, error) {})
		time.Sleep(70 * time.Second)
		if old.getFatal() == nil {
			t.Error("still running")
		}
		old.hang(false)
	})
}

func TestFailedWriteEndsTheProcess(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		old := l.leader()
		old.disk.Edit(func(f *sim.DiskFaults) { f.FailStore = -1 })
		n := l.nodes[0]
		if n == old {
			n = l.nodes[1]
		}
		l.propose(n, "x")
		if err := <-old.ended; err == nil {
			t.Error("ended without an error")
		}
		old.c = nil
		l.settle()
	})
}

// TestHashAlarm: replicas that differ raise an alarm and go on.
func TestHashAlarm(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		n := l.follower()
		n.m.mu.Lock()
		n.m.state.Hash[0] ^= 1
		n.m.mu.Unlock()
		for i := range 40 {
			l.propose(l.nodes[i%3], fmt.Sprint(i))
		}
		time.Sleep(5 * time.Second)
		if l.leader().c.Counters().HashAlarms == 0 || n.happened(cluster.EventHash) == 0 {
			t.Error("no alarm")
		}
		l.propose(n, "on")
		l.equal(41)
	})
}

// TestCopiedDataDirectory: a second live node of one name does not start, the
// same node at a new address does.
func TestCopiedDataDirectory(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		n := l.follower()
		time.Sleep(time.Second)
		copied := &labNode{cfg: n.cfg}
		l.move(copied, "10.0.0.9")
		if err := refused(copied.cfg, copied.host, n.disk.Copy()); !errors.Is(err, cluster.ErrDuplicate) {
			t.Fatalf("a copy started: %v", err)
		}
		l.kill(n)
		l.move(n, "10.0.0.9")
		l.restart(n) // the others may still see it at its old address
		time.Sleep(20 * time.Second)
		if p := l.peer(n.id); p == nil || p.Addr != n.cfg.Advertise {
			t.Errorf("peer %+v, want it at %s", p, n.cfg.Advertise)
		}
		l.propose(n, "moved")
		l.settle()
	})
}
