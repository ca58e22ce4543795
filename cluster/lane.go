package cluster

import (
	"slices"
	"time"
)

// Lane is the priority of a command (ARCHITECTURE.md, rule 9).
type Lane uint8

// The lanes, most urgent first.
const (
	LaneUrgent Lane = iota // membership, AnswerCall, EndCall
	LaneExtend             // ExtendCall, Progress
	LaneStart              // StartCall, administration: bounded, fair by Flow
	lanes      = 3
)

const (
	// startPlaces is the part of a batch that the urgent lanes leave to
	// LaneStart, so that new calls are slowed down by a storm and never stopped.
	startPlaces = 8
	startBytes  = maxEntryBytes / 4
)

// item is what waits in a laneQueue: a value and what is needed to choose it.
type item[T any] struct {
	value T
	lane  Lane
	flow  string
	size  int
	since time.Time
}

// laneQueue orders what waits: by lane and, within LaneStart, round robin over
// the flows. It is not safe for concurrent use. Its owner keeps the bounds.
type laneQueue[T any] struct {
	plain [lanes - 1][]item[T]
	flows map[string][]item[T]
	turn  []string // flows that have items, next one first
	count [lanes]int
}

// push adds an item at the end of its lane.
func (q *laneQueue[T]) push(it item[T]) {
	q.count[it.lane]++
	if it.lane != LaneStart {
		q.plain[it.lane] = append(q.plain[it.lane], it)
		return
	}
	if q.flows == nil {
		q.flows = map[string][]item[T]{}
	}
	if len(q.flows[it.flow]) == 0 {
		q.turn = append(q.turn, it.flow)
	}
	q.flows[it.flow] = append(q.flows[it.flow], it)
}

// unshift puts items back that were taken, in front and in their order.
func (q *laneQueue[T]) unshift(items []item[T]) {
	for _, it := range slices.Backward(items) {
		q.count[it.lane]++
		if it.lane != LaneStart {
			q.plain[it.lane] = slices.Insert(q.plain[it.lane], 0, it)
			continue
		}
		if q.flows == nil {
			q.flows = map[string][]item[T]{}
		}
		if len(q.flows[it.flow]) == 0 {
			q.turn = slices.Insert(q.turn, 0, it.flow)
		}
		q.flows[it.flow] = slices.Insert(q.flows[it.flow], 0, it)
	}
}

// len is the number of items.
func (q *laneQueue[T]) len() int { return q.count[0] + q.count[1] + q.count[2] }

// take removes the next batch: at most limit items and about maxEntryBytes. A
// single item may be larger.
func (q *laneQueue[T]) take(limit int) []item[T] {
	var batch []item[T]
	size := 0
	waiting := min(q.count[LaneStart], startPlaces)
	places, bytes := limit-waiting, maxEntryBytes
	if waiting > 0 {
		bytes -= startBytes
	}
	for lane := range q.plain {
		for len(q.plain[lane]) > 0 && len(batch) < places {
			it := q.plain[lane][0]
			if len(batch) > 0 && size+it.size > bytes {
				break
			}
			q.plain[lane] = q.plain[lane][1:]
			q.count[lane]--
			size += it.size
			batch = append(batch, it)
		}
	}
	for len(q.turn) > 0 && len(batch) < limit {
		it := q.flows[q.turn[0]][0]
		if len(batch) > 0 && size+it.size > maxEntryBytes {
			break
		}
		q.popFlow()
		size += it.size
		batch = append(batch, it)
	}
	return batch
}

// popFlow removes the first item of the flow whose turn it is and passes the
// turn on.
func (q *laneQueue[T]) popFlow() {
	flow := q.turn[0]
	q.turn = q.turn[1:]
	q.count[LaneStart]--
	if rest := q.flows[flow][1:]; len(rest) > 0 {
		q.flows[flow] = rest
		q.turn = append(q.turn, flow)
		return
	}
	delete(q.flows, flow)
}

// headOf is when the longest waiting item of a flow of LaneStart came, or zero.
func (q *laneQueue[T]) headOf(flow string) time.Time {
	if items := q.flows[flow]; len(items) > 0 {
		return items[0].since
	}
	return time.Time{}
}

// crowdOut removes the newest item of the longest flow of LaneStart if that flow
// has more than one item more than the given one.
func (q *laneQueue[T]) crowdOut(flow string) (T, bool) {
	longest, most := "", len(q.flows[flow])+1
	for _, f := range q.turn {
		if n := len(q.flows[f]); n > most {
			longest, most = f, n
		}
	}
	items := q.flows[longest]
	if len(items) == 0 {
		var none T
		return none, false
	}
	q.flows[longest] = items[:len(items)-1]
	q.count[LaneStart]--
	return items[len(items)-1].value, true
}

// removeIf takes out and returns the items whose value satisfies gone.
func (q *laneQueue[T]) removeIf(gone func(T) bool) []item[T] {
	var out []item[T]
	drop := func(it item[T]) bool {
		if !gone(it.value) {
			return false
		}
		q.count[it.lane]--
		out = append(out, it)
		return true
	}
	for lane := range q.plain {
		q.plain[lane] = slices.DeleteFunc(q.plain[lane], drop)
	}
	q.turn = slices.DeleteFunc(q.turn, func(flow string) bool {
		rest := slices.DeleteFunc(q.flows[flow], drop)
		if len(rest) > 0 {
			q.flows[flow] = rest
			return false
		}
		delete(q.flows, flow)
		return true
	})
	return out
}

// pacer decides how long a batch may be held back so that it fills: not at all
// while little happens, so that two batches leave at least paceWindow apart once
// more than one command per millisecond arrives.
type pacer struct {
	from  time.Time // start of the present measurement
	count int       // arrivals since then
	busy  bool      // the last measurement saw more than one per millisecond
	last  time.Time // last departure
}

const (
	paceWindow  = 2 * time.Millisecond
	paceMeasure = 20 * time.Millisecond // long enough to tell a stream from a burst
)

// arrived counts n commands.
func (p *pacer) arrived(n int, now time.Time) {
	if d := now.Sub(p.from); d >= paceMeasure {
		p.busy = time.Duration(p.count)*time.Millisecond > d
		p.from, p.count = now, 0
	}
	p.count += n
}

// left notes a departure.
func (p *pacer) left(now time.Time) { p.last = now }

// hold is how long to wait before the next batch leaves.
func (p *pacer) hold(now time.Time) time.Duration {
	if !p.busy || now.Sub(p.from) > 2*paceMeasure {
		return 0
	}
	return max(0, paceWindow-now.Sub(p.last))
}
