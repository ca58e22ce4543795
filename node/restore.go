package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"tandem/cluster"
	"tandem/cluster/store"
	"tandem/fsm"
	"tandem/node/backup"
	"tandem/node/cdr"
	"tandem/node/config"
)

// Recovered says what a new generation of a cluster begins with, and what is
// lost.
type Recovered struct {
	Generation uint32          `json:"generation"`
	Index      uint64          `json:"index"` // at which the log goes on
	At         time.Time       `json:"log_time"`
	Ended      int             `json:"calls_ended"` // calls that were live, charged to their last proof of life
	Charged    []fsm.CDR       `json:"-"`           // their records
	Missing    []cdr.Span      `json:"records_missing,omitempty"`
	Behind     int             `json:"records_behind"` // in the backup, and behind its state
	Manifest   backup.Manifest `json:"manifest,omitzero"`
}

// ErrDataThere means that a backup would be restored over data.
var ErrDataThere = errors.New("data directory holds a node's data")

// Inspect reads a backup to its end and checks all of it, its state too. key is the
// cluster's secret, or nil: then only a damage is found, not a forgery.
func Inspect(r io.Reader, secret []byte) (backup.Manifest, fsm.Counts, error) {
	var key []byte
	if secret != nil {
		key = backupKey(secret)
	}
	var state *fsm.State
	m, err := backup.Read(r, key, backup.Sink{State: func(r io.Reader) error {
		if _, err := cluster.ReadBackup(r); err != nil {
			return err
		}
		var err error
		state, err = fsm.Restore(r)
		return err
	}})
	if err != nil {
		return m, fsm.Counts{}, err
	}
	if state == nil {
		return m, fsm.Counts{}, fmt.Errorf("%w: it has no state", backup.ErrDamaged)
	}
	if state.Index() != m.Index {
		return m, state.Counts(), fmt.Errorf("%w: its state is that of index %d, not %d", backup.ErrDamaged, state.Index(), m.Index)
	}
	for _, s := range state.Sums() {
		if s.Total != 0 {
			return m, state.Counts(), fmt.Errorf("%w: the ledger in %s sums to %s", backup.ErrDamaged, s.Currency, s.Total)
		}
	}
	return m, state.Counts(), nil
}

// Restore begins a new generation of a cluster from a backup, in the empty data
// directory of a node that "tandem init" has made, which the other nodes join
// then. The backup is read twice: nothing is written before it was checked.
func Restore(file config.Config, from io.ReadSeeker, log *slog.Logger) (Recovered, error) {
	r, err := openRecovery(file, log)
	if err != nil {
		return Recovered{}, err
	}
	m, _, err := Inspect(from, r.secret)
	switch {
	case err != nil:
		return Recovered{}, err
	case m.ClusterID != r.id.ClusterID:
		return Recovered{}, fmt.Errorf("%w: it is of cluster %s, this is %s", backup.ErrForeign, m.ClusterID, r.id.ClusterID)
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return Recovered{}, err
	}
	r.out.Manifest = m
	r.out.Generation = max(r.id.Generation, m.Generation) + 1
	return r.run(func() error {
		_, err := backup.Read(from, backupKey(r.secret), backup.Sink{State: r.recover, Rows: r.rows})
		return err
	})
}

// Recover begins a new generation of a cluster whose majority is lost for good,
// from the data directory of the node that has survived.
func Recover(file config.Config, log *slog.Logger) (Recovered, error) {
	r, err := openRecovery(file, log)
	if err != nil {
		return Recovered{}, err
	}
	r.out.Generation = r.id.Generation + 1
	r.keep = true
	return r.run(func() error { return r.recover(nil) })
}

// recovery is the making of a new generation.
type recovery struct {
	opening
	id      Identity
	secret  []byte
	keep    bool // the data that is there
	cdrs    *cdr.Store
	machine *successor
	out     Recovered
}

