package fsm

import (
	"iter"
	"slices"
	"time"
)

// OrphanLife is how long the legs of an ended call may still have to be told: as
// long as a peer repeats its BYE (RFC 3261 section 17.1.2.2, Timer F), and less
// than the life of a tombstone.
const OrphanLife = 32 * time.Second

// legacy returns what telling the legs of a call takes that has just ended, or
// nil when they know.
func (c *Call) legacy(b *EndCall, e *ending, at Time) *Orphan {
	o := Orphan{Ended: at, By: e.by, Reason: e.reason, Status: e.status, Q850: e.q850, Told: b.Told & bothLegs}
	if b.How == EndFact && c.Answered != 0 { // who sent the BYE
		switch b.By {
		case ByCaller:
			o.Told |= LegA
		case ByCallee:
			o.Told |= LegB
		}
	}
	if o.Told == bothLegs || b.How == EndVoid {
		return nil
	}
	o.Call = *c
	o.Call.Offer, o.Call.Media, o.Call.Skipped, o.Call.Attempts, o.Call.Owners = nil, nil, nil, nil, nil
	return &o
}

// forgetOrphan drops what telling the legs of a call takes.
func (s *State) forgetOrphan(due dueKey[CallID]) {
	t := s.ended.edit(due.key)
	t.Last, t.Left = nil, false
}

// expireOrphans forgets the orphans whose legs know, or have given up.
func (s *State) expireOrphans() {
	upTo := s.now.Add(-OrphanLife)
	for n := 0; n < expiriesPerEntry && s.ix.orphans.len() > 0 && s.ix.orphans.top().at <= upTo; n++ {
		s.forgetOrphan(s.ix.orphans.pop())
	}
}

// inheritOrphans gives to an heir the calls that ended a moment before their owner
// died, or handed their service address over: it may repeat no BYE then. An empty
// line stands for all addresses.
func (s *State) inheritOrphans(from NodeID, to *Member, line string) {
	for id, t := range s.endedLately() {
		if t.Last.Call.Owner != from || line != "" && t.Last.Call.Line != line {
			continue
		}
		o := *t.Last
		o.Call.Owner, o.Call.Incarnation = to.Node, to.Incarnation
		o.Call.Epoch++
		t = s.ended.edit(id)
		t.Last, t.Left = &o, true
	}
}

// endedLately returns the calls that ended within OrphanLife and may have legs to
// be told, in no order.
func (s *State) endedLately() iter.Seq2[CallID, *tombstone] {
	since := s.head.At.Add(-OrphanLife)
	return func(yield func(CallID, *tombstone) bool) {
		for _, due := range slices.Backward(s.ix.orphans.waiting()) {
			if due.at <= since || !yield(due.key, s.ended.get(due.key)) {
				return
			}
		}
	}
}

// Orphans returns the ended calls whose legs a node's process has to tell,
// because their owner died when it might not have done so, by id.
func (s *State) Orphans(n NodeID, incarnation uint64) []Orphan {
	var out []Orphan
	for _, t := range s.endedLately() {
		if t.Left && t.Last.Call.Owner == n && t.Last.Call.Incarnation == incarnation {
			out = append(out, *t.Last)
		}
	}
	slices.SortFunc(out, func(a, b Orphan) int { return a.Call.ID.compare(b.Call.ID) })
	return out
}
