package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// successor is the full voter that should lead instead of this node: healthy and
// the least behind. Empty: there is none.
func (c *Cluster) successor() (best raft.Server, found bool) {
	var last uint64
	for _, s := range c.servers() {
		id := string(s.ID)
		rep, fresh := c.reports.fresh(id)
		if s.Suffrage != raft.Voter || id == c.cfg.ID || !fresh || rep.Witness || !c.isHealthy(id) {
			continue
		}
		if !found || rep.Last > last {
			best, last, found = s, rep.Last, true
		}
	}
	return best, found
}

// yield hands the leadership of a witness, or of a node whose state the others
// contradict, to a full node that is caught up.
func (p *pilot) yield() {
	c := p.c
	if !c.cfg.Witness && !c.diverged.Load() || time.Since(p.yielded) < yieldEvery {
		return
	}
	to, found := c.successor()
	if !found {
		return
	}
	p.yielded = time.Now()
	if err := c.raft.LeadershipTransferToServer(to.ID, to.Address).Error(); err != nil {
		c.log.Warn("leadership not handed over", "node", string(to.ID), "err", err)
	}
}

// yieldEvery bounds the attempts to hand leadership over.
const yieldEvery = 5 * time.Second

// track keeps since when each member of raft has been healthy.
func (c *Cluster) track() {
	servers := c.servers()
	now := time.Now()
	c.mu.Lock()
	known := c.healthy
	c.mu.Unlock()
	fresh := map[string]time.Time{}
	for _, s := range servers {
		id := string(s.ID)
		if c.isHealthy(id) {
			fresh[id] = now
			if since, was := known[id]; was {
				fresh[id] = since
			}
		}
	}
	c.mu.Lock()
	c.healthy = fresh
	c.mu.Unlock()
}

// healthySince says since when a member of raft has been healthy.
func (c *Cluster) healthySince(id string) (since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, ok = c.healthy[id]
	return since, ok
}
