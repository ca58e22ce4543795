package cluster

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Keys in the stable store beside raft's own.
const (
	keyIdentity    = "tandem.identity"
	keyIncarnation = "tandem.incarnation"
	keyJoined      = "tandem.joined"
)

// identify checks that the stores belong to this node, marks new ones, and
// counts the node's lives. The incarnation's high half is the cluster's
// generation. Its low half also follows the wall clock's seconds, so that a node
// that lost its disk comes back above its former lives.
func identify(cfg Config) (incarnation uint64, err error) {
	own := fmt.Sprintf("%s/%d/%s", cfg.ClusterID, cfg.Generation, cfg.ID)
	b, err := stableGet(cfg.Stable, keyIdentity)
	if err != nil {
		return 0, fmt.Errorf("read identity: %w", err)
	}
	if len(b) == 0 {
		err = cfg.Stable.Set([]byte(keyIdentity), []byte(own))
	} else if string(b) != own {
		err = fmt.Errorf("%w: they are %s's, this is %s", ErrWrongCluster, b, own)
	}
	if err != nil {
		return 0, err
	}
	if b, err = stableGet(cfg.Stable, keyIncarnation); err != nil {
		return 0, fmt.Errorf("read incarnation: %w", err)
	}
	var last uint64
	if len(b) == 8 {
		last = binary.BigEndian.Uint64(b)
	}
	next := max(last+1, uint64(cfg.Generation)<<32|uint64(uint32(cfg.Wall().Unix())))
	b = binary.BigEndian.AppendUint64(nil, next)
	if err := cfg.Stable.Set([]byte(keyIncarnation), b); err != nil {
		return 0, fmt.Errorf("store incarnation: %w", err)
	}
	return next, nil
}

// neverStarted says whether the stores hold no raft state at all.
func neverStarted(cfg Config) (bool, error) {
	has, err := raft.HasExistingState(cfg.Log, cfg.Stable, cfg.Snapshots)
	if err != nil {
		return false, fmt.Errorf("read raft state: %w", err)
	}
	return !has, nil
}

// stableGet reads a key; raft's contract for a missing one is either an empty
// value or an error with this text.
func stableGet(s raft.StableStore, key string) ([]byte, error) {
	b, err := s.Get([]byte(key))
	if err != nil && err.Error() != "not found" {
		return nil, err
	}
	return b, nil
}

// wasMember says whether this node has seen itself in a committed configuration.
// A node that was and is in none any more has been removed: it is not added
// again by itself.
func wasMember(s raft.StableStore) bool {
	b, err := stableGet(s, keyJoined)
	return err == nil && len(b) > 0
}

// becameMember notes that a committed configuration names this node.
func (c *Cluster) becameMember() {
	if c.joined.Load() {
		return
	}
	if err := c.cfg.Stable.Set([]byte(keyJoined), []byte{1}); err != nil {
		c.fatal(fmt.Errorf("store membership: %w", err))
		return
	}
	c.joined.Store(true)
}

const (
	whoisName = "cluster.whois"
	// askTimeout bounds the questions before the start, asked all at once.
	askTimeout = time.Second
)

// checkName refuses to start if another live node uses this node's name, as
// after the copy of a data directory: two nodes that vote in one name can elect
// two leaders. Peers are asked where they see the name, and that address whether
// it is alive. Nobody to ask is no reason to wait.
func (c *Cluster) checkName() error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	found := make(chan string, len(c.cfg.Join))
	var all sync.WaitGroup
	for _, peer := range c.cfg.Join {
		if peer == c.cfg.Advertise {
			continue
		}
		all.Go(func() {
			if at, err := c.rpc.call(ctx, peer, whoisName, []byte(c.cfg.ID)); err == nil {
				found <- string(at)
			}
		})
	}
	all.Wait()
	close(found)
	for at := range found {
		if at == "" || at == c.cfg.Advertise {
			continue
		}
		if self, err := c.rpc.call(ctx, at, whoisName, []byte(c.cfg.ID)); err == nil && string(self) == at {
			return fmt.Errorf("%w: %s is alive at %s", ErrDuplicate, c.cfg.ID, at)
		}
	}
	return nil
}

// serveWhois says where a node is seen alive; nowhere is an empty answer.
func (c *Cluster) serveWhois(_ context.Context, _ string, id []byte) ([]byte, error) {
	if string(id) == c.cfg.ID {
		return []byte(c.cfg.Advertise), nil
	}
	if m, ok := c.gossip.find(string(id)); ok && m.alive {
		return []byte(m.addr), nil
	}
	return nil, nil
}
