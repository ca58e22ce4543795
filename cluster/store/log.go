package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// Log implements raft.LogStore and raft.StableStore.
type Log struct{ db *bbolt.DB }

var (
	_ raft.LogStore    = (*Log)(nil)
	_ raft.StableStore = (*Log)(nil)
)

// bucketLog maps an index to an entry, bucketStable a name to a value.
func bucketLog() []byte    { return []byte("log") }
func bucketStable() []byte { return []byte("stable") }

// deleteStep is the number of entries deleted in one transaction: compaction
// runs beside appends, which wait for it.
const deleteStep = 1000

// OpenLog opens or creates the file and checks every value in it.
func OpenLog(path string) (*Log, error) {
	db, err := open(path, bucketLog(), bucketStable())
	if err != nil {
		return nil, err
	}
	s := &Log{db}
	if err := s.Verify(); err != nil {
		return nil, errors.Join(fmt.Errorf("check %s: %w", path, err), db.Close())
	}
	return s, nil
}

// Close closes the file. It is safe to call it again.
func (s *Log) Close() error { return s.db.Close() }

// Verify checks every value and that the log has no gaps.
func (s *Log) Verify() error {
	return s.db.View(func(tx *bbolt.Tx) error {
		var last uint64
		err := tx.Bucket(bucketLog()).ForEach(func(k, v []byte) error {
			var l raft.Log
			i := binary.BigEndian.Uint64(k)
			if err := decode(k, v, &l); err != nil {
				return fmt.Errorf("log entry %d: %w", i, err)
			}
			last = i
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Bucket(bucketStable()).ForEach(func(k, v []byte) error {
			if _, err := unseal(k, v); err != nil {
				return fmt.Errorf("value %q (last log entry %d): %w", k, last, err)
			}
			return nil
		})
	})
}

// FirstIndex implements raft.LogStore, as do the methods below.
func (s *Log) FirstIndex() (uint64, error) {
	return s.edge(func(c *bbolt.Cursor) []byte { k, _ := c.First(); return k })
}

// LastIndex returns the newest index, 0 if there is none.
func (s *Log) LastIndex() (uint64, error) {
	return s.edge(func(c *bbolt.Cursor) []byte { k, _ := c.Last(); return k })
}

func (s *Log) edge(find func(*bbolt.Cursor) []byte) (i uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		if k := find(tx.Bucket(bucketLog()).Cursor()); k != nil {
			i = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return i, err
}

// GetLog reads one entry.
func (s *Log) GetLog(i uint64, l *raft.Log) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		k := index(i)
		v := tx.Bucket(bucketLog()).Get(k)
		if v == nil {
			return raft.ErrLogNotFound
		}
		if err := decode(k, v, l); err != nil {
			return fmt.Errorf("log entry %d: %w", i, err)
		}
		return nil
	})
}

// StoreLog appends one entry.
func (s *Log) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries in one transaction.
func (s *Log) StoreLogs(logs []*raft.Log) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLog())
		b.FillPercent = 0.95 // keys only ever grow
		for _, l := range logs {
			k := index(l.Index)
			if err := b.Put(k, encode(k, l)); err != nil {
				return fmt.Errorf("log entry %d: %w", l.Index, err)
			}
		}
		return nil
	})
}

// DeleteRange removes entries, both ends included. The tail of the log is
// removed from its end and the head from its beginning, so that a power cut on
// the way leaves no gap.
func (s *Log) DeleteRange(low, high uint64) error {
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	first, err := s.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	low, tail := max(low, first), high >= last
	high = min(high, last)
	for low <= high {
		n := min(high-low+1, deleteStep)
		from := low
		if tail {
			from = high - n + 1
		}
		if err := s.deleteStep(from, n); err != nil {
			return fmt.Errorf("delete log entries from %d: %w", from, err)
		}
		if tail {
			high -= n
		} else {
			low += n
		}
	}
	return nil
}

// deleteStep removes n entries in one transaction.
func (s *Log) deleteStep(from, n uint64) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLog())
		for i := from; i < from+n; i++ {
			if err := b.Delete(index(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Set implements raft.StableStore, as do the methods below.
func (s *Log) Set(key, value []byte) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketStable()).Put(key, seal(key, value))
	})
}

// Get returns an empty value for a missing key.
func (s *Log) Get(key []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketStable()).Get(key)
		if v == nil {
			return nil
		}
		b, err := unseal(key, v)
		if err != nil {
			return fmt.Errorf("value %q: %w", key, err)
		}
		value = append([]byte(nil), b...)
		return nil
	})
	return value, err
}

// SetUint64 stores a number.
func (s *Log) SetUint64(key []byte, v uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, v))
}

// GetUint64 returns 0 for a missing key.
func (s *Log) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil || len(b) == 0 {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("value %q has %d bytes: %w", key, len(b), ErrCorrupt)
	}
	return binary.BigEndian.Uint64(b), nil
}

// The layout of an entry behind its checksum: version, type, term, time of the
// append, length of the data, data, extensions.
const (
	logVersion = 1
	logHead    = 1 + 1 + 8 + 8 + 4
)

// encode returns the stored form of an entry.
func encode(key []byte, l *raft.Log) []byte {
	b := make([]byte, 0, logHead+len(l.Data)+len(l.Extensions))
	b = append(b, logVersion, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, l.Term)
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Data)))
	b = append(b, l.Data...)
	b = append(b, l.Extensions...)
	return seal(key, b)
}

// decode reads an entry; it copies what it keeps.
func decode(key, sealed []byte, l *raft.Log) error {
	b, err := unseal(key, sealed)
	if err != nil {
		return err
	}
	if len(b) < logHead || b[0] != logVersion {
		return fmt.Errorf("%d bytes of unknown layout: %w", len(b), ErrCorrupt)
	}
	n := int(binary.BigEndian.Uint32(b[18:]))
	if n > len(b)-logHead {
		return fmt.Errorf("data of %d bytes: %w", n, ErrCorrupt)
	}
	*l = raft.Log{Index: binary.BigEndian.Uint64(key), Type: raft.LogType(b[1]), Term: binary.BigEndian.Uint64(b[2:])}
	if at := int64(binary.BigEndian.Uint64(b[10:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	if n > 0 {
		l.Data = append([]byte(nil), b[logHead:logHead+n]...)
	}
	if rest := b[logHead+n:]; len(rest) > 0 {
		l.Extensions = append([]byte(nil), rest...)
	}
	return nil
}
