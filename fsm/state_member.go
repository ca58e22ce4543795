package fsm

import (
	"fmt"
	"slices"
	"time"

	"tandem/chaos/plant"
)

// nodeUp announces a process start, which is also the death of the process
// before it (ARCHITECTURE.md, rule 14): its commands are fenced, its calls and
// addresses get a new epoch.
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
	if r := s.checkAddresses(b); r.Code != OK {
		return r
	}
	n := Member{
		Node: b.Node, Incarnation: b.Incarnation, Up: true, Witness: b.Witness, Level: b.Level,
		Version: b.Version, Addresses: b.Addresses, Since: s.now, LastBeat: s.now, Low: 1, Joined: s.now,
	}
	if m != nil {
		s.forget(m, m.Low+maxResults)
		n.Joined = m.Joined
	}
	s.move(b.Node, &n, all)
	s.inheritOrphans(b.Node, &n, "")
	s.members.put(b.Node, n)
	s.event(Event{Kind: EventMember, Node: b.Node})
	s.configure(b)
	s.bequeath()
	return Result{}
}

// nodeDown declares an incarnation dead and gives what it owned to a survivor.
func (s *State) nodeDown(b *NodeDown) Result {
	m := s.members.get(b.Node)
	if m == nil {
		return refuse(NotFound, fmt.Sprintf("node %q is not a member", b.Node))
	}
	if m.Incarnation != b.Incarnation || !m.Up {
		return Result{} // of an older process, or said before: nothing to do
	}
	if need, got := s.pledgesNeeded(m), s.pledges(b); !b.Exited && got < need {
		return refuse(Conflict, fmt.Sprintf("%d of %d pledges that node %s, incarnation %d is silent", got, need, b.Node, b.Incarnation))
	}
	s.forget(m, m.Low+maxResults)
	m = s.members.edit(b.Node)
	m.Up, m.Since = false, s.now
	s.event(Event{Kind: EventMember, Node: b.Node})
	for _, ip := range s.addressesOf(b.Node) {
		if s.addresses.get(ip).Move == MoveReinvite { // nobody else can serve it
			s.serve(s.addresses.edit(ip), "", 0)
		}
	}
	s.bequeath()
	return Result{}
}

// bequeath gives what dead nodes own to a survivor, each node's estate to one:
// calls on one service address cannot be served apart. Without a survivor it
// waits for the next node that comes up.
func (s *State) bequeath() {
	for _, id := range s.members.keys() {
		m := s.members.get(id)
		if m.Up {
			continue
		}
		heir := s.heir()
		if heir == nil {
			return
		}
		for _, ip := range s.addressesOf(id) {
			s.serve(s.addresses.edit(ip), heir.Node, heir.Incarnation)
		}
		s.move(id, heir, all)
		s.inheritOrphans(id, heir, "")
	}
	s.sweepAddresses()
}

// strictFor is how long every member that is up has to pledge after the cluster
// grew: a node that has not heard of a new member still counts its lease by the
// smaller majority.
const strictFor = 10 * time.Second

// pledgesNeeded returns how many others must have stopped answering a node
// before no majority can hold its lease: with them gone, the node and the rest
// are fewer than a majority.
func (s *State) pledgesNeeded(dead *Member) int {
	if plant.On(plant.NoPledge) {
		return 0
	}
	most := (s.members.count-1)/2 + 1
	var grown Time
	up := 0
	s.members.each(func(id NodeID, m *Member) {
		grown = max(grown, m.Joined)
		if m.Up && id != dead.Node {
			up++
		}
	})
	if s.now.Sub(grown) < strictFor {
		return max(most, up)
	}
	return most
}

// pledges counts the members, other than the node, whose present process gave
// its pledge.
func (s *State) pledges(b *NodeDown) int {
	from := map[NodeID]bool{}
	for _, p := range b.Pledges {
		m := s.members.get(p.Node)
		if p.Node != b.Node && m != nil && m.Up && m.Incarnation == p.Incarnation {
			from[p.Node] = true
		}
	}
	return len(from)
}

// heir returns the member that takes over: the one that is up, no witness, not
// draining, and has the fewest calls; then the first by name. A node that drains
// is better than none.
func (s *State) heir() *Member {
	var best *Member
	for _, id := range s.members.keys() {
		m := s.members.get(id)
		switch {
		case !m.Up || m.Witness:
		case best == nil, best.Draining && !m.Draining,
			best.Draining == m.Draining && len(s.ix.owned[id]) < len(s.ix.owned[best.Node]):
			best = m
		}
	}
	return best
}

func all(*Call) bool { return true }

// move gives calls of a node to another owner, or to its next process, under a
// new epoch, and returns how many.
func (s *State) move(from NodeID, to *Member, which func(*Call) bool) (n int) {
	for _, id := range s.ix.owned.of(from) {
		if !which(s.calls.get(id)) {
			continue
		}
		n++
		c := s.calls.edit(id)
		s.ix.remove(c)
		c.Alive = s.alive(c)
		c.Flags |= FlagSilent // until its new owner has seen it alive
		c.Owner, c.Incarnation = to.Node, to.Incarnation
		c.Epoch++
		// A long history keeps its first owners and its newest.
		keep := c.Owners[:min(len(c.Owners), maxOwners-1)]
		c.Owners = append(slices.Clip(keep), Owner{Node: to.Node, Epoch: c.Epoch, Since: s.now})
		s.ix.add(c)
		s.event(Event{Kind: EventCallMoved, Call: id, Node: to.Node})
	}
	return n
}

// setDrain lets a node run empty, or no longer.
func (s *State) setDrain(b *SetDrain) Result {
	m := s.members.edit(b.Node)
	if m == nil {
		return refuse(NotFound, fmt.Sprintf("node %q is not a member", b.Node))
	}
	m.Draining, m.DrainBy, m.DrainReason = b.On, "", ""
	if b.On {
		m.DrainBy, m.DrainReason = b.By, b.Reason
	}
	s.event(Event{Kind: EventMember, Node: b.Node})
	return Result{}
}

// removeMember forgets a node.
func (s *State) removeMember(id NodeID) Result {
	m := s.members.get(id)
	switch {
	case m == nil:
		return refuse(NotFound, fmt.Sprintf("node %q is not a member", id))
	case m.Up:
		return refuse(Conflict, fmt.Sprintf("node %s is up", id))
	case len(s.ix.owned[id]) > 0:
		return refuse(Conflict, fmt.Sprintf("node %s owns %d calls", id, len(s.ix.owned[id])))
	}
	for _, ip := range s.addresses.keys() {
		a := s.addresses.edit(ip)
		if a.Owner == id {
			s.serve(a, "", 0)
		}
		if a.Home == id {
			a.Home = ""
		}
	}
	s.sweepAddresses()
	s.members.remove(id)
	s.event(Event{Kind: EventMember, Node: id})
	return Result{}
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
