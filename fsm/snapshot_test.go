package fsm_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"tandem/fsm"
)

// TestSnapshotBesideApply writes a view, and computes its hash, while entries
// are applied: under the race detector nothing is shared.
func TestSnapshotBesideApply(t *testing.T) {
	p := newStory(t)
	p.setUp()
	p.run("topup acme 5")
	r := rand.New(rand.NewPCG(7, 7))
	for range 20 {
		for range 40 {
			p.run(draw(r))
		}
		want := p.state.Hash()
		view := p.state.Snapshot()
		type outcome struct {
			restored   *fsm.State
			full, kept fsm.Hash
			err        error
		}
		done := make(chan outcome)
		go func() {
			var o outcome
			o.full, o.kept = view.HashFull()
			var b bytes.Buffer
			if _, o.err = view.WriteTo(&b); o.err == nil {
				o.restored, o.err = fsm.Restore(&b)
			}
			view.Release()
			done <- o
		}()
		for range 40 {
			p.run(draw(r))
			p.state.Hash()
		}
		o := <-done
		if o.err != nil || o.full != want || o.kept != want || o.restored.Hash() != want {
			t.Fatalf("view at %d: %v, hash %x, kept %x, want %x", view.Index(), o.err, o.full, o.kept, want)
		}
	}
}

// TestRestoreCut: a snapshot that ends early is none, wherever it ends.
func TestRestoreCut(t *testing.T) {
	p := newStory(t)
	p.setUp()
	whole := snapshotOf(t, p.state)
	for n := range len(whole) {
		if _, err := fsm.Restore(bytes.NewReader(whole[:n])); err == nil {
			t.Fatalf("restored from %d of %d bytes", n, len(whole))
		}
	}
	if _, err := fsm.Restore(bytes.NewReader(append(bytes.Clone(whole), whole...))); !errors.Is(err, fsm.ErrSnapshot) {
		t.Errorf("two snapshots: %v", err)
	}
}

// TestCheckpoints are taken at every 1,024th index, and the last 64 are kept.
func TestCheckpoints(t *testing.T) {
	s := fsm.New(fsm.Config{})
	const last = 70 * 1024
	for i := uint64(1); i <= last; i++ {
		s.Apply(i, fsm.Entry{At: fsm.Time(i), Commands: []fsm.Command{{Body: &fsm.Tick{}}}})
	}
	c := s.Checkpoints()
	if len(c) != 64 || c[0].Index != last-63*1024 || c[63].Index != last {
		t.Fatalf("%d checkpoints from %d", len(c), c[0].Index)
	}
	if c[63].Hash != s.Hash() || c[62].Hash == c[63].Hash {
		t.Errorf("hashes %x, %x, now %x", c[62].Hash, c[63].Hash, s.Hash())
	}
}
