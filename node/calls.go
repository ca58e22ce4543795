package node

import (
	"context"
	"net/netip"
	"time"

	"tandem/cluster"
	"tandem/cluster/outbox"
	"tandem/fsm"
	"tandem/node/call"
	"tandem/node/guard"
	"tandem/node/phones"
)

// openCalls makes call control. Its service addresses are opened when the state
// says that they are this node's. A witness has none.
func (n *Node) openCalls() error {
	if n.opts.Witness {
		return nil
	}
	cfg := n.opts.Outbox
	cfg.Proposer = n.cluster
	cfg.Done = n.settled
	cfg.Logger = n.log
	var err error
	if n.outbox, err = outbox.Open(cfg); err != nil {
		return err
	}
	if n.gateways, err = newGateways(n); err != nil {
		return err
	}
	n.calls, err = call.New(call.Config{
		Node: n.id, Key: derive(n.opts.Secret, "identifiers"),
		Proposer: n.proposer, Outbox: box{n.outbox.Put}, Records: n,
		Serving: n.Serving, Refused: n.refused, Confirm: n.confirmer.Confirm, StandIn: n.standIn,
		Down: n.gateways.check.Down, PeerDown: n.gateways.check.PeerDown, Resolve: n.gateways.resolve,
		Belongs: n.gateways.belongs, Params: n.gateways.params.Load,
		Backoff: n.backoff, SpareDead: n.spareDead,
		Hold: n.opts.SIP.Hold, MaxCalls: n.opts.SIP.MaxCalls, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.phones, err = phones.New(phones.Config{
		Node: n.id, Incarnation: n.cluster.Incarnation, Key: derive(n.opts.Secret, "nonces"),
		Directory: n, Proposer: n.proposer, Blocked: n.spreadBlock, Logger: n.log,
	})
	return err
}

// standIn returns the own address on which calls of one that cannot move go on.
func (n *Node) standIn(ip netip.Addr) (own netip.Addr, ok bool) {
	var a fsm.Address
	n.replica.View(func(s *fsm.State) { a, ok = s.Address(ip.String()) })
	if !ok || a.Move != fsm.MoveReinvite || a.Owner == n.id {
		return netip.Addr{}, false
	}
	for _, l := range n.lines.all() {
		if l.address.Home == n.id && l.ip.Is4() == ip.Is4() {
			return l.ip, true
		}
	}
	return netip.Addr{}, false
}

// spareDead says that the reaper only counts (REAPER_DRY_RUN).
func (n *Node) spareDead() (spare bool) {
	n.replica.View(func(s *fsm.State) { spare = s.Params().SpareDead })
	return spare
}

// refused takes what call control refused by itself into the next report.
func (n *Node) refused(r fsm.Refused) {
	n.guard.Refused(time.Now(), guard.Refusal{
		Source: addrPort(r.Source), Reason: r.Reason,
		Caller: r.Caller, Callee: r.Callee, Status: r.Status,
	})
}

// backoff commits a gateway's Retry-After (F110): one command per change.
func (n *Node) backoff(gateway string, d time.Duration) {
	body := &fsm.GatewayHealth{Gateway: gateway, Out: d, Reason: "Retry-After"}
	n.proposer.Submit(call.Command{Lane: cluster.LaneStart, Flow: adminFlow, Body: body}, func(_ fsm.Result, err error) {
		if err != nil {
			n.log.Warn("gateway back-off not committed", "gateway", gateway, "err", err)
		}
	})
}

// settled hears what became of a settlement from the outbox.
func (n *Node) settled(_ []byte, r cluster.Result) {
	res, err := fsm.DecodeResult(r.Data)
	n.log.Info("settlement from the outbox committed", "index", r.Index, "code", res.Code, "cdr", res.CDR, "err", err)
}

// Call implements call.Records.
func (n *Node) Call(id fsm.CallID) (record fsm.Call, ok bool) {
	n.replica.View(func(s *fsm.State) { record, ok = s.Call(id) })
	return record, ok
}

// Ended implements call.Records.
func (n *Node) Ended(id fsm.CallID) (ended bool) {
	n.replica.View(func(s *fsm.State) { _, ended = s.Ended(id) })
	return ended
}

// LogTime implements call.Records.
func (n *Node) LogTime() fsm.Time { return fsm.Time(n.cluster.LogTime()) }

func addrPort(a fsm.Addr) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.IP).Unmap(), a.Port)
}

const (
	// beatEvery is how often a node proves that it and its calls are alive.
	beatEvery = 5 * time.Second
	// maxSilent bounds the silent calls that one beat names.
	maxSilent = 8192
)

// beat commits the node's proof of life for its calls, but for those whose RTP
// has stopped (ARCHITECTURE.md, rule 12).
func (n *Node) beat(ctx context.Context) error {
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if !n.Serving() || n.calls.Live() == 0 {
				continue
			}
			silent, err := n.calls.Silent(ctx, beatEvery)
			if err != nil {
				continue // the node is stopping
			}
			body := &fsm.Beat{Silent: silent[:min(len(silent), maxSilent)]}
			n.proposer.Submit(call.Command{Lane: cluster.LaneExtend, Body: body}, func(fsm.Result, error) {})
		}
	}
}
