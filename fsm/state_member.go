package fsm

import (
	"fmt"
	"slices"
)

// nodeUp announces a process start, which is also the death of the process
// before it (ARCHITECTURE.md, rule 14): its commands are fenced and its calls get a new epoch.
func (s *State) nodeUp(b *NodeUp) Result {
	if b.Node == "" || b.Incarnation == 0 {
		return refuse(Invalid, "node, incarnation: needed")
	}
	m := s.members.get(b.Node)
	switch {
	case m == nil && s.members.count >= maxMembers:
		return refuse(Full, fmt.Sprintf("%d members", maxMembers))
	case b.Level < s.head.Level:
		return refuse(Unsupported, fmt.Sprintf("feature level %d is in force, node %s knows %d", s.head.Level, b.Node, b.Level))
	case m != nil && m.Incarnation == b.Incarnation && m.Up:
		return Result{} // said twice
	case m != nil && m.Incarnation >= b.Incarnation:
		return refuse(StaleCommand, fmt.Sprintf("node %s has had incarnation %d", b.Node, m.Incarnation))
	}
	if m != nil {
		s.forget(m, m.Low+maxResults)
		s.move(b.Node, m.Incarnation, b.Node, b.Incarnation)
	}
	s.members.put(b.Node, Member{
		Node: b.Node, Incarnation: b.Incarnation, Up: true, Witness: b.Witness, Level: b.Level,
		Version: b.Version, Addresses: b.Addresses, Since: s.now, LastBeat: s.now, Low: 1,
	})
	s.event(Event{Kind: EventMember, Node: b.Node})
	s.adoptOrphans()
	return Result{}
}

// nodeDown declares an incarnation dead and gives its calls to a survivor.
func (s *State) nodeDown(b *NodeDown) Result {
	m := s.members.get(b.Node)
	if m == nil {
		return refuse(NotFound, fmt.Sprintf("node %q is not a member", b.Node))
	}
	if m.Incarnation != b.Incarnation || !m.Up {
		return Result{} // of an older process, or said before: nothing to do
	}
	if need, got := s.pledgesNeeded(), s.pledges(b); !b.Exited && got < need {
		return refuse(Conflict, fmt.Sprintf("%d of %d pledges that node %s, incarnation %d is silent", got, need, b.Node, b.Incarnation))
	}
	s.forget(m, m.Low+maxResults)
	m = s.members.edit(b.Node)
	m.Up, m.Since = false, s.now
	s.event(Event{Kind: EventMember, Node: b.Node})
	s.adoptOrphans()
	return Result{}
}

// adoptOrphans gives the calls of nodes that are down to a survivor. Without one
// they wait for the next node that comes up.
func (s *State) adoptOrphans() {
	for _, id := range s.members.keys() {
		m := s.members.get(id)
		if m.Up || s.ix.owned[id] == 0 {
			continue
		}
		if heir := s.heir(id); heir != nil {
			s.move(id, m.Incarnation, heir.Node, heir.Incarnation)
		}
	}
}

// pledgesNeeded returns how many others must have stopped answering a node
// before no majority can hold its lease: with them gone, the node and the rest
// are fewer than a majority.
func (s *State) pledgesNeeded() int { return (s.members.count-1)/2 + 1 }

// pledges counts the members, other than the node, that gave theirs.
func (s *State) pledges(b *NodeDown) int {
	from := slices.Clone(b.Pledges)
	slices.Sort(from)
	n := 0
	for _, p := range slices.Compact(from) {
		if p != b.Node && s.members.get(p) != nil {
			n++
		}
	}
	return n
}

// heir returns the member that takes over from a node: all of its calls go to
// one, because they share its service address. It is the one that is up, no
// witness, and has the fewest calls; then the first by name.
func (s *State) heir(dead NodeID) *Member {
	var best *Member
	for _, id := range s.members.keys() {
		m := s.members.get(id)
		if id == dead || !m.Up || m.Witness {
			continue
		}
		if best == nil || s.ix.owned[id] < s.ix.owned[best.Node] {
			best = m
		}
	}
	return best
}

// move gives all calls of an incarnation to another owner under a new epoch.
func (s *State) move(from NodeID, incarnation uint64, to NodeID, toIncarnation uint64) {
	var ids []CallID
	s.calls.each(func(id CallID, c *Call) {
		if c.Owner == from && c.Incarnation == incarnation {
			ids = append(ids, id)
		}
	})
	slices.SortFunc(ids, CallID.compare)
	for _, id := range ids {
		c := s.calls.edit(id)
		s.ix.remove(c)
		c.Alive = s.alive(c)
		c.Flags |= FlagSilent // until its new owner has seen it alive
		c.Owner, c.Incarnation = to, toIncarnation
		c.Epoch++
		// A long history keeps its first owners and its newest.
		keep := c.Owners[:min(len(c.Owners), maxOwners-1)]
		c.Owners = append(slices.Clip(keep), Owner{Node: to, Epoch: c.Epoch, Since: s.now})
		s.ix.add(c)
		s.event(Event{Kind: EventCallMoved, Call: id, Node: to})
	}
}

// alive returns the last proof of life of a call (ARCHITECTURE.md, rule 12): what was committed
// about it, or its owner's last Beat that did not name it as silent.
func (s *State) alive(c *Call) Time {
	m := s.members.get(c.Owner)
	if c.Flags&FlagSilent != 0 || m == nil || m.Incarnation != c.Incarnation {
		return c.Alive
	}
	if since := c.Owners[len(c.Owners)-1].Since; m.LastBeat <= since {
		return c.Alive // the beat is older than the ownership
	}
	return max(c.Alive, m.LastBeat)
}

// beat is a node's proof of life for all of its calls but those that it names.
func (s *State) beat(cmd *Command, b *Beat) Result {
	m := s.members.edit(cmd.Origin.Node)
	if m == nil {
		return refuse(NotFound, fmt.Sprintf("node %q is not a member", cmd.Origin.Node))
	}
	silent := make(map[CallID]bool, len(b.Silent))
	for _, id := range b.Silent {
		c := s.calls.get(id)
		if c == nil || c.Owner != m.Node || c.Incarnation != m.Incarnation {
			continue
		}
		silent[id] = true
		if c.Flags&FlagSilent == 0 {
			c := s.calls.edit(id)
			c.Alive = s.alive(c) // as of the beat before
			c.Flags |= FlagSilent
			s.ix.silent.add(m.Node, id)
		}
	}
	for _, id := range s.ix.silent.of(m.Node) {
		if !silent[id] {
			s.calls.edit(id).Flags &^= FlagSilent
			s.ix.silent.remove(m.Node, id)
		}
	}
	m.LastBeat = s.eventTime(cmd, m.LastBeat)
	return Result{Count: uint64(len(silent))}
}

// raiseLevel puts a feature level in force that all members can apply.
func (s *State) raiseLevel(b *RaiseFeatureLevel) Result {
	if b.Level > Level {
		return refuse(Unsupported, fmt.Sprintf("feature level %d: this program knows %d", b.Level, Level))
	}
	if b.Level < s.head.Level {
		return refuse(Conflict, fmt.Sprintf("feature level %d is in force and cannot fall", s.head.Level))
	}
	for _, id := range s.members.keys() {
		if m := s.members.get(id); m.Level < b.Level {
			return refuse(Conflict, fmt.Sprintf("node %s knows feature level %d", id, m.Level))
		}
	}
	s.head.Level = b.Level
	return Result{}
}
