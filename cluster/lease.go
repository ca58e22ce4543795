package cluster

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"tandem/chaos/plant"
	"tandem/fsm/wire"
)

// A lease is a node's permission to speak to the outside. It comes from a
// majority of the members and not from the leader, so that an election costs
// nobody his lease:
//
//   - A node pings all members each pingLease. It holds its lease for leaseFor
//     from the sending of the newest ping that a majority, itself counted, has
//     answered for this life of it.
//   - A member that has not answered a life for pledgeAfter may pledge never to
//     do so again. Any majority and any quorum of pledges have a member in common,
//     so with enough pledges the lease has run out, whatever the node believes.
//   - Both are measured on the boot clock, which counts suspension, each on one
//     machine: clocks are never compared, only their rates matter.
//
// A life is a node's name with its incarnation. A life that was pledged against
// or has exited never gets an answer again; the node comes back under a higher
// incarnation, by a new process or by Renew.
const (
	// leaseFor is how long a lease lasts from the sending of the ping.
	leaseFor = 800 * time.Millisecond
	// pledgeAfter is how long a life must have had no answer. The difference to
	// leaseFor covers clocks whose rates differ by parts in a hundred.
	pledgeAfter = 950 * time.Millisecond
	// pingLease is how often a member pings each other one.
	pingLease = 100 * time.Millisecond
	// pulseTimeout is how long a ping is waited for.
	pulseTimeout = 300 * time.Millisecond
	// pulsePatience is when a connection on which pings time out is given up: TCP
	// repeats ever more rarely, a new connection gets through at once.
	pulsePatience = 250 * time.Millisecond
	// maxPulses bounds the pings to one member that are on their way.
	maxPulses = 4
	// maxBehind is for how long a member may be behind what is committed, by more
	// than behindSlack entries, and still answer: the state counts pledges more
	// strictly for 10 s after a member came, until all have heard of it.
	maxBehind   = 5 * time.Second
	behindSlack = 8 // entries that raft makes for itself are never applied

	// maxSize bounds the number of members that a ping may claim.
	maxSize = 1 << 20

	pulseName = "cluster.pulse"
)

// LeaseMember is a member as the replicated state has it.
type LeaseMember struct {
	ID          string
	Incarnation uint64
	Up          bool // this incarnation has not been declared dead
	Witness     bool
}

// Pledge says that a life of a member will never again answer the pings of
// another life. It is worth nothing once the giver has begun a new life.
type Pledge struct {
	Node        string
	Incarnation uint64
}

// Death is the evidence against one life of a member.
type Death struct {
	Node        string
	Incarnation uint64
	Pledges     []Pledge
	Exited      bool // its process has ended for certain: no pledges are needed
}

// lease keeps this node's lease and answers for the others'.
type lease struct {
	c     *Cluster
	rpc   *rpc // connections of its own, so that no ping waits behind a large message
	until atomic.Int64
	wake  chan struct{} // capacity 1: something happened between two ticks

	quit    chan struct{}  // closed when the node stops
	probing sync.WaitGroup // what runs beside the loop

	mu         sync.Mutex // guards what follows; never held while anybody else is asked
	tally      *tally
	voters     int
	flying     map[string]int           // pings on their way, by member
	seen       map[string]time.Duration // when a member was heard of last, either way
	holds      bool                     // as it was last told
	fenced     bool                     // EventFenced was told in this life
	over       bool                     // the node is stopping: no lease any more
	absent     bool                     // the state is being replaced
	level      time.Duration            // what was committed then has been applied
	target     uint64                   // what was committed at targetAt, to be applied
	targetAt   time.Duration
	deaths     map[life]*death
	dying      map[string]bool // members whose connection was lost and that are being probed
	campaigned uint64          // newest term whose leader this node has campaigned against

	lost, sent, answered, refused, given, ungiven, exits, proposed, campaigns atomic.Uint64
}

func newLease(c *Cluster) *lease {
	now := c.cfg.Boot()
	l := &lease{c: c, rpc: newRPC(c.rpc.self, c.cfg.Network, c.log), wake: make(chan struct{}, 1), quit: make(chan struct{}),
		tally: newTally(life{c.cfg.ID, c.Incarnation()}, now), level: now, targetAt: now,
		flying: map[string]int{}, seen: map[string]time.Duration{}, deaths: map[life]*death{}, dying: map[string]bool{}}
	l.rpc.patience, l.rpc.lost = pulsePatience, l.disconnected
	return l
}

// members is what this node knows of all members now.
func (l *lease) members() membership {
	set, version := l.c.cfg.Peers()
	l.mu.Lock()
	defer l.mu.Unlock()
	return membership{set: set, version: version, voters: l.voters}
}

