// Package cdr keeps what the state machine wrote: call detail records and
// ledger transfers, in one bbolt file per UTC day.
//
// The rows are a consequence of the log and have dense sequence numbers, so the
// store is free to write behind: rows are queued by Apply, written and fsynced
// in groups, deduplicated by sequence when the log is replayed, and a gap (left
// by a snapshot install) is known and can be filled from any peer. A snapshot at
// an index may only be persisted after [Store.Sync] has returned for it, because
// the log below it is then compacted away (ARCHITECTURE.md, rule 8).
//
// It never decides anything about money and never changes a row.
package cdr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"tandem/fsm"
)

// maxPending bounds the rows that wait for the disk: about 16 MB. Beyond it
// Append waits, and with it Apply, so a dead disk shows as a stalled replica
// and not as lost records.
const maxPending = 32_768

// writeBehind is how long a row may wait for company before it is written. The
// log holds it meanwhile; a query or a snapshot does not wait for it.
const writeBehind = 100 * time.Millisecond

// ErrClosed is returned after Close, and by a wait that Close cut short.
var ErrClosed = errors.New("cdr store closed")

// Store is the CDR store of one node.
type Store struct {
	dir string
	log *slog.Logger

	wake  chan struct{} // capacity 1: something is pending
	flush chan struct{} // capacity 1: somebody waits, do not linger

	mu      sync.Mutex
	pending batch
	free    *sync.Cond // pending shrank, synced grew, or the store closed
	queued  uint64     // last index given to Append
	synced  uint64     // rows up to this index are on the disk
	err     error      // why the writer stopped

	days *days
}

// batch is what goes to the disk in one round.
type batch struct {
	index     uint64
	cdrs      []fsm.CDR
	transfers []fsm.Transfer
}

func (b *batch) rows() int { return len(b.cdrs) + len(b.transfers) }

// Open opens the store in dir, creating it when it is not there.
func Open(dir string, log *slog.Logger) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create %s: %w", dir, err)
	}
	s := &Store{dir: dir, log: log, wake: make(chan struct{}, 1), flush: make(chan struct{}, 1)}
	s.free = sync.NewCond(&s.mu)
	days, err := openDays(dir)
	if err != nil {
		return nil, err
	}
	s.days = days
	return s, nil
}

// Run writes what is appended until ctx ends, then writes the rest and closes
// the files. A write error ends it: a record must never be passed over.
func (s *Store) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return s.finish(s.writePending())
		case <-s.wake:
		}
		linger := time.NewTimer(writeBehind)
		select {
		case <-linger.C:
		case <-s.flush:
		case <-ctx.Done():
		}
		linger.Stop()
		if err := s.writePending(); err != nil {
			return s.finish(err)
		}
	}
}

// Append queues what one entry brought about. It waits only while maxPending
// rows are ahead of it. Entries must come in index order; replayed rows are
// dropped when they are there already.
func (s *Store) Append(a *fsm.Applied) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && s.pending.rows() >= maxPending {
		s.free.Wait()
	}
	if s.err != nil {
		return s.err
	}
	s.queued = a.Index
	s.pending.index = a.Index
	if len(a.CDRs)+len(a.Transfers) == 0 && s.pending.rows() == 0 {
		s.synced = a.Index
		return nil
	}
	s.pending.cdrs = append(s.pending.cdrs, a.CDRs...)
	s.pending.transfers = append(s.pending.transfers, a.Transfers...)
	poke(s.wake)
	return nil
}

// Sync returns when every row of index and below is on the disk.
func (s *Store) Sync(ctx context.Context, index uint64) error {
	stop := context.AfterFunc(ctx, s.free.Broadcast)
	defer stop()
	poke(s.flush)
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.synced < min(index, s.queued) && s.err == nil && ctx.Err() == nil {
		s.free.Wait()
	}
	return errors.Join(s.err, ctx.Err())
}

// SyncAll waits for what was appended before the call.
func (s *Store) SyncAll(ctx context.Context) error {
	s.mu.Lock()
	index := s.queued
	s.mu.Unlock()
	return s.Sync(ctx, index)
}

func (s *Store) writePending() error {
	s.mu.Lock()
	b := s.pending
	s.pending = batch{index: b.index}
	s.mu.Unlock()
	if err := s.days.write(&b); err != nil {
		return err
	}
	s.mu.Lock()
	s.synced = max(s.synced, b.index)
	s.free.Broadcast()
	s.mu.Unlock()
	return nil
}

// finish closes the store with the reason for which the writer stops.
func (s *Store) finish(err error) error {
	s.mu.Lock()
	if s.err = err; err == nil {
		s.err = ErrClosed
	}
	s.free.Broadcast()
	s.mu.Unlock()
	return errors.Join(err, s.days.close())
}

// Fill stores rows that a peer sent for a gap. Rows outside gaps change nothing.
func (s *Store) Fill(cdrs []fsm.CDR, transfers []fsm.Transfer) error {
	return s.days.write(&batch{cdrs: cdrs, transfers: transfers})
}

// Missing returns the gaps below the newest CDR and transfer sequences that the
// state machine has given out.
func (s *Store) Missing(lastCDR, lastTransfer uint64) (cdrs, transfers []Span) {
	return s.days.missing(lastCDR, lastTransfer)
}

// Span is a range of sequence numbers, both ends included.
type Span struct{ First, Last uint64 }

// Len returns how many numbers the span has.
func (s Span) Len() uint64 { return s.Last - s.First + 1 }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

const fileSuffix = ".cdr"

// dayOf names the file that rows of log time t belong to.
func dayOf(t fsm.Time) string { return t.Std().Format("20060102") }

// dayFiles lists the days in dir, oldest first.
func dayFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if day, ok := strings.CutSuffix(e.Name(), fileSuffix); ok && len(day) == 8 {
			names = append(names, day)
		}
	}
	sort.Strings(names)
	return names, nil
}

func dayPath(dir, day string) string { return filepath.Join(dir, day+fileSuffix) }
