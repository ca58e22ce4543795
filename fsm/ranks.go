package fsm

import (
	"slices"
	"sort"
)

// maxRun bounds a run of keys: the cost of adding one.
const maxRun = 512

// ranks keeps the keys of a table in order, so that a page of it costs what it
// holds and not what the table does. Keys lie in runs of bounded length.
type ranks[K any] struct {
	order func(a, b K) int
	runs  [][]K // none is empty
}

// run returns the first run whose last key is not below k.
func (r *ranks[K]) run(k K) int {
	return sort.Search(len(r.runs), func(i int) bool {
		run := r.runs[i]
		return r.order(run[len(run)-1], k) >= 0
	})
}

// add puts in a key that is not there.
func (r *ranks[K]) add(k K) {
	if len(r.runs) == 0 {
		r.runs = [][]K{{k}}
		return
	}
	i := min(r.run(k), len(r.runs)-1)
	at, _ := slices.BinarySearchFunc(r.runs[i], k, r.order)
	r.runs[i] = slices.Insert(r.runs[i], at, k)
	if n := len(r.runs[i]); n > maxRun {
		upper := slices.Clone(r.runs[i][n/2:])
		r.runs[i] = slices.Clip(r.runs[i][:n/2])
		r.runs = slices.Insert(r.runs, i+1, upper)
	}
}

// remove takes a key out.
func (r *ranks[K]) remove(k K) {
	i := r.run(k)
	if i == len(r.runs) {
		return
	}
	at, there := slices.BinarySearchFunc(r.runs[i], k, r.order)
	if !there {
		return
	}
	if len(r.runs[i]) == 1 {
		r.runs = slices.Delete(r.runs, i, i+1)
		return
	}
	r.runs[i] = slices.Delete(r.runs[i], at, at+1)
}

// above calls f for the keys behind after, or all of them, in order, until it
// returns false.
func (r *ranks[K]) above(after *K, f func(K) bool) {
	i, at := 0, 0
	if after != nil {
		if i = r.run(*after); i == len(r.runs) {
			return
		}
		var there bool
		if at, there = slices.BinarySearchFunc(r.runs[i], *after, r.order); there {
			at++
		}
	}
	for ; i < len(r.runs); i, at = i+1, 0 {
		for _, k := range r.runs[i][at:] {
			if !f(k) {
				return
			}
		}
	}
}
