package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The model: some members with their own clocks and their own, late view of the
// state, pings and answers that take as long as they like, pauses, restarts, new
// members, and a state machine that counts pledges as package fsm does. In it the
// product's tally must never let a life have its lease after it was declared
// dead.

// modelNode is a member of the model.
type modelNode struct {
	name    string
	rate    float64
	tally   *tally
	applied int           // entries of the log that it has seen
	stuck   time.Duration // its state stands still until
	asleep  time.Duration // the process is paused until
	off     time.Duration // the process is down until
	told    bool          // its NodeUp is in the log
}

// modelEntry is a committed change of the members.
type modelEntry struct {
	at   time.Duration
	set  []LeaseMember // after it
	note string
}

// modelMessage is on its way.
type modelMessage struct {
	due      time.Duration
	ping     bool
	from, to int
	who      life // pinger
	version  uint64
	size     int
	sent     time.Duration // by the pinger's clock
}

// modelProposal is a NodeDown on its way.
type modelProposal struct {
	due     time.Duration
	who     life
	pledges []Pledge
}

type model struct {
	t         *testing.T
	rng       *rand.Rand
	now       time.Duration // true time
	nodes     []*modelNode
	log       []modelEntry
	grown     time.Duration
	mail      []modelMessage
	proposals []modelProposal
	cut       map[[2]int]bool
	story     []string

	leases, deaths int
}

const modelStep = 10 * time.Millisecond

func (m *model) say(format string, args ...any) {
	m.story = append(m.story, fmt.Sprintf("%v ", m.now)+fmt.Sprintf(format, args...))
}

// clock is a node's own.
func (m *model) clock(n *modelNode) time.Duration {
	return time.Hour + time.Duration(float64(m.now)*n.rate)
}

// view is what a node knows.
func (m *model) view(n *modelNode) membership {
	if n.applied == 0 {
		return membership{voters: 3}
	}
	return membership{set: m.log[n.applied-1].set, version: uint64(n.applied), voters: 3}
}

// state is the newest set.
func (m *model) state() []LeaseMember {
	if len(m.log) == 0 {
		return nil
	}
	return slices.Clone(m.log[len(m.log)-1].set)
}

func (m *model) commit(set []LeaseMember, note string) {
	m.say("%s", note)
	m.log = append(m.log, modelEntry{m.now, set, note})
}

// awake says whether a node's process acts at the moment.
func (m *model) awake(n *modelNode) bool { return m.now >= n.asleep && m.now >= n.off }

// start begins a node's next life.
func (m *model) start(n *modelNode) {
	incarnation := uint64(1)
	if n.tally != nil {
		incarnation = n.tally.self.incarnation + 1
	}
	n.tally = newTally(life{n.name, incarnation}, m.clock(n))
	n.told = false
	m.say("%s begins life %d", n.name, incarnation)
}

func (m *model) between(low, high time.Duration) time.Duration {
	return low + time.Duration(m.rng.Int64N(int64(high-low)))
}

func (m *model) chance(p float64) bool { return m.rng.Float64() < p }

// harm changes the world.
func (m *model) harm() {
	i, j := m.rng.IntN(len(m.nodes)), m.rng.IntN(len(m.nodes))
	n := m.nodes[i]
	switch m.rng.IntN(7) {
	case 0, 1: // a node on its own, or with company
		for a := range m.nodes {
			for b := range m.nodes {
				side := func(x int) bool { return x == i || x == j }
				m.cut[[2]int{a, b}] = side(a) != side(b)
			}
		}
	case 2:
		clear(m.cut)
	case 3:
		m.cut[[2]int{i, j}] = true
	case 4:
		n.asleep = m.now + m.between(0, 3*time.Second)
	case 5:
		n.off = m.now + m.between(0, 2*time.Second)
		m.start(n)
	case 6:
		n.stuck = m.now + m.between(0, 4*time.Second)
	}
}

// act lets one node do what is due.
func (m *model) act(i int) {
	n := m.nodes[i]
	if !m.awake(n) {
		return
	}
	if m.now >= n.stuck && n.applied < len(m.log) {
		n.applied = len(m.log)
	}
	now, view := m.clock(n), m.view(n)
	n.tally.tick(now, view)
	if view.up(n.tally.self) {
		n.tally.announce(now)
	} else if l, known := view.find(n.name); n.told && known && !l.Up && l.Incarnation == n.tally.self.incarnation {
		m.start(n) // in the same process
	}
	if !n.told && m.chance(0.2) {
		n.told = true
		m.announce(n)
	}
	for k := range m.nodes {
		if k != i && m.chance(0.1) {
			m.mail = append(m.mail, modelMessage{due: m.now + m.delay(), ping: true, from: i, to: k,
				who: n.tally.self, version: view.version, size: view.size(), sent: now})
		}
	}
	if m.chance(0.1) {
		m.judge(n, now, view)
	}
}

