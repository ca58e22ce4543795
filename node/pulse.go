package node

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pulsePoll is how often a pulse looks whether Apply has come far enough.
const pulsePoll = 20 * time.Millisecond

// Ready says why the node takes no calls; nil: it does.
func (n *Node) Ready() error { return n.ready() }

// Pulse returns when the node has shown that it lives: its reconciliation has
// taken a turn, and its replica has applied what was committed at the call. It
// says what hangs when ctx ends before. A node without a leader lives.
func (n *Node) Pulse(ctx context.Context) error {
	turn := make(chan struct{})
	select {
	case n.pulse <- turn:
	case <-ctx.Done():
		return errors.New("the reconciliation hangs")
	}
	<-turn
	commit := n.cluster.Status().Commit
	for {
		applied := n.cluster.Status().Applied
		if applied >= commit {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the replica hangs at index %d, %d is committed", applied, commit)
		case <-time.After(pulsePoll):
		}
	}
}
