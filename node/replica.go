package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/cdr"
)

// replica feeds the committed log to the state machine and passes on what comes
// out of it. It is the [cluster.Machine] of a node.
type replica struct {
	log     *slog.Logger
	cdrs    *cdr.Store
	changes *changes
	broken  atomic.Uint64 // snapshots whose records do not add up to the hash that was kept

	mu    sync.RWMutex // state: Apply writes, everybody reads
	state *fsm.State
}

func newReplica(key [16]byte, cdrs *cdr.Store, log *slog.Logger) *replica {
	return &replica{
		log: log, cdrs: cdrs, changes: newChanges(),
		state: fsm.New(fsm.Config{HashKey: key}),
	}
}

// checkBody keeps a command that no replica could decode out of the log.
func checkBody(body []byte) error {
	_, _, err := fsm.DecodeBody(body)
	return err
}

// View calls fn with the state, which must not be changed or kept. Apply waits
// meanwhile, so fn looks things up and returns.
func (r *replica) View(fn func(*fsm.State)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	fn(r.state)
}

// Apply implements cluster.Machine.
func (r *replica) Apply(index uint64, at int64, envelopes []cluster.Envelope) ([][]byte, error) {
	entry := fsm.Entry{At: fsm.Time(at), Commands: make([]fsm.Command, len(envelopes))}
	for i, e := range envelopes {
		key, body, err := fsm.DecodeBody(e.Body)
		if err != nil {
			return nil, fmt.Errorf("entry %d, command %d from %s: %w", index, i, e.Node, err)
		}
		entry.Commands[i] = fsm.Command{
			Origin: fsm.Origin{Node: fsm.NodeID(e.Node), Incarnation: e.Incarnation, Seq: e.Seq, Low: e.Low},
			Age:    e.Age, Deadline: fsm.Time(e.Deadline), Key: key, Body: body,
		}
	}
	r.mu.Lock()
	applied := r.state.Apply(index, entry)
	r.mu.Unlock()

	if err := r.cdrs.Append(&applied); err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	r.changes.add(applied.Events)
	results := make([][]byte, len(applied.Results))
	for i := range applied.Results {
		results[i] = fsm.AppendResult(nil, &applied.Results[i])
	}
	return results, nil
}

// Snapshot implements cluster.Machine.
func (r *replica) Snapshot() (cluster.SnapshotWriter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &snapshot{view: r.state.Snapshot(), of: r}, nil
}

// Restore implements cluster.Machine.
func (r *replica) Restore(from io.Reader) error {
	state, err := fsm.Restore(from)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.state = state
	r.mu.Unlock()
	r.changes.lost()
	return nil
}

// WantsTick implements cluster.Machine.
func (r *replica) WantsTick() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.WantsTick()
}

// Checkpoints returns the newest state hashes, for comparison between nodes.
func (r *replica) Checkpoints() []cluster.Checkpoint {
	r.mu.RLock()
	defer r.mu.RUnlock()
	from := r.state.Checkpoints()
	out := make([]cluster.Checkpoint, 0, len(from))
	for i := len(from) - 1; i >= 0; i-- {
		out = append(out, cluster.Checkpoint{Index: from[i].Index, Hash: from[i].Hash})
	}
	return out
}

// snapshotSync bounds the wait of a snapshot for the CDR rows below it.
const snapshotSync = 30 * time.Second

// snapshot writes a view of the state, but not before the CDR rows up to its
// index are on the disk: raft forgets the log below it (ARCHITECTURE.md, rule 8).
type snapshot struct {
	view *fsm.View
	of   *replica
}

func (s *snapshot) WriteTo(w io.Writer) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), snapshotSync)
	defer cancel()
	if err := s.of.cdrs.Sync(ctx, s.view.Index()); err != nil {
		return 0, fmt.Errorf("snapshot %d waits for its cdrs: %w", s.view.Index(), err)
	}
	s.verify()
	return s.view.WriteTo(w)
}

// verify computes the hash of all records anew. The one that is kept while they
// change is made by the code that it checks, so a forgotten update or a flipped
// bit would show nowhere else (ARCHITECTURE.md, rule 11).
func (s *snapshot) verify() {
	full, kept := s.view.HashFull()
	if full != kept {
		s.of.broken.Add(1)
		s.of.log.Error("alarm", "kind", "hash", "index", s.view.Index(),
			"text", fmt.Sprintf("the records hash to %x, kept was %x", full, kept))
	}
}

func (s *snapshot) Release() { s.view.Release() }

// maxChanges bounds the events that wait to be acted on. When it is reached the
// reader compares everything instead.
const maxChanges = 16_384

// changes is the queue of state machine events between Apply, which must not
// wait, and the goroutine that acts on them.
type changes struct {
	wake chan struct{} // capacity 1: there is something

	mu     sync.Mutex // the fields below
	events []fsm.Event
	all    bool // events were lost: compare everything
}

func newChanges() *changes { return &changes{wake: make(chan struct{}, 1)} }

func (c *changes) add(events []fsm.Event) {
	if len(events) == 0 {
		return
	}
	c.mu.Lock()
	if len(c.events)+len(events) > maxChanges {
		c.events, c.all = nil, true
	} else {
		c.events = append(c.events, events...)
	}
	c.mu.Unlock()
	c.poke()
}

// lost tells the reader to compare everything.
func (c *changes) lost() {
	c.mu.Lock()
	c.events, c.all = nil, true
	c.mu.Unlock()
	c.poke()
}

func (c *changes) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take returns what waits. all means that everything has to be compared first.
func (c *changes) take() (events []fsm.Event, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	events, all = c.events, c.all
	c.events, c.all = nil, false
	return events, all
}
