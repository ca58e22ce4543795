package cluster

import (
	"context"
	"sync"
	"time"

	"tandem/fsm/wire"
)

const (
	// pingEvery is how often nodes compare clocks, progress and state hashes.
	pingEvery   = time.Second
	firstPings  = 50 * time.Millisecond
	pingTimeout = 300 * time.Millisecond
	// healthyFor is how old the last answer of a healthy node may be.
	healthyFor = 3 * pingEvery
	// maxCheckpoints is how many state hashes travel in a ping.
	maxCheckpoints = 4
	// maxBuild bounds the name of a build; a longer one is refused by Validate.
	maxBuild = 128
	pingName = "cluster.ping"
)

// pong is what a node tells about itself when it is pinged.
type pong struct {
	ID       string
	Wall     int64  // its wall clock, µs
	LogTime  int64  // its estimate of log time, µs
	Live     bool   // the estimate is not that of a replay
	Term     uint64 // raft's
	Commit   uint64
	Applied  uint64
	Last     uint64
	Snapshot uint64
	Stalled  time.Duration // age of the write to its log that hangs
	Witness  bool
	Build    string
	Checks   []Checkpoint
}

func (p *pong) code(c *wire.Codec) {
	c.String(&p.ID, maxName)
	c.Int(&p.Wall)
	c.Int(&p.LogTime)
	c.Bool(&p.Live)
	c.Uint(&p.Term)
	c.Uint(&p.Commit)
	c.Uint(&p.Applied)
	c.Uint(&p.Last)
	c.Uint(&p.Snapshot)
	wire.Int(c, &p.Stalled)
	c.Bool(&p.Witness)
	c.String(&p.Build, maxBuild)
	wire.Slice(c, &p.Checks, maxCheckpoints, func(c *wire.Codec, k *Checkpoint) {
		c.Uint(&k.Index)
		c.Fixed(k.Hash[:])
	})
}

// report is the last pong of a node.
type report struct {
	pong
	at     time.Time     // when it came
	offset time.Duration // its wall clock minus ours
}

// reports holds the last pong of each node.
type reports struct {
	mu   sync.Mutex // guards what follows
	last map[string]report
}

func (r *reports) put(id string, rep report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last[id] = rep
}

// get returns a node's last report.
func (r *reports) get(id string) (report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep, ok := r.last[id]
	return rep, ok
}

// fresh returns a node's last report if it is young enough to call it healthy.
func (r *reports) fresh(id string) (report, bool) {
	rep, ok := r.get(id)
	return rep, ok && time.Since(rep.at) <= healthyFor
}

// offsets returns the wall clock offsets of all nodes that answer.
func (r *reports) offsets() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []time.Duration
	for _, rep := range r.last {
		if time.Since(rep.at) <= healthyFor {
			out = append(out, rep.offset)
		}
	}
	return out
}

// median is the median wall clock of the members.
func (c *Cluster) median() time.Time { return medianWall(c.cfg.Wall(), c.reports.offsets()) }

// pong describes this node.
func (c *Cluster) pong() pong {
	at, live := c.clock.now()
	p := pong{
		ID: c.cfg.ID, Wall: c.cfg.Wall().UnixMicro(), LogTime: at, Live: live,
		Term: c.raft.CurrentTerm(), Commit: c.raft.CommitIndex(), Applied: c.replica.index(),
		Last: c.raft.LastIndex(), Stalled: c.disk.stalled(), Snapshot: c.snapshotIndex(),
		Witness: c.cfg.Witness, Build: c.cfg.Build,
	}
	if c.cfg.Checkpoints != nil {
		p.Checks = c.cfg.Checkpoints()
		p.Checks = p.Checks[:min(len(p.Checks), maxCheckpoints)]
	}
	return p
}

// snapshotIndex is the index of the newest snapshot.
func (c *Cluster) snapshotIndex() uint64 {
	list, err := c.cfg.Snapshots.List()
	if err != nil || len(list) == 0 {
		return 0
	}
	return list[0].Index
}

// servePing answers a ping.
func (c *Cluster) servePing(context.Context, string, []byte) ([]byte, error) {
	p := c.pong()
	return encoded(p.code), nil
}

// runPings pings all live members until ctx ends. A node that has just started
// asks more often until it has learnt log time: without it nothing is proposed.
func (c *Cluster) runPings(ctx context.Context) {
	for {
		c.pingAll(ctx)
		c.track()
		c.judgeSelf(ctx)
		c.watchClock()
		c.watchDisk()
		pause := pingEvery
		if _, live := c.clock.now(); !live {
			pause = firstPings
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// pingAll pings every live member once and waits for the answers.
func (c *Cluster) pingAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, m := range c.gossip.all() {
		if m.alive && m.id != c.cfg.ID {
			all.Go(func() { c.ping(ctx, m) })
		}
	}
	all.Wait()
}

// ping asks one member and keeps its answer.
func (c *Cluster) ping(ctx context.Context, m member) {
	sent, wall := time.Now(), c.cfg.Wall()
	b, err := c.rpc.call(ctx, m.addr, pingName, nil)
	if err != nil {
		c.log.Debug("ping", "node", m.id, "err", err)
		return
	}
	var p pong
	if decoded(b, p.code) != nil || p.ID != m.id {
		return
	}
	half := time.Since(sent) / 2 // the answer was made about now - half
	c.reports.put(m.id, report{pong: p, at: time.Now(), offset: time.UnixMicro(p.Wall).Sub(wall.Add(half))})
	if p.Live {
		c.clock.adopt(p.LogTime + half.Microseconds())
	}
	c.compare(p)
}

// compare raises an alarm if a node's state hash differs from ours at the same
// index. Nothing is stopped: in a mixed cluster the majority may be wrong.
func (c *Cluster) compare(p pong) {
	if c.cfg.Checkpoints == nil {
		return
	}
	for _, own := range c.cfg.Checkpoints() {
		for _, other := range p.Checks {
			if own.Index != other.Index || own.Hash == other.Hash || !c.differs(p.ID, own.Index) {
				continue
			}
			c.hashAlarms.Add(1)
			c.log.Error("state differs", "node", p.ID, "index", own.Index)
			c.cfg.Notify(Event{Kind: EventHash, Node: p.ID, Text: hashText(own, other)})
		}
	}
}
