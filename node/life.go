package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"tandem/cluster"
	"tandem/fsm"
)

const (
	// announceRetry is the pause between attempts to announce the node while the
	// cluster has no leader.
	announceRetry = 500 * time.Millisecond
	// announceWait bounds one attempt.
	announceWait = 5 * time.Second
)

// live announces the node and keeps it announced: a life that was declared dead,
// while the process was stopped or cut off, ends with all that it served, and the
// next one begins (ARCHITECTURE.md, rule 14).
func (n *Node) live(ctx context.Context) error {
	n.clearAddresses(ctx)
	for {
		if err := n.announce(ctx); err != nil {
			return nil // the node is stopping
		}
		select {
		case <-ctx.Done():
			return nil
		case <-n.fenced:
		}
		n.life.Store(0)
		n.log.Error("alarm", "kind", "fenced", "text", "this node was declared dead while it was alive: it begins anew")
		n.figures.fenced.Add(1)
		if err := n.rest(ctx); err != nil {
			return nil
		}
		incarnation, err := n.cluster.Renew()
		if err != nil {
			return err
		}
		n.log.Info("new life", "incarnation", incarnation)
	}
}

// clearAddresses removes from this host what an earlier process left behind.
func (n *Node) clearAddresses(ctx context.Context) {
	for _, a := range n.opts.Addresses {
		m, err := n.movers(a.Move)
		if err == nil {
			err = m.Remove(ctx, a.IP)
		}
		if err != nil {
			n.log.Warn("service address of an earlier process not removed", "ip", a.IP, "err", err)
		}
	}
}

// announce commits the node's own NodeUp: until it is applied here, the node
// serves nothing, since older entries may say anything about it (ARCHITECTURE.md,
// rule 6). It returns an error only when ctx has ended.
func (n *Node) announce(ctx context.Context) error {
	up := &fsm.NodeUp{
		Node: n.id, Incarnation: n.cluster.Incarnation(), Level: fsm.Level,
		Version: n.opts.Version, Witness: n.opts.Witness,
	}
	for _, a := range n.opts.Addresses {
		up.Addresses = append(up.Addresses, fsm.ServiceAddress{IP: a.IP.String(), Public: textOf(a.Public), Move: a.Move})
	}
	for {
		index, err := n.announceOnce(ctx, up)
		if err == nil {
			n.life.Store(up.Incarnation)
			n.cluster.Announced()
			n.log.Info("announced", "incarnation", up.Incarnation, "index", index)
			n.replica.changes.lost()
			n.firstToken(ctx)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n.log.Warn("not announced yet", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(announceRetry):
		}
	}
}

// announceOnce commits a NodeUp and waits until everything before a moment behind
// it is applied.
func (n *Node) announceOnce(ctx context.Context, up *fsm.NodeUp) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, announceWait)
	defer cancel()
	r, err := n.proposer.commit(ctx, cluster.LaneUrgent, "", up)
	switch {
	case err != nil:
		return 0, err
	case r.Code != fsm.OK:
		return 0, errors.New(r.Code.String() + ": " + r.Detail)
	}
	_, err = n.cluster.ReadIndex(ctx)
	return r.Index, err
}

// textOf is an address as the state has it; an absent one is empty.
func textOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// fence ends the present life, from any goroutine.
func (n *Node) fence() {
	select {
	case n.fenced <- struct{}{}:
	default:
	}
}

// rest has the reconciliation leave everything, and waits for that.
func (n *Node) rest(ctx context.Context) error {
	left := make(chan struct{})
	select {
	case n.resting <- left:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// announced says that the state knows of the node's present life.
func (n *Node) announced() bool {
	life := n.life.Load()
	return life != 0 && life == n.cluster.Incarnation()
}

// lifePoll is how often a command looks whether the node is announced.
const lifePoll = 20 * time.Millisecond

// awaitLife returns when the node is announced.
func (n *Node) awaitLife(ctx context.Context) error {
	for !n.announced() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errStarting, ctx.Err())
		case <-time.After(lifePoll):
		}
	}
	return nil
}

// leased says that the node may speak to the outside.
func (n *Node) leased() bool { return n.cluster.Lease() }

// Serving says whether the node takes new calls and speaks for those that it has:
// the state knows its present life, and it holds its lease.
func (n *Node) Serving() bool { return n.announced() && n.leased() }

// checkLife begins a new life if the state says that the present one has ended.
func (n *Node) checkLife() {
	if !n.announced() {
		return
	}
	var dead bool
	n.replica.View(func(s *fsm.State) {
		m, ok := s.Member(n.id)
		dead = ok && (!m.Up || m.Incarnation != n.cluster.Incarnation())
	})
	if dead {
		n.fence()
	}
}

// firstToken puts the administrator's token into a state that has none.
func (n *Node) firstToken(ctx context.Context) {
	if n.opts.FirstToken.ID == "" {
		return
	}
	var tokens []fsm.Token
	n.replica.View(func(s *fsm.State) { tokens = s.Tokens("", 1) })
	if len(tokens) > 0 {
		return
	}
	r, err := n.proposer.Propose(ctx, cluster.LaneStart, "bootstrap/"+n.opts.FirstToken.ID, &fsm.PutToken{Token: n.opts.FirstToken})
	if err != nil || r.Code != fsm.OK {
		n.log.Warn("first token not stored", "code", r.Code, "detail", r.Detail, "err", err)
	}
}