// run pings, watches this node's lease and the others' silence until ctx ends.
func (l *lease) run(ctx context.Context) {
	if l.c.cfg.Peers == nil {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var ping time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
		now := l.c.cfg.Boot()
		m := l.look(now)
		if now >= ping {
			ping = now + pingLease
			for _, peer := range m.set {
				l.pulse(ctx, &all, peer.ID, m)
			}
		}
		l.publish(now, m)
		next := min(ping, l.inquests(ctx, &all, now, m))
		if until := time.Duration(l.until.Load()); until > now {
			next = min(next, until)
		}
		timer.Reset(max(next-now, time.Millisecond))
	}
}

// look takes in what has changed in this node's own state.
func (l *lease) look(now time.Duration) membership {
	voters := 0
	for _, s := range l.c.servers() {
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	commit, applied := l.c.raft.CommitIndex(), l.c.replica.index()
	set, version := l.c.cfg.Peers()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.voters = voters
	if applied+behindSlack >= l.target {
		l.level, l.target, l.targetAt = l.targetAt, commit, now
	}
	m := membership{set: set, version: version, voters: voters}
	l.tally.tick(now, m)
	return m
}

// pulse sends one ping.
func (l *lease) pulse(ctx context.Context, all *sync.WaitGroup, peer string, m membership) {
	l.mu.Lock()
	self := l.tally.self
	send := peer != self.node && l.flying[peer] < maxPulses && !l.over && m.up(self)
	if send {
		l.flying[peer]++
	}
	l.mu.Unlock()
	if !send {
		return
	}
	all.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, pulseTimeout)
		defer cancel()
		l.ask(ctx, peer, self, m)
		l.mu.Lock()
		l.flying[peer]--
		l.mu.Unlock()
	})
}

// ask sends a ping to a member and takes its answer into account. It says which
// life answered; zero: none.
func (l *lease) ask(ctx context.Context, peer string, self life, known membership) (incarnation uint64) {
	addr, ok := l.c.addrOf(peer)
	if !ok {
		return 0
	}
	l.sent.Add(1)
	sent := l.c.cfg.Boot()
	p := pulse{Incarnation: self.incarnation, Version: known.version, Size: uint64(known.size())}
	b, err := l.rpc.call(ctx, addr, pulseName, p.encode())
	var e echo
	if err != nil || e.decode(b) != nil || e.Node != peer {
		return 0
	}
	now := l.c.cfg.Boot()
	m := l.members()
	l.mu.Lock()
	l.seen[peer] = now
	same := l.tally.self == self
	if same && e.Verdict == verdictYes {
		l.tally.confirm(peer, sent)
	}
	fenced := same && e.Verdict == verdictFenced && !l.fenced
	l.fenced = l.fenced || fenced
	l.mu.Unlock()
	if fenced {
		l.c.cfg.Notify(Event{Kind: EventFenced, Node: peer, Text: "answers this life of the node no more"})
	}
	l.publish(now, m)
	return e.Incarnation
}

// publish makes the end of the lease known and reports its beginning and end.
func (l *lease) publish(now time.Duration, m membership) {
	l.mu.Lock()
	var until time.Duration
	if l.fit(now) {
		until = l.tally.until(now, m)
	}
	l.until.Store(int64(until))
	holds := until > now
	changed := holds != l.holds
	l.holds = holds
	over := l.over
	l.mu.Unlock()
	switch {
	case !changed || over:
	case holds:
		l.c.cfg.Notify(Event{Kind: EventLease, Node: l.c.cfg.ID})
	default:
		l.lost.Add(1)
		l.c.log.Warn("lease lost")
		l.c.cfg.Notify(Event{Kind: EventLeaseLost, Node: l.c.cfg.ID})
	}
}

// serve answers a ping.
func (l *lease) serve(_ context.Context, from string, b []byte) ([]byte, error) {
	var p pulse
	if err := p.decode(b); err != nil {
		return nil, err
	}
	e := echo{Node: l.c.cfg.ID, Verdict: verdictMute}
	if l.c.cfg.Peers == nil {
		return e.encode(), nil
	}
	m := l.members()
	now := l.c.cfg.Boot() // after the state was read: what is answered is never older than it says
	l.mu.Lock()
	e.Incarnation = l.tally.self.incarnation
	if l.fit(now) {
		e.Verdict = l.tally.answer(now, life{from, p.Incarnation}, p.Version, int(min(p.Size, maxSize)), m)
	}
	l.seen[from] = now
	l.mu.Unlock()
	if e.Verdict == verdictYes {
		l.answered.Add(1)
	} else {
		l.refused.Add(1)
	}
	return e.encode(), nil
}

// fit says whether this node's state is good enough to hold a lease and to answer
// for others'. Called with mu held.
func (l *lease) fit(now time.Duration) bool {
	return !l.over && !l.absent && now-l.level <= maxBehind
}

