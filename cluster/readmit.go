package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"tandem/fsm/wire"
)

const (
	whoisName   = "cluster.whois"
	readmitName = "cluster.readmit"
	// askTimeout bounds the questions before the start, asked all at once.
	askTimeout = time.Second
	// readmitFor is how long a node that lost its disk looks for a leader, which
	// may just be being elected.
	readmitFor   = 10 * time.Second
	readmitPause = 250 * time.Millisecond
)

// whois is what a peer knows about a node.
type whois struct {
	addr  string // where it is seen alive; empty: nowhere
	voter bool   // raft counts on its vote
}

func (w *whois) code(c *wire.Codec) {
	c.String(&w.addr, maxName)
	c.Bool(&w.voter)
}

// inquire asks the peers about this node before raft starts, for two things must
// not happen then. Another live node uses this node's name, as after the copy of a
// data directory: two that vote in one name can elect two leaders. Or the
// cluster counts on votes and entries that this node has lost with its disk:
// it could help to elect a leader that lacks what was acknowledged; so it becomes
// a nonvoter first. Nobody to ask is no reason to wait.
func (c *Cluster) inquire(empty bool) error {
	lost := false
	for _, w := range c.askPeers() {
		lost = lost || empty && w.voter
		if w.addr == "" || w.addr == c.cfg.Advertise {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		self, err := c.askWhois(ctx, w.addr)
		cancel()
		if err == nil && self.addr == w.addr {
			return fmt.Errorf("%w: %s is alive at %s", ErrDuplicate, c.cfg.ID, w.addr)
		}
	}
	if lost {
		return c.readmit()
	}
	return nil
}

// askPeers asks all configured peers at once.
func (c *Cluster) askPeers() []whois {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	var mu sync.Mutex
	var answers []whois
	var all sync.WaitGroup
	for _, peer := range c.cfg.Join {
		if peer == c.cfg.Advertise {
			continue
		}
		all.Go(func() {
			w, err := c.askWhois(ctx, peer)
			if err != nil {
				c.log.Debug("peer not asked", "addr", peer, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers = append(answers, w)
		})
	}
	all.Wait()
	return answers
}

// askWhois asks one peer what it knows about this node.
func (c *Cluster) askWhois(ctx context.Context, peer string) (w whois, err error) {
	b, err := c.rpc.call(ctx, peer, whoisName, nil)
	if err != nil {
		return w, err
	}
	return w, decoded(b, w.code)
}

// serveWhois says what this node knows about the one that asks. A node that asks
// itself is another one of its name.
func (c *Cluster) serveWhois(_ context.Context, from string, _ []byte) ([]byte, error) {
	var w whois
	if from == c.cfg.ID {
		w.addr = c.cfg.Advertise
	} else if m, ok := c.gossip.find(from); ok && m.alive {
		w.addr = m.addr
	}
	for _, s := range c.servers() {
		w.voter = w.voter || string(s.ID) == from && s.Suffrage == raft.Voter
	}
	return encoded(w.code), nil
}

// readmit asks for the demotion of this node, whose stores are empty although it
// has a vote. As a nonvoter it catches up and is promoted like a new node.
func (c *Cluster) readmit() error {
	ctx, cancel := context.WithTimeout(context.Background(), readmitFor)
	defer cancel()
	var last error
	for {
		for _, peer := range c.cfg.Join {
			if peer == c.cfg.Advertise {
				continue
			}
			if _, err := c.rpc.call(ctx, peer, readmitName, nil); err != nil {
				last = err
				continue
			}
			c.log.Warn("the stores are empty: joined again as a nonvoter")
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrLostStores, last)
		case <-time.After(readmitPause):
		}
	}
}

// serveReadmit demotes the node that asks, if this one leads and the rest can
// do without it.
func (c *Cluster) serveReadmit(ctx context.Context, from string, _ []byte) ([]byte, error) {
	if _, leads := c.sequencer.leads(); !leads {
		return nil, ErrNoLeader
	}
	if err := c.removable(from, true); err != nil {
		return nil, err
	}
	c.log.Warn("membership", "node", from, "change", "demoted: it lost its stores")
	return nil, c.wait(ctx, c.raft.DemoteVoter(raft.ServerID(from), 0, changeTimeout))
}
