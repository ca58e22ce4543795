package cluster

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"
)

// leaderInfo names a leader; the zero value is none.
type leaderInfo struct {
	id   string
	addr string
}

// leaderWatch holds who leads and lets others wait for a change.
type leaderWatch struct {
	mu      sync.Mutex // guards what follows
	info    leaderInfo
	changed chan struct{} // closed at the next change
}

func newLeaderWatch() *leaderWatch { return &leaderWatch{changed: make(chan struct{})} }

// get returns the leader and a channel that is closed when that is outdated.
func (w *leaderWatch) get() (leaderInfo, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.info, w.changed
}

// set notes the leader and says whether it is another one.
func (w *leaderWatch) set(info leaderInfo) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if info == w.info {
		return false
	}
	w.info = info
	close(w.changed)
	w.changed = make(chan struct{})
	return true
}

// whileLeads derives a context that ends when the leader changes: nobody waits
// for the answer of a leader that has been replaced. stop must be called.
func whileLeads(ctx context.Context, changed <-chan struct{}) (leading context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel()
		watching.Wait()
	}
}

// observe asks raft who leads.
func observe(r *raft.Raft) leaderInfo {
	addr, id := r.LeaderWithID()
	return leaderInfo{id: string(id), addr: string(addr)}
}
