package route

import (
	"cmp"
	"slices"

	"tandem/fsm/number"
)

// Selection is the result of a search. Its zero value is ready; it may be
// reused, and then a search allocates nothing.
type Selection struct {
	Candidates []Candidate // in the order in which they are to be tried
	Skipped    []Skip      // at most MaxSkipped

	level []match // usable gateways of the prefix at hand
	seen  []int32 // gateways that were looked at
}

// match is a gateway that was found by the prefix at hand.
type match struct {
	id    string
	facts Facts
}

// Select finds the candidates for a callee: the gateways of the longest prefix
// by priority, load, history and id, then those of shorter prefixes, until a
// prefix has a gateway on terminate or there are enough. A gateway that is
// disabled, or that this ingress may not use, terminates nothing; one that is
// merely busy or out of service does (F080-F083, spec 2.1).
func (x *Index) Select(s *Selection, callee string, sw Switch) {
	s.Candidates, s.Skipped, s.seen = s.Candidates[:0], s.Skipped[:0], s.seen[:0]
	for n := min(len(callee), number.MaxDigits); n >= 0; n-- {
		if x.lengths>>n&1 == 0 {
			continue
		}
		prefix := callee[:n]
		terminate := x.collect(s, prefix, sw)
		s.choose(prefix, sw)
		if terminate || len(s.Candidates) == MaxCandidates || len(s.seen) == MaxMatched {
			return
		}
	}
}

// collect fills the level with the gateways of one prefix and reports whether
// the search ends with them.
func (x *Index) collect(s *Selection, prefix string, sw Switch) (terminate bool) {
	s.level = s.level[:0]
	for _, i := range x.prefixes[prefix] {
		if slices.Contains(s.seen, i) { // by a longer prefix
			continue
		}
		if len(s.seen) == MaxMatched {
			return true
		}
		s.seen = append(s.seen, i)
		g := &x.gateways[i]
		facts := sw.Facts(g.ID)
		if facts.Skip == Usable && facts.Lines > 0 && facts.Live >= facts.Lines {
			facts.Skip = LinesBusy
		}
		switch facts.Skip {
		case Absent, Disabled, NotAllowed:
			s.skip(g.ID, facts.Skip)
			continue
		case Usable:
			s.level = append(s.level, match{g.ID, facts})
		default:
			s.skip(g.ID, facts.Skip)
		}
		terminate = terminate || g.Terminate
	}
	slices.SortFunc(s.level, prefer)
	return terminate
}

// choose appends those of the level that are not refused.
func (s *Selection) choose(prefix string, sw Switch) {
	for _, m := range s.level {
		reason := PlanFull
		if len(s.Candidates) < MaxCandidates {
			reason = sw.Refuse(m.id)
		}
		if reason != Usable {
			s.skip(m.id, reason)
			continue
		}
		s.Candidates = append(s.Candidates, Candidate{m.id, prefix, m.facts.Priority})
	}
}

func (s *Selection) skip(id string, r Reason) {
	if len(s.Skipped) < MaxSkipped {
		s.Skipped = append(s.Skipped, Skip{id, r})
	}
}

// prefer is the base sort chain: priority, load, history, id (F082, F083).
func prefer(a, b match) int {
	return cmp.Or(
		cmp.Compare(a.facts.Priority, b.facts.Priority),
		compareLoad(a.facts, b.facts),
		cmp.Compare(a.facts.History, b.facts.History),
		cmp.Compare(a.id, b.id),
	)
}

// compareLoad compares live calls per line without a division. A gateway
// without a limit of lines is never loaded.
func compareLoad(a, b Facts) int {
	live, lines := a.load()
	otherLive, otherLines := b.load()
	return cmp.Compare(live*otherLines, otherLive*lines)
}

func (f Facts) load() (live, lines uint64) {
	if f.Lines == 0 {
		return 0, 1
	}
	return uint64(f.Live), uint64(f.Lines)
}
