package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"tandem/fsm/wire"
)

// How a member is found dead. A lost connection proves nothing: the process may
// live behind a firewall that resets. Proof is the word of the guard on its own
// machine, or of the kernel that both share ([Config.Probe]); without proof there
// are pledges.
const (
	// turn is how long each survivor waits for those before it in rank.
	turn = 150 * time.Millisecond
	// askAgain is how soon the others are asked again whether they hear a silent
	// member, askSeldom how often after askTries: it may be this node's link alone.
	askAgain  = 50 * time.Millisecond
	askSeldom = 500 * time.Millisecond
	askTries  = 20
	// pledgeTimeout bounds one round of questions.
	pledgeTimeout = 200 * time.Millisecond
	// tellAgain is how long after Down a member that is still up is reported again.
	tellAgain = 500 * time.Millisecond
	// probeEvery and probes bound the probing after a connection was lost.
	probeEvery = 10 * time.Millisecond
	probes     = 100
	// farewellTimeout bounds the goodbye of a node that stops.
	farewellTimeout = 200 * time.Millisecond

	pledgeName = "cluster.pledge"
)

// death is the case of one life.
type death struct {
	since  time.Duration // when this node had its first evidence
	next   time.Duration // when to go on
	tries  int
	exited bool
	busy   bool
}

// inquests goes on with every case that is due and says when to look again.
func (l *lease) inquests(ctx context.Context, all *sync.WaitGroup, now time.Duration, m membership) (next time.Duration) {
	next = now + pingLease
	l.mu.Lock()
	for who := range l.deaths {
		if !m.up(who) {
			delete(l.deaths, who)
		}
	}
	for _, p := range m.set {
		who := life{p.ID, p.Incarnation}
		if p.Up && who != l.tally.self {
			if at := l.suspect(now, who); at > now {
				next = min(next, at)
			}
		}
	}
	l.mu.Unlock()
	for _, p := range m.set {
		who := life{p.ID, p.Incarnation}
		place := slices.Index(l.fresh(now, m, who.node), l.c.cfg.ID)
		l.mu.Lock()
		d := l.deaths[who]
		due := d != nil && !d.busy && l.c.cfg.Down != nil && place >= 0 && !l.over
		if due {
			at := max(d.next, d.since+time.Duration(place)*turn)
			due = at <= now
			if !due {
				next = min(next, at)
			}
			d.busy = due
		}
		l.mu.Unlock()
		if due {
			all.Go(func() { l.inquest(ctx, who, d, m) })
		}
	}
	return next
}

// suspect opens the case of a life that has been silent for long enough, closes
// it when it is heard again, and says when to look again. Called with mu held.
func (l *lease) suspect(now time.Duration, who life) (again time.Duration) {
	d := l.deaths[who]
	silent := l.tally.mayPledge(now, who)
	switch {
	case silent && d == nil:
		l.deaths[who] = &death{since: now, next: now}
	case !silent && d != nil && !d.busy:
		delete(l.deaths, who)
	case !silent:
		return now + pledgeAfter - l.tally.silent(now, who)
	}
	return 0
}

// inquest gathers the evidence for one death and reports it.
func (l *lease) inquest(ctx context.Context, who life, d *death, m membership) {
	l.mu.Lock()
	exited := d.exited
	l.mu.Unlock()
	evidence := Death{Node: who.node, Incarnation: who.incarnation, Exited: exited}
	enough := exited
	if !exited {
		evidence.Pledges, enough = l.gather(ctx, who, m)
	}
	pause := tellAgain
	if enough && ctx.Err() == nil {
		l.proposed.Add(1)
		l.c.log.Warn("member is dead", "node", who.node, "incarnation", who.incarnation, "exited", exited, "pledges", len(evidence.Pledges))
		l.c.cfg.Down(evidence)
	} else if pause = askAgain; d.tries >= askTries {
		pause = askSeldom
	}
	l.mu.Lock()
	d.busy = false
	if d.exited == exited { // else the proof came meanwhile: go on at once
		d.next = l.c.cfg.Boot() + pause
	}
	d.tries++
	l.mu.Unlock()
	l.poke()
}

// gather asks all others whether they hear the silent member, and only if enough
// do not, for their pledges. A pledge cannot be taken back, and the member would
// have to begin a new life for one that was given in vain.
func (l *lease) gather(ctx context.Context, who life, m membership) ([]Pledge, bool) {
	need := m.pledgesNeeded()
	if len(l.askAll(ctx, who, m, false)) < need {
		return nil, false
	}
	pledges := l.askAll(ctx, who, m, true)
	return pledges, len(pledges) >= need
}

// askAll asks every other member, and this node itself, for a pledge, or whether
// it would give one.
func (l *lease) askAll(ctx context.Context, who life, m membership, bind bool) []Pledge {
	ctx, cancel := context.WithTimeout(ctx, pledgeTimeout)
	defer cancel()
	ask := plea{Node: who.node, Incarnation: who.incarnation, Bind: bind}
	answers := make([]Pledge, len(m.set))
	var all sync.WaitGroup
	for i, p := range m.set {
		addr, known := l.c.addrOf(p.ID)
		switch {
		case p.ID == who.node || !p.Up:
		case p.ID == l.c.cfg.ID:
			all.Go(func() { answers[i] = l.plead(ask) })
		case known:
			all.Go(func() {
				var a pledged
				b, err := l.rpc.call(ctx, addr, pledgeName, encoded(ask.code))
				if err == nil && decoded(b, a.code) == nil && a.Given {
					answers[i] = Pledge{Node: p.ID, Incarnation: a.Incarnation}
				}
			})
		}
	}
	all.Wait()
	return slices.DeleteFunc(answers, func(p Pledge) bool { return p.Node == "" })
}

