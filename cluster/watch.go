package cluster

import (
	"context"
	"fmt"
	"time"
)

const (
	// maxClockOffset is how far this node's wall clock may be off the median
	// before it warns and hands leadership over.
	maxClockOffset = 2 * time.Second
	// transferTimeout bounds the wait for a transfer of leadership.
	transferTimeout = 2 * time.Second
)

// watchClock warns once each time the wall clock leaves the median, and does not
// lead with a wrong clock if others have a right one.
func (c *Cluster) watchClock() {
	off := c.cfg.Wall().Sub(c.median())
	wrong := off.Abs() > maxClockOffset
	if c.clockWrong.Swap(wrong) == wrong || !wrong {
		return
	}
	c.clockAlarms.Add(1)
	c.log.Error("wall clock is off the members' median", "offset", off)
	c.cfg.Notify(Event{Kind: EventClock, Node: c.cfg.ID, Text: fmt.Sprintf("wall clock is %v off the members' median", off)})
	if _, leads := c.sequencer.leads(); leads {
		ctx, cancel := context.WithTimeout(context.Background(), transferTimeout)
		defer cancel()
		if err := c.Transfer(ctx); err != nil {
			c.log.Warn("leadership not handed over", "err", err)
		}
	}
}

// watchDisk warns of a write to the log that hangs, and ends the process when it
// has hung for a minute while the disks of a majority work: then it is this
// machine's, not the storage that all share.
func (c *Cluster) watchDisk() {
	stalled := c.disk.stalled()
	hangs := stalled > muteAfter
	if was := c.diskHangs.Swap(hangs); hangs && !was {
		c.log.Error("write to the log hangs", "for", stalled)
		c.cfg.Notify(Event{Kind: EventDisk, Node: c.cfg.ID, Text: "a write to the log hangs"})
	}
	if stalled < exitAfter {
		return
	}
	voters, healthy := 0, 0
	for _, p := range c.Status().Peers {
		if !p.Voter {
			continue
		}
		voters++
		if p.ID != c.cfg.ID && p.LastContact >= 0 && p.LastContact <= healthyFor && p.DiskStalled < muteAfter {
			healthy++
		}
	}
	if healthy > voters/2 {
		c.fatal(fmt.Errorf("a write to the log has hung for %v and the disks of %d other voters work", stalled, healthy))
	}
}

// differs says whether a difference at this index is news.
func (c *Cluster) differs(node string, index uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.differed[node] < index
	if news {
		c.differed[node] = index
	}
	return news
}

func hashText(own, other Checkpoint) string {
	return fmt.Sprintf("state at index %d is %x there and %x here", own.Index, other.Hash, own.Hash)
}
