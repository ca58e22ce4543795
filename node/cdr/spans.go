package cdr

import "sort"

// spans is a set of sequence numbers as sorted, disjoint, non-adjacent ranges.
// Sequences are dense, so it is nearly always one range.
type spans []Span

// has reports whether n is in the set.
func (s spans) has(n uint64) bool {
	i := sort.Search(len(s), func(i int) bool { return s[i].Last >= n })
	return i < len(s) && s[i].First <= n
}

// add puts a range into the set.
func (s *spans) add(r Span) {
	old := *s
	i := sort.Search(len(old), func(i int) bool { return old[i].Last+1 >= r.First })
	j := i
	for j < len(old) && old[j].First <= r.Last+1 {
		r.First, r.Last = min(r.First, old[j].First), max(r.Last, old[j].Last)
		j++
	}
	*s = append(old[:i:i], append(spans{r}, old[j:]...)...)
}

// gaps returns what is missing from first, or 1, to last.
func (s spans) gaps(first, last uint64) []Span {
	var out []Span
	next := max(first, 1)
	for _, r := range s {
		if r.Last < next {
			continue
		}
		if r.First > last {
			break
		}
		if r.First > next {
			out = append(out, Span{next, r.First - 1})
		}
		next = r.Last + 1
	}
	if next <= last {
		out = append(out, Span{next, last})
	}
	return out
}
