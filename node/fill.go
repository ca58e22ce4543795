package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/fsm"
	"tandem/fsm/wire"
	"tandem/node/cdr"
)

const (
	rpcCDRs = "cdr.range"
	// fillEvery is how often a node looks whether rows are missing: it matters
	// after a snapshot install only.
	fillEvery = 10 * time.Second
	// fillRows and fillBytes bound one answer, far below cluster.MaxMessage.
	fillRows  = 2000
	fillBytes = 2 << 20
)

// rows are CDRs and transfers on their way to a peer that misses them.
type rows struct{ cdrs, transfers [][]byte }

func (r *rows) fields(c *wire.Codec) {
	each := func(c *wire.Codec, b *[]byte) { c.Bytes(b, fillBytes) }
	wire.Slice(c, &r.cdrs, fillRows, each)
	wire.Slice(c, &r.transfers, fillRows, each)
}

// wanted are the spans that a node asks for.
type wanted struct{ cdrs, transfers cdr.Span }

func (w *wanted) fields(c *wire.Codec) {
	for _, n := range []*uint64{&w.cdrs.First, &w.cdrs.Last, &w.transfers.First, &w.transfers.Last} {
		c.Uint(n)
	}
}

// handleFill answers peers that miss rows.
func (n *Node) handleFill() {
	n.cluster.Handle(rpcCDRs, func(ctx context.Context, from string, req []byte) ([]byte, error) {
		var w wanted
		d := wire.Decoder(req)
		w.fields(d)
		if err := d.Finish(); err != nil {
			return nil, err
		}
		cdrs, transfers, err := n.opts.CDRs.Range(ctx, w.cdrs, w.transfers, fillRows)
		if err != nil {
			return nil, err
		}
		out, size := rows{}, 0
		for i := 0; i < len(cdrs) && size < fillBytes; i++ {
			b := fsm.AppendCDR(nil, &cdrs[i])
			out.cdrs, size = append(out.cdrs, b), size+len(b)
		}
		for i := 0; i < len(transfers) && size < fillBytes; i++ {
			b := fsm.AppendTransfer(nil, &transfers[i])
			out.transfers, size = append(out.transfers, b), size+len(b)
		}
		c := wire.Encoder(nil)
		out.fields(c)
		return c.Buffer(), c.Err()
	})
}

// fillGaps asks peers for the rows that this node knows to miss.
func (n *Node) fillGaps(ctx context.Context) error {
	t := time.NewTicker(fillEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			n.fillAll(ctx)
		}
	}
}

// fillAll fills gap after gap until there is none or the peers do not help.
func (n *Node) fillAll(ctx context.Context) {
	for w, missing := n.gap(ctx); missing && ctx.Err() == nil; w, missing = n.gap(ctx) {
		if err := n.fill(ctx, w); err != nil {
			n.log.Warn("missing cdrs not filled", "first", w.cdrs.First, "last", w.cdrs.Last, "err", err)
			return
		}
		n.log.Info("missing cdrs filled", "first", w.cdrs.First, "last", w.cdrs.Last)
	}
}

// gap returns the oldest missing spans, cut to what one answer holds. Rows that are
// on their way to the disk are waited for: they are not missing.
func (n *Node) gap(ctx context.Context) (w wanted, missing bool) {
	var lastCDR, lastTransfer uint64
	n.replica.View(func(s *fsm.State) { lastCDR, lastTransfer = s.Counts().CDRs, s.Counts().Transfers })
	if err := n.opts.CDRs.SyncAll(ctx); err != nil {
		return w, false // the store is closing, or nobody waits any more
	}
	cdrs, transfers := n.opts.CDRs.Missing(lastCDR, lastTransfer)
	if len(cdrs) > 0 {
		w.cdrs = clip(cdrs[0])
	}
	if len(transfers) > 0 {
		w.transfers = clip(transfers[0])
	}
	return w, len(cdrs)+len(transfers) > 0
}

func clip(s cdr.Span) cdr.Span {
	s.Last = min(s.Last, s.First+fillRows/2-1)
	return s
}

// fill asks the peers in turn until one has rows of the gap.
func (n *Node) fill(ctx context.Context, w wanted) error {
	c := wire.Encoder(nil)
	w.fields(c)
	var last error
	for _, m := range n.cluster.Status().Members {
		if m.ID == string(n.id) || !m.Alive {
			continue
		}
		b, err := n.cluster.Call(ctx, m.ID, rpcCDRs, c.Buffer())
		if err != nil {
			last = err
			continue
		}
		stored, err := n.store(ctx, w, b)
		if err != nil {
			last = fmt.Errorf("rows from %s: %w", m.ID, err)
			continue // another one may have them right
		}
		if stored > 0 {
			return nil
		}
	}
	if last == nil {
		last = errors.New("no peer has them")
	}
	return last
}

// store decodes, verifies and stores rows from a peer.
func (n *Node) store(ctx context.Context, w wanted, b []byte) (int, error) {
	var r rows
	d := wire.Decoder(b)
	r.fields(d)
	if err := d.Finish(); err != nil {
		return 0, err
	}
	cdrs := make([]fsm.CDR, len(r.cdrs))
	transfers := make([]fsm.Transfer, len(r.transfers))
	var err error
	for i, b := range r.cdrs {
		if cdrs[i], err = fsm.DecodeCDR(b); err != nil {
			return 0, err
		}
	}
	for i, b := range r.transfers {
		if transfers[i], err = fsm.DecodeTransfer(b); err != nil {
			return 0, err
		}
	}
	if cdrs, err = n.verified(ctx, w.cdrs, cdrs); err != nil {
		return 0, err
	}
	return len(cdrs) + len(transfers), n.opts.CDRs.Fill(cdrs, transfers)
}

// verified returns the rows at the beginning of a gap, once it is sure that they are
// the cluster's: the row before the gap vouches for the first of them, and they for
// the row behind it.
func (n *Node) verified(ctx context.Context, gap cdr.Span, rows []fsm.CDR) ([]fsm.CDR, error) {
	if gap.Last == 0 {
		return nil, nil
	}
	var chain fsm.Chain
	var before fsm.Hash
	n.replica.View(func(s *fsm.State) {
		chain = s.Chain()
		_, before = s.Horizon()
	})
	if gap.First > max(n.opts.CDRs.Horizon().CDR, 1) {
		r, found, err := n.opts.CDRs.Get(ctx, gap.First-1)
		if err != nil || !found {
			return nil, fmt.Errorf("cdr %d before the gap: %w", gap.First-1, cmp.Or(err, errMissing))
		}
		before = r.Link
	}
	slices.SortFunc(rows, func(a, b fsm.CDR) int { return cmp.Compare(a.Seq, b.Seq) })
	have := 0
	for have < len(rows) && rows[have].Seq == gap.First+uint64(have) {
		have++
	}
	rows = rows[:have]
	check := rows
	if have > 0 {
		next, found, err := n.opts.CDRs.Get(ctx, rows[have-1].Seq+1)
		if err != nil {
			return nil, err
		}
		if found {
			check = append(slices.Clip(rows), next)
		}
	}
	if err := chain.Verify(before, check); err != nil {
		n.log.Error("alarm", "kind", "cdr", "text", err)
		return nil, err
	}
	return rows, nil
}

// errMissing: a row that must be there is not.
var errMissing = errors.New("missing")
