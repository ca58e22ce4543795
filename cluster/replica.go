package cluster

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// replica stands between raft and the machine: it opens entries, feeds log time
// to the clock, keeps the applied index and wakes those who wait for it.
type replica struct {
	machine Machine
	clock   *logClock
	fatal   func(error)
	self    raft.ServerID
	member  func()                                      // called when a committed configuration names this node
	absent  func(bool)                                  // called before and after the whole state is replaced
	receive func(io.Reader) (in io.Reader, done func()) // reads a state that replaces this one

	mu      sync.Mutex // guards what follows; never held while the machine works
	applied uint64     // newest command or configuration that the machine has seen
	failed  error      // why the replica has stopped
	waiters waiters
}

// applied is what the leader's proposer gets from raft's future.
type applied struct {
	results [][]byte
	err     error
}

var (
	_ raft.BatchingFSM        = (*replica)(nil)
	_ raft.ConfigurationStore = (*replica)(nil)
)

// Apply implements raft.FSM; raft calls ApplyBatch instead.
func (r *replica) Apply(l *raft.Log) any { return r.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM.
func (r *replica) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for i, l := range logs {
		switch l.Type {
		case raft.LogCommand:
			out[i] = r.applyOne(l)
		case raft.LogConfiguration:
			r.StoreConfiguration(l.Index, raft.DecodeConfiguration(l.Data))
		}
	}
	return out
}

// applyOne applies a command entry. After a failure nothing is applied any
// more: a replica that skips an entry would diverge.
func (r *replica) applyOne(l *raft.Log) applied {
	r.mu.Lock()
	failed := r.failed
	r.mu.Unlock()
	if failed != nil {
		return applied{err: failed}
	}
	at, commands, err := decodeEntry(l.Data)
	var results [][]byte
	if err == nil {
		results, err = r.machine.Apply(l.Index, at, commands)
	}
	if err == nil && len(results) != len(commands) {
		err = fmt.Errorf("%d results for %d commands", len(results), len(commands))
	}
	if err != nil {
		err = fmt.Errorf("entry %d cannot be applied, replica stops: %w", l.Index, err)
		r.mu.Lock()
		r.failed = err
		r.mu.Unlock()
		r.fatal(err)
		return applied{err: err}
	}
	r.clock.applied(at)
	r.advance(l.Index)
	return applied{results: results}
}

// StoreConfiguration implements raft.ConfigurationStore.
func (r *replica) StoreConfiguration(index uint64, cfg raft.Configuration) {
	for _, s := range cfg.Servers {
		if s.ID == r.self {
			r.member()
		}
	}
	r.mu.Lock()
	failed := r.failed
	r.mu.Unlock()
	if failed == nil {
		r.advance(index)
	}
}

// advance publishes a new applied index and wakes its waiters.
func (r *replica) advance(index uint64) {
	var due []func()
	r.mu.Lock()
	r.applied = max(r.applied, index)
	for len(r.waiters) > 0 && r.waiters[0].index <= r.applied {
		due = append(due, heap.Pop(&r.waiters).(waiter).wake)
	}
	r.mu.Unlock()
	for _, wake := range due {
		wake()
	}
}

// when calls wake as soon as index is applied, perhaps at once.
func (r *replica) when(index uint64, wake func()) {
	r.mu.Lock()
	late := r.applied >= index
	if !late {
		heap.Push(&r.waiters, waiter{index, wake})
	}
	r.mu.Unlock()
	if late {
		wake()
	}
}

// wait blocks until index is applied.
func (r *replica) wait(ctx context.Context, index uint64) error {
	done := make(chan struct{})
	r.when(index, func() { close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for index %d, applied %d: %w", index, r.index(), ctx.Err())
	}
}

// index is the newest index that the machine has seen.
func (r *replica) index() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied
}

// The head of a snapshot: magic, applied index, log time, all before the
// machine's own bytes.
const (
	snapshotMagic = 0x74646d31 // "tdm1"
	snapshotHead  = 4 + 8 + 8
)

// Snapshot implements raft.FSM. It is called on the goroutine that applies.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	r.mu.Lock()
	failed, index := r.failed, r.applied
	r.mu.Unlock()
	if failed != nil {
		return nil, failed
	}
	w, err := r.machine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("snapshot at %d: %w", index, err)
	}
	head := binary.BigEndian.AppendUint32(nil, snapshotMagic)
	head = binary.BigEndian.AppendUint64(head, index)
	head = binary.BigEndian.AppendUint64(head, uint64(r.clock.lastAt()))
	return &snapshot{head: head, view: w}, nil
}

// Restore implements raft.FSM.
func (r *replica) Restore(rc io.ReadCloser) error {
	r.absent(true)
	defer r.absent(false)
	in, done := r.receive(rc)
	defer done()
	head, err := ReadBackup(in)
	if err != nil {
		return err
	}
	if err := r.machine.Restore(in); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	r.clock.applied(head.At)
	r.advance(head.Index)
	return nil
}

// snapshot is a view of the machine, to be written beside Apply.
type snapshot struct {
	head []byte
	view SnapshotWriter
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	_, err := sink.Write(s.head)
	if err == nil {
		_, err = s.view.WriteTo(sink)
	}
	if err != nil {
		_ = sink.Cancel() // the first error says more
		return fmt.Errorf("write snapshot: %w", err)
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() { s.view.Release() }

// waiter is somebody who waits for an index.
type waiter struct {
	index uint64
	wake  func()
}

// waiters is a heap, the lowest index first. It is bounded by the commands in
// flight and the readers.
type waiters []waiter

func (w waiters) Len() int           { return len(w) }
func (w waiters) Less(i, j int) bool { return w[i].index < w[j].index }
func (w waiters) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waiters) Push(x any)        { *w = append(*w, x.(waiter)) }
func (w *waiters) Pop() any {
	old := *w
	x := old[len(old)-1]
	*w = old[:len(old)-1]
	return x
}
