package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"tandem/cluster/outbox"
)

// Queue is the outbox's file.
type Queue struct{ db *bbolt.DB }

var _ outbox.Store = (*Queue)(nil)

// batchDelay is how long an append waits for others to share its fsync: when a
// leader is lost, many calls end at once.
const batchDelay = time.Millisecond

func bucketQueue() []byte { return []byte("queue") }

// OpenQueue opens or creates the file and checks every value in it.
func OpenQueue(path string) (*Queue, error) {
	db, err := open(path, bucketQueue())
	if err != nil {
		return nil, err
	}
	db.MaxBatchDelay = batchDelay
	q := &Queue{db}
	if _, err := q.Load(); err != nil {
		return nil, errors.Join(fmt.Errorf("check %s: %w", path, err), db.Close())
	}
	return q, nil
}

// Close closes the file. It is safe to call it again.
func (q *Queue) Close() error { return q.db.Close() }

// Append stores a record durably and returns its number.
func (q *Queue) Append(value []byte) (id uint64, err error) {
	err = q.db.Batch(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketQueue())
		if id, err = b.NextSequence(); err != nil {
			return err
		}
		k := index(id)
		return b.Put(k, seal(k, value))
	})
	return id, err
}

// Remove deletes records in one transaction.
func (q *Queue) Remove(ids ...uint64) error {
	return q.db.Update(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			if err := tx.Bucket(bucketQueue()).Delete(index(id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Load returns all records, oldest first.
func (q *Queue) Load() (all []outbox.Record, err error) {
	err = q.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketQueue()).ForEach(func(k, v []byte) error {
			b, err := unseal(k, v)
			if err != nil {
				return fmt.Errorf("record %d: %w", binary.BigEndian.Uint64(k), err)
			}
			all = append(all, outbox.Record{ID: binary.BigEndian.Uint64(k), Value: append([]byte(nil), b...)})
			return nil
		})
	})
	return all, err
}
