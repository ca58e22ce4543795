package fraud

import (
	"slices"

	"tandem/fsm/wire"
)

// chunk is how many event times one step copies at most. It weighs the cost of
// an event (a copy of 128 bytes on average) against that of a full window (32
// chunks).
const chunk = 32

// Window is the times of the last events of one number, in log time
// (microseconds). It is a value: an operation returns another window, which
// shares what has not changed with the old one, and the old one stays as it
// was. The zero Window is empty.
type Window struct {
	recent []int64  // at most chunk; never written to once it is in a Window
	older  *history // nil: none
	skip   int      // events of the first chunk in older that were dropped
}

// history is the part of a window before its recent times. It is immutable.
type history struct {
	chunks [][]int64 // none is empty
	count  int
}

// Len returns the number of events.
func (w Window) Len() int {
	if w.older == nil {
		return len(w.recent)
	}
	return w.older.count - w.skip + len(w.recent)
}

// First returns the time of the oldest event, or 0.
func (w Window) First() int64 {
	switch {
	case w.older != nil:
		return w.older.chunks[0][w.skip]
	case len(w.recent) > 0:
		return w.recent[0]
	}
	return 0
}

// Last returns the time of the newest event, or 0.
func (w Window) Last() int64 {
	if len(w.recent) == 0 {
		return 0
	}
	return w.recent[len(w.recent)-1]
}

// Add returns the window with an event at a time; log time never goes back, and
// an earlier time counts as the last one. Events at start or before it are
// dropped, and so is the oldest beyond MaxLimit.
func (w Window) Add(at, start int64) Window {
	at = max(at, w.Last())
	w = w.since(start)
	if w.Len() == MaxLimit {
		w = w.drop(1)
	}
	return w.push(at)
}

// push appends a time.
func (w Window) push(at int64) Window {
	if len(w.recent) < chunk {
		w.recent = append(slices.Clip(w.recent), at) // clipped, it is copied
		return w
	}
	h := &history{chunks: [][]int64{w.recent}, count: len(w.recent)}
	if w.older != nil {
		h.chunks = slices.Concat(w.older.chunks, h.chunks)
		h.count += w.older.count
	}
	w.older, w.recent = h, []int64{at}
	return w
}

// since returns the window without the events at a time or before it.
func (w Window) since(start int64) Window {
	for w.Len() > 0 && w.First() <= start {
		oldest := w.recent
		if w.older != nil {
			oldest = w.older.chunks[0][w.skip:]
		}
		w = w.drop(younger(oldest, start))
	}
	return w
}

// drop returns the window without its first n events, which are in one chunk.
func (w Window) drop(n int) Window {
	if w.older == nil {
		w.recent = slices.Clip(w.recent[n:])
		return w
	}
	first := len(w.older.chunks[0])
	switch w.skip += n; {
	case w.skip < first:
	case len(w.older.chunks) == 1:
		w.older, w.skip = nil, 0
	default:
		w.older, w.skip = &history{chunks: w.older.chunks[1:], count: w.older.count - first}, 0
	}
	return w
}

// younger returns the index of the first time behind after.
func younger(times []int64, after int64) int {
	i, _ := slices.BinarySearch(times, after+1)
	return i
}

// Equal reports whether two windows have the same times.
func (w Window) Equal(v Window) bool { return slices.Equal(w.Times(), v.Times()) }

// Times returns a copy of all times, oldest first.
func (w Window) Times() []int64 {
	if w.older == nil {
		return slices.Clone(w.recent)
	}
	return append(slices.Concat(w.older.chunks...)[w.skip:], w.recent...)
}

// Fields describes the window for its encoding: the number of events, the time
// of the first, and the steps from each to the next.
func (w *Window) Fields(c *wire.Codec) {
	n := uint32(w.Len())
	c.U32(&n)
	if n > MaxLimit {
		c.Fail("window of %d events, at most %d: %w", n, MaxLimit, wire.ErrTooLong)
	}
	if c.Err() != nil || n == 0 {
		return
	}
	if c.Decoding() {
		*w = decodeWindow(c, int(n))
		return
	}
	last := w.First()
	c.Int(&last)
	for i, at := range w.Times() {
		if i > 0 {
			step := uint64(at - last)
			c.Uint(&step)
			last = at
		}
	}
}

func decodeWindow(c *wire.Codec, n int) (w Window) {
	var at int64
	c.Int(&at)
	w = w.push(at)
	for range n - 1 {
		var step uint64
		c.Uint(&step)
		next := at + int64(step)
		if next < at || int64(step) < 0 {
			c.Fail("event %d us after %d: %w", step, at, wire.ErrMalformed)
		}
		if c.Err() != nil {
			return Window{}
		}
		at = next
		w = w.push(at)
	}
	return w
}
