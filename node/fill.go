package node

import (
	"context"
	"errors"
	"fmt"
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
	for w, missing := n.gap(); missing && ctx.Err() == nil; w, missing = n.gap() {
		if err := n.fill(ctx, w); err != nil {
			n.log.Warn("missing cdrs not filled", "first", w.cdrs.First, "last", w.cdrs.Last, "err", err)
			return
		}
		n.log.Info("missing cdrs filled", "first", w.cdrs.First, "last", w.cdrs.Last)
	}
}

// gap returns the oldest missing spans, cut to what one answer holds.
func (n *Node) gap() (w wanted, missing bool) {
	var lastCDR, lastTransfer uint64
	n.replica.View(func(s *fsm.State) { lastCDR, lastTransfer = s.Counts().CDRs, s.Counts().Transfers })
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
		stored, err := n.store(b)
		if err != nil {
			return fmt.Errorf("rows from %s: %w", m.ID, err)
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

// store decodes and stores rows from a peer.
func (n *Node) store(b []byte) (int, error) {
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
	return len(cdrs) + len(transfers), n.opts.CDRs.Fill(cdrs, transfers)
}
