package fsm

import "hash/maphash"

// slots finds records by their keys: an open-addressed table with linear
// probing. Most look-ups of Apply are of records that no cache has any more; here
// one costs the line of its slot and that of its record, less than a map does.
//
// It grows in steps of a few records, so that no entry waits for a million of
// them, and does not shrink. The zero slots are empty and ready.
type slots[K comparable, V any] struct {
	table []slot[K, V] // a power of two, at most half full
	old   []slot[K, V] // the smaller table before it, while records are moved
	moved int          // old[:moved] have been
	count int
}

// slot is a record with the hash of its key. An empty one is zero. In the old
// table it keeps its hash without its record, when that has left: who probes has
// to go on behind it.
type slot[K comparable, V any] struct {
	hash   uint64
	record *record[K, V]
}

const (
	fewestSlots  = 8
	movedAtOnce  = 8       // slots of the old table, with each new record: it is empty long before the next growth
	occupied     = 1 << 63 // tells the hash of any key from that of an empty slot
	slotsARecord = 2       // at least
)

// hashKey hashes a key for slots. The seed is one of this process: callers choose
// some keys, and must not be able to make them collide. Nothing that leaves the
// table depends on it.
func hashKey[K comparable](seed maphash.Seed, k K) uint64 {
	return maphash.Comparable(seed, k) | occupied
}

// get returns the record of a key with its hash, or nil.
func (s *slots[K, V]) get(hash uint64, k K) *record[K, V] {
	if i, ok := probe(s.table, hash, k); ok {
		return s.table[i].record
	}
	if i, ok := probe(s.old, hash, k); ok {
		return s.old[i].record
	}
	return nil
}

// probe returns the slot of a key, or false and the empty one where it would be.
func probe[K comparable, V any](table []slot[K, V], hash uint64, k K) (int, bool) {
	if len(table) == 0 {
		return 0, false
	}
	mask := len(table) - 1
	i := int(hash) & mask
	for ; table[i].hash != 0; i = (i + 1) & mask {
		if s := &table[i]; s.hash == hash && s.record != nil && s.record.key == k {
			return i, true
		}
	}
	return i, false
}

// set adds a record, or puts it in the place of the one with its key.
func (s *slots[K, V]) set(hash uint64, r *record[K, V]) {
	s.grow()
	i, there := probe(s.table, hash, r.key)
	if !there {
		if j, before := probe(s.old, hash, r.key); before {
			s.old[j].record = nil
			s.count--
		}
		s.count++
	}
	s.table[i] = slot[K, V]{hash, r}
}

// remove takes a key out, if it is there.
func (s *slots[K, V]) remove(hash uint64, k K) {
	if i, ok := probe(s.table, hash, k); ok {
		vacate(s.table, i)
		s.count--
	} else if i, ok := probe(s.old, hash, k); ok {
		s.old[i].record = nil
		s.count--
	}
}

// vacate empties a slot and closes the gap: what was probed past it moves up.
func vacate[K comparable, V any](table []slot[K, V], gap int) {
	mask := len(table) - 1
	for i := (gap + 1) & mask; table[i].hash != 0; i = (i + 1) & mask {
		if home := int(table[i].hash) & mask; (i-home)&mask >= (i-gap)&mask {
			table[gap] = table[i]
			gap = i
		}
	}
	table[gap] = slot[K, V]{}
}

// grow makes room for one more record, and moves some from the old table.
func (s *slots[K, V]) grow() {
	if slotsARecord*(s.count+1) > len(s.table) {
		s.move(len(s.old)) // nothing, save in a table of the fewest slots
		s.table, s.old = make([]slot[K, V], max(2*len(s.table), fewestSlots)), s.table
	}
	s.move(movedAtOnce)
}

// move moves the records in the next n slots of the old table.
func (s *slots[K, V]) move(n int) {
	if s.old == nil {
		return
	}
	end := min(s.moved+n, len(s.old))
	for i := s.moved; i < end; i++ {
		from := &s.old[i]
		if from.record != nil {
			to, _ := probe(s.table, from.hash, from.record.key)
			s.table[to] = *from
			from.record = nil
		}
	}
	if s.moved = end; end == len(s.old) {
		s.old, s.moved = nil, 0
	}
}

// each calls f for every record in no order.
func (s *slots[K, V]) each(f func(hash uint64, r *record[K, V])) {
	for _, table := range [...][]slot[K, V]{s.old, s.table} {
		for i := range table {
			if t := &table[i]; t.record != nil {
				f(t.hash, t.record)
			}
		}
	}
}
