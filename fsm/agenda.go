package fsm

// agenda is a binary heap: what comes first by order is on top. Keys that are
// equal by order must not be told apart by what is done with them, so that an
// agenda that was rebuilt from records after a restore acts like the old one.
//
// Entries are never removed from the middle. An entry whose record has changed
// since is stale; who pops it has to see that, and must count it as nothing.
type agenda[K, V any] struct {
	order   func(a, b K) int
	entries []agendaEntry[K, V]
}

type agendaEntry[K, V any] struct {
	key   K
	value V
}

func (a *agenda[K, V]) len() int { return len(a.entries) }

// top returns the first entry. The agenda must not be empty.
func (a *agenda[K, V]) top() (K, V) { return a.entries[0].key, a.entries[0].value }

func (a *agenda[K, V]) push(k K, v V) {
	a.entries = append(a.entries, agendaEntry[K, V]{k, v})
	for i := len(a.entries) - 1; i > 0; {
		parent := (i - 1) / 2
		if a.order(a.entries[i].key, a.entries[parent].key) >= 0 {
			break
		}
		a.entries[i], a.entries[parent] = a.entries[parent], a.entries[i]
		i = parent
	}
}

// pop removes and returns the first entry. The agenda must not be empty.
func (a *agenda[K, V]) pop() (K, V) {
	first := a.entries[0]
	last := len(a.entries) - 1
	a.entries[0] = a.entries[last]
	a.entries[last] = agendaEntry[K, V]{} // let go of what it points to
	a.entries = a.entries[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if right := child + 1; right < last && a.order(a.entries[right].key, a.entries[child].key) < 0 {
			child = right
		}
		if a.order(a.entries[i].key, a.entries[child].key) <= 0 {
			break
		}
		a.entries[i], a.entries[child] = a.entries[child], a.entries[i]
		i = child
	}
	return first.key, first.value
}
