package cluster

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hashicorp/raft"
)

// Config is what a node of the cluster is made of. All stores and the network
// are opened by the caller and closed by it after Run has returned.
type Config struct {
	// ID names the node for ever; certificates and the log carry it.
	ID string
	// ClusterID and Generation say which cluster this is. A restore from a
	// backup raises the generation; peers of another cluster or
	// generation are refused.
	ClusterID  string
	Generation uint32

	// Network gives authenticated connections. Advertise is the host:port at
	// which peers reach this node through it.
	Network   Network
	Advertise string
	// Join lists the addresses of the other members; unreachable ones are retried.
	// A node that was there from the beginning should name them too: it asks them
	// at its start whether it may vote.
	Join []string
	// Expect is the number of voters that the first start of the whole cluster
	// waits for. Zero: this node never bootstraps, it joins.
	Expect int
	// Nonvoter keeps the node from ever being promoted.
	Nonvoter bool

	// Log, Stable and Snapshots are raft's stores.
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	// Machine is the replicated state machine.
	Machine Machine
	// Check says whether a command's body can be decoded. It is asked before a
	// command enters the log, by its node and by the leader, since an entry that
	// no replica can decode stops them all. Nil: everything can.
	Check func(body []byte) error
	// Checkpoints returns the newest state hashes, newest first. Nil: hashes are
	// not compared.
	Checkpoints func() []Checkpoint

	// Peers returns the replicated members, this node included, and a version that
	// grows whenever a member comes or goes: the index of that entry. It is asked
	// at each ping and must be cheap. Nil: no leases, and Lease is never true.
	Peers func() (set []LeaseMember, version uint64)
	// Down is called, on a goroutine of its own, on the survivor whose turn it is
	// to declare a member dead; again after a while as long as Peers says that it
	// is up. Nil: deaths are only counted.
	Down func(Death)
	// Probe says whether a member's process has ended for certain, as the kernel
	// that both share knows. It is asked while the connection to that member is
	// lost. Nil: the members do not share a kernel.
	Probe func(node string) bool
	// Witness is a node that votes and pledges, and leads only if nobody else can.
	Witness bool
	// Build names the program. Only nodes of one build judge each other's state.
	Build string
	// Keep opens a file of that name for a copy of the state that differs from the
	// others'. Nil: no copies are kept.
	Keep func(name string) (io.WriteCloser, error)

	// Wall is this node's wall clock; nil means time.Now. Everything but the
	// slew of log time uses the monotonic clock.
	Wall func() time.Time
	// Boot is the time since the machine started, suspension included: leases are
	// measured on it. Nil means CLOCK_BOOTTIME.
	Boot func() time.Duration
	// Keyring holds the gossip keys, the first one encrypts. Empty: gossip is in
	// the clear (tests only).
	Keyring [][]byte
	// Timing is raft's and gossip's clockwork; the zero value is the default.
	Timing Timing

	// Logger may be nil.
	Logger *slog.Logger
	// Notify hears of alarms and changes of leadership. It must not block. May
	// be nil.
	Notify func(Event)
	// Fatal is called once when the process must end: a failed fsync, a disk
	// that hung for a minute while the others' are healthy, or a committed entry
	// that cannot be decoded. Nil: Run returns the error.
	Fatal func(error)
}

// Timing holds the periods of consensus. Zero fields take the defaults.
type Timing struct {
	// Heartbeat and Election are raft's timeouts, 500 ms each: the lowest that
	// held on a shared 2-core machine. Lease is 250 ms.
	Heartbeat, Election, Lease time.Duration
	// Stable is how long a new node must have been healthy before it may vote:
	// 10 s.
	Stable time.Duration
	// SnapshotEntries is the number of entries between snapshots (50,000),
	// TrailingLogs the number kept behind one (100,000).
	SnapshotEntries, TrailingLogs uint64
}

// Errors of the package.
var (
	// ErrBusy means that lane 3 is full: tell the outside to come back later.
	ErrBusy = errors.New("cluster is busy")
	// ErrTimeout means that the command was not committed before its time was
	// up. It may still be, but not after its deadline in log time.
	ErrTimeout = errors.New("no commit in time")
	// ErrUnsent is the ErrTimeout of a command that never left this node: there was
	// no leader to send it to, and it will not be committed.
	ErrUnsent = fmt.Errorf("%w: no leader to send it to", ErrTimeout)
	// ErrClosed means that the node is stopping.
	ErrClosed = errors.New("cluster is closed")
	// ErrNoLeader means that no leader is known at the moment.
	ErrNoLeader = errors.New("no leader")
	// ErrQuorum means that a change of membership would endanger the quorum.
	ErrQuorum = errors.New("change would endanger the quorum")
	// ErrWrongCluster means that the stores belong to another cluster, generation
	// or node.
	ErrWrongCluster = errors.New("stores belong to another cluster or node")
	// ErrLostStores means that the cluster counts on this node's vote although its
	// stores are empty, and no leader could be found that takes the vote away.
	// Starting it might lose what was acknowledged.
	ErrLostStores = errors.New("stores of a voter are empty and no leader readmits it")
	// ErrDiverged ends a node that installs its state anew from a snapshot of
	// another one.
	ErrDiverged = errors.New("state differs from the others'")
	// ErrTooLarge means that a command was applied and its result cannot travel.
	ErrTooLarge = errors.New("result is too large")
	// ErrDuplicate means that another live node uses this node's name.
	ErrDuplicate = errors.New("node name is in use by another live node")
)

// Validate names the first key that cannot be used.
func (c Config) Validate() error {
	switch {
	case c.ID == "" || len(c.ID) > maxName:
		return fmt.Errorf("cluster: id %q: need 1 to %d bytes", c.ID, maxName)
	case c.ClusterID == "" || len(c.ClusterID) > maxName:
		return fmt.Errorf("cluster: cluster id %q: need 1 to %d bytes", c.ClusterID, maxName)
	case c.Generation > maxGeneration:
		return fmt.Errorf("cluster: generation %d: at most %d", c.Generation, maxGeneration)
	case len(c.Build) > maxBuild:
		return fmt.Errorf("cluster: build %q: at most %d bytes", c.Build, maxBuild)
	case c.Network == nil:
		return errors.New("cluster: network is missing")
	case c.Log == nil || c.Stable == nil || c.Snapshots == nil:
		return errors.New("cluster: a store is missing")
	case c.Machine == nil:
		return errors.New("cluster: machine is missing")
	case c.Expect < 0:
		return fmt.Errorf("cluster: expect %d is negative", c.Expect)
	}
	if _, err := netip.ParseAddrPort(c.Advertise); err != nil {
		return fmt.Errorf("cluster: advertise %q: need ip:port: %w", c.Advertise, err)
	}
	return nil
}

// maxName bounds the names of nodes and clusters: they travel in gossip, whose
// metadata has 512 bytes.
const maxName = 64

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Boot == nil {
		c.Boot = systemBoot
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Check == nil {
		c.Check = func([]byte) error { return nil }
	}
	if c.Notify == nil {
		c.Notify = func(Event) {}
	}
	t := &c.Timing
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&t.Heartbeat, 500 * time.Millisecond},
		{&t.Election, 500 * time.Millisecond},
		{&t.Lease, 250 * time.Millisecond},
		{&t.Stable, 10 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if t.SnapshotEntries == 0 {
		t.SnapshotEntries = 50_000
	}
	if t.TrailingLogs == 0 {
		t.TrailingLogs = 100_000
	}
	return c
}
