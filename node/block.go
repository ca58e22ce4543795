package node

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"tandem/fsm/wire"
)

const (
	rpcBlock = "phones.block"
	// blockWait bounds the wait for a peer that is told of a block.
	blockWait = time.Second
	// maxBlocks wait to be told.
	maxBlocks = 64
)

// block is an address that gets no answers for some time.
type block struct {
	source netip.Addr
	last   time.Duration
}

func (b *block) fields(c *wire.Codec) {
	ip := b.source.As16()
	c.Fixed(ip[:])
	b.source = netip.AddrFrom16(ip).Unmap()
	wire.Int(c, &b.last)
}

// spreadBlock takes an address that this node has blocked, to tell the others. Of a
// flood of them some are not told: every node makes its own experience.
func (n *Node) spreadBlock(source netip.Addr, last time.Duration) {
	select {
	case n.blocks <- block{source, last}:
	default:
	}
}

// tellBlocks tells the other nodes of blocks.
func (n *Node) tellBlocks(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-n.blocks:
			n.tellBlock(ctx, &b)
		}
	}
}

func (n *Node) tellBlock(ctx context.Context, b *block) {
	ctx, cancel := context.WithTimeout(ctx, blockWait)
	defer cancel()
	c := wire.Encoder(nil)
	b.fields(c)
	var all sync.WaitGroup
	for _, m := range n.cluster.Status().Members {
		if m.ID == string(n.id) || !m.Alive {
			continue
		}
		all.Go(func() {
			if _, err := n.cluster.Call(ctx, m.ID, rpcBlock, c.Buffer()); err != nil {
				n.log.Warn("peer not told of a blocked source", "node", m.ID, "source", b.source, "err", err)
			}
		})
	}
	all.Wait()
}

// handleBlock takes over the blocks of other nodes.
func (n *Node) handleBlock() {
	n.cluster.Handle(rpcBlock, func(_ context.Context, from string, req []byte) ([]byte, error) {
		var b block
		d := wire.Decoder(req)
		b.fields(d)
		if err := d.Finish(); err != nil {
			return nil, err
		}
		if n.phones != nil {
			n.phones.Block(b.source, b.last)
			n.log.Info("source blocked by another node", "source", b.source, "node", from)
		}
		return nil, nil
	})
}
