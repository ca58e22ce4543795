package call

import (
	"net/netip"
	"testing"
)

// TestHeldIsBounded: however many sources there are, the whole stays within its
// bound, and each of them gets something.
func TestHeldIsBounded(t *testing.T) {
	var h held
	for round := range maxHeld {
		for n := range 300 {
			src := netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
			if h.room(src) {
				h.add(src, 1)
			}
			if round == 0 && h.by[src] != 1 {
				t.Fatalf("source %d finds no room", n)
			}
		}
		if h.all() > maxHeld {
			t.Fatalf("%d wait", h.all())
		}
	}
	for src, n := range h.by {
		h.add(src, -n)
	}
	if h.all() != 0 || len(h.by) != 0 {
		t.Errorf("%d of %d sources are left", h.all(), len(h.by))
	}
}
