package fsm

import (
	"slices"

	"tandem/fsm/wire"
)

const (
	// checkpointEvery is the distance of the indexes at which replicas compare
	// their hashes (ARCHITECTURE.md, rule 11).
	checkpointEvery = 1024
	// keptCheckpoints is how many a replica remembers for those who lag.
	keptCheckpoints = 64
)

// Checkpoint is the state's hash at an index.
type Checkpoint struct {
	Index uint64
	Hash  Hash
}

// hasher computes the hashes of records.
type hasher struct {
	key   [16]byte
	codec *wire.Codec
}

func newHasher(key [16]byte) hasher { return hasher{key: key, codec: wire.Encoder(nil)} }

// begin returns an encoder whose first byte is the kind of what is hashed.
func (h *hasher) begin(kind byte) *wire.Codec {
	h.codec.Reset(append(h.codec.Buffer()[:0], kind))
	return h.codec
}

func (h *hasher) sum() sum128 { return sipHash(h.key, h.codec.Buffer()) }

// hashRecord hashes the kind, key and canonical bytes of a record.
func hashRecord[K comparable, V any](h *hasher, s *shape[K, V], k K, v *V) sum128 {
	s.encode(h.begin(byte(s.kind)), k, v)
	return h.sum()
}

// header hashes what is in no table.
func (h *hasher) header(head header) sum128 {
	head.fields(h.begin(byte(recordHeader)))
	return h.sum()
}

// body hashes what an administrative command asks for.
func (h *hasher) body(cmd *Command) Hash {
	b, ok := cmd.Body.(content)
	if !ok {
		return Hash{}
	}
	b.fields(h.begin(byte(b.Kind())))
	return h.sum().hash()
}

// Hash returns the hash of all records. It costs as much as was changed since
// the last checkpoint, and changes nothing.
func (s *State) Hash() Hash {
	h := newHasher(s.head.HashKey)
	sum := h.header(s.head)
	for _, t := range s.tables {
		sum = sum.add(t.total(&h))
	}
	return sum.hash()
}

// total returns the sum with the records that were written since it was taken.
func (t *table[K, V]) total(h *hasher) sum128 {
	sum := t.sum
	dirty := slices.Clone(t.dirty)
	slices.SortFunc(dirty, t.order)
	for _, k := range slices.Compact(dirty) {
		if r, _ := t.find(hashKey(t.seed, k), k); r != nil && !r.gone {
			sum = sum.sub(r.sum).add(hashRecord(h, &t.shape, k, &r.value))
		}
	}
	return sum
}

// rehash brings every table's sum up to date.
func (s *State) rehash() {
	for _, t := range s.tables {
		t.rehash(&s.hasher)
	}
}

// checkpoint remembers the hash at this index.
func (s *State) checkpoint() {
	if len(s.checkpoints) == keptCheckpoints {
		s.checkpoints = slices.Delete(s.checkpoints, 0, 1)
	}
	s.rehash()
	s.checkpoints = append(s.checkpoints, Checkpoint{Index: s.index, Hash: s.Hash()})
}

// Checkpoints returns the last hashes, oldest first. Replicas whose hashes
// differ at the same index have diverged.
func (s *State) Checkpoints() []Checkpoint { return slices.Clone(s.checkpoints) }

// HashFull computes the hash of the view from every record, beside Apply, and
// the same as the state would have from what it keeps per record. They differ
// when a record was changed without its share, or by a flipped bit.
func (v *View) HashFull() (full, kept Hash) {
	hasher := newHasher(v.head.HashKey)
	h := &hasher
	f := h.header(v.head)
	k := f
	for _, t := range v.tables {
		tf, tk := t.sums(h)
		f, k = f.add(tf), k.add(tk)
	}
	return f.hash(), k.hash()
}

// sums returns the sum of all records' hashes, and the sum that was kept,
// brought up to date for the records that are known to have changed.
func (t *tableView[K, V]) sums(h *hasher) (full, kept sum128) {
	eachOf(t.layers, func(k K, v *V) { full = full.add(hashRecord(h, &t.shape, k, v)) })
	as := table[K, V]{shape: t.shape, seed: t.seed, layers: t.layers, sum: t.sum, dirty: t.dirty}
	return full, as.total(h)
}
