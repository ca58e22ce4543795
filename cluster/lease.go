package cluster

import "time"

// A lease is a node's permission to speak to the outside. It comes from a
// majority of the members and not from the leader, so that an election costs
// nobody his lease:
//
//   - A node pings all members each pingLease. It holds its lease for leaseFor
//     from the sending of the newest ping that a majority, itself counted, has
//     answered for this life of it.
//   - A member that has not answered a life for pledgeAfter may pledge never to
//     do so again. Any majority and any quorum of pledges have a member in common,
//     so with enough pledges the lease has run out, whatever the node believes.
//   - Both are measured on the boot clock, which counts suspension, each on one
//     machine: clocks are never compared, only their rates matter.
//
// A life is a node's name with its incarnation. A life that was pledged against
// or has exited never gets an answer again; the node comes back under a higher
// incarnation, by a new process or by Renew.
const (
	// leaseFor is how long a lease lasts from the sending of the ping.
	leaseFor = 800 * time.Millisecond
	// pledgeAfter is how long a life must have had no answer. The difference to
	// leaseFor covers clocks whose rates differ by parts in a hundred.
	pledgeAfter = 950 * time.Millisecond
)

// LeaseMember is a member as the replicated state has it.
type LeaseMember struct {
	ID          string
	Incarnation uint64
	Up          bool // this incarnation has not been declared dead
	Witness     bool
}

// Pledge says that a life of a member will never again answer the pings of
// another life. It is worth nothing once the giver has begun a new life.
type Pledge struct {
	Node        string
	Incarnation uint64
}

// Death is the evidence against one life of a member.
type Death struct {
	Node        string
	Incarnation uint64
	Pledges     []Pledge
	Exited      bool // its process has ended for certain: no pledges are needed
}

// Lease says whether this node may speak to the outside at this moment. It is
// cheap enough to be asked for each message.
func (c *Cluster) Lease() bool { return false }

// LeaseLeft is for how much longer Lease will be true if no further ping is
// answered. Zero or less: it is not.
func (c *Cluster) LeaseLeft() time.Duration { return 0 }

// Announced tells that this node's own state has applied the announcement of
// its present incarnation. Before it the node answers no ping: it might have
// pledged in a former life, which it does not remember, and only then does it
// know from its state who has been declared dead.
func (c *Cluster) Announced() {}

// Exited tells that a life of a member has ended for certain.
func (c *Cluster) Exited(node string, incarnation uint64) {}

// Silent is for how long this node has not answered a life of a member. A
// network address must not be taken before 1.4 s (the kernel of a frozen machine
// drops it by then), unless the process has exited.
func (c *Cluster) Silent(node string, incarnation uint64) time.Duration { return 0 }

// Renew begins a new life of this node without a new process, after its present
// one was declared dead, and returns the new incarnation. Commands that were
// sent and not answered fail with ErrTimeout. The node announces the new
// incarnation and then calls Announced.
func (c *Cluster) Renew() (incarnation uint64, err error) { return 0, nil }
