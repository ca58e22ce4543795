package node

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/cdr"
)

// testReplica is a replica with a running CDR store.
func testReplica(t *testing.T) *replica {
	t.Helper()
	cdrs, err := cdr.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cdrs.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return newReplica([16]byte{1}, cdrs, slog.New(slog.DiscardHandler))
}

// apply commits commands at the second of their index.
func apply(t *testing.T, r *replica, index uint64, bodies ...fsm.Body) {
	t.Helper()
	applyAt(t, r, index, time.Duration(index)*time.Second, bodies...)
}

func applyAt(t *testing.T, r *replica, index uint64, at time.Duration, bodies ...fsm.Body) {
	t.Helper()
	var entry []cluster.Envelope
	for i, body := range bodies {
		b, err := fsm.AppendBody(nil, "", body)
		if err != nil {
			t.Fatal(err)
		}
		entry = append(entry, cluster.Envelope{Node: "n1", Incarnation: 1, Seq: index*100 + uint64(i), Low: 1, Body: b})
	}
	results, err := r.Apply(index, at.Microseconds(), entry)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range results {
		if res, err := fsm.DecodeResult(b); err != nil || res.Code != fsm.OK {
			t.Fatalf("%v %v", res, err)
		}
	}
}

// A snapshot carries the state and its records add up to the hash that was kept.
func TestSnapshotIsVerified(t *testing.T) {
	r := testReplica(t)
	apply(t, r, 1, &fsm.NodeUp{Node: "n1", Incarnation: 1, Level: fsm.Level})
	apply(t, r, 2, &fsm.PutAccount{Account: fsm.Account{ID: "acme", Type: fsm.Client, Currency: "USD"}})
	w, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := w.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	w.Release()
	if n := r.broken.Load(); n != 0 {
		t.Errorf("%d snapshots are broken", n)
	}
	other := testReplica(t)
	if err := other.Restore(&file); err != nil {
		t.Fatal(err)
	}
	if a, b := r.state.Hash(), other.state.Hash(); a != b {
		t.Errorf("restored to %x, want %x", b, a)
	}
	if _, all := other.changes.take(); !all {
		t.Error("after a restore nothing would be compared")
	}
}

// What cannot be decoded stops the replica with the index and the sender.
func TestUndecodableEntry(t *testing.T) {
	r := testReplica(t)
	_, err := r.Apply(7, 1, []cluster.Envelope{{Node: "n2", Body: []byte{1, 250, 0}}})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("entry 7, command 0 from n2")) {
		t.Errorf("err = %v", err)
	}
	if checkBody([]byte{1, 250, 0}) == nil {
		t.Error("the body would have reached the log")
	}
}

// The queue of changes is bounded; what does not fit makes the reader compare
// everything.
func TestChangesAreBounded(t *testing.T) {
	c := newChanges()
	for range maxChanges + 1 {
		c.add([]fsm.Event{{Kind: fsm.EventConfig}})
	}
	events, all := c.take()
	if !all || len(events) > maxChanges {
		t.Errorf("%d events, all %v", len(events), all)
	}
	if events, all = c.take(); all || len(events) != 0 {
		t.Error("taken twice")
	}
}
