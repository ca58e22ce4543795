package cluster

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"tandem/chaos/plant"
)

const (
	// muteAfter is how long a write to the log may hang before the node stops
	// talking to raft's peers.
	muteAfter = time.Second
	// exitAfter is how long it may hang, while a majority of the members reports
	// healthy disks, before the process ends.
	exitAfter = 60 * time.Second
	// logCache is the number of newest entries kept in memory for followers.
	logCache = 512
)

// diskGuard watches the writes to raft's log. A failed write ends the process:
// after a failed fsync nobody knows what is on the disk.
type diskGuard struct {
	raft.LogStore
	fatal func(error)
	since atomic.Int64 // start of the present write in µs after begin, or 0
	begin time.Time
}

func newDiskGuard(s raft.LogStore, fatal func(error)) *diskGuard {
	return &diskGuard{LogStore: s, fatal: fatal, begin: time.Now().Add(-time.Second)}
}

// stalled is how long the present write has been going on.
func (g *diskGuard) stalled() time.Duration {
	since := g.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(g.begin) - time.Duration(since)*time.Microsecond
}

// StoreLog implements raft.LogStore.
func (g *diskGuard) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (g *diskGuard) StoreLogs(logs []*raft.Log) error {
	if plant.On(plant.MissingFsync) {
		copied := make([]*raft.Log, len(logs))
		for i, l := range logs {
			c := *l
			copied[i] = &c
		}
		time.AfterFunc(time.Second, func() { g.LogStore.StoreLogs(copied) })
		return nil
	}
	return g.watch("store", func() error { return g.LogStore.StoreLogs(logs) })
}

// DeleteRange implements raft.LogStore.
func (g *diskGuard) DeleteRange(low, high uint64) error {
	return g.watch("delete", func() error { return g.LogStore.DeleteRange(low, high) })
}

// IsMonotonic implements raft.MonotonicLogStore.
func (g *diskGuard) IsMonotonic() bool {
	m, ok := g.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

func (g *diskGuard) watch(what string, write func() error) error {
	g.since.Store(time.Since(g.begin).Microseconds())
	err := write()
	g.since.Store(0)
	if err != nil {
		g.fatal(fmt.Errorf("%s log: %w", what, err))
	}
	return err
}

// stableGuard watches the writes of raft's term and votes. Raft panics when its
// term cannot be stored, so it hears of no failure: fail cuts it off from all
// peers first, so that a vote which is not on the disk reaches nobody, and ends
// the process.
type stableGuard struct {
	raft.StableStore
	fail func(error)
}

// Set implements raft.StableStore.
func (g stableGuard) Set(key, value []byte) error {
	return g.report(key, g.StableStore.Set(key, value))
}

// SetUint64 implements raft.StableStore.
func (g stableGuard) SetUint64(key []byte, value uint64) error {
	return g.report(key, g.StableStore.SetUint64(key, value))
}

func (g stableGuard) report(key []byte, err error) error {
	if err != nil {
		g.fail(fmt.Errorf("store %s: %w", key, err))
	}
	return nil
}
