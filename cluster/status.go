package cluster

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Status is what a node knows of the cluster.
type Status struct {
	ID          string
	ClusterID   string
	Generation  uint32
	Incarnation uint64
	State       string // "Follower", "Candidate", "Leader", "Shutdown"
	Leader      string // node id, empty when unknown
	Term        uint64
	Commit      uint64
	Applied     uint64
	LastLog     uint64
	Snapshot    uint64
	Members     []Member
	Peers       []Peer
	DiskStalled time.Duration
}

// Member is a node as gossip sees it.
type Member struct {
	ID    string
	Addr  string
	Alive bool
	Since time.Time // of the last change
}

// Peer is a node of raft's configuration, as pings from this node see it.
type Peer struct {
	ID          string
	Addr        string
	Voter       bool
	Leader      bool
	LastContact time.Duration // negative: never
	Commit      uint64
	Applied     uint64
	LastLog     uint64
	Snapshot    uint64
	Lag         uint64        // entries behind this node's commit index
	WallOffset  time.Duration // its wall clock minus ours
	DiskStalled time.Duration
	Witness     bool
	Build       string
	// Healthy: it is alive, answers, keeps up and its disk works, all of it since
	// Since. A node that has been healthy for a while is caught up.
	Healthy bool
	Since   time.Time
}

// Status returns the node's view.
func (c *Cluster) Status() Status {
	info, _ := c.leader.get()
	s := Status{
		ID: c.cfg.ID, ClusterID: c.cfg.ClusterID, Generation: c.cfg.Generation, Incarnation: c.Incarnation(),
		State: c.raft.State().String(), Leader: info.id, Term: c.raft.CurrentTerm(),
		Commit: c.raft.CommitIndex(), Applied: c.replica.index(), LastLog: c.raft.LastIndex(),
		Snapshot: c.snapshotIndex(), DiskStalled: c.disk.stalled(),
	}
	for _, m := range c.gossip.all() {
		s.Members = append(s.Members, Member{ID: m.id, Addr: m.addr, Alive: m.alive, Since: m.since})
	}
	for _, srv := range c.servers() {
		p := Peer{ID: string(srv.ID), Addr: string(srv.Address), Voter: srv.Suffrage == raft.Voter,
			Leader: string(srv.ID) == info.id, LastContact: -1}
		if rep, ok := c.reports.get(p.ID); ok {
			p.Witness, p.Build = rep.Witness, rep.Build
			p.LastContact, p.WallOffset, p.DiskStalled = time.Since(rep.at), rep.offset, rep.Stalled
			p.Commit, p.Applied, p.LastLog, p.Snapshot = rep.Commit, rep.Applied, rep.Last, rep.pong.Snapshot
		}
		if p.ID == s.ID {
			p.Witness, p.Build = c.cfg.Witness, c.cfg.Build
			p.LastContact, p.DiskStalled = 0, s.DiskStalled
			p.Commit, p.Applied, p.LastLog, p.Snapshot = s.Commit, s.Applied, s.LastLog, s.Snapshot
		}
		p.Since, p.Healthy = c.healthySince(p.ID)
		if p.LastLog < s.Commit {
			p.Lag = s.Commit - p.LastLog
		}
		s.Peers = append(s.Peers, p)
	}
	slices.SortFunc(s.Peers, func(a, b Peer) int { return strings.Compare(a.ID, b.ID) })
	return s
}

// EventKind says what an Event is about.
type EventKind string

// The events.
const (
	EventLeader     EventKind = "leader"     // leadership changed, Node is the leader or empty
	EventJoined     EventKind = "joined"     // gossip sees Node
	EventLeft       EventKind = "left"       // gossip lost Node
	EventHash       EventKind = "hash"       // alarm: Node's state differs from ours
	EventClock      EventKind = "clock"      // alarm: our wall clock is off the median
	EventDisk       EventKind = "disk"       // alarm: a write to the log hangs
	EventMembership EventKind = "membership" // Node was added, promoted or removed
	EventLease      EventKind = "lease"      // this node holds its lease from now on
	EventLeaseLost  EventKind = "lease lost" // this node must fall silent
	EventFenced     EventKind = "fenced"     // a member will never answer this life of the node again: renew it
	EventDiverged   EventKind = "diverged"   // alarm: the others agree that this node's state is wrong: drain, then Reinstall
)

// Event is something an operator wants to know.
type Event struct {
	Kind EventKind
	Node string
	Text string
}

// Counters are totals since the start of the process.
type Counters struct {
	Proposed, Committed, Busy, TimedOut, Retries uint64
	Entries, EntryCommands                       uint64 // proposed by this node as leader
	Elections, HashAlarms, ClockAlarms, Mutes    uint64
	RPCServed, RPCFailed                         uint64
	LeaseLost                                    uint64 // times that this node's lease ran out
	PingsSent, PingsAnswered, PingsRefused       uint64 // sent by this node; answered or refused by it
	PledgesGiven, PledgesRefused                 uint64 // by this node
	ExitsHeard, DeathsProposed, Campaigns        uint64
}

// Counters returns the totals.
func (c *Cluster) Counters() Counters {
	p, l := c.proposer, c.lease
	return Counters{
		Proposed: p.proposed.Load(), Committed: p.committed.Load(), Busy: p.busy.Load(),
		TimedOut: p.timedOut.Load(), Retries: p.retries.Load(),
		Entries: c.sequencer.entries.Load(), EntryCommands: c.sequencer.commands.Load(),
		Elections: c.electing.Load(), HashAlarms: c.hashAlarms.Load(), ClockAlarms: c.clockAlarms.Load(),
		Mutes: c.link.mutes.Load(), RPCServed: c.rpc.served.Load(), RPCFailed: c.rpc.failed.Load(),
		LeaseLost: l.lost.Load(), PingsSent: l.sent.Load(), PingsAnswered: l.answered.Load(), PingsRefused: l.refused.Load(),
		PledgesGiven: l.given.Load(), PledgesRefused: l.ungiven.Load(), ExitsHeard: l.exits.Load(),
		DeathsProposed: l.proposed.Load(), Campaigns: l.campaigns.Load(),
	}
}
