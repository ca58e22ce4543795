package node

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/guard"
)

// announceRetry is the pause between attempts to announce the node while the
// cluster has no leader.
const announceRetry = 500 * time.Millisecond

// announce commits the node's own NodeUp: until it is applied here, the node
// serves nothing, since older entries may say anything about it (ARCHITECTURE.md, rule 6).
func (n *Node) announce(ctx context.Context) error {
	up := &fsm.NodeUp{
		Node: n.id, Incarnation: n.cluster.Incarnation(), Level: fsm.Level,
		Version: n.opts.Version, Witness: n.opts.Witness,
	}
	for _, a := range n.opts.Addresses {
		up.Addresses = append(up.Addresses, fsm.ServiceAddress{IP: a.IP.String(), Public: a.Public.String()})
	}
	for {
		r, err := n.proposer.Propose(ctx, cluster.LaneUrgent, "", up)
		if err == nil && r.Code == fsm.OK {
			n.log.Info("announced", "incarnation", up.Incarnation, "index", r.Index)
			close(n.up)
			n.replica.changes.lost()
			n.firstToken(ctx)
			<-ctx.Done()
			return nil
		}
		n.log.Warn("not announced yet", "code", r.Code, "detail", r.Detail, "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(announceRetry):
		}
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

// reconcile acts on the difference between what the state says this node owns
// and what it serves. Events say where to look; when any were lost, or after a
// restore, everything is compared.
func (n *Node) reconcile(ctx context.Context) error {
	n.refreshGuard()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.replica.changes.wake:
		}
		events, all := n.replica.changes.take()
		config := all
		for _, e := range events {
			config = config || e.Kind == fsm.EventConfig
			n.act(e)
		}
		if config {
			n.refreshGuard()
		}
		if all {
			n.buildActive()
			n.compareAll()
		}
	}
}

// act does what one event asks of this node.
func (n *Node) act(e fsm.Event) {
	switch {
	case e.Kind == fsm.EventRates:
		n.buildRates(e.ID, e.Version)
	case n.calls == nil || !n.Serving():
		return
	case e.Kind == fsm.EventCallEnded && e.Node == n.id:
		n.calls.Ended(e.Call, e.Reason)
	case e.Kind == fsm.EventCallMoved && e.Node == n.id:
		if record, ok := n.Call(e.Call); ok && record.Owner == n.id {
			n.calls.Adopt(record, n.LogTime())
		}
	case e.Kind == fsm.EventCallMoved:
		n.calls.Moved(e.Call)
	case e.Kind == fsm.EventAccountFunded:
		n.calls.Funded(e.ID)
	}
}

const (
	// compareEvery is how often the calls that this node owns are compared with
	// those that it serves, and compareWait how long a comparison waits for a leader.
	compareEvery = 5 * time.Second
	compareWait  = 2 * time.Second
)

// compare looks for calls that the state gives to this node and that it does not
// serve: a StartCall that committed after its INVITE had been refused holds money
// that nobody else would release.
func (n *Node) compare(ctx context.Context) error {
	t := time.NewTicker(compareEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := n.adoptLost(ctx); err != nil && ctx.Err() == nil {
			n.log.Debug("calls not compared", "err", err)
		}
	}
}

// adoptLost adopts the calls that are owned and not served. It looks at nothing
// older than now: what a lagging replica still lists may be over.
func (n *Node) adoptLost(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, compareWait)
	defer cancel()
	if !n.Serving() {
		return nil
	}
	if _, err := n.cluster.ReadIndex(ctx); err != nil {
		return err
	}
	ids, err := n.calls.Served(ctx)
	if err != nil {
		return err
	}
	served := make(map[fsm.CallID]bool, len(ids))
	for _, id := range ids {
		served[id] = true
	}
	var lost []fsm.CallID
	n.replica.View(func(s *fsm.State) {
		lost = slices.DeleteFunc(s.OwnedCalls(n.id, n.cluster.Incarnation()), func(id fsm.CallID) bool { return served[id] })
	})
	n.adopt(lost)
	return nil
}

