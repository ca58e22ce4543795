package cluster

import "context"

// ReadIndex returns an index such that whoever has applied it sees everything
// that was acknowledged anywhere before the call. It waits for that index.
func (c *Cluster) ReadIndex(ctx context.Context) (uint64, error) { panic("unfinished") }

// Applied is the index of the newest entry that the machine has applied.
func (c *Cluster) Applied() uint64 { panic("unfinished") }

// WaitApplied returns when the machine has applied index.
func (c *Cluster) WaitApplied(ctx context.Context, index uint64) error { panic("unfinished") }

// LogTime is this node's estimate of log time, in microseconds since 1970.
func (c *Cluster) LogTime() int64 { panic("unfinished") }
