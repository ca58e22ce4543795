// Package fsm is the replicated state machine: everything that costs money or
// blocks a call is decided here, and nowhere else.
//
// [State] holds accounts and their balances, rate tables, gateways, number
// lists, the dynamic blacklist with its counters, system parameters, live calls
// with their holds, members and the feature level. [State.Apply] takes one
// committed log [Entry] and returns what it decided. It is total and
// deterministic: no clock, no randomness, no input or output, no map order.
// Log time comes with the entry. A refusal is a result code, not a Go error,
// because refusals replicate too.
//
// Apply has no side effects: CDRs, transfers and events are returned in
// [Applied], and package node acts on the difference between what the state
// says it owns and what it serves.
//
// A caller sends intent ("this INVITE came from that address") and never an
// answer that it computed from an older state.
package fsm

import "time"

// Level is the newest feature level that this binary can apply. A change of any
// outcome of Apply, fix or feature, sits behind a higher level.
const Level uint16 = 1

// Time is log time: microseconds since the Unix epoch, UTC. It is stamped by
// the leader, monotonic by construction, and the only clock the state knows.
type Time int64

// Std returns t as a time.Time in UTC, for display.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Add returns t+d, at microsecond resolution.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Microseconds()) }

// Sub returns t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Microsecond }

// NodeID is the name of a cluster member, as configured by [node] name.
type NodeID string

// CallID identifies a call in the cluster. It is a keyed hash of what the
// caller's INVITE carries (ingress, Call-ID, From-tag, CSeq, top branch), so
// that a retransmission that reaches another node names the same call.
type CallID [16]byte

// Hash is a 128-bit sum over the canonical bytes of all records.
type Hash [16]byte

// Epoch counts the owners of a call: the node that started it has epoch 1, each
// takeover adds one. A decision made under an older epoch is refused.
type Epoch uint64

// Entry is one log entry: a batch of commands and the log time they happen at.
type Entry struct {
	At       Time
	Commands []Command
}

// Applied is everything that one entry brought about.
type Applied struct {
	Index     uint64
	At        Time
	Results   []Result   // one for each command, in order
	CDRs      []CDR      // to be stored by every node, dense in Seq
	Transfers []Transfer // likewise
	Events    []Event    // what a node may want to act on
}
