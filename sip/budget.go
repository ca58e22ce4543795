package sip

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Default budgets, in messages a second.
const (
	DefaultSourceBudget  = 100  // of one unknown source: a phone that registers and calls needs a few
	DefaultUnknownBudget = 4000 // of all unknown sources: a tenth of a core at 20 us a message
)

// Budget bounds what is spent on messages of unknown sources (see Config.Known)
// before anything of them is looked at. What is beyond is dropped in silence and
// without an allocation, also when each packet forges another source.
type Budget struct {
	Source  int // messages a second of one address (IPv6: of one /64), and burst; 0: DefaultSourceBudget
	Unknown int // of all unknown addresses together; 0: DefaultUnknownBudget
}

func (b Budget) validate() error {
	if b.Source < 0 || b.Unknown < 0 {
		return fmt.Errorf("sip: Budget is %d and %d, must not be negative", b.Source, b.Unknown)
	}
	return nil
}

// Size of the table of sources: a quarter of a megabyte. Of more sources at once
// than it holds the longest idle one is forgotten, and starts with a full budget;
// the budget of all unknown sources bounds what that gives away.
const (
	bucketWays = 4
	bucketSets = 4096
)

// bucket is what one source has left, as a time: that at which its budget is full
// again. One that lies a second ahead is used up (the generic cell rate algorithm).
type bucket struct {
	source uint64 // keyed hash of the address
	full   int64  // ns since the table was made
}

// take spends cost messages of a budget of rate messages a second.
func (b *bucket) take(now int64, rate, cost int) bool {
	full := max(b.full, now) + int64(cost)*int64(time.Second)/int64(rate)
	if full > now+int64(time.Second) {
		return false
	}
	b.full = full
	return true
}

// budgets are the buckets of an endpoint.
type budgets struct {
	rate  Budget
	seed  maphash.Seed
	start time.Time

	mu      sync.Mutex // guards what follows
	unknown bucket
	sources [bucketSets][bucketWays]bucket
}

func newBudgets(b Budget) *budgets {
	b.Source = cmp.Or(b.Source, DefaultSourceBudget)
	b.Unknown = cmp.Or(b.Unknown, DefaultUnknownBudget)
	return &budgets{rate: b, seed: maphash.MakeSeed(), start: time.Now()}
}

// source returns a source's bucket, or the one that it takes over.
func (b *budgets) source(hash uint64) *bucket {
	set := &b.sources[hash%bucketSets]
	oldest := &set[0]
	for i := range set {
		if set[i].source == hash {
			return &set[i]
		}
		if set[i].full < oldest.full {
			oldest = &set[i]
		}
	}
	*oldest = bucket{source: hash}
	return oldest
}

// afford spends cost messages of an unknown source's budget, and counts a refusal.
func (e *Endpoint) afford(src netip.Addr, cost int) bool {
	b := e.budgets
	hash := maphash.Comparable(b.seed, network(src))
	now := int64(time.Since(b.start))
	b.mu.Lock()
	source := b.source(hash).take(now, b.rate.Source, cost)
	all := source && b.unknown.take(now, b.rate.Unknown, cost)
	b.mu.Unlock()
	switch {
	case !source:
		e.stats.DroppedSource.Add(1)
	case !all:
		e.stats.DroppedUnknown.Add(1)
	}
	return all
}

// network is the address that a budget belongs to: who has an IPv6 address has 2^64.
func network(src netip.Addr) netip.Addr {
	if src.Is4() || src.Is4In6() {
		return src.Unmap()
	}
	prefix, err := src.Prefix(64)
	if err != nil {
		return src
	}
	return prefix.Addr()
}

const (
	// friendSlots bounds the sources that are remembered for an answered call; two
	// that fall into one slot displace each other.
	friendSlots = 8192
	// friendFor is how long: the longest call.
	friendFor = 4 * time.Hour
)

// friends are the sources of answered calls: who pays for one call may ask for the
// end of it in the middle of a flood. A slot holds half of the address's hash and
// the second at which it ends.
type friends [friendSlots]atomic.Uint64

func (e *Endpoint) befriend(src netip.Addr) {
	hash := maphash.Comparable(e.budgets.seed, src)
	until := uint64(time.Since(e.budgets.start)+friendFor) / uint64(time.Second)
	e.friends[hash%friendSlots].Store(hash>>32<<32 | until)
}

// known reports whether a source's messages are not bound by budgets.
func (e *Endpoint) known(src netip.Addr) bool {
	if e.cfg.Known == nil || e.cfg.Known(src) {
		return true
	}
	hash := maphash.Comparable(e.budgets.seed, src)
	slot := e.friends[hash%friendSlots].Load()
	return slot>>32 == hash>>32 && slot<<32>>32 > uint64(time.Since(e.budgets.start)/time.Second)
}