func openRecovery(file config.Config, log *slog.Logger) (*recovery, error) {
	r := &recovery{opening: opening{file: file, log: log}}
	var err error
	if r.id, _, err = r.identity(); err != nil {
		return nil, err
	}
	r.secret, err = r.key(FileClusterKey)
	return r, err
}

// run opens the stores, does the work and, when all of it is on the disk, writes
// the new generation down.
func (r *recovery) run(work func() error) (Recovered, error) {
	if !r.keep {
		for _, name := range []string{fileLog, fileOutbox, dirCDRs} {
			if _, err := os.Lstat(r.path(name)); !errors.Is(err, fs.ErrNotExist) && !r.begun() {
				return Recovered{}, errors.Join(fmt.Errorf("%s: %w", r.path(name), ErrDataThere), err)
			}
		}
	}
	var err error
	if r.cdrs, err = cdr.Open(r.path(dirCDRs), r.log); err != nil {
		return Recovered{}, err
	}
	r.machine = &successor{replica: newReplica([16]byte(derive(r.secret, "state hash")), r.cdrs, r.log), out: &r.out}
	ctx, stop := context.WithCancel(context.Background())
	written := make(chan error, 1)
	go func() { written <- r.cdrs.Run(ctx) }()
	err = work()
	if err == nil {
		err = r.cdrs.SyncAll(ctx)
	}
	r.machine.View(func(s *fsm.State) {
		r.out.Missing, _ = r.cdrs.Missing(s.Counts().CDRs, s.Counts().Transfers)
		r.out.At = s.At().Std()
	})
	stop()
	err = errors.Join(err, <-written, r.close())
	if err == nil {
		err = r.commit()
	}
	return r.out, err
}

// begun says whether an earlier attempt was interrupted, whose traces are there.
func (r *recovery) begun() bool {
	_, err := os.Lstat(r.path(fileBegun))
	return err == nil
}

// fileBegun is there while a restore is under way.
const fileBegun = "restore.begun"

// recover has consensus take over the state of a backup, or that of its own
// stores.
func (r *recovery) recover(state io.Reader) error {
	if err := os.WriteFile(r.path(fileBegun), nil, 0o600); err != nil {
		return err
	}
	log, err := store.OpenLog(r.path(fileLog))
	if err != nil {
		return err
	}
	r.opened = append(r.opened, log.Close)
	snapshots, err := store.Snapshots(r.file.Node.DataDir)
	if err != nil {
		return err
	}
	r.out.Index, err = cluster.Recover(cluster.Recovery{
		ID: r.file.Node.Name, ClusterID: r.id.ClusterID, Advertise: r.file.Advertise(), Generation: r.out.Generation,
		Log: log, Stable: log, Snapshots: snapshots, Machine: r.machine, Backup: state, Logger: r.log,
	})
	return err
}

// rows stores the records of a backup. Those behind its state are of things that
// have not happened any more.
func (r *recovery) rows(cdrs []fsm.CDR, transfers []fsm.Transfer) error {
	last := r.machine.before
	keptC, keptT := cdrs[:0], transfers[:0]
	for _, c := range cdrs {
		if c.Seq <= last.CDRs {
			keptC = append(keptC, c)
		}
	}
	for _, t := range transfers {
		if t.Seq <= last.Transfers {
			keptT = append(keptT, t)
		}
	}
	r.out.Behind += len(cdrs) - len(keptC) + len(transfers) - len(keptT)
	return r.cdrs.Fill(keptC, keptT)
}

// commit writes the new generation down: from now on the node starts with it.
func (r *recovery) commit() error {
	r.id.Generation = r.out.Generation
	b, err := json.MarshalIndent(r.id, "", "  ")
	if err != nil {
		return err
	}
	fresh := r.path(FileCluster) + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, r.path(FileCluster)); err != nil {
		return err
	}
	return errors.Join(os.Remove(r.path(fileBegun)), syncDir(filepath.Dir(fresh)))
}

// syncDir puts a directory's names on the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