// plead is this node's own answer to a plea; the zero value is no.
func (l *lease) plead(p plea) Pledge {
	who := life{p.Node, p.Incarnation}
	now := l.c.cfg.Boot()
	l.mu.Lock()
	known := l.tally.gone[who]
	yes := l.tally.mayPledge(now, who)
	if p.Bind {
		yes = l.tally.pledge(now, who)
	}
	own := Pledge{Node: l.tally.self.node, Incarnation: l.tally.self.incarnation}
	l.mu.Unlock()
	if !yes {
		l.ungiven.Add(1)
		return Pledge{}
	}
	if p.Bind && !known {
		l.given.Add(1)
	}
	return own
}

// servePledge answers another member's plea.
func (l *lease) servePledge(_ context.Context, _ string, b []byte) ([]byte, error) {
	var p plea
	if err := decoded(b, p.code); err != nil {
		return nil, err
	}
	own := l.plead(p)
	a := pledged{Given: own.Node != "", Incarnation: own.Incarnation}
	return encoded(a.code), nil
}

// serveExited hears from a member's guard that the member's process has ended.
func (l *lease) serveExited(_ context.Context, from string, b []byte) ([]byte, error) {
	var e exited
	if err := decoded(b, e.code); err != nil {
		return nil, err
	}
	l.c.Exited(from, e.Incarnation)
	return nil, nil
}

// Exited tells that a life of a member has ended for certain. If it led, this
// node sees to it that the best survivor does.
func (c *Cluster) Exited(node string, incarnation uint64) {
	l := c.lease
	who := life{node, incarnation}
	if c.cfg.Peers == nil {
		return
	}
	m := l.members()
	now := c.cfg.Boot()
	l.mu.Lock()
	d := l.deaths[who]
	news := who != l.tally.self && (d == nil || !d.exited) && l.tally.bury(who)
	if member, known := m.find(node); known && member.Incarnation > incarnation {
		news = false // a later life has been announced
	}
	if news {
		if d == nil {
			d = &death{}
			l.deaths[who] = d
		}
		d.exited, d.since, d.next = true, now, now
	}
	l.mu.Unlock()
	if !news {
		return
	}
	l.exits.Add(1)
	l.poke()
	l.succeed(node)
}

// disconnected hears that the connection to a member was lost.
func (l *lease) disconnected(addr string) {
	for _, m := range l.c.gossip.all() {
		if m.addr == addr {
			l.probe(m.id)
		}
	}
}

// probe finds out whether a member whose connection was lost has ended. It is
// alive if it answers in the same life.
func (l *lease) probe(node string) {
	m := l.members()
	peer, known := m.find(node)
	l.mu.Lock()
	start := known && peer.Up && !l.dying[node] && !l.over
	if start {
		l.dying[node] = true
		l.probing.Add(1)
	}
	self := l.tally.self
	l.mu.Unlock()
	if !start {
		return
	}
	go func() {
		defer l.probing.Done()
		for range probes {
			if l.c.cfg.Probe != nil && l.c.cfg.Probe(node) {
				l.c.Exited(node, peer.Incarnation)
				break
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*probeEvery)
			alive := l.ask(ctx, node, self, m) == peer.Incarnation
			cancel()
			if alive || !l.rest(probeEvery) {
				break
			}
		}
		l.mu.Lock()
		delete(l.dying, node)
		l.mu.Unlock()
	}()
}

// rest waits, and says whether the node still runs.
func (l *lease) rest(d time.Duration) bool {
	select {
	case <-l.quit:
		return false
	case <-time.After(d):
		return true
	}
}

// farewell tells all members that this life is over: nothing of it will be sent
// any more, and nobody has to wait for its lease to run out.
func (l *lease) farewell() {
	if l.c.cfg.Peers == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
	defer cancel()
	var addrs []string
	for _, p := range l.members().set {
		if addr, ok := l.c.addrOf(p.ID); ok && p.Up && p.ID != l.c.cfg.ID {
			addrs = append(addrs, addr)
		}
	}
	e := exited{Incarnation: l.c.Incarnation()}
	err := each(addrs, func(addr string) error {
		_, err := l.rpc.call(ctx, addr, exitedName, encoded(e.code))
		return err
	})
	if err != nil {
		l.c.log.Debug("farewell", "err", err)
	}
}

// close ends all connections and probes and waits.
func (l *lease) close() {
	close(l.quit)
	l.probing.Wait()
	l.rpc.close(nil)
}

// plea asks for a pledge against a life, or whether one would be given.
type plea struct {
	Node        string
	Incarnation uint64
	Bind        bool
}

func (p *plea) code(c *wire.Codec) {
	c.String(&p.Node, maxName)
	c.Uint(&p.Incarnation)
	c.Bool(&p.Bind)
}

// pledged is the answer, and in which life it is given.
type pledged struct {
	Given       bool
	Incarnation uint64
}

func (p *pledged) code(c *wire.Codec) {
	c.Bool(&p.Given)
	c.Uint(&p.Incarnation)
}
