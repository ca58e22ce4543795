package sip

import (
	"hash/maphash"
	"net/netip"
	"sync"
)

// repeatTables spreads the lookups of readers and shards over locks.
const repeatTables = 16

// repeats finds the transaction of a datagram that was received before, byte for
// byte and from the same source: it is answered without being parsed again. The
// hash is keyed, so nobody can make two datagrams meet.
type repeats struct {
	seed   maphash.Seed
	tables [repeatTables]struct {
		mu sync.Mutex // guards m
		m  map[uint64]*ServerTx
	}
}

func newRepeats() *repeats {
	r := &repeats{seed: maphash.MakeSeed()}
	for i := range r.tables {
		r.tables[i].m = make(map[uint64]*ServerTx)
	}
	return r
}

// sum is the datagram's name; it is never 0.
func (r *repeats) sum(src netip.AddrPort, raw []byte) uint64 {
	return maphash.Bytes(r.seed, raw) ^ maphash.Comparable(r.seed, src) | 1
}

func (r *repeats) find(sum uint64) *ServerTx {
	t := &r.tables[sum>>1%repeatTables]
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[sum]
}

func (r *repeats) add(sum uint64, tx *ServerTx) {
	if sum == 0 {
		return // it came on a stream
	}
	t := &r.tables[sum>>1%repeatTables]
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m[sum] = tx
}

func (r *repeats) remove(sum uint64, tx *ServerTx) {
	if sum == 0 {
		return
	}
	t := &r.tables[sum>>1%repeatTables]
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[sum] == tx {
		delete(t.m, sum)
	}
}
