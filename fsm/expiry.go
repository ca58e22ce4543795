package fsm

import (
	"time"

	"tandem/fsm/fraud"
)

// tombstoneLife is how long an ended call is remembered (ARCHITECTURE.md, rule 4).
const tombstoneLife = 60 * time.Second

// expire clears away what is past its time, in bounded steps: whoever reads a
// record looks at its time himself, so nothing depends on when it goes.
func (s *State) expire() {
	s.expireOrphans()
	s.expireEnded()
	s.expireBindings()
	expireFrom(&s.ix.keys, s.now.Add(-keyLife), func(due dueKey[string]) bool {
		n := s.keys.count
		s.forgetKey(due)
		return s.keys.count < n
	})
	expireFrom(&s.ix.lapses, s.now, s.lapsePurchase)
	expireFrom(&s.ix.blocks, s.now, func(due dueKey[fraud.Key]) bool {
		if b := s.blocks.get(due.key); b == nil || b.Until != due.at {
			return false
		}
		s.unlist(due.key)
		return true
	})
}

// expireEnded drops the tombstones that are past their time.
func (s *State) expireEnded() {
	upTo := s.now.Add(-tombstoneLife)
	for n := 0; n < expiriesPerEntry && s.ix.ended.len() > 0 && s.ix.ended.top().at <= upTo; n++ {
		s.exhume(s.ix.ended.pop())
	}
}

// expireFrom takes what is due off an agenda. Stale entries do not count
// towards the bound: an agenda that was rebuilt does not have them.
func expireFrom[K any](a *agenda[dueKey[K], struct{}], upTo Time, drop func(dueKey[K]) bool) {
	for n := 0; n < expiriesPerEntry && a.len() > 0; {
		if due, _ := a.top(); due.at > upTo {
			return
		}
		due, _ := a.pop()
		if drop(due) {
			n++
		}
	}
}

// WantsTick reports whether anything in the state waits for log time to pass, so
// that the leader proposes a Tick when nothing else comes (ARCHITECTURE.md, rule 2).
func (s *State) WantsTick() bool {
	return s.calls.count > 0 || s.ended.count > 0 || s.ix.blocks.len() > 0 || s.ix.expiring.len() > 0
}