func (m *model) delay() time.Duration {
	if m.chance(0.05) {
		return m.between(0, 2*time.Second)
	}
	return m.between(0, 20*time.Millisecond)
}

// announce commits a NodeUp.
func (m *model) announce(n *modelNode) {
	set := m.state()
	own := LeaseMember{ID: n.name, Incarnation: n.tally.self.incarnation, Up: true}
	if i := slices.IndexFunc(set, func(l LeaseMember) bool { return l.ID == n.name }); i >= 0 {
		set[i] = own
	} else {
		set = append(set, own)
		m.grown = m.now
	}
	m.commit(set, fmt.Sprintf("%s is up in life %d", n.name, own.Incarnation))
}

// judge lets a node gather pledges against somebody and propose his death.
func (m *model) judge(n *modelNode, now time.Duration, view membership) {
	for _, l := range view.set {
		who := life{l.ID, l.Incarnation}
		if !l.Up || !n.tally.mayPledge(now, who) {
			continue
		}
		var pledges []Pledge
		for _, o := range m.nodes {
			if m.awake(o) && o.tally.pledge(m.clock(o), who) {
				pledges = append(pledges, Pledge{o.name, o.tally.self.incarnation})
			}
		}
		late := time.Duration(0)
		if m.chance(0.3) { // an election, or the proposer waits for a majority
			late = m.between(0, 5*time.Second)
		}
		m.proposals = append(m.proposals, modelProposal{m.now + late, who, pledges})
	}
}

// propose is NodeDown.
func (m *model) propose(who life, pledges []Pledge) {
	set := m.state()
	got, up, at := 0, 0, -1
	for i, l := range set {
		switch {
		case l.ID == who.node:
			at = i
		case l.Up:
			up++
			if slices.Contains(pledges, Pledge{l.ID, l.Incarnation}) {
				got++
			}
		}
	}
	need := (len(set)-1)/2 + 1
	if m.now-m.grown < 10*time.Second {
		need = max(need, up)
	}
	if at < 0 || !set[at].Up || set[at].Incarnation != who.incarnation || got < need {
		return
	}
	set[at].Up = false
	m.deaths++
	m.commit(set, fmt.Sprintf("%s is dead in life %d by %v", who.node, who.incarnation, pledges))
}

// deliver brings what is due.
func (m *model) deliver() {
	m.proposals = slices.DeleteFunc(m.proposals, func(p modelProposal) bool {
		if p.due <= m.now {
			m.propose(p.who, p.pledges)
		}
		return p.due <= m.now
	})
	var later []modelMessage
	for _, msg := range m.mail {
		to := m.nodes[msg.to]
		switch {
		case msg.due > m.now:
			later = append(later, msg)
			continue
		case m.cut[[2]int{msg.from, msg.to}] && m.now-msg.due < 3*time.Second, m.now < to.asleep:
			later = append(later, msg) // TCP sends it again
			continue
		case m.now < to.off:
			continue
		}
		if !msg.ping {
			if to.tally.self == msg.who {
				to.tally.confirm(m.nodes[msg.from].name, msg.sent)
			}
			continue
		}
		if to.tally.answer(m.clock(to), msg.who, msg.version, msg.size, m.view(to)) == verdictYes {
			later = append(later, modelMessage{due: m.now + m.delay(), from: msg.to, to: msg.from, who: msg.who, sent: msg.sent})
		}
	}
	m.mail = later
}

// check is the promise.
func (m *model) check() bool {
	newest := m.state()
	for _, n := range m.nodes {
		now := m.clock(n)
		if m.now < n.off || n.tally.until(now, m.view(n)) <= now {
			continue
		}
		m.leases++
		for _, l := range newest {
			if l.ID == n.name && (l.Incarnation > n.tally.self.incarnation || l.Incarnation == n.tally.self.incarnation && !l.Up) {
				m.t.Errorf("%v: %s has a lease for life %d, the state has %+v", m.now, n.name, n.tally.self.incarnation, l)
				return false
			}
		}
	}
	return true
}

