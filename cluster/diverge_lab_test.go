package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/cluster"
)

// shelf keeps the copies of a node's state.
type shelf struct {
	mu    sync.Mutex // guards what follows
	files map[string]*bytes.Buffer
}

func (s *shelf) keep(name string) (io.WriteCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &bytes.Buffer{}
	s.files[name] = b
	return book{b}, nil
}

type book struct{ *bytes.Buffer }

func (book) Close() error { return nil }

// diverge starts nodes of the given builds and spoils the state of one.
func diverge(t *testing.T, builds []string, leads bool, script func(l *lab, n *labNode, kept *shelf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := emptyLab(t)
		defer l.close()
		kept := &shelf{files: map[string]*bytes.Buffer{}}
		for _, b := range builds {
			n := l.add(len(builds))
			n.cfg.Build, n.cfg.Keep = b, kept.keep
			n.cfg.Timing = cluster.Timing{SnapshotEntries: 50, TrailingLogs: 10}
		}
		for _, n := range l.nodes {
			l.start(n)
		}
		l.leader()
		n := l.nodes[0]
		if leads != n.c.Leads() {
			for _, o := range l.nodes {
				if leads != (o == l.leader()) {
					continue
				}
				n = o
			}
		}
		if builds[0] != builds[1] {
			n = l.nodes[0]
		}
		n.m.mu.Lock()
		n.m.state.Hash[0] ^= 1
		n.m.mu.Unlock()
		for i := range 100 {
			l.propose(l.nodes[i%len(builds)], fmt.Sprint(i))
		}
		time.Sleep(5 * time.Second)
		if n.happened(cluster.EventHash) == 0 {
			t.Error("no alarm")
		}
		script(l, n, kept)
	})
}

// TestContradictedNodeReinstalls: it gives up leadership, keeps both states, and
// comes back with that of the others, as a nonvoter at first.
func TestContradictedNodeReinstalls(t *testing.T) {
	for _, leads := range []bool{true, false} {
		t.Run(named(leads), func(t *testing.T) {
			diverge(t, []string{"a", "a", "a"}, leads, func(l *lab, n *labNode, kept *shelf) {
				for _, o := range l.nodes {
					if got := o.happened(cluster.EventDiverged); got != map[bool]int{true: 1}[o == n] {
						t.Errorf("%s was contradicted %d times", o.id, got)
					}
				}
				if l.leader() == n {
					t.Error("it still leads")
				}
				time.Sleep(2 * time.Minute) // the wrong state is in a snapshot
				if err := n.c.Reinstall(); err != nil {
					t.Fatal(err)
				}
				if err := <-n.ended; !errors.Is(err, cluster.ErrDiverged) {
					t.Errorf("ended with %v", err)
				}
				n.mu.Lock()
				n.c = nil
				n.mu.Unlock()
				l.restart(n)
				if p := l.peer(n.id); p == nil || p.Voter {
					t.Errorf("it votes with an empty log: %+v", p)
				}
				l.equal(100)
				time.Sleep(20 * time.Second)
				if p := l.peer(n.id); p == nil || !p.Voter || !p.Healthy || time.Since(p.Since) < 10*time.Second {
					t.Errorf("it does not vote: %+v", p)
				}
				n.m.mu.Lock()
				mine := n.m.state.Hash
				n.m.mu.Unlock()
				lead := l.leader()
				lead.m.mu.Lock()
				theirs := lead.m.state.Hash
				lead.m.mu.Unlock()
				if mine != theirs {
					t.Error("the states differ still")
				}
				if len(kept.files) != 2 {
					t.Errorf("%d copies were kept", len(kept.files))
				}
				for name, b := range kept.files {
					if _, err := cluster.ReadBackup(b); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		})
	}
}

// TestOtherBuildsDoNotJudge: with a newer program the majority may be wrong.
func TestOtherBuildsDoNotJudge(t *testing.T) {
	diverge(t, []string{"a", "b", "b"}, false, func(l *lab, n *labNode, kept *shelf) {
		for _, o := range l.nodes {
			if o.happened(cluster.EventDiverged) > 0 {
				t.Errorf("%s stepped down", o.id)
			}
		}
		if len(kept.files) > 0 {
			t.Errorf("%d copies were kept", len(kept.files))
		}
	})
}

// TestReinstallKeepsTheQuorum: with one node down the contradicted one stays.
func TestReinstallKeepsTheQuorum(t *testing.T) {
	diverge(t, []string{"a", "a", "a"}, false, func(l *lab, n *labNode, _ *shelf) {
		for _, o := range l.nodes {
			if o != n {
				l.kill(o)
				break
			}
		}
		time.Sleep(5 * time.Second)
		if err := n.c.Reinstall(); !errors.Is(err, cluster.ErrQuorum) {
			t.Errorf("reinstall: %v", err)
		}
		if _, err := n.c.Propose(context.Background(), cluster.Command{Body: []byte("on")}); err != nil {
			t.Error(err)
		}
	})
}

// TestWitnessHandsOver: a witness leads only while no full node can.
func TestWitnessHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := emptyLab(t)
		defer l.close()
		for i := range 3 {
			l.add(3).cfg.Witness = i == 0
		}
		for _, n := range l.nodes {
			l.start(n)
		}
		for i := range 4 {
			time.Sleep(10 * time.Second)
			lead := l.leader()
			if lead == l.nodes[0] {
				t.Fatal("the witness leads")
			}
			switch i {
			case 0: // the other full node gets it
				if err := lead.c.Transfer(context.Background()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
				if l.nodes[0].c.Leads() {
					t.Error("leadership was handed to the witness")
				}
			case 1: // taken for a moment
				if err := lead.c.TransferTo(l.nodes[0].id, l.nodes[0].cfg.Advertise); err != nil {
					t.Fatal(err)
				}
			case 2:
				l.kill(lead)
				time.Sleep(5 * time.Second)
				l.restart(lead)
			}
		}
	})
}
