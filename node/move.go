package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/cluster"
	"tandem/fsm"
)

// Planned moves of addresses. Callers notice nothing but one retransmission: an
// INVITE that comes while its address moves is not answered, and repeated 500 ms
// later (RFC 3261 section 17.1.1.2, Timer A), to the new owner.
const (
	// settleTime is how long calls in set-up get to ring or to be answered before
	// their address moves; a call that has not got so far is run again by the heir.
	settleTime = 200 * time.Millisecond
	// flushTime is how long the newest dialogs and media get to commit.
	flushTime = 100 * time.Millisecond
	// settlePoll is how often both are looked at.
	settlePoll = 5 * time.Millisecond
	// handOverTime bounds the commit of the move.
	handOverTime = time.Second

	// moveEvery is how often a node looks whether it has to give something away.
	moveEvery = 500 * time.Millisecond
	// homeStable is how long a node must have been up before it gets its address
	// back: one that dies again and again would take its calls through each death.
	homeStable = 5 * time.Second
	// movePause separates two addresses that go home.
	movePause = time.Second
)

// rpcReady asks a node whether it can take an address over.
const rpcReady = "line.ready"

// handleReady answers whether this node serves and has applied everything that was
// committed when it was asked.
func (n *Node) handleReady() {
	n.cluster.Handle(rpcReady, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		if err := n.ready(); err != nil {
			return nil, err
		}
		_, err := n.cluster.ReadIndex(ctx)
		return nil, err
	})
}

// move gives addresses away: all of them when the node drains, those of others
// when their home is back. It runs until ctx ends.
func (n *Node) move(ctx context.Context) error {
	t := time.NewTicker(moveEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-n.moves:
		}
		if n.calls == nil || !n.Serving() {
			continue
		}
		if n.draining() {
			n.empty(ctx)
		} else {
			n.sendHome(ctx)
		}
	}
}

// poke has move look at once.
func (n *Node) poke() {
	select {
	case n.moves <- struct{}{}:
	default:
	}
}

// draining says that the node is to run empty, as the state has it.
func (n *Node) draining() (on bool) {
	n.replica.View(func(s *fsm.State) {
		m, ok := s.Member(n.id)
		on = ok && m.Draining
	})
	return on
}

// empty gives leadership and all addresses to others. Without anybody who could
// take them, calls end by themselves, and new ones are refused.
func (n *Node) empty(ctx context.Context) {
	if n.leads() {
		if err := n.cluster.Transfer(ctx); err != nil {
			n.log.Warn("leadership not handed over", "err", err)
		}
	}
	for _, a := range n.served() {
		to, ok := n.target(ctx)
		n.calls.Drain(!ok)
		if !ok || ctx.Err() != nil {
			return
		}
		if _, err := n.handOver(ctx, a, to); err != nil {
			n.log.Warn("service address not handed over", "ip", a.IP, "to", to, "err", err)
			return
		}
	}
}

func (n *Node) leads() bool { return n.cluster.Status().Leader == string(n.id) }

// served are the addresses of this process, and those that cannot move but whose
// calls are here.
func (n *Node) served() (all []fsm.Address) {
	n.replica.View(func(s *fsm.State) {
		calls := map[string]bool{}
		for _, id := range s.OwnedCalls(n.id, n.cluster.Incarnation()) {
			if c, ok := s.Call(id); ok {
				calls[c.Line] = true
			}
		}
		for _, a := range s.Addresses() {
			if a.Move == fsm.MoveReinvite && calls[a.IP] ||
				a.Move != fsm.MoveReinvite && a.Owner == n.id && a.Incarnation == n.cluster.Incarnation() {
				all = append(all, a)
			}
		}
	})
	return all
}

