package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	leasesWith(t, size, func(*cluster.Config) {}, script)
}

// leasesWith is leases with a change of the first node's configuration.
func leasesWith(t *testing.T, size int, edit func(*cluster.Config), script func(*testing.T, *leaseLab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &leaseLab{lab: emptyLab(t), stop: make(chan struct{})}
		defer l.close()
		defer l.others.Wait()
		defer close(l.stop)
		for range size {
			l.join(size)
		}
		edit(&l.nodes[0].cfg)
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
