package fsm

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tandem/fsm/wire"
)

func newNumbers() *table[int, int] {
	number := func(v *int, c *wire.Codec) {
		i := int64(*v)
		c.Int(&i)
		if c.Decoding() {
			*v = int(i)
		}
	}
	return newTable(shape[int, int]{kind: 1, order: cmp.Compare[int], key: number, value: number})
}

const highestKey = 40

// TestTable compares a table, with views that come and go, with a plain map.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, want := newNumbers(), map[int]int{}
		h := newHasher([16]byte{1})
		type pinned struct {
			view *tableView[int, int]
			want map[int]int
		}
		var views []pinned
		key := rapid.IntRange(0, highestKey)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), rapid.Int().Draw(t, "value")
				tab.put(k, v)
				want[k] = v
			},
			"edit": func(t *rapid.T) {
				k := key.Draw(t, "key")
				if v := tab.edit(k); v != nil {
					*v++
					want[k]++
				}
			},
			"remove": func(t *rapid.T) {
				k := key.Draw(t, "key")
				_, there := want[k]
				if tab.remove(k) != there {
					t.Fatalf("remove %d: want %t", k, there)
				}
				delete(want, k)
			},
			"freeze": func(t *rapid.T) {
				views = append(views, pinned{tab.freeze().(*tableView[int, int]), maps.Clone(want)})
			},
			"thaw": func(t *rapid.T) {
				for _, p := range views {
					got := map[int]int{}
					eachOf(p.view.layers, func(k int, v *int) { got[k] = *v })
					if !maps.Equal(got, p.want) || p.view.count != len(p.want) {
						t.Fatalf("view has %v, want %v", got, p.want)
					}
					if full, kept := p.view.sums(&h); full != kept {
						t.Fatalf("view of %v: full sum %x, kept %x", got, full, kept)
					}
				}
				views = nil
				tab.thaw()
			},
			"merge":  func(t *rapid.T) { tab.merge(rapid.IntRange(0, 3).Draw(t, "steps")) },
			"rehash": func(t *rapid.T) { tab.rehash(&h) },
			"": func(t *rapid.T) {
				if tab.count != len(want) || !slices.Equal(tab.keys(), slices.Sorted(maps.Keys(want))) {
					t.Fatalf("has %v (%d), want %v", tab.keys(), tab.count, want)
				}
				for k := range highestKey + 1 {
					v, there := want[k]
					if got := tab.get(k); (got != nil) != there || there && *got != v {
						t.Fatalf("%d: %v, want %d, %t", k, got, v, there)
					}
				}
			},
		})
		tab.rehash(&h)
		other := newNumbers()
		for k, v := range want {
			other.put(k, v)
		}
		other.rehash(&h)
		if tab.sum != other.sum {
			t.Fatalf("sum %x after changes, %x of the same records", tab.sum, other.sum)
		}
	})
}

// TestPage walks a table page by page.
func TestPage(t *testing.T) {
	tab := newNumbers()
	for i := range 50 {
		tab.put(i*7%50, i*7%50)
	}
	var got []int
	var after *int
	for {
		page := tab.page(after, 7, func(v *int) bool { return *v%2 == 0 })
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = &page[len(page)-1]
	}
	if len(got) != 25 || !slices.IsSorted(got) {
		t.Errorf("pages: %v", got)
	}
}

// TestAgenda pops in order whatever was pushed.
func TestAgenda(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.IntRange(0, 20)).Draw(t, "keys")
		a := agenda[int, int]{order: cmp.Compare[int]}
		for i, k := range in {
			a.push(k, i)
		}
		var out []int
		for a.len() > 0 {
			k, i := a.pop()
			if in[i] != k {
				t.Fatalf("value %d came with key %d, not %d", i, k, in[i])
			}
			out = append(out, k)
		}
		slices.Sort(in)
		if !slices.Equal(in, out) {
			t.Fatalf("popped %v of %v", out, in)
		}
	})
}
