package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"tandem/chaos/sim"
	"tandem/cluster"
	"tandem/cluster/store"
)

// recovery is the recovery of a node of the lab.
func recovery(n *labNode, v *sim.Volume, generation uint32) cluster.Recovery {
	return cluster.Recovery{ID: n.id, ClusterID: "test", Advertise: n.cfg.Advertise, Generation: generation,
		Log: v, Stable: v, Snapshots: v.Snapshots(), Machine: &ledger{}}
}

// follow starts a cluster around the node that was recovered: the others join it
// with empty disks.
func (l *lab) follow(first *labNode, generation uint32) {
	for _, n := range l.nodes {
		n.cfg.Generation = generation
		if n != first {
			n.disk = sim.NewDisk()
		}
	}
	l.restart(first)
	if lead := l.leader(); lead != first {
		l.t.Fatalf("%s leads", lead.id)
	}
	l.propose(first, "alone")
	for _, n := range l.nodes {
		if n != first {
			l.restart(n)
		}
	}
	time.Sleep(20 * time.Second)
	for _, n := range l.nodes {
		if p := l.peer(n.id); p == nil || !p.Voter {
			l.t.Errorf("%s: %+v, want a voter", n.id, p)
		}
	}
	l.propose(l.nodes[2], "together")
}

// TestLostQuorum: two of three disks are gone, the third one goes on in a new
// generation with all that it has.
func TestLostQuorum(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		l.leader()
		for i := range 20 {
			l.propose(l.nodes[i%3], fmt.Sprint(i))
		}
		before := l.nodes[1].c.Incarnation()
		time.Sleep(time.Second)
		for _, n := range l.nodes {
			l.kill(n)
		}
		first := l.nodes[1]
		for _, wrong := range []uint32{0, 1} {
			_, err := cluster.Recover(recovery(first, first.disk.Open(), wrong))
			if !errors.Is(err, cluster.ErrWrongCluster) {
				t.Errorf("generation %d: %v", wrong, err)
			}
		}
		torn := recovery(first, first.disk.Open(), 2)
		torn.Machine.(*ledger).broken = []byte("7")
		if _, err := cluster.Recover(torn); err == nil {
			t.Error("recovered from what cannot be read")
		}
		first.cfg.Generation = 2
		if err := refused(first.cfg, first.host, first.disk); !errors.Is(err, cluster.ErrWrongCluster) {
			t.Errorf("a node starts in the midst of a recovery: %v", err)
		}
		first.cfg.Generation = 1
		index, err := cluster.Recover(recovery(first, first.disk.Open(), 2))
		if err != nil || index < 20 {
			t.Fatalf("recovered at %d: %v", index, err)
		}
		if err := refused(first.cfg, first.host, first.disk); !errors.Is(err, cluster.ErrWrongCluster) {
			t.Errorf("the old generation starts on the stores: %v", err)
		}
		l.follow(first, 2)
		l.equal(22)
		if now := first.c.Incarnation(); now>>44 != 2 || now <= before {
			t.Errorf("incarnation %x after %x", now, before)
		}
	})
}

// TestRestore: a backup of one cluster is the beginning of another generation.
func TestRestore(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		l.leader()
		for i := range 20 {
			l.propose(l.nodes[i%3], fmt.Sprint(i))
		}
		var file bytes.Buffer
		n := l.nodes[2]
		if _, err := n.c.ReadIndex(context.Background()); err != nil {
			t.Fatal(err)
		}
		head, err := n.c.Backup(context.Background(), &file)
		if err != nil || head.Index < 20 || head.At == 0 {
			t.Fatalf("backup %+v: %v", head, err)
		}
		again, err := n.c.Backup(context.Background(), new(bytes.Buffer)) // nothing new
		if err != nil || again != head {
			t.Errorf("second backup %+v: %v", again, err)
		}
		l.propose(n, "lost")
		for _, n := range l.nodes {
			l.kill(n)
		}
		first := l.nodes[0]
		used := recovery(first, first.disk.Open(), 2)
		used.Backup = bytes.NewReader(file.Bytes())
		if _, err := cluster.Recover(used); err == nil {
			t.Error("a backup went into stores that are in use")
		}
		first.disk = sim.NewDisk()
		fresh := recovery(first, first.disk.Open(), 2)
		fresh.Backup = bytes.NewReader(file.Bytes())
		if index, err := cluster.Recover(fresh); err != nil || index != head.Index {
			t.Fatalf("recovered at %d: %v", index, err)
		}
		l.follow(first, 2)
		l.equal(22)
	})
}

// TestRestoreIntoFiles is TestRestore with the stores of production.
func TestRestoreIntoFiles(t *testing.T) {
	var file bytes.Buffer
	bubble(t, 1, func(t *testing.T, l *lab) {
		l.leader()
		for i := range 20 {
			l.propose(l.nodes[0], fmt.Sprint(i))
		}
		if _, err := l.nodes[0].c.Backup(context.Background(), &file); err != nil {
			t.Fatal(err)
		}
	})
	dir := t.TempDir()
	log, err := store.OpenLog(filepath.Join(dir, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	snapshots, err := store.Snapshots(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := &ledger{}
	index, err := cluster.Recover(cluster.Recovery{ID: "n1", ClusterID: "test", Advertise: "10.0.0.1:7946", Generation: 2,
		Log: log, Stable: log, Snapshots: snapshots, Machine: m, Backup: &file})
	if err != nil || index < 20 || len(m.bodies()) != 20 {
		t.Fatalf("recovered %d commands at %d: %v", len(m.bodies()), index, err)
	}
	list, err := snapshots.List()
	if err != nil || len(list) == 0 || list[0].Index != index || len(list[0].Configuration.Servers) != 1 {
		t.Fatalf("snapshots %+v: %v", list, err)
	}
	if err := snapshots.(interface{ Clear() error }).Clear(); err != nil {
		t.Fatal(err)
	}
	if list, err = snapshots.List(); err != nil || len(list) != 0 {
		t.Errorf("after clearing: %+v: %v", list, err)
	}
}
