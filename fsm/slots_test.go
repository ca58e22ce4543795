package fsm

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestSlots compares slots with a plain map, under a hash that makes keys collide
// and wrap around the end of the table.
func TestSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s slots[int, int]
		want := map[int]int{}
		spread := rapid.SampledFrom([]uint64{1, 3, 1 << 40}).Draw(t, "hashes")
		hash := func(k int) uint64 { return (uint64(k)*0x9e3779b97f4a7c15>>7%spread + 5) | occupied }
		for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
			k := rapid.IntRange(0, 80).Draw(t, "key")
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				s.remove(hash(k), k)
				delete(want, k)
			default:
				s.set(hash(k), &record[int, int]{key: k, value: i})
				want[k] = i
			}
			got := map[int]int{}
			s.each(func(h uint64, r *record[int, int]) {
				if _, twice := got[r.key]; twice || h != hash(r.key) {
					t.Fatalf("key %d: hash %x, seen before: %t", r.key, h, twice)
				}
				got[r.key] = r.value
			})
			if !maps.Equal(got, want) || s.count != len(want) {
				t.Fatalf("has %v (%d), want %v", got, s.count, want)
			}
			for k := range 81 {
				r := s.get(hash(k), k)
				if v, there := want[k]; (r != nil) != there || there && r.value != v {
					t.Fatalf("key %d: %v, want %d, %t", k, r, v, there)
				}
			}
		}
	})
}
