package call

import (
	"net/netip"
	"sync"
)

// held counts the INVITEs that wait for their first commit, by the address that
// they came from, so that one customer cannot take all the room while there is no
// leader.
type held struct {
	mu    sync.Mutex // guards all below
	by    map[netip.Addr]int
	total int
}

// room reports whether one more of a source may wait. The room is shared by those
// who use it, and a share is left for the next one to come.
func (h *held) room(src netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	sources := len(h.by)
	if h.by[src] == 0 {
		sources++
	}
	return h.total < maxHeld && h.by[src] < max(maxHeld/(sources+1), 1)
}

// add counts one of a source, or with -1 takes it off.
func (h *held) add(src netip.Addr, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = map[netip.Addr]int{}
	}
	h.total += n
	if h.by[src] += n; h.by[src] == 0 {
		delete(h.by, src)
	}
}

// all is how many wait.
func (h *held) all() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}
