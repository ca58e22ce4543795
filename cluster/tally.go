package cluster

import (
	"maps"
	"slices"
	"time"
)

// life names one life of a node.
type life struct {
	node        string
	incarnation uint64
}

// membership is what a member knows of all members at a moment.
type membership struct {
	set     []LeaseMember
	version uint64
	voters  int // of raft
}

// find returns a member.
func (m membership) find(node string) (LeaseMember, bool) {
	i := slices.IndexFunc(m.set, func(l LeaseMember) bool { return l.ID == node })
	if i < 0 {
		return LeaseMember{}, false
	}
	return m.set[i], true
}

// up says whether a life is the present one of a member that is up.
func (m membership) up(who life) bool {
	l, known := m.find(who.node)
	return known && l.Up && l.Incarnation == who.incarnation
}

// size is the number of members. While the first ones announce themselves one by
// one raft's voters are counted, or the first one would be a majority of one.
func (m membership) size() int { return max(len(m.set), m.voters) }

// answersNeeded is how many others must have answered for a lease: with the node
// itself they are a majority.
func (m membership) answersNeeded() int { return m.size() / 2 }

// pledgesNeeded is how many others must have pledged. Of n members n-1 are
// others; ⌊n/2⌋ answers and ⌈n/2⌉ pledges are n, so that one of them gave both.
func (m membership) pledgesNeeded() int { return (m.size() + 1) / 2 }

// verdict is a member's answer to a ping.
type verdict uint8

const (
	verdictYes     verdict = iota
	verdictMute            // it has not been announced itself
	verdictUnknown         // its state does not have this life
	verdictOlder           // its state has more members than the pinger's
	verdictFenced          // it has pledged against this life, or knows of its exit
	verdicts
)

// maxNap is how long a member may have been away from its clockwork and still
// judge others: a pause of its own is no silence of theirs.
const maxNap = 300 * time.Millisecond

// maxGone bounds the lives that are remembered as gone before the state has
// them: only certified members and this node's guard name any.
const maxGone = 256

// tally is what a member has to remember so that two nodes never hold a lease
// for the same thing: whose pings it answered and who answered its own. It
// decides and does nothing else; all times are of this machine's boot clock.
type tally struct {
	self life

	// The pinger's side.
	answered map[string]time.Duration // by member: sending of the newest ping that it answered

	// The answering side.
	announced bool
	awake     time.Duration          // since when this member has been judging without a nap
	ticked    time.Duration          // when it looked last
	heard     map[life]time.Duration // when it answered last, at first when it learnt of the life
	gone      map[life]bool          // pledged against, or exited
}

// newTally begins a life. Its first pledge comes pledgeAfter later at the
// earliest: the life before may have answered until now.
func newTally(self life, now time.Duration) *tally {
	return &tally{self: self, answered: map[string]time.Duration{}, awake: now, ticked: now,
		heard: map[life]time.Duration{}, gone: map[life]bool{}}
}

// announce begins the answering. Judging begins anew with it: nobody has had an
// answer before, and that is not their silence.
func (t *tally) announce(now time.Duration) {
	if !t.announced {
		t.announced, t.awake = true, now
	}
}

// tick is called regularly; it notices naps and new lives, and forgets those that
// are history.
func (t *tally) tick(now time.Duration, m membership) {
	if now-t.ticked > maxNap {
		t.awake = now
	}
	t.ticked = now
	for _, l := range m.set {
		who := life{l.ID, l.Incarnation}
		if _, known := t.heard[who]; !known && l.Up {
			t.heard[who] = now
		}
	}
	past := func(who life) bool {
		l, known := m.find(who.node)
		return known && l.Incarnation > who.incarnation
	}
	maps.DeleteFunc(t.heard, func(who life, _ time.Duration) bool { return past(who) })
	maps.DeleteFunc(t.gone, func(who life, _ bool) bool { return past(who) })
}

// answer judges a ping of a life that knows so many members, as of a version. One
// that has not heard of a new member counts too small a majority, and one that has
// not heard of a removal may count with the answer of the one that was removed; of
// any other change it may hear late, as it does when a takeover keeps everybody busy.
func (t *tally) answer(now time.Duration, from life, version uint64, size int, m membership) verdict {
	switch {
	case t.gone[from]:
		return verdictFenced
	case !t.announced:
		return verdictMute
	case !m.up(from):
		return verdictUnknown
	case version < m.version && size != m.size():
		return verdictOlder
	}
	t.heard[from] = now
	return verdictYes
}

// confirm notes that a member answered a ping sent at a time.
func (t *tally) confirm(member string, sent time.Duration) {
	if old, known := t.answered[member]; !known || sent > old {
		t.answered[member] = sent
	}
}

// until is when this life's lease ends. Zero: it has none.
func (t *tally) until(now time.Duration, m membership) time.Duration {
	if !m.up(t.self) {
		return 0
	}
	need := m.answersNeeded()
	if need == 0 {
		return now + leaseFor
	}
	var sent []time.Duration
	for _, l := range m.set {
		if at, ok := t.answered[l.ID]; ok && l.ID != t.self.node {
			sent = append(sent, at)
		}
	}
	if len(sent) < need {
		return 0
	}
	slices.Sort(sent)
	return sent[len(sent)-need] + leaseFor
}

// silent is for how long a life has had no answer from this member, which was
// awake all the time.
func (t *tally) silent(now time.Duration, who life) time.Duration {
	heard, known := t.heard[who]
	if !known || !t.announced || who.node == t.self.node || now-t.ticked > maxNap {
		return 0
	}
	return now - max(t.awake, heard)
}

// mayPledge says whether pledge would succeed.
func (t *tally) mayPledge(now time.Duration, who life) bool {
	return t.announced && (t.gone[who] || t.silent(now, who) >= pledgeAfter)
}

// pledge binds this member never to answer a life again.
func (t *tally) pledge(now time.Duration, who life) bool {
	if !t.mayPledge(now, who) {
		return false
	}
	return t.bury(who)
}

// bury notes that a life is over, and says whether it could.
func (t *tally) bury(who life) bool {
	if !t.gone[who] && len(t.gone) >= maxGone {
		return false
	}
	t.gone[who] = true
	return true
}