// adopt brings calls of the state to life here.
func (n *Node) adopt(ids []fsm.CallID) {
	at := n.LogTime()
	for _, id := range ids {
		if record, ok := n.Call(id); ok {
			n.calls.Adopt(record, at)
		}
	}
}

// compareAll adopts every call that the state gives to this node. Adoption of a
// call that is served already only refreshes its epoch.
func (n *Node) compareAll() {
	if n.calls == nil || !n.Serving() {
		return
	}
	var mine []fsm.CallID
	n.replica.View(func(s *fsm.State) { mine = s.OwnedCalls(n.id, n.cluster.Incarnation()) })
	n.adopt(mine)
	if len(mine) > 0 {
		n.log.Info("calls adopted", "calls", len(mine))
	}
}

// buildActive makes the indexes that a restored state lacks.
func (n *Node) buildActive() {
	var tables []fsm.RateTable
	n.replica.View(func(s *fsm.State) { tables = everything(s.RateTables, tableID) })
	for _, t := range tables {
		if t.Active != 0 {
			n.buildRates(t.ID, t.Active)
		}
	}
}

// buildRates makes the index of a rate table's version beside Apply, so that its
// activation does not stop calls (ARCHITECTURE.md, rule 10).
func (n *Node) buildRates(table string, version uint64) {
	var chunks fsm.RateChunks
	var ok bool
	n.replica.View(func(s *fsm.State) { chunks, ok = s.RateChunks(table, version) })
	if !ok {
		return
	}
	start := time.Now()
	built, err := fsm.BuildRates(chunks)
	if err != nil {
		n.log.Error("rate table not built", "table", table, "version", version, "err", err)
		return
	}
	n.replica.install(built)
	n.log.Debug("rate table built", "table", table, "version", version, "took", time.Since(start))
}

// install hands a built rate index to the state.
func (r *replica) install(built *fsm.Rates) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.InstallRates(built)
}

// refreshGuard rebuilds the local view that refuses unknown sources.
func (n *Node) refreshGuard() {
	view := guard.View{Trusted: slices.Clone(n.opts.Trusted)}
	n.replica.View(func(s *fsm.State) {
		params := s.Params()
		view.AnswerAll = params.ReplyUnknown
		for _, p := range params.TrustedNetworks {
			view.Trusted = append(view.Trusted, netipPrefix(p))
		}
		for _, g := range everything(s.MappingGateways, gatewayID) {
			in := guard.Ingress{ID: g.ID, CPS: g.MaxCPS}
			for _, p := range g.Addrs {
				in.From = append(in.From, netipPrefix(p))
			}
			view.Ingress = append(view.Ingress, in)
		}
		for _, g := range everything(s.RoutingGateways, routeID) {
			for _, a := range g.Addrs {
				ip := addrPort(a).Addr()
				view.Peers = append(view.Peers, netip.PrefixFrom(ip, ip.BitLen()))
			}
		}
	})
	n.guard.Configure(view, time.Now())
}

// everything joins the pages of a listing by id.
func everything[T any](page func(after string, limit int) []T, id func(T) string) []T {
	var all []T
	for after := ""; ; {
		next := page(after, fsm.MaxPage)
		all = append(all, next...)
		if len(next) < fsm.MaxPage {
			return all
		}
		after = id(next[len(next)-1])
	}
}

func gatewayID(g fsm.MappingGateway) string { return g.ID }
func routeID(g fsm.RoutingGateway) string   { return g.ID }
func tableID(t fsm.RateTable) string        { return t.ID }

func netipPrefix(p fsm.Prefix) netip.Prefix {
	ip := netip.AddrFrom16(p.IP)
	if ip.Is4In6() && p.Bits >= 96 {
		return netip.PrefixFrom(ip.Unmap(), int(p.Bits)-96)
	}
	return netip.PrefixFrom(ip, int(p.Bits))
}
