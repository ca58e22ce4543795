package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/chaos/sim"
	"tandem/cluster"
)

// notice is a command of the lab about a member, behind the mark "member:".
type notice struct {
	Up   *cluster.LeaseMember `json:",omitempty"`
	Down *cluster.Death       `json:",omitempty"`
}

const mark = "member:"

// roster is what a ledger makes of the notices: package fsm in small.
type roster struct {
	set     []cluster.LeaseMember
	version uint64
	grown   int64 // log time of the newest member
	deaths  int
}

// apply executes a notice and says whether it declared somebody dead.
func (r *roster) apply(index uint64, at int64, body []byte) (dead *cluster.Death) {
	text, ok := bytes.CutPrefix(body, []byte(mark))
	var n notice
	if !ok || json.Unmarshal(text, &n) != nil {
		return nil
	}
	name := ""
	if n.Up != nil {
		name = n.Up.ID
	} else {
		name = n.Down.Node
	}
	i := slices.IndexFunc(r.set, func(m cluster.LeaseMember) bool { return m.ID == name })
	switch {
	case n.Up != nil && i < 0:
		r.set = append(r.set, *n.Up)
		r.version, r.grown = index, at
	case n.Up != nil && r.set[i].Incarnation < n.Up.Incarnation:
		r.set[i] = *n.Up
		r.version = index
	case n.Down != nil && i >= 0 && r.set[i].Up && r.set[i].Incarnation == n.Down.Incarnation && r.enough(n.Down, at):
		r.set[i].Up = false
		r.deaths++
		return n.Down
	}
	return nil
}

// enough counts the pledges of those that are up.
func (r *roster) enough(d *cluster.Death, at int64) bool {
	got, up := 0, 0
	for _, m := range r.set {
		if !m.Up || m.ID == d.Node {
			continue
		}
		up++
		if slices.Contains(d.Pledges, cluster.Pledge{Node: m.ID, Incarnation: m.Incarnation}) {
			got++
		}
	}
	need := (len(r.set)-1)/2 + 1
	if at-r.grown < (10 * time.Second).Microseconds() {
		need = max(need, up)
	}
	return d.Exited || got >= need
}

func (l *ledger) peers() ([]cluster.LeaseMember, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.roster.set), l.roster.version
}

// up says whether a life is in force.
func (l *ledger) up(id string, incarnation uint64) bool {
	set, _ := l.peers()
	return slices.ContainsFunc(set, func(m cluster.LeaseMember) bool {
		return m.ID == id && m.Incarnation == incarnation && m.Up
	})
}

// leaseLab is a lab whose nodes announce themselves, declare each other dead and
// come back.
type leaseLab struct {
	*lab
	stop   chan struct{}
	others sync.WaitGroup
	mu     sync.Mutex // guards what follows
	found  []death
}

// death is when a life was declared dead.
type death struct {
	cluster.Death
	at time.Time
}

// leases runs a scenario over a cluster with leases.
func leases(t *testing.T, size int, script func(*testing.T, *leaseLab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &leaseLab{lab: &lab{t: t, net: sim.New(sim.Config{})}, stop: make(chan struct{})}
		defer l.close()
		defer l.others.Wait()
		defer close(l.stop)
		for range size {
			l.join(size)
		}
		for _, n := range l.nodes {
			l.begin(n)
		}
		l.await("every node has its lease", 30*time.Second, func() bool { return l.holders() == size })
		l.propose(l.nodes[0], "first")
		time.Sleep(11 * time.Second) // the count of pledges is no longer strict
		script(t, l)
	})
}

// join prepares a node.
func (l *leaseLab) join(expect int) *labNode {
	n := l.add(expect)
	n.lease = l
	return n
}

