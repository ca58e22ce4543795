package cdr

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Horizon is where the kept rows begin: what is below is expired, and nobody looks
// for it. The zero Horizon keeps everything.
type Horizon struct{ CDR, Transfer uint64 }

// Expire moves the horizon, which never goes back, and deletes the days that have
// nothing above it.
func (s *Store) Expire(h Horizon) error {
	for _, day := range s.days.expire(h) {
		if err := s.days.remove(day); err != nil {
			return fmt.Errorf("delete cdr day %s: %w", day, err)
		}
		s.log.Info("cdr day deleted", "day", day)
	}
	return nil
}

// Horizon returns where the kept rows begin.
func (s *Store) Horizon() Horizon {
	s.days.mu.Lock()
	defer s.days.mu.Unlock()
	return s.days.horizon
}

// Size is the length of all day files, in bytes.
func (s *Store) Size() (total int64, err error) {
	s.days.mu.Lock()
	names := s.days.names
	s.days.mu.Unlock()
	for _, day := range names {
		info, err := os.Stat(dayPath(s.dir, day))
		if errors.Is(err, fs.ErrNotExist) {
			continue // just deleted
		}
		if err != nil {
			return total, err
		}
		total += info.Size()
	}
	return total, nil
}

// expire moves the horizon and returns the days that are below it. The newest day
// stays: it is being written.
func (d *days) expire(h Horizon) (old []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.horizon.CDR = max(d.horizon.CDR, h.CDR)
	d.horizon.Transfer = max(d.horizon.Transfer, h.Transfer)
	for _, day := range d.names[:max(0, len(d.names)-1)] {
		if d.rows[day].Last < d.horizon.CDR && d.moves[day].Last < d.horizon.Transfer {
			old = append(old, day)
		}
	}
	return old
}

// remove deletes a day. bbolt waits for its open transactions, which are short.
func (d *days) remove(day string) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	db := d.open[day]
	delete(d.open, day)
	d.names = without(d.names, day)
	d.order = without(d.order, day)
	delete(d.rows, day)
	delete(d.moves, day)
	d.mu.Unlock()
	if db != nil {
		if err := db.Close(); err != nil {
			return err
		}
	}
	return os.Remove(dayPath(d.dir, day))
}

// without returns a list without one name; readers may still hold the old one.
func without(names []string, name string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		if n != name {
			out = append(out, n)
		}
	}
	return out
}
