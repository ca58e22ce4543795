package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// snapshotsKept is how many snapshots stay on the disk: the newest, and one to
// fall back to when that is damaged.
const snapshotsKept = 2

// Snapshots opens the snapshot store, dir/snapshots. What it does is told by
// raft's own log.
func Snapshots(dir string) (raft.SnapshotStore, error) {
	s, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, hclog.NewNullLogger())
	if err != nil {
		return nil, fmt.Errorf("open snapshots in %s: %w", dir, err)
	}
	return snapshots{s, filepath.Join(dir, "snapshots")}, nil
}

// snapshots is raft's store, which can also be emptied.
type snapshots struct {
	raft.SnapshotStore
	dir string
}

// Clear deletes all snapshots.
func (s snapshots) Clear() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("clear snapshots: %w", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			return fmt.Errorf("clear snapshots: %w", err)
		}
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return fmt.Errorf("clear snapshots: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
