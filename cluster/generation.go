package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/raft"
)

// A cluster that was restored from a backup, or whose majority is lost, goes on
// as a new generation of itself: numbers that were given out before may be given
// out again, so whoever still belongs to the old one must not be believed. The
// generation is the high part of every incarnation, and peers of another one are
// refused in the handshake and in gossip.

// BackupHead says what a backup holds. Behind it come the machine's own bytes.
type BackupHead struct {
	Index uint64 // of the newest entry in it
	At    int64  // log time of that entry, in microseconds since 1970
}

// ReadBackup reads the head of a backup; the machine's bytes follow in r.
func ReadBackup(r io.Reader) (BackupHead, error) {
	var head [snapshotHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return BackupHead{}, fmt.Errorf("snapshot head: %w", err)
	}
	if m := binary.BigEndian.Uint32(head[:]); m != snapshotMagic {
		return BackupHead{}, fmt.Errorf("snapshot starts with %08x, not a snapshot of this program", m)
	}
	return BackupHead{Index: binary.BigEndian.Uint64(head[4:]), At: int64(binary.BigEndian.Uint64(head[12:]))}, nil
}

// Backup writes the state of this node's replica to w, as ReadBackup and Recover
// read it. It holds everything that was committed and applied here before the
// call: after a ReadIndex, all that was acknowledged anywhere.
func (c *Cluster) Backup(ctx context.Context, w io.Writer) (BackupHead, error) {
	f := c.raft.Snapshot()
	err := c.wait(ctx, f)
	var in io.ReadCloser
	switch {
	case err == nil:
		_, in, err = f.Open()
	case errors.Is(err, raft.ErrNothingNewToSnapshot):
		in, err = c.newestSnapshot()
	}
	if err != nil {
		return BackupHead{}, fmt.Errorf("take a snapshot: %w", err)
	}
	defer in.Close()
	var head headReader
	if _, err := io.Copy(w, io.TeeReader(in, &head)); err != nil {
		return BackupHead{}, fmt.Errorf("write backup: %w", err)
	}
	return ReadBackup(&head)
}

// newestSnapshot opens the snapshot that holds all there is.
func (c *Cluster) newestSnapshot() (io.ReadCloser, error) {
	list, err := c.cfg.Snapshots.List()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("there is nothing to back up yet")
	}
	_, in, err := c.cfg.Snapshots.Open(list[0].ID)
	return in, err
}

// headReader keeps the head of what is written to it.
type headReader struct{ head []byte }

func (h *headReader) Write(b []byte) (int, error) {
	h.head = append(h.head, b[:min(len(b), snapshotHead-len(h.head))]...)
	return len(b), nil
}

