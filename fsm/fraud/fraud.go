// Package fraud counts what callers and callees do, and says when a number has
// to be blocked: the rules of the dynamic blacklist.
//
// Three rules: too many attempts of a caller in a sliding window (malicious),
// too many calls in a row that a callee did not answer (no answer), too many calls of a
// caller at once (concurrent). Counting is exact to the attempt, by log time. A
// rule trips when the count reaches its limit, and what trips it is refused.
//
// A [Window] is a value: counting returns another one, and the old one stays what
// it was, so that a snapshot's view can be read meanwhile. The state machine
// keeps windows as records, and blocks as records of its own. What this package
// keeps beside them, the order of eviction ([Tracker]) and the calls at once
// ([Live]), is no part of the state: it follows from the records.
package fraud

import (
	"cmp"
	"math"
	"strings"
	"time"
)

// Bounds of what is kept (ARCHITECTURE.md, rule 9). Beyond them the windows that were idle for
// the longest time are dropped, and counted: "exact to the attempt" holds below.
const (
	// MaxWindows is how many windows one list has.
	MaxWindows = 200_000
	// MaxPerAccount is how many of them one ingress account has, so that a flood
	// of random callers pushes out only its own.
	MaxPerAccount = 2_000
	// MaxEvents is how many event times one list has in all its windows.
	MaxEvents = 2_000_000
	// MaxLimit is the highest limit of a rule, and the size of a full window.
	MaxLimit = 1000
)

// Key names a window.
type Key struct {
	List    uint8  // number of the list, as the state machine counts them
	Scope   string // routing gateway, or empty: the whole cluster
	Account string // ingress account, or empty: all of them together
	Number  string
}

// Compare is the order of keys: by list, scope, account, number.
func (k Key) Compare(l Key) int {
	return cmp.Or(
		cmp.Compare(k.List, l.List),
		strings.Compare(k.Scope, l.Scope),
		strings.Compare(k.Account, l.Account),
		strings.Compare(k.Number, l.Number),
	)
}

// Rule is what trips a list.
type Rule struct {
	Limit  uint32        // count that trips it; 0: off. At most MaxLimit.
	Within time.Duration // length of the sliding window; 0: events count until they are reset
}

// Evidence is why a rule tripped: Count events within Within, the first and the last.
type Evidence struct {
	Limit, Count uint32
	Within       time.Duration
	First, Last  int64 // log time, microseconds
}

// Countable reports whether a caller is counted at all: short, empty and
// anonymous ones are shared by too many people (ARCHITECTURE.md, rule 9).
func Countable(number string) bool { return len(number) > shortest }

// shortest is the length up to which numbers are never counted.
const shortest = 3

// Windows is where the state machine keeps its windows.
type Windows interface {
	Window(Key) (Window, bool)
	SetWindow(Key, Window)
	DropWindow(Key)
}

// start returns the time that an event has to be younger than to count at now.
func (r Rule) start(now int64) int64 {
	if r.Within <= 0 {
		return math.MinInt64
	}
	return now - r.Within.Microseconds()
}

// limit is the limit that counts: a window holds no more events.
func (r Rule) limit() uint32 { return min(r.Limit, MaxLimit) }

// trips reports whether a count reaches the limit. Without a limit none does.
func (r Rule) trips(count int) bool { return r.Limit > 0 && count >= int(r.limit()) }
