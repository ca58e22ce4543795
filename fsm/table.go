package fsm

import (
	"hash/maphash"
	"slices"

	"tandem/fsm/wire"
)

// table is one kind of records, by key. It is written by one goroutine and can
// be frozen in constant time for a view that another one reads.
//
// Without a view there is one layer, whose records are changed in place. A view
// freezes the layers that are there: from then on no record in them changes, and
// what is written goes to a new layer above. After the last view is released,
// the layers are merged again in bounded steps.
type table[K comparable, V any] struct {
	shape[K, V]
	seed    maphash.Seed
	layers  []layer[K, V] // a key counts in the highest layer that has it; never empty
	frozen  int           // layers[:frozen] belong to views; below len(layers)
	count   int
	sum     sum128          // of all records' hashes, as of the last rehash
	dirty   []K             // records that were written since; may name some twice, or removed ones
	viewed  bool            // a view may be reading dirty: only append to it
	ranks   *ranks[K]       // nil unless the shape is paged
	removed []*record[K, V] // in this entry, with no view to see them: spare when it is over
	spare   []*record[K, V] // at most maxSpare, to be used again
}

// maxSpare bounds the records that a table keeps for use. Calls come and go all
// the time: without it each leaves some garbage.
const maxSpare = 1024

// shape describes the records of a table: how they are named, ordered and
// encoded.
type shape[K comparable, V any] struct {
	kind  recordKind
	order func(a, b K) int
	key   func(*K, *wire.Codec)
	value func(*V, *wire.Codec)
	paged bool // people list it: its keys are kept in order
}

type layer[K comparable, V any] struct {
	slots[K, V]
	keys []K // of layers above the first: what is to be merged, in order of writing
}

type record[K comparable, V any] struct {
	key   K
	dirty bool   // sum is older than value
	gone  bool   // removed, hides a record in a frozen layer
	sum   sum128 // share in the table's sum; zero: none yet
	value V
}

func newTable[K comparable, V any](s shape[K, V]) *table[K, V] {
	t := &table[K, V]{shape: s, seed: maphash.MakeSeed(), layers: make([]layer[K, V], 1)}
	if s.paged {
		t.ranks = &ranks[K]{order: s.order}
	}
	return t
}

// find returns the record of k, whose hash it is given, and its layer, -1 when
// no layer has it. The record may be gone.
func (t *table[K, V]) find(hash uint64, k K) (*record[K, V], int) {
	for i := len(t.layers) - 1; i >= 0; i-- {
		if r := t.layers[i].get(hash, k); r != nil {
			return r, i
		}
	}
	return nil, -1
}

// get returns the value of k, which must not be changed, or nil.
func (t *table[K, V]) get(k K) *V {
	if r, _ := t.find(hashKey(t.seed, k), k); r != nil && !r.gone {
		return &r.value
	}
	return nil
}

// edit returns the value of k to be changed in place, or nil. Slices in it are
// shared with views: they are replaced, never written to.
func (t *table[K, V]) edit(k K) *V {
	hash := hashKey(t.seed, k)
	r, i := t.find(hash, k)
	if r == nil || r.gone {
		return nil
	}
	return &t.writable(hash, r, i).value
}

// writable returns a record, found as r in layer i, in a layer that no view
// has, marked for the next rehash.
func (t *table[K, V]) writable(hash uint64, r *record[K, V], i int) *record[K, V] {
	if i < t.frozen {
		c := *r
		r = &c
		t.insert(hash, r, t.frozen)
	}
	if !r.dirty {
		r.dirty = true
		t.dirty = append(t.dirty, r.key)
	}
	return r
}

func (t *table[K, V]) insert(hash uint64, r *record[K, V], i int) {
	l := &t.layers[i]
	if i > 0 {
		l.keys = append(l.keys, r.key)
	}
	l.set(hash, r)
}

// put adds or replaces a record and returns its value, to be changed in place
// until the end of the command.
func (t *table[K, V]) put(k K, v V) *V {
	hash := hashKey(t.seed, k)
	r, i := t.find(hash, k)
	if r != nil && !r.gone {
		w := t.writable(hash, r, i)
		w.value = v
		return &w.value
	}
	r = t.blank()
	*r = record[K, V]{key: k, dirty: true, value: v}
	t.insert(hash, r, max(i, t.frozen))
	t.dirty = append(t.dirty, k)
	t.count++
	if t.ranks != nil {
		t.ranks.add(k)
	}
	return &r.value
}

// blank returns a record to be filled.
func (t *table[K, V]) blank() *record[K, V] {
	last := len(t.spare) - 1
	if last < 0 {
		return new(record[K, V])
	}
	r := t.spare[last]
	t.spare = t.spare[:last]
	return r
}

// remove deletes a record and reports whether it was there. Its value may be
// read until the end of the entry.
func (t *table[K, V]) remove(k K) bool {
	hash := hashKey(t.seed, k)
	r, _ := t.find(hash, k)
	if r == nil || r.gone {
		return false
	}
	t.sum = t.sum.sub(r.sum)
	t.count--
	if t.ranks != nil {
		t.ranks.remove(k)
	}
	for i := len(t.layers) - 1; i >= t.frozen; i-- {
		t.layers[i].remove(hash, k)
	}
	if t.frozen > 0 {
		if below, _ := t.find(hash, k); below != nil && !below.gone {
			t.insert(hash, &record[K, V]{key: k, gone: true}, t.frozen)
		}
	}
	if len(t.layers) == 1 && len(t.removed) < maxSpare {
		t.removed = append(t.removed, r)
	}
	return true
}