func (h *headReader) Read(b []byte) (int, error) {
	n := copy(b, h.head)
	h.head = h.head[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Recovery is the start of a new generation by one node. Its stores are opened by
// the caller; no node may be running on them.
type Recovery struct {
	// ID and ClusterID are the node's own, Advertise is where peers will reach it.
	ID        string
	ClusterID string
	Advertise string
	// Generation is the new one. It must be higher than that of the stores.
	Generation uint32
	Log        raft.LogStore
	Stable     raft.StableStore
	Snapshots  raft.SnapshotStore
	// Machine gets the state, and its Snapshot is taken once at the end: what a new
	// generation changes in the state is changed before or in it.
	Machine Machine
	// Backup is what Cluster.Backup wrote; then the stores must be empty. Nil: the
	// state is that of the stores, the newest snapshot and every entry of the log
	// behind it. Some of those may never have been acknowledged.
	Backup io.Reader
	Logger *slog.Logger // nil discards
}

// Validate names the first field that cannot be used.
func (r Recovery) Validate() error {
	return Config{ID: r.ID, ClusterID: r.ClusterID, Generation: r.Generation, Network: noNetwork{}, Advertise: r.Advertise,
		Log: r.Log, Stable: r.Stable, Snapshots: r.Snapshots, Machine: r.Machine}.Validate()
}

// noNetwork stands for the network of a node that talks to nobody.
type noNetwork struct{ Network }

// Recover makes the stores those of a cluster of one node in a new generation,
// and returns the index at which it goes on. The node is then started with that
// generation; the others come with empty stores and join it. A recovery that was
// interrupted is begun again.
func Recover(r Recovery) (index uint64, err error) {
	if err := r.Validate(); err != nil {
		return 0, err
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	if err := r.begin(); err != nil {
		return 0, err
	}
	_, trans := raft.NewInmemTransport(raft.ServerAddress(r.Advertise)) // names addresses, carries nothing
	self := raft.Configuration{Servers: []raft.Server{
		{Suffrage: raft.Voter, ID: raft.ServerID(r.ID), Address: raft.ServerAddress(r.Advertise)}}}
	if r.Backup != nil {
		if err := r.plant(self, trans); err != nil {
			return 0, fmt.Errorf("restore backup: %w", err)
		}
	}
	rc := raft.DefaultConfig()
	rc.LocalID, rc.Logger = raft.ServerID(r.ID), newRaftLogger(r.Logger)
	fsm := &replica{machine: r.Machine, clock: &logClock{}, fatal: func(error) {}, member: func() {}, absent: func(bool) {},
		receive: func(in io.Reader) (io.Reader, func()) { return in, func() {} }}
	if err := raft.RecoverCluster(rc, fsm, r.Log, r.Stable, r.Snapshots, trans, self); err != nil {
		return 0, fmt.Errorf("recover: %w", err)
	}
	list, err := r.Snapshots.List()
	if err != nil || len(list) == 0 {
		return 0, errors.Join(errors.New("the recovered state is not there"), err)
	}
	return list[0].Index, r.Stable.Set([]byte(keyRecovery), nil)
}

// begin checks that the stores are what they have to be and gives them to the new
// generation: from now on no node starts on them until Recover has ended.
func (r Recovery) begin() error {
	own := identity(r.ClusterID, r.Generation, r.ID)
	begun, err := stableGet(r.Stable, keyRecovery)
	if err != nil {
		return fmt.Errorf("read recovery: %w", err)
	}
	if string(begun) != own {
		if err := r.fits(); err != nil {
			return err
		}
	}
	if err := r.Stable.Set([]byte(keyRecovery), []byte(own)); err != nil {
		return fmt.Errorf("store recovery: %w", err)
	}
	if err := r.Stable.Set([]byte(keyIdentity), []byte(own)); err != nil {
		return fmt.Errorf("store identity: %w", err)
	}
	return nil
}

// fits says why the stores cannot be recovered from or into.
func (r Recovery) fits() error {
	has, err := raft.HasExistingState(r.Log, r.Stable, r.Snapshots)
	switch {
	case err != nil:
		return fmt.Errorf("read raft state: %w", err)
	case r.Backup == nil && !has:
		return errors.New("the stores are empty: there is nothing to recover")
	case r.Backup != nil && has:
		return errors.New("the stores are in use: a backup is restored into empty ones")
	}
	b, err := stableGet(r.Stable, keyIdentity)
	if err != nil {
		return fmt.Errorf("read identity: %w", err)
	}
	for old := range r.Generation {
		if string(b) == identity(r.ClusterID, old, r.ID) {
			return nil
		}
	}
	if len(b) == 0 {
		return nil
	}
	return fmt.Errorf("%w: they are %s's, which %s does not follow", ErrWrongCluster, b, identity(r.ClusterID, r.Generation, r.ID))
}

// plantTerm is the term of a state that comes from a backup.
const plantTerm = 1

// plant puts a backup into empty stores as their snapshot.
func (r Recovery) plant(self raft.Configuration, trans raft.Transport) error {
	var raw headReader
	head, err := ReadBackup(io.TeeReader(r.Backup, &raw))
	if err != nil {
		return err
	}
	if head.Index == 0 {
		return errors.New("it is of index 0")
	}
	sink, err := r.Snapshots.Create(raft.SnapshotVersionMax, head.Index, plantTerm, self, head.Index, trans)
	if err != nil {
		return err
	}
	if _, err = io.Copy(sink, io.MultiReader(&raw, r.Backup)); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	return r.Stable.SetUint64([]byte(keyTerm), plantTerm)
}

// keyTerm is where raft keeps its term.
const keyTerm = "CurrentTerm"
