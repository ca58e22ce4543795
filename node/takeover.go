package node

import (
	"context"
	"net/netip"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/call"
)

// declareWait bounds the commit of a NodeDown. When it fails, the cluster asks
// again, here or on another survivor.
const declareWait = time.Second

// declare commits that a life of a member has ended. It is the one thing that
// moves calls away from a node without its consent.
func (n *Node) declare(d cluster.Death) {
	down := &fsm.NodeDown{Node: fsm.NodeID(d.Node), Incarnation: d.Incarnation, Exited: d.Exited}
	for _, p := range d.Pledges {
		down.Pledges = append(down.Pledges, fsm.Pledge{Node: fsm.NodeID(p.Node), Incarnation: p.Incarnation})
	}
	ctx, cancel := context.WithTimeout(context.Background(), declareWait)
	defer cancel()
	r, err := n.proposer.Propose(ctx, cluster.LaneUrgent, "", down)
	if err != nil || r.Code != fsm.OK {
		n.log.Warn("node not declared dead", "node", d.Node, "incarnation", d.Incarnation, "code", r.Code, "detail", r.Detail, "err", err)
		return
	}
	n.spread()
	n.figures.declared.Add(1)
	n.log.Warn("node declared dead", "node", d.Node, "incarnation", d.Incarnation,
		"exited", d.Exited, "pledges", len(d.Pledges), "index", r.Index)
}

// spread has all nodes hear at once of what has just been committed. A follower
// learns of a commit with the next entry, or 50 ms later; so there is a next one,
// which says nothing.
func (n *Node) spread() {
	n.proposer.Submit(call.Command{Lane: cluster.LaneUrgent, Body: &fsm.Tick{}, Until: time.Now().Add(declareWait)},
		func(fsm.Result, error) {})
}

// peers are the members as leases need them. Their version is the log time of the
// newest change, which is the same on every replica, and in every snapshot.
func (n *Node) peers() (set []cluster.LeaseMember, version uint64) {
	n.replica.View(func(s *fsm.State) {
		for _, m := range s.Members() {
			set = append(set, cluster.LeaseMember{ID: string(m.Node), Incarnation: m.Incarnation, Up: m.Up, Witness: m.Witness})
			version = max(version, uint64(m.Since))
		}
	})
	return set, version
}

// probeAfter is how long a process must have owned an address before a free port
// says anything: an heir needs a moment to open it.
const probeAfter = 2 * time.Second

// probe says whether a member's process has ended for certain: the members share
// a kernel, and the signalling ports of all addresses that it has had for a while
// are free (ARCHITECTURE.md, rule 18).
func (n *Node) probe(node string) bool {
	var ips []netip.Addr
	at := n.LogTime()
	n.replica.View(func(s *fsm.State) {
		m, ok := s.Member(fsm.NodeID(node))
		if !ok {
			return
		}
		for _, a := range s.OwnedAddresses(m.Node, m.Incarnation) {
			if ip, err := netip.ParseAddr(a.IP); err == nil && a.Move == fsm.MoveBind && at.Sub(a.Since) > probeAfter {
				ips = append(ips, ip)
			}
		}
	})
	for _, ip := range ips {
		if !n.opts.Network.Free(netip.AddrPortFrom(ip, n.opts.SIP.Port)) {
			return false
		}
	}
	return len(ips) > 0
}

// adoptLine brings the calls of a service address to life and ends those that a
// dead owner did not get to end. It returns how many calls there are.
func (n *Node) adoptLine(l *line) int {
	var mine []fsm.Call
	n.replica.View(func(s *fsm.State) {
		for _, id := range s.OwnedCalls(n.id, n.cluster.Incarnation()) {
			if c, ok := s.Call(id); ok && n.onLine(l, c.Line) {
				mine = append(mine, c)
			}
		}
	})
	at := n.LogTime()
	for i := range mine {
		n.calls.Adopt(mine[i], at)
	}
	n.tellOrphans()
	return len(mine)
}

// onLine says whether a call's address is served by a line: it is the line's own,
// or one that cannot move.
func (n *Node) onLine(l *line, ip string) bool {
	return ip == l.address.IP || n.lineOf(ip) == nil && l.address.Home == n.id
}

func (n *Node) lineOf(ip string) *line {
	at, err := netip.ParseAddr(ip)
	if err != nil {
		return nil
	}
	return n.lines.get(at)
}

// serves says that calls of a service address go on here: on it, or, where it cannot
// move, on one of our own.
func (n *Node) serves(ip string) bool {
	if n.lineOf(ip) != nil {
		return true
	}
	at, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	_, ok := n.standIn(at)
	return ok
}

// tellOrphans tells the legs of calls that a dead owner had ended, and perhaps not
// told. Each is told once.
func (n *Node) tellOrphans() {
	var left []fsm.Orphan
	n.replica.View(func(s *fsm.State) { left = s.Orphans(n.id, n.cluster.Incarnation()) })
	if len(left) == 0 {
		clear(n.told)
		return
	}
	at := n.LogTime()
	for _, o := range left {
		if _, done := n.told[o.Call.ID]; !done && n.serves(o.Call.Line) {
			n.told[o.Call.ID] = struct{}{}
			n.calls.Orphan(o, at)
		}
	}
}
