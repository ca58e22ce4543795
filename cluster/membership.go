package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// membershipEvery is how often members and raft's configuration are compared.
	membershipEvery = 500 * time.Millisecond
	// minVoters is what a removal may not go below without force.
	minVoters = 3
	// maxLag is how many entries behind a node may be and still be healthy.
	maxLag = 1000
	// forgetAfter is when a dead node that is no member of raft disappears from
	// the lists.
	forgetAfter = time.Hour
	// changeTimeout bounds one change of raft's configuration.
	changeTimeout = 5 * time.Second
)

// pilot keeps raft's configuration in step with who is there. All of it but
// bootstrap is done by the leader.
type pilot struct {
	c       *Cluster
	healthy map[string]time.Time // since when a nonvoter has been healthy
	yielded time.Time            // when this node last tried to hand leadership over
}

// runMembership works until ctx ends.
func (c *Cluster) runMembership(ctx context.Context) {
	t := time.NewTicker(membershipEvery)
	defer t.Stop()
	for {
		c.pilot.step()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-c.gossip.wake:
		}
	}
}

// step does what is to be done now.
func (p *pilot) step() {
	c := p.c
	servers := c.servers()
	c.gossip.update(meta{Expect: c.cfg.Expect, Empty: len(servers) == 0 && c.raft.LastIndex() == 0,
		Joined: c.joined.Load(), Voter: !c.cfg.Nonvoter})
	p.forget(servers)
	if len(servers) == 0 {
		p.bootstrap()
		return
	}
	if _, leads := c.sequencer.leads(); !leads {
		clear(p.healthy)
		return
	}
	for _, m := range c.gossip.all() {
		if m.alive && m.id != c.cfg.ID {
			p.admit(m, servers)
		}
	}
	p.promote(servers)
	p.yield()
}

// forget drops members that died long ago and are not raft's.
func (p *pilot) forget(servers []raft.Server) {
	for _, m := range p.c.gossip.all() {
		known := slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == m.id })
		if !m.alive && !known && time.Since(m.since) > forgetAfter {
			p.c.gossip.forget(m.id)
		}
	}
}

// bootstrap starts the cluster if this node is the one to do it: Expect nodes
// see each other, all without any state, and this one has the lowest name. The
// others learn the configuration from it.
func (p *pilot) bootstrap() {
	c := p.c
	if c.cfg.Expect == 0 || c.cfg.Nonvoter {
		return
	}
	var servers []raft.Server
	for _, m := range c.gossip.all() {
		if !m.alive || !m.meta.Voter {
			continue
		}
		if !m.meta.Empty || m.meta.Expect != c.cfg.Expect {
			return // there is a cluster already: its leader will add us
		}
		servers = append(servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(m.id), Address: raft.ServerAddress(m.addr)})
	}
	if len(servers) < c.cfg.Expect || servers[0].ID != raft.ServerID(c.cfg.ID) {
		return // members are sorted by name
	}
	servers = servers[:c.cfg.Expect]
	if err := c.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		c.log.Warn("bootstrap", "err", err)
		return
	}
	c.log.Info("bootstrap", "voters", len(servers))
}

// admit adds a member that raft does not know, or follows it to a new address.
func (p *pilot) admit(m member, servers []raft.Server) {
	c := p.c
	i := slices.IndexFunc(servers, func(s raft.Server) bool { return string(s.ID) == m.id })
	id, addr := raft.ServerID(m.id), raft.ServerAddress(m.addr)
	switch {
	case i >= 0 && servers[i].Address == addr:
		return
	case i >= 0 && servers[i].Suffrage == raft.Voter:
		p.changed(m.id, "moved to "+m.addr, c.raft.AddVoter(id, addr, 0, changeTimeout))
	case i >= 0:
		p.changed(m.id, "moved to "+m.addr, c.raft.AddNonvoter(id, addr, 0, changeTimeout))
	case m.meta.Joined:
		return // it was removed
	default:
		if old := slices.IndexFunc(servers, func(s raft.Server) bool { return s.Address == addr }); old >= 0 {
			// A new node took over a dead one's address.
			if err := p.c.removable(string(servers[old].ID), true); err != nil {
				c.log.Warn("address belongs to another node of raft", "node", m.id, "addr", m.addr, "owner", string(servers[old].ID))
				return
			}
			p.changed(string(servers[old].ID), "replaced by "+m.id, c.raft.RemoveServer(servers[old].ID, 0, changeTimeout))
		}
		p.changed(m.id, "added as nonvoter", c.raft.AddNonvoter(id, addr, 0, changeTimeout))
	}
}

