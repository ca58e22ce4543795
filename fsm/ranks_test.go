package fsm

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The ranks of any sequence of additions and removals are the sorted set.
func TestRanks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := ranks[int]{order: cmp.Compare[int]}
		set := map[int]bool{}
		span := rapid.SampledFrom([]int{10, 5 * maxRun}).Draw(t, "span")
		for range rapid.IntRange(0, 6*maxRun).Draw(t, "steps") {
			k := rapid.IntRange(0, span).Draw(t, "key")
			if set[k] {
				r.remove(k)
				delete(set, k)
			} else {
				r.remove(k) // not there: changes nothing
				r.add(k)
				set[k] = true
			}
		}
		want := slices.Sorted(maps.Keys(set))
		if got := behind(&r, nil); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		after := rapid.IntRange(-1, span+1).Draw(t, "after")
		at, found := slices.BinarySearch(want, after)
		if found {
			at++
		}
		if got := behind(&r, &after); !slices.Equal(got, want[at:]) {
			t.Fatalf("behind %d: %v, want %v", after, got, want[at:])
		}
		for _, run := range r.runs {
			if len(run) == 0 || len(run) > maxRun {
				t.Fatalf("a run of %d", len(run))
			}
		}
	})
}

func behind(r *ranks[int], after *int) []int {
	var out []int
	r.above(after, func(k int) bool { out = append(out, k); return true })
	return out
}
