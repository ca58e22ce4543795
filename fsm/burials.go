package fsm

import "slices"

// burials says which tombstone goes next: by time, then by call, as an agenda
// would. They come in order of time, since log time does not go back, so that a
// queue is enough; those of one time are brought into order when they are next.
// The zero burials are ready.
type burials struct {
	due     []dueKey[CallID] // due[:next] are gone
	next    int
	ordered int // due[next:ordered] are of one time, in order of their calls
}

func (b *burials) len() int { return len(b.due) - b.next }

// waiting returns the tombstones that are there, by time.
func (b *burials) waiting() []dueKey[CallID] { return b.due[b.next:] }

// push adds a tombstone. None that is there may be of a later time.
func (b *burials) push(at Time, id CallID) {
	b.due = append(b.due, dueKey[CallID]{at, id})
	if b.ordered == len(b.due)-1 {
		b.ordered = b.next // it may belong into the middle of them
	}
}

// top returns the next tombstone. There must be one.
func (b *burials) top() dueKey[CallID] {
	if b.ordered <= b.next {
		first := b.due[b.next].at
		for b.ordered = b.next + 1; b.ordered < len(b.due) && b.due[b.ordered].at == first; {
			b.ordered++
		}
		slices.SortFunc(b.due[b.next:b.ordered], func(x, y dueKey[CallID]) int { return x.key.compare(y.key) })
	}
	return b.due[b.next]
}

// pop removes and returns the next tombstone. There must be one.
func (b *burials) pop() dueKey[CallID] {
	first := b.top()
	if b.next++; b.next > len(b.due)/2 { // what is left moves up, once for each that went
		b.due = slices.Delete(b.due, 0, b.next)
		b.ordered -= b.next
		b.next = 0
	}
	return first
}