// recycle ends an entry: nobody reads what it has removed any more.
func (t *table[K, V]) recycle() {
	if len(t.removed) == 0 {
		return
	}
	n := min(len(t.removed), maxSpare-len(t.spare))
	t.spare = append(t.spare, t.removed[:n]...)
	clear(t.removed)
	t.removed = t.removed[:0]
}

// rehash brings the sum up to date with what was written since the last time.
func (t *table[K, V]) rehash(h *hasher) {
	for _, k := range t.dirty {
		hash := hashKey(t.seed, k)
		r, i := t.find(hash, k)
		if r == nil || r.gone || !r.dirty {
			continue
		}
		r = t.writable(hash, r, i)
		t.sum = t.sum.sub(r.sum)
		r.sum = hashRecord(h, &t.shape, k, &r.value)
		t.sum = t.sum.add(r.sum)
		r.dirty = false
	}
	if t.dirty = t.dirty[:0]; t.viewed {
		t.dirty, t.viewed = nil, false
	}
}

// freeze returns an immutable view of the table as it is now.
func (t *table[K, V]) freeze() frozenTable {
	if t.layers[len(t.layers)-1].count > 0 {
		t.layers = append(t.layers, layer[K, V]{})
	}
	// The highest layer is empty: all others hold the whole table.
	t.frozen, t.viewed = len(t.layers)-1, true
	return &tableView[K, V]{
		shape:  t.shape,
		seed:   t.seed,
		layers: slices.Clone(t.layers[:t.frozen]),
		count:  t.count,
		sum:    t.sum,
		dirty:  t.dirty[:len(t.dirty):len(t.dirty)],
	}
}

// thaw ends the protection of frozen layers, when the last view is released.
func (t *table[K, V]) thaw() { t.frozen = 0 }

// merge moves at most steps records one layer down and returns how many steps
// are left. It does nothing while there are views.
func (t *table[K, V]) merge(steps int) int {
	for steps > 0 && t.frozen == 0 && len(t.layers) > 1 {
		upper := &t.layers[1]
		if len(upper.keys) == 0 {
			t.layers = slices.Delete(t.layers, 1, 2)
			continue
		}
		k := upper.keys[0]
		upper.keys = upper.keys[1:]
		steps--
		hash := hashKey(t.seed, k)
		switch r := upper.get(hash, k); {
		case r == nil: // removed since, or named twice
		case r.gone:
			t.layers[0].remove(hash, k)
		default:
			t.layers[0].set(hash, r)
		}
		upper.remove(hash, k)
	}
	return steps
}

// each calls f for every record in no order. f must not write to the table, and
// what comes of it must not depend on the order.
func (t *table[K, V]) each(f func(K, *V)) { eachOf(t.layers, f) }

func eachOf[K comparable, V any](layers []layer[K, V], f func(K, *V)) {
	for i := range layers {
		layers[i].each(func(hash uint64, r *record[K, V]) {
			if !r.gone && !hidden(layers[i+1:], hash, r.key) {
				f(r.key, &r.value)
			}
		})
	}
}

// hidden reports whether a layer above has its own record of a key.
func hidden[K comparable, V any](above []layer[K, V], hash uint64, k K) bool {
	for i := range above {
		if above[i].get(hash, k) != nil {
			return true
		}
	}
	return false
}

// keys returns all keys in order.
func (t *table[K, V]) keys() []K { return keysOf(t.layers, t.count, t.order) }

func keysOf[K comparable, V any](layers []layer[K, V], count int, order func(a, b K) int) []K {
	keys := make([]K, 0, count)
	eachOf(layers, func(k K, _ *V) { keys = append(keys, k) })
	slices.SortFunc(keys, order)
	return keys
}

// page returns copies of at most limit values behind a key, in order of keys.
func (t *table[K, V]) page(after *K, limit int, keep func(*V) bool) []V {
	if t.ranks == nil {
		return t.search(after, limit, keep)
	}
	var out []V
	t.ranks.above(after, func(k K) bool {
		if v := t.get(k); keep == nil || keep(v) {
			out = append(out, *v)
		}
		return len(out) < limit
	})
	return out
}

// search is page without ranks: it looks at every record once and keeps only the
// page.
func (t *table[K, V]) search(after *K, limit int, keep func(*V) bool) []V {
	heap := agenda[K, *V]{order: func(a, b K) int { return t.order(b, a) }} // the last key on top
	t.each(func(k K, v *V) {
		if after != nil && t.order(k, *after) <= 0 || keep != nil && !keep(v) {
			return
		}
		heap.push(k, v)
		if heap.len() > limit {
			heap.pop()
		}
	})
	out := make([]V, heap.len())
	for i := len(out) - 1; i >= 0; i-- {
		_, v := heap.pop()
		out[i] = *v
	}
	return out
}
