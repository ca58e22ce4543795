package fsm

// How a service address comes to the node that takes it over: the values of
// Move, as configured.
const (
	MoveBind     = "bind"     // every node can bind it, such as 127/8: the default
	MoveNetlink  = "netlink"  // the node adds it to its interface and announces it
	MoveHook     = "hook"     // a program of the operator's does
	MoveReinvite = "reinvite" // it cannot move: its calls are invited anew from the heir's own address
)

// ServiceAddress is an address of a node's configuration.
type ServiceAddress struct {
	IP     string
	Public string // what Contacts and SDP carry instead; empty: IP
	Move   string // one of the constants above; empty: MoveBind
}

// Address is a service address in the cluster: its name is its IP, and calls
// refer to it by that ([Call] Line). Whoever owns it serves the calls on it.
type Address struct {
	IP          string
	Public      string
	Move        string
	Home        NodeID // that has it configured; empty: nobody any more, it goes with its last call
	Owner       NodeID // empty: nobody
	Incarnation uint64 // of the owner
	Epoch       Epoch  // grows with every change of Owner or Incarnation
	Since       Time   // of the present owner
}

// Member is a node as the state machine knows it.
type Member struct {
	Node        NodeID
	Incarnation uint64
	Up          bool
	Witness     bool
	Level       uint16
	Version     string
	Addresses   []ServiceAddress // its own
	Since       Time             // of Up
	LastBeat    Time
	Low         uint64 // idempotency window
	Joined      Time   // first NodeUp
	Draining    bool   // gets nothing new: see SetDrain
	DrainBy     string // who asked for that, and why
	DrainReason string
}

// Pledge says that a member's process has not answered a silent incarnation for
// so long that its lease has ended, and never will answer it again. It counts
// while that process is the one that is up.
type Pledge struct {
	Node        NodeID
	Incarnation uint64
}

// Orphan is an ended call whose owner died so soon afterwards that its legs may
// not have heard of the end. Who has inherited it tells them, by BYE or by a
// final answer to the INVITE, and commits nothing.
type Orphan struct {
	// Call is the record as the call ended, without offer, media, attempts and
	// history. Owner, Incarnation and Epoch are those of the heir.
	Call   Call
	Ended  Time // in the log
	By     Party
	Reason EndReason
	Status uint16 // final status of an unanswered call
	Q850   uint8
	Told   Legs // that know already
}

// Legs is a set of the legs of a call.
type Legs uint8

// The legs.
const (
	LegA Legs = 1 << iota // to the caller
	LegB                  // to the callee
)

const bothLegs = LegA | LegB
