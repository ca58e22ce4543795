package sim

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"
)

// keptSnapshots is how many snapshots a disk retains.
const keptSnapshots = 2

// snapshot is a finished snapshot.
type snapshot struct {
	meta raft.SnapshotMeta
	data []byte
}

// Snapshots is the raft.SnapshotStore on a volume.
type Snapshots struct{ v *Volume }

// Snapshots returns the snapshot store of the volume.
func (v *Volume) Snapshots() *Snapshots { return &Snapshots{v} }

var _ raft.SnapshotStore = (*Snapshots)(nil)

// Create implements raft.SnapshotStore.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64,
	configuration raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{v: s.v, meta: raft.SnapshotMeta{
		Version:            version,
		ID:                 fmt.Sprintf("%020d-%020d", term, index),
		Index:              index,
		Term:               term,
		Configuration:      configuration.Clone(),
		ConfigurationIndex: configurationIndex,
	}}, nil
}

// List implements raft.SnapshotStore.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	var metas []*raft.SnapshotMeta
	s.v.read(func(i *image) {
		for _, snap := range i.snapshots {
			metas = append(metas, &snap.meta)
		}
	})
	return metas, nil
}

// Open implements raft.SnapshotStore.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	var found *snapshot
	s.v.read(func(i *image) {
		if k := slices.IndexFunc(i.snapshots, func(snap snapshot) bool { return snap.meta.ID == id }); k >= 0 {
			snap := i.snapshots[k]
			found = &snap
		}
	})
	if found == nil {
		return nil, nil, fmt.Errorf("snapshot %s: %w", id, errNotFound)
	}
	return &found.meta, io.NopCloser(bytes.NewReader(found.data)), nil
}

// Clear throws all snapshots away.
func (s *Snapshots) Clear() error {
	return s.v.change(func(i *image) { i.snapshots = nil })
}

// sink collects a snapshot; only Close puts it on the disk.
type sink struct {
	v    *Volume
	meta raft.SnapshotMeta
	data bytes.Buffer
	over bool
}

// Write implements raft.SnapshotSink.
func (s *sink) Write(b []byte) (int, error) { return s.data.Write(b) }

// ID implements raft.SnapshotSink.
func (s *sink) ID() string { return s.meta.ID }

// Cancel implements raft.SnapshotSink.
func (s *sink) Cancel() error {
	s.over = true
	return nil
}

// Close implements raft.SnapshotSink.
func (s *sink) Close() error {
	if s.over {
		return nil
	}
	s.over = true
	s.meta.Size = int64(s.data.Len())
	snap := snapshot{s.meta, s.data.Bytes()}
	return s.v.change(func(i *image) {
		i.snapshots = slices.DeleteFunc(i.snapshots, func(old snapshot) bool { return old.meta.ID == snap.meta.ID })
		i.snapshots = slices.Insert(i.snapshots, 0, snap)
		slices.SortStableFunc(i.snapshots, func(a, b snapshot) int { return bytes.Compare([]byte(b.meta.ID), []byte(a.meta.ID)) })
		i.snapshots = i.snapshots[:min(len(i.snapshots), keptSnapshots)]
	})
}
