package fraud

import (
	"cmp"
	"iter"
	"slices"
)

// Tracker counts the events of one list in the windows of the state machine and
// keeps within the bounds. What it remembers is an order of eviction, the same
// on every replica: by the time of the last event, then by key.
type Tracker struct {
	accounts map[string]*queue
	bounds   bounds
	windows  int
	events   int
	evicted  uint64
}

// bounds is how much a tracker keeps.
type bounds struct{ windows, perAccount, events int }

// queue is the windows of one account in order of eviction. A window has a slot
// for each of its events; all but the one of its last event are stale, and are
// dropped when they come to the front, or when they are more than the others.
type queue struct {
	slots   []slot
	windows int
}

type slot struct {
	last int64
	key  Key
}

func compareSlots(a, b slot) int {
	return cmp.Or(cmp.Compare(a.last, b.last), a.key.Compare(b.key))
}

// NewTracker returns a tracker for the windows that a list has, in any order.
func NewTracker(windows iter.Seq2[Key, Window]) *Tracker {
	t := &Tracker{accounts: map[string]*queue{}, bounds: bounds{MaxWindows, MaxPerAccount, MaxEvents}}
	for k, w := range windows {
		q := t.queue(k.Account)
		q.slots = append(q.slots, slot{w.Last(), k})
		t.grow(q, w.Len())
	}
	for _, q := range t.accounts {
		slices.SortFunc(q.slots, compareSlots)
	}
	return t
}

// Len returns how many windows and events there are.
func (t *Tracker) Len() (windows, events int) { return t.windows, t.events }

// Evicted returns how many windows this tracker has dropped to keep within the
// bounds. It is a figure of this replica, not of the state.
func (t *Tracker) Evicted() uint64 { return t.evicted }

// sweep is how many idle windows of the same account one event drops at most, so
// that windows do not stay behind for ever and no event pays for many.
const sweep = 2

// Count adds an event to the window of k and reports whether the rule trips. A
// window that trips is dropped: when the block is gone, counting starts anew.
// It may also drop windows that are idle or beyond the bounds.
func (t *Tracker) Count(ws Windows, k Key, r Rule, at int64) (Evidence, bool) {
	before, known := ws.Window(k)
	w := before.Add(at, r.start(max(at, before.Last())))
	if r.trips(w.Len()) {
		e := Evidence{Limit: r.limit(), Count: uint32(w.Len()), Within: r.Within, First: w.First(), Last: w.Last()}
		t.Reset(ws, k)
		return e, true
	}
	q := t.queue(k.Account)
	ws.SetWindow(k, w)
	if known {
		t.events += w.Len() - before.Len()
	} else {
		t.grow(q, w.Len())
	}
	q.push(slot{w.Last(), k})
	q.compact(ws)
	t.trim(ws, q, r.start(w.Last()))
	return Evidence{}, false
}

// Reset forgets what was counted for k.
func (t *Tracker) Reset(ws Windows, k Key) {
	if w, ok := ws.Window(k); ok {
		t.drop(ws, k, w)
	}
}

// trim drops idle windows of an account and what is beyond the bounds.
func (t *Tracker) trim(ws Windows, q *queue, idle int64) {
	for range sweep {
		if s, ok := q.oldest(ws); !ok || s.last > idle {
			break
		}
		t.dropOldest(ws, q)
	}
	// Windows without an account belong to all: only the whole list bounds them.
	for q != t.accounts[""] && q.windows > t.bounds.perAccount {
		t.dropOldest(ws, q)
		t.evicted++
	}
	for t.windows > t.bounds.windows || t.events > t.bounds.events {
		t.dropOldest(ws, t.oldest(ws))
		t.evicted++
	}
}

// oldest returns the queue whose first window is the oldest of all.
func (t *Tracker) oldest(ws Windows) *queue {
	var found *queue
	var first slot
	for _, q := range t.accounts { // the least of all, in whatever order they come
		if s, ok := q.oldest(ws); ok && (found == nil || compareSlots(s, first) < 0) {
			found, first = q, s
		}
	}
	return found
}

// dropOldest drops the first window of a queue that has one.
func (t *Tracker) dropOldest(ws Windows, q *queue) {
	if s, ok := q.oldest(ws); ok {
		t.Reset(ws, s.key)
	}
}

func (t *Tracker) queue(account string) *queue {
	q := t.accounts[account]
	if q == nil {
		q = new(queue)
		t.accounts[account] = q
	}
	return q
}

func (t *Tracker) grow(q *queue, events int) {
	q.windows++
	t.windows++
	t.events += events
}

func (t *Tracker) drop(ws Windows, k Key, w Window) {
	ws.DropWindow(k)
	q := t.accounts[k.Account]
	q.windows--
	t.windows--
	t.events -= w.Len()
	if q.windows == 0 {
		delete(t.accounts, k.Account)
	}
}

// push inserts a slot. Log time never goes back, so its place is at the end,
// or near it among slots of the same time.
func (q *queue) push(s slot) {
	i := len(q.slots)
	for i > 0 && compareSlots(s, q.slots[i-1]) < 0 {
		i--
	}
	q.slots = slices.Insert(q.slots, i, s)
}

// oldest returns the first slot that is not stale, and drops those before it.
func (q *queue) oldest(ws Windows) (slot, bool) {
	for len(q.slots) > 0 {
		if s := q.slots[0]; s.current(ws) {
			return s, true
		}
		q.slots = q.slots[1:]
	}
	return slot{}, false
}

// slack is how many stale slots are left alone, however few windows there are.
const slack = 16

// compact drops all stale slots when most are.
func (q *queue) compact(ws Windows) {
	if len(q.slots) <= 2*q.windows+slack {
		return
	}
	q.slots = slices.DeleteFunc(q.slots, func(s slot) bool { return !s.current(ws) })
	// Two events at one time made two equal slots.
	q.slots = slices.Compact(q.slots)
}

// current reports whether a slot is the one of its window's last event.
func (s slot) current(ws Windows) bool {
	w, ok := ws.Window(s.key)
	return ok && w.Last() == s.last
}
