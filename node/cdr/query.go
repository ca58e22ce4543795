package cdr

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"tandem/fsm"
)

// Limits of one query's page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// maxScanned bounds the rows that one page may look at; a page that reaches it
// is short and carries a cursor to go on from.
const maxScanned = 200_000

// Query selects CDRs. Empty fields select everything. The newest come first.
type Query struct {
	From, To fsm.Time // of the end: From <= Ended < To; 0: open
	Account  string   // client or vendor
	Number   string   // normalised caller or callee
	Gateway  string   // ingress or egress
	Reason   fsm.EndReason
	Answered bool   // answered calls only
	Before   uint64 // cursor: sequences below this one; 0: from the newest
	Limit    int    // rows of the page; 0: DefaultLimit
}

// Page is a part of a query's answer.
type Page struct {
	CDRs    []fsm.CDR
	Next    uint64 // Query.Before of the next page; 0: this is the last
	Partial bool   // the node has gaps, so rows may be missing
}

// Search returns a page of CDRs, newest first, including every row appended
// before the call.
func (s *Store) Search(ctx context.Context, q Query) (Page, error) {
	if q.Limit <= 0 {
		q.Limit = DefaultLimit
	}
	q.Limit = min(q.Limit, MaxLimit)
	if err := s.SyncAll(ctx); err != nil {
		return Page{}, err
	}
	var page Page
	scanned := 0
	for _, day := range s.days.newestFirst(q) {
		if ctx.Err() != nil {
			return Page{}, ctx.Err()
		}
		more := true
		err := s.days.view(day, func(tx *bolt.Tx) (err error) {
			more, err = q.day(tx, &page, &scanned)
			return err
		})
		if err != nil {
			return Page{}, fmt.Errorf("read cdr day %s: %w", day, err)
		}
		if !more {
			break
		}
	}
	return page, nil
}

// day adds the rows of one day to the page. It returns false when the page is
// full or too much was looked at.
func (q *Query) day(tx *bolt.Tx, page *Page, scanned *int) (more bool, err error) {
	rows := tx.Bucket(bucketCDR)
	walk := q.sequences(tx)
	for seq, ok := walk(); ok; seq, ok = walk() {
		if *scanned++; *scanned > maxScanned {
			page.Next = seq + 1
			return false, nil
		}
		r, err := fsm.DecodeCDR(rows.Get(seqKey(seq)))
		if err != nil {
			return false, fmt.Errorf("cdr %d: %w", seq, err)
		}
		if !q.match(&r) {
			continue
		}
		if len(page.CDRs) == q.Limit {
			page.Next = seq + 1
			return false, nil
		}
		page.CDRs = append(page.CDRs, r)
	}
	return true, nil
}

// sequences walks the candidates in falling order, by the narrowest index that
// the query can use.
func (q *Query) sequences(tx *bolt.Tx) func() (uint64, bool) {
	switch {
	case q.Number != "":
		return indexWalk(tx.Bucket(bucketNumber), q.Number, q.Before)
	case q.Account != "":
		return indexWalk(tx.Bucket(bucketAccount), q.Account, q.Before)
	case q.Gateway != "":
		return indexWalk(tx.Bucket(bucketGateway), q.Gateway, q.Before)
	}
	return indexWalk(tx.Bucket(bucketCDR), "", q.Before)
}

// indexWalk walks the sequences of an index key (or, without text, of a bucket
// keyed by sequence) below before, falling.
func indexWalk(b *bolt.Bucket, text string, before uint64) func() (uint64, bool) {
	var prefix []byte
	if text != "" {
		prefix = append([]byte(text), 0)
	}
	if before == 0 {
		before = ^uint64(0)
	}
	c := b.Cursor()
	start := binary.BigEndian.AppendUint64(append([]byte(nil), prefix...), before)
	started := false
	return func() (uint64, bool) {
		var k []byte
		if started {
			k, _ = c.Prev()
		} else {
			started = true
			if k, _ = c.Seek(start); k == nil {
				k, _ = c.Last()
			} else {
				k, _ = c.Prev()
			}
		}
		if len(k) != len(prefix)+8 || !bytes.HasPrefix(k, prefix) {
			return 0, false
		}
		return binary.BigEndian.Uint64(k[len(prefix):]), true
	}
}

func (q *Query) match(r *fsm.CDR) bool {
	return (q.From == 0 || r.Ended >= q.From) &&
		(q.To == 0 || r.Ended < q.To) &&
		(q.Account == "" || r.Account == q.Account || r.Vendor == q.Account) &&
		(q.Number == "" || r.Caller == q.Number || r.Callee == q.Number) &&
		(q.Gateway == "" || r.Ingress == q.Gateway || r.Egress == q.Gateway) &&
		(q.Reason == 0 || r.Reason == q.Reason) &&
		(!q.Answered || r.Answered != 0)
}

