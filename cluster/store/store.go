// Package store keeps what a node must not lose on bbolt: raft's log and stable
// values in one file ([Log]), the outbox in another ([Queue]), so that a
// settlement can be put away while the log's disk queue is busy.
//
// Every value carries a crc32c over its key and bytes. A flipped bit is found
// when the file is opened or the value is read, and reported as [ErrCorrupt]: it
// is never given to raft. Writes are on the disk when they return.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrCorrupt means that a value is not what was written.
	ErrCorrupt = errors.New("checksum mismatch")
	// ErrInUse means that another process has the file open.
	ErrInUse = errors.New("file is in use by another process")
)

const (
	// openTimeout is how long to wait for another process's lock.
	openTimeout = time.Second
	// initialMap is the address space reserved at first: growing the map stops
	// all readers.
	initialMap = 256 << 20
	// fileMode keeps other users out: call records are in the log.
	fileMode = 0o600
)

// open opens a file with its buckets.
func open(path string, buckets ...[]byte) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{
		Timeout: openTimeout, InitialMmapSize: initialMap,
		// The freelist is rebuilt when the file is opened, not written each time.
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = ErrInUse
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", path, err), db.Close())
	}
	return db, nil
}

// sum is the checksum of a value under its key.
func sum(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // built once by the library
	return crc32.Update(crc32.Checksum(key, table), table, value)
}

// seal prepends the checksum.
func seal(key, value []byte) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(value)), sum(key, value))
	return append(b, value...)
}

// unseal checks and removes the checksum. The result aliases sealed.
func unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 || binary.BigEndian.Uint32(sealed) != sum(key, sealed[4:]) {
		return nil, ErrCorrupt
	}
	return sealed[4:], nil
}

// index is a key: big-endian, so that keys sort like numbers.
func index(i uint64) []byte { return binary.BigEndian.AppendUint64(nil, i) }
