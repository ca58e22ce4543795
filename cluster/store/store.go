// Package store keeps raft's log and stable store in one bbolt file.
package store

// Store implements raft.LogStore and raft.StableStore.
type Store struct{}

// Open opens or creates the file. Two processes cannot have it open.
func Open(path string) (*Store, error) { panic("unfinished") }

// Close closes the file.
func (s *Store) Close() error { panic("unfinished") }
