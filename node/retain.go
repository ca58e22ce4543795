package node

import (
	"context"
	"fmt"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/fsm/wire"
	"tandem/node/cdr"
)

const (
	rpcMissing = "cdr.missing"
	// retainEvery is how often the rows that are too old are looked for.
	retainEvery = 10 * time.Minute
	// retainWait bounds the question to a member whether it misses rows.
	retainWait = 3 * time.Second
	// retainGrace is how many days longer rows are kept for a member that misses some
	// of them, or does not answer. It bounds the disk; then they go, with an alarm.
	retainGrace = 30
)

// retain deletes the CDRs and transfers of days that are over their time. The
// state machine keeps the horizon, so that all nodes agree on what is expired and
// what is missing (ARCHITECTURE.md, rule 8).
func (n *Node) retain(ctx context.Context) error {
	t := time.NewTicker(retainEvery)
	defer t.Stop()
	for {
		if n.Serving() {
			n.forget(ctx)
			if err := n.opts.CDRs.Expire(n.horizon()); err != nil {
				n.log.Error("old cdrs not deleted", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// horizon is where the kept rows begin.
func (n *Node) horizon() (h cdr.Horizon) {
	n.replica.View(func(s *fsm.State) {
		if day, _ := s.Horizon(); day == 0 {
			return // nothing was ever forgotten
		}
		counts := s.Counts()
		h = cdr.Horizon{CDR: counts.CDRs + 1, Transfer: counts.Transfers + 1}
		for _, d := range s.Days() {
			if d.First != 0 {
				h.CDR = min(h.CDR, d.First)
			}
			if d.FirstTransfer != 0 {
				h.Transfer = min(h.Transfer, d.FirstTransfer)
			}
		}
	})
	return h
}

// forget proposes, on the leader, that days are forgotten which nobody needs.
func (n *Node) forget(ctx context.Context) {
	if n.cluster.Status().Leader != string(n.id) {
		return
	}
	var before, oldest int32
	n.replica.View(func(s *fsm.State) {
		before = fsm.DayOf(s.At()) - int32(s.Params().CDRDays)
		if days := s.Days(); s.Params().CDRDays > 0 && len(days) > 0 {
			oldest = days[0].Day
		} else {
			oldest = before // kept for ever, or nothing there
		}
	})
	if oldest >= before {
		return
	}
	if err := n.complete(ctx); err != nil {
		if oldest >= before-retainGrace {
			n.log.Warn("old cdrs are kept: a member may miss some of them", "err", err)
			return
		}
		n.log.Error("alarm", "kind", "cdr", "text", fmt.Sprintf("cdrs are deleted %d days after their time, although a member may miss some of them: %v", retainGrace, err))
	}
	r, err := n.proposer.Propose(ctx, cluster.LaneStart, "", &fsm.ForgetDays{Before: before})
	if err != nil || r.Code != fsm.OK {
		n.log.Warn("old cdrs not forgotten", "code", r.Code, "detail", r.Detail, "err", err)
	}
}

// complete returns nil if no member misses a row.
func (n *Node) complete(ctx context.Context) error {
	if _, missing := n.gap(ctx); missing {
		return fmt.Errorf("%s has gaps", n.id)
	}
	var members []fsm.Member
	n.replica.View(func(s *fsm.State) { members = s.Members() })
	for _, m := range members {
		if m.Node == n.id {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, retainWait)
		b, err := n.cluster.Call(ctx, string(m.Node), rpcMissing, nil)
		cancel()
		if err != nil {
			return fmt.Errorf("%s does not answer: %w", m.Node, err)
		}
		var missing bool
		d := wire.Decoder(b)
		d.Bool(&missing)
		if err := d.Finish(); err != nil {
			return fmt.Errorf("%s: %w", m.Node, err)
		}
		if missing {
			return fmt.Errorf("%s has gaps", m.Node)
		}
	}
	return nil
}

// handleMissing tells the leader whether this node misses rows.
func (n *Node) handleMissing() {
	n.cluster.Handle(rpcMissing, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		_, missing := n.gap(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := wire.Encoder(nil)
		c.Bool(&missing)
		return c.Buffer(), c.Err()
	})
}
