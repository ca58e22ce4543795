package fsm

import (
	"slices"

	"tandem/fsm/wire"
)

// table is one kind of records, by key. It is written by one goroutine and can
// be frozen in constant time for a view that another one reads.
//
// Without a view there is one layer, a plain map whose records are changed in
// place. A view freezes the layers that are there: from then on no record in
// them changes, and what is written goes to a new layer above. After the last
// view is released, the layers are merged again in bounded steps.
type table[K comparable, V any] struct {
	shape[K, V]
	layers []layer[K, V] // a key counts in the highest layer that has it; never empty
	frozen int           // layers[:frozen] belong to views; below len(layers)
	count  int
	sum    sum128    // of all records' hashes, as of the last rehash
	dirty  []K       // records that were written since; may name some twice, or removed ones
	ranks  *ranks[K] // nil unless the shape is paged
}

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
	records map[K]*record[V]
	keys    []K // of layers above the first: what is to be merged, in order of writing
}

type record[V any] struct {
	value V
	sum   sum128 // share in the table's sum; zero: none yet
	dirty bool   // sum is older than value
	gone  bool   // removed, hides a record in a frozen layer
}

func newTable[K comparable, V any](s shape[K, V]) *table[K, V] {
	t := &table[K, V]{shape: s, layers: []layer[K, V]{{records: map[K]*record[V]{}}}}
	if s.paged {
		t.ranks = &ranks[K]{order: s.order}
	}
	return t
}

// find returns the record of k and its layer, -1 when no layer has it. The
// record may be gone.
func (t *table[K, V]) find(k K) (*record[V], int) {
	for i := len(t.layers) - 1; i >= 0; i-- {
		if r := t.layers[i].records[k]; r != nil {
			return r, i
		}
	}
	return nil, -1
}

// get returns the value of k, which must not be changed, or nil.
func (t *table[K, V]) get(k K) *V {
	if r, _ := t.find(k); r != nil && !r.gone {
		return &r.value
	}
	return nil
}

// edit returns the value of k to be changed in place, or nil. Slices in it are
// shared with views: they are replaced, never written to.
func (t *table[K, V]) edit(k K) *V {
	r, i := t.find(k)
	if r == nil || r.gone {
		return nil
	}
	return &t.writable(k, r, i).value
}

// writable returns the record of k, found as r in layer i, in a layer that no
// view has, marked for the next rehash.
func (t *table[K, V]) writable(k K, r *record[V], i int) *record[V] {
	if i < t.frozen {
		c := *r
		r = &c
		t.insert(k, r, t.frozen)
	}
	if !r.dirty {
		r.dirty = true
		t.dirty = append(t.dirty, k)
	}
	return r
}

func (t *table[K, V]) insert(k K, r *record[V], i int) {
	l := &t.layers[i]
	if i > 0 {
		l.keys = append(l.keys, k)
	}
	l.records[k] = r
}

// put adds or replaces a record and returns its value, to be changed in place
// until the end of the command.
func (t *table[K, V]) put(k K, v V) *V {
	r, i := t.find(k)
	if r != nil && !r.gone {
		w := t.writable(k, r, i)
		w.value = v
		return &w.value
	}
	r = &record[V]{value: v, dirty: true}
	t.insert(k, r, max(i, t.frozen))
	t.dirty = append(t.dirty, k)
	t.count++
	if t.ranks != nil {
		t.ranks.add(k)
	}
	return &r.value
}

// remove deletes a record and reports whether it was there.
func (t *table[K, V]) remove(k K) bool {
	r, _ := t.find(k)
	if r == nil || r.gone {
		return false
	}
	t.sum = t.sum.sub(r.sum)
	t.count--
	if t.ranks != nil {
		t.ranks.remove(k)
	}
	for i := len(t.layers) - 1; i >= t.frozen; i-- {
		delete(t.layers[i].records, k)
	}
	if t.frozen > 0 {
		if below, _ := t.find(k); below != nil && !below.gone {
			t.insert(k, &record[V]{gone: true}, t.frozen)
		}
	}
	return true
}

// rehash brings the sum up to date with what was written since the last time.
func (t *table[K, V]) rehash(h *hasher) {
	for _, k := range t.dirty {
		r, i := t.find(k)
		if r == nil || r.gone || !r.dirty {
			continue
		}
		r = t.writable(k, r, i)
		t.sum = t.sum.sub(r.sum)
		r.sum = hashRecord(h, &t.shape, k, &r.value)
		t.sum = t.sum.add(r.sum)
		r.dirty = false
	}
	t.dirty = nil // views keep what they saw of it
}

// freeze returns an immutable view of the table as it is now.
func (t *table[K, V]) freeze() frozenTable {
	if len(t.layers[len(t.layers)-1].records) > 0 {
		t.layers = append(t.layers, layer[K, V]{records: map[K]*record[V]{}})
	}
	// The highest layer is empty: all others hold the whole table.
	t.frozen = len(t.layers) - 1
	return &tableView[K, V]{
		shape:  t.shape,
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
		switch r := upper.records[k]; {
		case r == nil: // removed since, or named twice
		case r.gone:
			delete(t.layers[0].records, k)
		default:
			t.layers[0].records[k] = r
		}
		delete(upper.records, k)
	}
	return steps
}

// each calls f for every record in no order. f must not write to the table, and
// what comes of it must not depend on the order.
func (t *table[K, V]) each(f func(K, *V)) { eachOf(t.layers, f) }

func eachOf[K comparable, V any](layers []layer[K, V], f func(K, *V)) {
	for i, l := range layers {
	records:
		for k, r := range l.records {
			if r.gone {
				continue
			}
			for _, above := range layers[i+1:] {
				if above.records[k] != nil {
					continue records
				}
			}
			f(k, &r.value)
		}
	}
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