// Get returns one CDR by its sequence.
func (s *Store) Get(ctx context.Context, seq uint64) (fsm.CDR, bool, error) {
	page, err := s.Search(ctx, Query{Before: seq + 1, Limit: 1})
	if err != nil || len(page.CDRs) == 0 || page.CDRs[0].Seq != seq {
		return fsm.CDR{}, false, err
	}
	return page.CDRs[0], true, nil
}

// Ledger returns an account's transfers, newest first, below the sequence
// before (0: from the newest), and the next cursor (0: no more).
// Account is a ledger name such as "client:acme".
func (s *Store) Ledger(ctx context.Context, account string, before uint64, limit int) ([]fsm.Transfer, uint64, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	if err := s.SyncAll(ctx); err != nil {
		return nil, 0, err
	}
	var out []fsm.Transfer
	var next uint64
	for _, day := range s.days.newestFirst(Query{}) {
		err := s.days.view(day, func(tx *bolt.Tx) error {
			rows, bucket := tx.Bucket(bucketTransfer), tx.Bucket(bucketLedger)
			if account == "" {
				bucket = rows
			}
			walk := indexWalk(bucket, account, before)
			for seq, ok := walk(); ok; seq, ok = walk() {
				if len(out) == limit {
					next = seq + 1
					return nil
				}
				t, err := fsm.DecodeTransfer(rows.Get(seqKey(seq)))
				if err != nil {
					return fmt.Errorf("transfer %d: %w", seq, err)
				}
				out = append(out, t)
			}
			return nil
		})
		if err != nil {
			return nil, 0, fmt.Errorf("read ledger day %s: %w", day, err)
		}
		if next != 0 {
			break
		}
	}
	return out, next, nil
}

// Range returns the stored CDRs and transfers of the given spans, at most max
// rows, for a peer that fills its gaps.
func (s *Store) Range(ctx context.Context, cdrs, transfers Span, max int) ([]fsm.CDR, []fsm.Transfer, error) {
	if err := s.SyncAll(ctx); err != nil {
		return nil, nil, err
	}
	var outC []fsm.CDR
	var outT []fsm.Transfer
	for _, day := range s.days.newestFirst(Query{}) {
		err := s.days.view(day, func(tx *bolt.Tx) error {
			err := eachIn(tx.Bucket(bucketCDR), cdrs, func(v []byte) (bool, error) {
				r, err := fsm.DecodeCDR(v)
				outC = append(outC, r)
				return len(outC)+len(outT) < max, err
			})
			return errors.Join(err, eachIn(tx.Bucket(bucketTransfer), transfers, func(v []byte) (bool, error) {
				r, err := fsm.DecodeTransfer(v)
				outT = append(outT, r)
				return len(outC)+len(outT) < max, err
			}))
		})
		if err != nil {
			return nil, nil, fmt.Errorf("read cdr day %s: %w", day, err)
		}
		if len(outC)+len(outT) >= max {
			break
		}
	}
	return outC, outT, nil
}

// eachIn calls visit for the rows of a span until it says stop.
func eachIn(b *bolt.Bucket, span Span, visit func([]byte) (bool, error)) error {
	if span.Last == 0 {
		return nil
	}
	c := b.Cursor()
	last := seqKey(span.Last)
	for k, v := c.Seek(seqKey(span.First)); k != nil && bytes.Compare(k, last) <= 0; k, v = c.Next() {
		if more, err := visit(v); err != nil || !more {
			return err
		}
	}
	return nil
}

// newestFirst lists the days that can hold rows of q.
func (d *days) newestFirst(q Query) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for i := len(d.names) - 1; i >= 0; i-- {
		day := d.names[i]
		if q.From != 0 && day < dayOf(q.From) || q.To != 0 && day > dayOf(q.To) {
			continue
		}
		if r, ok := d.rows[day]; ok && q.Before != 0 && r.First >= q.Before {
			continue
		}
		out = append(out, day)
	}
	return out
}

// view runs fn in a read transaction of a day, and does nothing for a day that was
// deleted after it was listed. The file may be evicted between its look-up and its
// use; the next look-up opens it again.
func (d *days) view(day string, fn func(*bolt.Tx) error) error {
	for {
		db, err := d.listed(day)
		if errors.Is(err, errDeleted) {
			return nil
		}
		if err != nil {
			return err
		}
		if err = db.View(fn); !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			return err
		}
	}
}