// begin starts a node and lives its life.
func (l *leaseLab) begin(n *labNode) {
	l.start(n)
	c, m, life := n.c, n.m, n.life
	l.others.Go(func() {
		known := uint64(0)
		for n.cluster() == c {
			select {
			case <-l.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if life.SinceBoot() > n.host.SinceBoot() {
				continue // frozen
			}
			k := c.Incarnation()
			switch {
			case m.up(n.id, k):
				if known != k {
					known = k
					c.Announced()
				}
			case known == k, n.fenced(): // declared dead
				if _, err := c.Renew(); err != nil {
					l.t.Error(err)
				}
			default:
				l.tell(c, notice{Up: &cluster.LeaseMember{ID: n.id, Incarnation: k, Up: true, Witness: n.cfg.Witness}})
			}
		}
	})
}

// tell commits a notice, or does not.
func (l *leaseLab) tell(c *cluster.Cluster, n notice) {
	b, err := json.Marshal(n)
	if err != nil {
		l.t.Error(err)
	}
	_, _ = c.Propose(context.Background(), cluster.Command{Lane: cluster.LaneUrgent, Body: append([]byte(mark), b...)})
}

// died is called by the first replica that applies a death: from now on nobody
// may believe that this life has a lease.
func (l *leaseLab) died(d *cluster.Death) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, old := range l.found {
		if old.Node == d.Node && old.Incarnation == d.Incarnation {
			return
		}
	}
	l.found = append(l.found, death{*d, time.Now()})
	for _, n := range l.nodes {
		if c := n.cluster(); n.id == d.Node && c != nil && c.Incarnation() == d.Incarnation && c.Lease() {
			l.t.Errorf("%s was declared dead and has its lease for another %v", n.id, c.LeaseLeft())
		}
	}
}

// deathOf returns when the newest life of a node was declared dead.
func (l *leaseLab) deathOf(n *labNode) (d death, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.found {
		if f.Node == n.id {
			d, ok = f, true
		}
	}
	return d, ok
}

// dead waits until a node's life is declared dead and returns how long that took.
func (l *leaseLab) dead(n *labNode, since time.Time) time.Duration {
	l.t.Helper()
	l.await(n.id+" is declared dead", 20*time.Second, func() bool {
		d, ok := l.deathOf(n)
		return ok && !d.at.Before(since)
	})
	d, _ := l.deathOf(n)
	return d.at.Sub(since)
}

// deaths counts them.
func (l *leaseLab) deaths() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.found)
}

// holders counts the nodes that hold a lease.
func (l *leaseLab) holders() int {
	n := 0
	for _, x := range l.nodes {
		if c := x.cluster(); c != nil && c.Lease() {
			n++
		}
	}
	return n
}

func (l *leaseLab) await(what string, most time.Duration, is func() bool) {
	l.t.Helper()
	for range int(most / (5 * time.Millisecond)) {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	l.t.Fatalf("after %v it is not so that %s", most, what)
}

// exit kills a node whose guard tells those that it can reach.
func (l *leaseLab) exit(n *labNode) {
	incarnation := n.c.Incarnation()
	l.kill(n)
	p := n.host.Start()
	h := cluster.NewHerald(cluster.HeraldConfig{ID: n.id, ClusterID: "test", Generation: 1, Network: network(p)})
	var peers []string
	for _, o := range l.nodes {
		if o != n {
			peers = append(peers, o.cfg.Advertise)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = h.Exited(ctx, incarnation, peers)
	h.Close()
	p.Kill()
}

// leader and follower of a cluster with leases.
func (l *leaseLab) pick(leads bool) *labNode {
	if leads {
		return l.leader()
	}
	return l.follower()
}

func named(leads bool) string {
	if leads {
		return "leader"
	}
	return "follower"
}

// both runs a scenario against the leader and against a follower.
func both(t *testing.T, script func(t *testing.T, l *leaseLab, victim *labNode, led bool)) {
	for _, led := range []bool{true, false} {
		t.Run(named(led), func(t *testing.T) {
			leases(t, 3, func(t *testing.T, l *leaseLab) { script(t, l, l.pick(led), led) })
		})
	}
}

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

// TestFlapping: a node whose links fail for 400 ms each second keeps its lease.
func TestFlapping(t *testing.T) {
	leases(t, 3, func(t *testing.T, l *leaseLab) {
		n := l.follower()
		for range 20 {
			l.isolate(n)
			time.Sleep(400 * time.Millisecond)
			if !n.c.Lease() {
				t.Error("lease lost")
			}
			l.net.Heal()
			time.Sleep(600 * time.Millisecond)
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
