package fsm

import (
	"time"

	"tandem/billing"
)

// Lengths of slices (ARCHITECTURE.md, rule 3).
const (
	shortestSlice = 15 * time.Second // longer than a failover, unless less money is left
	longestSlice  = 300 * time.Second
	extendBefore  = 8 * time.Second // at least: longer than the worst election and takeover
)

// slice is how far a call's means go: the talk time from its answer that they pay
// for.
type slice struct {
	granted time.Duration
	prepaid time.Duration  // the beginning of it, paid by the seconds of packages
	hold    billing.Amount // pays for the rest
	last    bool           // what is left pays for no further increment
}

// next returns the slice of one unit that follows, given what may still be held and how
// many other calls the account has; no call needs more than most. It is false
// when the money pays for no further increment.
//
// A rich account's slices take a share of what is available, so that calls do
// not come back often and leave enough for others; at least shortestSlice when
// every live call could have as much. A poorer account's money is shared
// equally, to the last increment.
func (sl slice) next(r billing.Rate, free billing.Amount, limited bool, others uint32, most time.Duration) (slice, bool) {
	most = r.Through(most)
	if sl.granted >= most {
		return slice{granted: sl.granted, hold: sl.hold, last: true}, true
	}
	longest := min(sl.floor(r, sl.granted+longestSlice), most)
	if !limited {
		return slice{granted: longest, hold: r.Cost(longest), last: longest == most}, true
	}
	shares := billing.Amount(others) + 1
	to := sl.afford(r, free/(2*shares), longest)
	if to < sl.granted+shortestSlice {
		enough := r.Through(sl.granted + shortestSlice)
		if price := r.Cost(enough) - sl.hold; price <= free/shares {
			to = max(to, min(enough, longest))
		} else {
			to = sl.afford(r, free/shares, longest)
		}
	}
	if to <= sl.granted { // the last increments go to who asks first
		to = sl.step(r)
	}
	n := slice{granted: to, hold: r.Cost(to)}
	if n.hold-sl.hold > free {
		return slice{}, false
	}
	n.last = n.granted >= most || r.Cost(n.step(r))-sl.hold > free
	return n, true
}

// afford returns how far a sum pays beyond the present hold, at most to longest.
func (sl slice) afford(r billing.Rate, sum billing.Amount, longest time.Duration) time.Duration {
	total, ok := sl.hold.Add(sum)
	if !ok {
		return longest
	}
	d, ok := r.Affords(total)
	if !ok {
		return 0
	}
	return min(d, longest)
}

// step returns the end of the next increment.
func (sl slice) step(r billing.Rate) time.Duration { return r.Through(sl.granted + time.Second) }

// floor returns the last end of an increment up to d, and at least one beyond
// what is granted.
func (sl slice) floor(r billing.Rate, d time.Duration) time.Duration {
	end := r.Through(d)
	if end <= d {
		return end
	}
	if before := end - max(r.Next, 1).Duration(); before > sl.granted && r.Through(before) == before {
		return before
	}
	return max(end, sl.step(r))
}

// grant returns what the owner of a call may do with its present hold, whose
// newest slice is as long as said.
func (c *Call) grant(newest time.Duration) Grant {
	g := Grant{Slice: c.Slice, For: c.Granted, Last: c.LastGrant}
	if c.Answered == 0 {
		return g
	}
	g.Until = c.Answered.Add(c.Granted)
	if !c.LastGrant {
		g.Next = max(g.Until.Add(-max(newest/3, extendBefore)), c.Answered)
	}
	return g
}