// TestNoLeaseAfterDeath runs the model through random schedules.
func TestNoLeaseAfterDeath(t *testing.T) {
	runs := 40
	if testing.Short() {
		runs = 15
	}
	leases, deaths := 0, 0
	for seed := range runs {
		m := &model{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 7)), cut: map[[2]int]bool{}}
		size := 2 + m.rng.IntN(4)
		most := size + m.rng.IntN(4)
		calm, grow := 5*time.Second, 0.001
		if seed%2 == 1 { // the members gather amid the faults
			size, calm, grow = 1, 0, 0.004
		}
		for m.now < 40*time.Second {
			if len(m.nodes) < size || len(m.nodes) < most && m.chance(grow) {
				n := &modelNode{name: fmt.Sprintf("n%d", len(m.nodes)+1), rate: 1 + (m.rng.Float64()-0.5)*0.0004}
				m.nodes = append(m.nodes, n)
				m.start(n)
			}
			if m.now > calm && m.chance(0.02) {
				m.harm()
			}
			for i := range m.nodes {
				m.act(i)
			}
			m.deliver()
			if !m.check() {
				for _, line := range m.story[max(0, len(m.story)-15):] {
					t.Log(line)
				}
				t.Fatalf("seed %d, %d members", seed, len(m.nodes))
			}
			m.now += modelStep
		}
		leases += m.leases
		deaths += m.deaths
	}
	t.Logf("%d deaths, %d moments with a lease", deaths, leases)
	if deaths < runs || leases < 1000*runs {
		t.Error("too little happened")
	}
}

// TestMajoritiesMeet: for every number of members those who answered and those
// who pledged have a member in common, and no fewer pledges would do.
func TestMajoritiesMeet(t *testing.T) {
	for n := 2; n <= 20; n++ {
		m := membership{set: make([]LeaseMember, n)}
		others := n - 1
		if a, p := m.answersNeeded(), m.pledgesNeeded(); a+p != others+1 || 2*(a+1) <= n {
			t.Errorf("of %d members %d answers and %d pledges", n, a, p)
		}
	}
	if a := (membership{set: make([]LeaseMember, 1), voters: 3}).answersNeeded(); a != 1 {
		t.Errorf("the first of three members needs %d answers", a)
	}
}

// TestWhoIsAnswered goes through the reasons for which a ping is refused and a
// pledge is not given.
func TestWhoIsAnswered(t *testing.T) {
	x := life{"x", 7}
	m := membership{version: 5, set: []LeaseMember{{ID: "x", Incarnation: 7, Up: true}, {ID: "y", Incarnation: 1, Up: true}}}
	now := time.Hour
	y := newTally(life{"y", 1}, now)
	step := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	pass := func(d time.Duration) { // in ticks
		for end := now + d; now < end; {
			now = min(now+pingLease, end)
			y.tick(now, m)
		}
	}
	pass(2 * pledgeAfter)
	step("before the announcement", y.answer(now, x, 5, 2, m), verdictMute)
	step("pledge before the announcement", y.mayPledge(now, x), false)
	y.announce(now)
	pass(pledgeAfter - time.Millisecond)
	step("pledge too soon after the announcement", y.mayPledge(now, x), false)
	step("a smaller set of members", y.answer(now, x, 4, 1, m), verdictOlder)
	step("a former life", y.answer(now, life{"x", 6}, 5, 2, m), verdictUnknown)
	step("a life to come", y.answer(now, life{"x", 8}, 5, 2, m), verdictUnknown)
	step("a set that was smaller and is newer", y.answer(now, x, 6, 1, m), verdictYes)
	step("an older set of the same size", y.answer(now, x, 4, 2, m), verdictYes)
	pass(pledgeAfter - time.Millisecond)
	step("pledge too soon after an answer", y.mayPledge(now, x), false)
	now += 2 * time.Second // a nap
	step("pledge on waking", y.mayPledge(now, x), false)
	pass(pledgeAfter - time.Millisecond)
	step("pledge too soon after a nap", y.mayPledge(now, x), false)
	pass(2 * pingLease)
	step("pledge", y.pledge(now, x), true)
	step("an answer after it", y.answer(now, x, 5, 2, m), verdictFenced)
	m.set[0].Incarnation = 8
	pass(pingLease)
	step("the next life", y.answer(now, life{"x", 8}, 5, 2, m), verdictYes)
	step("the former one", y.answer(now, x, 5, 2, m), verdictUnknown)
	m.set[0].Up = false
	step("who is down", y.answer(now, life{"x", 8}, 5, 2, m), verdictUnknown)
}
