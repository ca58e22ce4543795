package node

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"tandem/fsm"
	"tandem/node/guard"
)

// lookEvery is how often the service addresses are compared without any event: one
// that could not be opened is tried again.
const lookEvery = time.Second

// reconcile acts on the difference between what the state says this node owns
// and what it serves. Events say where to look; when any were lost, after a
// restore and when the lease has come back, everything is compared.
func (n *Node) reconcile(ctx context.Context) error {
	defer n.leaveAll()
	n.refreshGuard()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case left := <-n.resting:
			n.leaveAll()
			close(left)
		case turn := <-n.pulse:
			close(turn)
		case <-look.C:
			n.serveLines(ctx)
			n.checkLife()
		case <-n.replica.changes.wake:
			events, all := n.replica.changes.take()
			n.follow(ctx, events, all)
		}
	}
}

// follow acts on what has changed: first on addresses, since calls need them.
func (n *Node) follow(ctx context.Context, events []fsm.Event, all bool) {
	config, lines, members := all, all, all
	for _, e := range events {
		config = config || e.Kind == fsm.EventConfig
		lines = lines || e.Kind == fsm.EventAddress
		members = members || e.Kind == fsm.EventMember
	}
	if members {
		n.checkLife()
	}
	if lines {
		n.serveLines(ctx)
	}
	for _, e := range events {
		n.act(e)
	}
	if members {
		n.tellOrphans()
		n.poke()
	}
	if config {
		n.refreshGuard()
	}
	if all {
		n.buildActive()
		n.compareAll()
		n.compareServed(ctx)
	}
}

// act does what one event asks of this node.
func (n *Node) act(e fsm.Event) {
	switch {
	case e.Kind == fsm.EventRates:
		n.buildRates(e.ID, e.Version)
	case n.calls == nil || !n.announced():
		return
	case e.Kind == fsm.EventCallMoved && e.Node != n.id:
		n.calls.Moved(e.Call)
	case !n.leased(): // everything is compared when the lease is back
		return
	case e.Kind == fsm.EventCallEnded && e.Node == n.id:
		n.calls.Ended(e.Call, e.Reason)
	case e.Kind == fsm.EventCallMoved:
		if record, ok := n.Call(e.Call); ok && record.Owner == n.id {
			n.calls.Adopt(record, n.LogTime())
		}
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

// compareServed makes good for events that were lost: calls that are served here, and
// that are over, moved, or funded in the meantime.
func (n *Node) compareServed(ctx context.Context) {
	if n.calls == nil || !n.Serving() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, compareWait)
	defer cancel()
	ids, err := n.calls.Served(ctx)
	if err != nil {
		return // the node is stopping
	}
	for _, id := range ids {
		record, ok := n.Call(id)
		switch {
		case !ok && n.Ended(id):
			n.calls.Ended(id, fsm.EndNormal)
		case !ok: // its StartCall is under way
		case record.Owner != n.id:
			n.calls.Moved(id)
		case record.LastGrant:
			n.calls.Funded(record.Account)
		}
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
	n.refreshing.Lock()
	defer n.refreshing.Unlock()
	view := guard.View{Trusted: slices.Clone(n.opts.Trusted)}
	var params fsm.Params
	var mappings []fsm.MappingGateway
	var routings []fsm.RoutingGateway
	n.replica.View(func(s *fsm.State) {
		params = s.Params()
		view.AnswerAll = params.ReplyUnknown
		for _, p := range params.TrustedNetworks {
			view.Trusted = append(view.Trusted, netipPrefix(p))
		}
		mappings, routings = everything(s.MappingGateways, gatewayID), everything(s.RoutingGateways, routeID)
		for _, g := range mappings {
			in := guard.Ingress{ID: g.ID, CPS: g.MaxCPS}
			for _, p := range g.Addrs {
				in.From = append(in.From, netipPrefix(p))
			}
			view.Ingress = append(view.Ingress, in)
		}
	})
	if n.gateways != nil {
		view.Peers = n.gateways.configure(mappings, routings, params)
	}
	n.guard.Configure(view, time.Now())
	n.replica.View(func(s *fsm.State) { n.phoned.Store(n.phones != nil && len(s.Phones("", 1)) > 0) })
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
