package store

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// snapshotsKept is how many snapshots stay on the disk: the newest, and one to
// fall back to when that is damaged.
const snapshotsKept = 2

// Snapshots opens the snapshot store, dir/snapshots.
func Snapshots(dir string) (raft.SnapshotStore, error) {
	s, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, nil)
	if err != nil {
		return nil, fmt.Errorf("open snapshots in %s: %w", dir, err)
	}
	return s, nil
}
