package cluster

import (
	"context"
	"time"
)

// Lane is the priority of a command (ha.md 14).
type Lane uint8

// The lanes, most urgent first.
const (
	LaneUrgent Lane = iota // membership, AnswerCall, EndCall
	LaneExtend             // ExtendCall, Progress
	LaneStart              // StartCall, administration: bounded, fair by Flow
	lanes      = 3
)

// Command is one proposal.
type Command struct {
	Lane Lane
	// Flow is the key of fairness within LaneStart, the ingress.
	Flow string
	// Body is the encoded command. It must not change afterwards.
	Body []byte
	// Since is when the event that the command reports happened, on the
	// monotonic clock. Zero: now. What travels is the age (ha.md 6).
	Since time.Time
	// Until is when to give up. Zero: DefaultHold from now.
	Until time.Time
}

// Result is the answer of the leader's Apply.
type Result struct {
	Index uint64
	Data  []byte
}

// DefaultHold is how long a command is retried through elections.
const DefaultHold = 4 * time.Second

// Propose commits a command and returns its result after this node's own
// replica has applied it (ha.md 19). Elections are waited through and the
// command is repeated idempotently until ctx or cmd.Until ends: ErrTimeout. A
// full lane is ErrBusy at once.
func (c *Cluster) Propose(ctx context.Context, cmd Command) (Result, error) { panic("unfinished") }

// Submit is Propose without a goroutine: done is called once, from a goroutine
// of the cluster, and must not block.
func (c *Cluster) Submit(cmd Command, done func(Result, error)) { panic("unfinished") }