// target returns who takes over from a node that drains: of those that say they
// are ready, the one with the fewest calls, then the first by name.
func (n *Node) target(ctx context.Context) (fsm.NodeID, bool) {
	type candidate struct {
		id    fsm.NodeID
		calls int
	}
	var all []candidate
	n.replica.View(func(s *fsm.State) {
		for _, m := range s.Members() {
			if m.Up && !m.Witness && !m.Draining && m.Node != n.id {
				all = append(all, candidate{m.Node, len(s.OwnedCalls(m.Node, m.Incarnation))})
			}
		}
	})
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.calls, b.calls), cmp.Compare(a.id, b.id))
	})
	for _, c := range all {
		if n.isReady(ctx, c.id) {
			return c.id, true
		}
	}
	return "", false
}

// isReady asks a node whether it can take an address over.
func (n *Node) isReady(ctx context.Context, node fsm.NodeID) bool {
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	_, err := n.cluster.Call(ctx, string(node), rpcReady, nil)
	if err != nil {
		n.log.Debug("node takes nothing over", "node", node, "err", err)
	}
	return err == nil
}

// sendHome gives addresses back to those who have them configured.
func (n *Node) sendHome(ctx context.Context) {
	n.calls.Drain(false)
	for _, a := range n.served() {
		if a.Home == n.id || a.Home == "" || a.Move == fsm.MoveReinvite || !n.settledHome(a.Home) || !n.isReady(ctx, a.Home) {
			continue
		}
		if _, err := n.handOver(ctx, a, a.Home); err != nil {
			n.log.Warn("service address not given back", "ip", a.IP, "to", a.Home, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(movePause):
		}
	}
}

// settledHome says that a node has been up for a while and takes calls.
func (n *Node) settledHome(id fsm.NodeID) (ok bool) {
	now := n.LogTime()
	n.replica.View(func(s *fsm.State) {
		m, known := s.Member(id)
		ok = known && m.Up && !m.Draining && now.Sub(m.Since) >= homeStable
	})
	return ok
}

// Rebalance gives addresses of others back to them at once, without waiting until
// they have been up for a while.
func (n *Node) Rebalance(ctx context.Context) error {
	var errs []error
	for _, a := range n.served() {
		if a.Home == n.id || a.Home == "" || a.Move == fsm.MoveReinvite {
			continue
		}
		if !n.isReady(ctx, a.Home) {
			errs = append(errs, fmt.Errorf("address %s: node %s is not ready for it", a.IP, a.Home))
			continue
		}
		_, err := n.handOver(ctx, a, a.Home)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// handOver gives an address with its calls to another node. On this side nothing
// new is taken while it moves; the relay goes on until it has moved.
func (n *Node) handOver(ctx context.Context, a fsm.Address, to fsm.NodeID) (calls int, err error) {
	n.moving.Lock()
	defer n.moving.Unlock()
	began := time.Now()
	l := n.lineOf(a.IP)
	if l != nil {
		l.takes.Store(takesCalls)
		n.await(ctx, settleTime, func() (bool, error) { return n.calls.Settled(ctx, l.served) })
		l.takes.Store(takesNothing)
		n.calls.Flush(l.served)
		n.await(ctx, flushTime, func() (bool, error) { return n.calls.Flushed(ctx, l.served) })
		defer func() {
			if err != nil {
				l.takes.Store(takesAll)
			}
		}()
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	r, err := n.proposer.Propose(ctx, cluster.LaneUrgent, "", &fsm.HandOver{IP: a.IP, To: to})
	if err != nil {
		return 0, err
	}
	if r.Code != fsm.OK {
		return 0, fmt.Errorf("%s: %s", r.Code, r.Detail)
	}
	n.spread()
	n.figures.handedOver.Add(1)
	n.log.Info("service address handed over", "ip", a.IP, "to", to, "calls", r.Count, "took", time.Since(began))
	return int(r.Count), nil
}

// await polls until ok, for a while.
func (n *Node) await(ctx context.Context, d time.Duration, ok func() (bool, error)) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if done, err := ok(); done || err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settlePoll):
		}
	}
}