// surrender ends the lease for good, before the node stops.
func (l *lease) surrender() {
	l.mu.Lock()
	l.over = true
	l.until.Store(0)
	l.mu.Unlock()
}

// suspend takes the lease away while this node's state is replaced as a whole.
// What was answered before counts for nothing afterwards.
func (l *lease) suspend(on bool) {
	l.mu.Lock()
	l.absent = on
	clear(l.tally.answered)
	l.until.Store(0)
	l.mu.Unlock()
}

// poke lets the loop look again at once.
func (l *lease) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// fresh lists the members that are up and were heard of a moment ago, this node
// included, sorted by name and without one that is in question.
func (l *lease) fresh(now time.Duration, m membership, without string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, p := range m.set {
		at, heard := l.seen[p.ID]
		heard = heard && now-at <= freshFor
		if p.Up && p.ID != without && (heard || p.ID == l.tally.self.node) && !l.tally.gone[life{p.ID, p.Incarnation}] {
			out = append(out, p.ID)
		}
	}
	slices.Sort(out)
	return out
}

// freshFor is how long ago a member may have been heard of to be a survivor.
const freshFor = 500 * time.Millisecond

// Lease says whether this node may speak to the outside at this moment. It is
// cheap enough to be asked for each message.
func (c *Cluster) Lease() bool { return c.LeaseLeft() > 0 || plant.On(plant.NoFencing) }

// LeaseLeft is for how much longer Lease will be true if no further ping is
// answered. Zero or less: it is not.
func (c *Cluster) LeaseLeft() time.Duration {
	until := time.Duration(c.lease.until.Load())
	if until == 0 {
		return 0
	}
	return until - c.cfg.Boot()
}

// Announced tells that this node's own state has applied the announcement of
// its present incarnation. Before it the node answers no ping: it might have
// pledged in a former life, which it does not remember, and only then does it
// know from its state who has been declared dead.
func (c *Cluster) Announced() {
	c.lease.mu.Lock()
	c.lease.tally.announce(c.cfg.Boot())
	c.lease.mu.Unlock()
	c.lease.poke()
}

// Silent is for how long this node has not answered a life of a member. A
// network address must not be taken before 1.4 s (the kernel of a frozen machine
// drops it by then), unless the process has exited.
func (c *Cluster) Silent(node string, incarnation uint64) time.Duration {
	c.lease.mu.Lock()
	defer c.lease.mu.Unlock()
	return c.lease.tally.silent(c.cfg.Boot(), life{node, incarnation})
}

// Renew begins a new life of this node without a new process, after its present
// one was declared dead, and returns the new incarnation. Commands that were
// sent and not answered fail with ErrTimeout. The node announces the new
// incarnation and then calls Announced.
func (c *Cluster) Renew() (incarnation uint64, err error) {
	if incarnation, err = nextIncarnation(c.cfg); err != nil {
		return 0, err
	}
	l := c.lease
	l.mu.Lock()
	l.tally = newTally(life{c.cfg.ID, incarnation}, c.cfg.Boot())
	l.fenced = false
	l.until.Store(0)
	l.mu.Unlock()
	c.incarnation.Store(incarnation)
	c.proposer.renew(incarnation)
	return incarnation, nil
}

// systemBoot reads CLOCK_BOOTTIME. A system without it is none that leases can be
// kept on: time stands still, and no lease is ever held.
func systemBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// pulse is a ping.
type pulse struct {
	Incarnation uint64
	Version     uint64 // of the members that the pinger knows
	Size        uint64 // their number
}

func (p *pulse) code(c *wire.Codec) {
	c.Uint(&p.Incarnation)
	c.Uint(&p.Version)
	c.Uint(&p.Size)
}

func (p *pulse) encode() []byte        { return encoded(p.code) }
func (p *pulse) decode(b []byte) error { return decoded(b, p.code) }

// echo is the answer to a pulse.
type echo struct {
	Node        string // who answers, in which life
	Incarnation uint64
	Verdict     verdict
}

func (e *echo) code(c *wire.Codec) {
	c.String(&e.Node, maxName)
	c.Uint(&e.Incarnation)
	wire.Enum(c, &e.Verdict, verdicts-1)
}

func (e *echo) encode() []byte        { return encoded(e.code) }
func (e *echo) decode(b []byte) error { return decoded(b, e.code) }

// encoded and decoded carry a message of a few fields. A newer program may say
// more behind them.
func encoded(code func(*wire.Codec)) []byte {
	w := wire.Encoder(nil)
	code(w)
	return w.Buffer()
}

func decoded(b []byte, code func(*wire.Codec)) error {
	d := wire.Decoder(b)
	code(d)
	return d.Err()
}
