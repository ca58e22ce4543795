package chaos

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"tandem/fsm"
)

// Answer is the result of a command as a client got it from a node.
type Answer struct {
	Began, Ended time.Duration
	Node         string
	Again        bool // a repetition: its index may be older than its beginning
	Result       fsm.Result
}

// Answer records the result of a command.
func (r *Recorder) Answer(a Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Answers = append(r.h.Answers, a)
}

// checkEvery is how many entries a replay goes without a look at the books.
const checkEvery = 16

// Replay feeds entries to a state machine, from the one behind its index to last,
// and compares what comes out with what clients were told. Entry returns the
// entry at an index; ok is false for one that is not a command's. Answers from
// before the state's index cannot be compared and do not count.
func Replay(state *fsm.State, entry func(index uint64) (e fsm.Entry, ok bool, err error), last uint64, told []Answer) []Violation {
	var found []Violation
	bad := func(format string, args ...any) {
		if len(found) < maxViolations {
			found = append(found, Violation{"replay", fmt.Sprintf(format, args...)})
		}
	}
	byIndex := map[uint64][]Answer{}
	for _, a := range told {
		byIndex[a.Result.Index] = append(byIndex[a.Result.Index], a)
	}
	for i := state.Index() + 1; i <= last; i++ {
		e, ok, err := entry(i)
		if err != nil {
			bad("index %d: %v", i, err)
			return found
		}
		if !ok {
			continue
		}
		applied := state.Apply(i, e)
		for _, a := range byIndex[i] {
			if !slices.ContainsFunc(applied.Results, func(r fsm.Result) bool { return same(&r, &a.Result) }) {
				bad("index %d: %s told a client %+v at %v, the log says otherwise: %+v", i, a.Node, a.Result, a.Ended, applied.Results)
			}
		}
		if i%checkEvery != 0 && i != last {
			continue
		}
		if err := state.Check(); err != nil {
			bad("index %d: %v", i, err)
		}
	}
	checkOrder(told, bad)
	return found
}

// same compares results as they are written.
func same(a, b *fsm.Result) bool {
	return bytes.Equal(fsm.AppendResult(nil, a), fsm.AppendResult(nil, b))
}

// checkOrder: a command that was asked for after another had been answered stands
// behind it in the log.
func checkOrder(told []Answer, bad report) {
	byEnd := slices.SortedFunc(slices.Values(told), func(a, b Answer) int { return cmp.Compare(a.Ended, b.Ended) })
	byBegin := slices.SortedFunc(slices.Values(told), func(a, b Answer) int { return cmp.Compare(a.Began, b.Began) })
	var newest Answer // of those that had ended
	for _, a := range byBegin {
		for len(byEnd) > 0 && byEnd[0].Ended < a.Began {
			if byEnd[0].Result.Index > newest.Result.Index {
				newest = byEnd[0]
			}
			byEnd = byEnd[1:]
		}
		if !a.Again && a.Result.Index < newest.Result.Index {
			bad("asked at %v of %s and done at index %d, although index %d had been answered by %s at %v",
				a.Began, a.Node, a.Result.Index, newest.Result.Index, newest.Node, newest.Ended)
		}
	}
}
