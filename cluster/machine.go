package cluster

import (
	"io"
	"time"
)

// Machine is the replicated state machine. Its methods are called from one
// goroutine at a time, except that a SnapshotWriter runs beside Apply and
// WantsTick may be called from any goroutine.
type Machine interface {
	// Apply executes the commands of one entry at log time at (microseconds
	// since 1970) and returns one result each. An entry without commands is a
	// tick. An error means that the entry cannot be decoded: the replica stops.
	Apply(index uint64, at int64, commands []Envelope) ([][]byte, error)
	// Snapshot takes a view of the state in microseconds.
	Snapshot() (SnapshotWriter, error)
	// Restore replaces the whole state.
	Restore(r io.Reader) error
	// WantsTick says whether anything in the state has a deadline.
	WantsTick() bool
}

// Envelope is a command as it lies in the log: who sends it and when it
// happened, filled by this package, around a body that it does not read.
type Envelope struct {
	Node        string
	Incarnation uint64
	Seq         uint64
	Low         uint64        // the node's lowest unanswered Seq
	Age         time.Duration // of the event, when the node sent the command
	Deadline    int64         // in log time (microseconds): refused when applied later
	Body        []byte
}

// SnapshotWriter writes a view of the state beside Apply. Release is called
// exactly once, after WriteTo or instead of it.
type SnapshotWriter interface {
	io.WriterTo
	Release()
}

// Checkpoint is the hash of the state right after the entry at Index.
type Checkpoint struct {
	Index uint64
	Hash  [16]byte
}
