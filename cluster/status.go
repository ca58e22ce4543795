package cluster

import "time"

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
}

// Status returns the node's view.
func (c *Cluster) Status() Status { panic("unfinished") }

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
}

// Counters returns the totals.
func (c *Cluster) Counters() Counters { panic("unfinished") }
