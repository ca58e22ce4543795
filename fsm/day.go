package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Day is the bookkeeping of a UTC day: which rows were written on it, by log
// time. With it a node that was away knows what it misses, and can tell whether
// what another one sends it is whole and right, although the log behind it is
// gone (ARCHITECTURE.md, rule 8).
type Day struct {
	Day           int32  // number of the day since 1970-01-01
	First         uint64 // CDR sequences; 0: none was written
	Last          uint64
	FirstTransfer uint64 // likewise
	LastTransfer  uint64
	Link          Hash // of the CDR Last
}

// DayOf returns the number of the UTC day of a log time.
func DayOf(t Time) int32 {
	const length = Time(24 * time.Hour / time.Microsecond)
	if t < 0 {
		t -= length - 1
	}
	return int32(t / length)
}

// Chain computes the links of a cluster's CDRs. Each is a keyed hash of its row
// with the link of the row before in the place of its own, so that one of them
// vouches for every row before it.
type Chain struct{ key [16]byte }

// Chain returns the chain of this state's CDRs.
func (s *State) Chain() Chain { return Chain{s.head.HashKey} }

// Link returns the link of a row behind a row with the link before; the first of
// all is behind the zero Hash. The row's own link is ignored.
func (c Chain) Link(before Hash, r CDR) Hash {
	h := newHasher(c.key)
	return h.link(before, &r)
}

// ErrChain: rows that are not those that the cluster wrote.
var ErrChain = errors.New("broken chain of records")

// Verify checks rows that follow each other, the first of them behind a row with
// the link before. The error wraps [ErrChain] and names the first row that is
// wrong or missing.
func (c Chain) Verify(before Hash, rows []CDR) error {
	h := newHasher(c.key)
	for i := range rows {
		r := rows[i]
		if i > 0 && r.Seq != rows[i-1].Seq+1 {
			return fmt.Errorf("record %d behind %d: %w", r.Seq, rows[i-1].Seq, ErrChain)
		}
		if link := h.link(before, &r); link != rows[i].Link {
			return fmt.Errorf("record %d: %w", r.Seq, ErrChain)
		}
		before = rows[i].Link
	}
	return nil
}

// link returns the link of a row, which it leaves in it.
func (h *hasher) link(before Hash, r *CDR) Hash {
	r.Link = before
	r.fields(h.begin(byte(recordDay)))
	r.Link = h.sum().hash()
	return r.Link
}

// write hands out a CDR with the next sequence, which is in it already.
func (s *State) write(r *CDR) {
	s.head.CDRs = r.Seq
	s.head.Link = s.hasher.link(s.head.Link, r)
	d := s.today()
	d.First, d.Last, d.Link = cmp.Or(d.First, r.Seq), r.Seq, r.Link
	s.out.CDRs = append(s.out.CDRs, *r)
}

// today returns the bookkeeping of the day of the present log time.
func (s *State) today() *Day {
	n := DayOf(s.now)
	if d := s.days.edit(n); d != nil {
		return d
	}
	return s.days.put(n, Day{Day: n})
}

// Days returns the bookkeeping of all days that had rows and that are kept,
// oldest first.
func (s *State) Days() []Day {
	out := make([]Day, 0, s.days.count)
	for _, n := range s.days.keys() {
		out = append(out, *s.days.get(n))
	}
	return out
}

// Horizon returns the first UTC day whose rows are kept, and the link of the last
// CDR before it. Nobody has to look for what is older.
func (s *State) Horizon() (day int32, before Hash) { return s.head.Horizon, s.head.Forgotten }

// forgetDays drops days. Today stays: its bookkeeping goes on.
func (s *State) forgetDays(b *ForgetDays) Result {
	if today := DayOf(s.now); b.Before > today {
		return invalid("before", "day %d is to come, today is %d", b.Before, today)
	}
	var n uint64
	for _, day := range s.days.keys() {
		if day >= b.Before {
			break
		}
		if d := s.days.get(day); d.Last != 0 {
			s.head.Forgotten = d.Link
		}
		s.days.remove(day)
		n++
	}
	s.head.Horizon = max(s.head.Horizon, b.Before)
	return Result{Count: n}
}
