package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// raftGate holds entries back from a follower that does not answer heartbeats.
// Raft sends them all the same, and waits longer after each failure, up to 10 s:
// a node that comes back would stay behind for so long. Held back, they leave as
// soon as a heartbeat, tried each 250 ms at the latest, has been answered.
type raftGate struct {
	closed chan struct{}

	mu   sync.Mutex                      // guards what follows
	away map[raft.ServerID]chan struct{} // closed when the follower is back
	over bool
}

// gateHold bounds the wait, so that a heartbeat that was misjudged cannot stop
// replication for good.
const gateHold = time.Hour

func newRaftGate() *raftGate {
	return &raftGate{closed: make(chan struct{}), away: map[raft.ServerID]chan struct{}{}}
}

// heard notes the outcome of a heartbeat.
func (g *raftGate) heard(id raft.ServerID, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	back, away := g.away[id]
	switch {
	case err != nil && !away:
		g.away[id] = make(chan struct{})
	case err == nil && away:
		close(back)
		delete(g.away, id)
	}
}

// wait returns when the follower answers heartbeats, or its time is over.
func (g *raftGate) wait(id raft.ServerID) {
	g.mu.Lock()
	back, away := g.away[id]
	g.mu.Unlock()
	if !away {
		return
	}
	t := time.NewTimer(gateHold)
	defer t.Stop()
	select {
	case <-back:
	case <-g.closed:
	case <-t.C:
	}
}

// release lets everybody go: this node does not lead any more, and nobody sends
// heartbeats that would.
func (g *raftGate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, back := range g.away {
		close(back)
		delete(g.away, id)
	}
}

// close lets everybody go, for good. It may be called again.
func (g *raftGate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over {
		g.over = true
		close(g.closed)
	}
}

// isHeartbeat says whether a request is raft's heartbeat: it names no entry.
func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return len(req.Entries) == 0 && req.PrevLogEntry == 0 && req.LeaderCommitIndex == 0
}
