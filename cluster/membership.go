package cluster

import "context"

// Remove takes a node out of raft's configuration. It is refused with ErrQuorum
// if fewer than three voters, or fewer healthy ones than a majority, would be
// left; force overrides the former, never the latter.
func (c *Cluster) Remove(ctx context.Context, id string, force bool) error { panic("unfinished") }

// Transfer hands leadership to another up-to-date voter, if this node has it.
func (c *Cluster) Transfer(ctx context.Context) error { panic("unfinished") }
