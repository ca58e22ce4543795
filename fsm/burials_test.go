package fsm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestBurials compares the queue with a sorted list.
func TestBurials(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b burials
		var want []dueKey[CallID]
		now := Time(0)
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				now += Time(rapid.IntRange(0, 1).Draw(t, "later"))
				k := dueKey[CallID]{now, CallID{rapid.Byte().Draw(t, "call")}}
				b.push(k.at, k.key)
				want = append(want, k)
				slices.SortFunc(want, byDue(CallID.compare))
			case 1:
				if len(want) > 0 && b.top() != want[0] {
					t.Fatalf("top %v, want %v", b.top(), want[0])
				}
			default:
				if len(want) > 0 {
					if got := b.pop(); got != want[0] {
						t.Fatalf("popped %v, want %v", got, want[0])
					}
					want = want[1:]
				}
			}
			if b.len() != len(want) {
				t.Fatalf("%d left, want %d", b.len(), len(want))
			}
		}
	})
}
