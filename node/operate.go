package node

import (
	"context"
	"errors"
	"fmt"

	"tandem/cluster"
	"tandem/fsm/wire"
)

// rpcOperate asks a leader to do to consensus what an operator wants.
const rpcOperate = "node.operate"

// order is such a wish.
type order struct {
	Verb  uint8
	Node  string
	Force bool
}

// The verbs of orders.
const (
	orderTransfer uint8 = 1 + iota
	orderRemove
)

// maxOrderNode bounds the name in an order.
const maxOrderNode = 64

func (o *order) fields(c *wire.Codec) {
	c.U8(&o.Verb)
	c.String(&o.Node, maxOrderNode)
	c.Bool(&o.Force)
}

// handleOperate obeys the orders of peers.
func (n *Node) handleOperate() {
	n.cluster.Handle(rpcOperate, func(ctx context.Context, from string, req []byte) ([]byte, error) {
		var o order
		d := wire.Decoder(req)
		o.fields(d)
		if err := d.Finish(); err != nil {
			return nil, err
		}
		n.log.Info("order", "from", from, "verb", o.Verb, "node", o.Node, "force", o.Force)
		return nil, n.obey(ctx, o)
	})
}

// obey does what an order says; only the leader can.
func (n *Node) obey(ctx context.Context, o order) error {
	switch o.Verb {
	case orderTransfer:
		return n.cluster.Transfer(ctx)
	case orderRemove:
		return n.cluster.Remove(ctx, o.Node, o.Force)
	}
	return fmt.Errorf("order with verb %d", o.Verb)
}

// operate has the leader do it, wherever that is.
func (n *Node) operate(ctx context.Context, o order) error {
	leader := n.cluster.Status().Leader
	switch leader {
	case "":
		return cluster.ErrNoLeader
	case string(n.id):
		return n.obey(ctx, o)
	}
	c := wire.Encoder(nil)
	o.fields(c)
	if c.Err() != nil {
		return c.Err()
	}
	_, err := n.cluster.Call(ctx, leader, rpcOperate, c.Buffer())
	if refused := cluster.RemoteError(""); errors.As(err, &refused) {
		return refused // its text says all
	}
	return err
}

// Transfer lets another voter lead.
func (n *Node) Transfer(ctx context.Context) error {
	return n.operate(ctx, order{Verb: orderTransfer})
}

// Remove takes a node out of consensus. It is refused with cluster.ErrQuorum if
// that endangers the quorum; force allows fewer than three voters.
func (n *Node) Remove(ctx context.Context, node string, force bool) error {
	return n.operate(ctx, order{Verb: orderRemove, Node: node, Force: force})
}