// promote lets those nonvoters vote that have been healthy for long enough.
func (p *pilot) promote(servers []raft.Server) {
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			continue
		}
		id := string(s.ID)
		m, known := p.c.gossip.find(id)
		if !known || !m.meta.Voter || !p.c.isHealthy(id) {
			delete(p.healthy, id)
			continue
		}
		if p.healthy[id].IsZero() {
			p.healthy[id] = time.Now()
		}
		if time.Since(p.healthy[id]) >= p.c.cfg.Timing.Stable {
			delete(p.healthy, id)
			p.changed(id, "promoted to voter", p.c.raft.AddVoter(s.ID, s.Address, 0, changeTimeout))
		}
	}
}

// changed waits for a change of the configuration and reports it.
func (p *pilot) changed(node, text string, f raft.IndexFuture) {
	if err := f.Error(); err != nil {
		p.c.log.Warn("membership", "node", node, "change", text, "err", err)
		return
	}
	p.c.log.Info("membership", "node", node, "change", text)
	p.c.cfg.Notify(Event{Kind: EventMembership, Node: node, Text: text})
}

// servers is raft's latest configuration.
func (c *Cluster) servers() []raft.Server {
	f := c.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	return f.Configuration().Servers
}

// isHealthy says whether a node is alive, answers and keeps up.
func (c *Cluster) isHealthy(id string) bool {
	if id == c.cfg.ID {
		return true
	}
	m, known := c.gossip.find(id)
	rep, fresh := c.reports.fresh(id)
	return known && m.alive && fresh && rep.Stalled < muteAfter && rep.Last+maxLag >= c.raft.LastIndex()
}

// addrOf finds a node's address: gossip knows better, raft's configuration knows
// those that gossip has lost.
func (c *Cluster) addrOf(id string) (string, bool) {
	if m, ok := c.gossip.find(id); ok {
		return m.addr, true
	}
	for _, s := range c.servers() {
		if string(s.ID) == id {
			return string(s.Address), true
		}
	}
	return "", false
}

// peerAddrs lists the addresses of raft's other servers, so that a node finds
// the cluster again whose configured peers have all been replaced.
func (c *Cluster) peerAddrs() []string {
	var out []string
	for _, s := range c.servers() {
		if string(s.ID) != c.cfg.ID {
			out = append(out, string(s.Address))
		}
	}
	return out
}

// removable says why a node cannot be taken out.
func (c *Cluster) removable(id string, force bool) error {
	found, left, healthy := false, 0, 0
	for _, s := range c.servers() {
		if string(s.ID) == id {
			found = true
			continue
		}
		if s.Suffrage != raft.Voter {
			continue
		}
		left++
		if c.isHealthy(string(s.ID)) {
			healthy++
		}
	}
	switch {
	case !found:
		return fmt.Errorf("remove %s: not a member", id)
	case healthy < left/2+1:
		return fmt.Errorf("remove %s: %w: %d of the %d voters left are healthy", id, ErrQuorum, healthy, left)
	case left < minVoters && !force:
		return fmt.Errorf("remove %s: %w: %d voters would be left, at least %d", id, ErrQuorum, left, minVoters)
	}
	return nil
}

// Remove takes a node out of raft's configuration. It is refused with ErrQuorum
// if fewer than three voters, or fewer healthy ones than a majority, would be
// left; force overrides the former, never the latter. Only the leader does it:
// elsewhere it is ErrNoLeader with the leader's name.
func (c *Cluster) Remove(ctx context.Context, id string, force bool) error {
	if _, leads := c.sequencer.leads(); !leads {
		info, _ := c.leader.get()
		return fmt.Errorf("%w here: %q leads", ErrNoLeader, info.id)
	}
	if err := c.removable(id, force); err != nil {
		return err
	}
	c.log.Info("membership", "node", id, "change", "removed")
	return c.wait(ctx, c.raft.RemoveServer(raft.ServerID(id), 0, changeTimeout))
}

// Transfer hands leadership to another up-to-date voter, if this node has it: to a
// full node rather than to a witness.
func (c *Cluster) Transfer(ctx context.Context) error {
	if c.raft.State() != raft.Leader {
		return nil
	}
	if to, found := c.successor(); found {
		return c.wait(ctx, c.raft.LeadershipTransferToServer(to.ID, to.Address))
	}
	return c.wait(ctx, c.raft.LeadershipTransfer())
}

// wait waits for a future of raft. The goroutine behind it belongs to raft, which
// answers every future at the latest when it stops.
func (c *Cluster) wait(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1) // one answer, perhaps after the wait was given up
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
