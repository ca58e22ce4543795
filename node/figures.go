package node

import (
	"sync/atomic"

	"tandem/node/metrics"
)

// figures count what this node did to keep calls alive, since its start.
type figures struct {
	taken      atomic.Uint64 // addresses opened
	handedOver atomic.Uint64 // addresses handed over
	declared   atomic.Uint64 // members declared dead
	fenced     atomic.Uint64 // own lives that others declared dead
	conflicts  atomic.Uint64 // alarms: another host answers for an address
}

// takeover is what the metrics show of it.
func (n *Node) takeover() metrics.Takeover {
	open, leaving := n.lines.count()
	return metrics.Takeover{
		Serving: n.Serving(), Leased: n.leased(), LeaseLeft: n.cluster.LeaseLeft(), Draining: n.draining(),
		Open: open, Leaving: leaving,
		Taken: n.figures.taken.Load(), HandedOver: n.figures.handedOver.Load(), Declared: n.figures.declared.Load(),
		Fenced: n.figures.fenced.Load(), Conflicts: n.figures.conflicts.Load(),
	}
}
