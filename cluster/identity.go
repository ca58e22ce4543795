package cluster

import (
	"encoding/binary"
	"fmt"

	"github.com/hashicorp/raft"
)

// Keys in the stable store beside raft's own.
const (
	keyIdentity    = "tandem.identity"
	keyIncarnation = "tandem.incarnation"
	keyJoined      = "tandem.joined"
	keyRecovery    = "tandem.recovery" // the identity of a Recover that has not ended

	// generationShift leaves room for the milliseconds of five centuries.
	generationShift = 44
	maxGeneration   = 1<<(64-generationShift) - 1
)

// identify checks that the stores belong to this node, marks new ones, and
// counts the node's lives. The incarnation's high part is the cluster's
// generation. Its low part follows the wall clock's milliseconds, so that a node
// that lost its disk comes back above its former lives.
func identify(cfg Config) (incarnation uint64, err error) {
	own := identity(cfg.ClusterID, cfg.Generation, cfg.ID)
	b, err := stableGet(cfg.Stable, keyRecovery)
	if err == nil && len(b) > 0 {
		err = fmt.Errorf("%w: a recovery as %s was interrupted", ErrWrongCluster, b)
	}
	if err != nil {
		return 0, fmt.Errorf("read recovery: %w", err)
	}
	b, err = stableGet(cfg.Stable, keyIdentity)
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
	return nextIncarnation(cfg)
}

// identity names the owner of a node's stores.
func identity(clusterID string, generation uint32, node string) string {
	return fmt.Sprintf("%s/%d/%s", clusterID, generation, node)
}

// nextIncarnation begins a life.
func nextIncarnation(cfg Config) (uint64, error) {
	b, err := stableGet(cfg.Stable, keyIncarnation)
	if err != nil {
		return 0, fmt.Errorf("read incarnation: %w", err)
	}
	var last uint64
	if len(b) == 8 {
		last = binary.BigEndian.Uint64(b)
	}
	next := max(last+1, uint64(cfg.Generation)<<generationShift|uint64(cfg.Wall().UnixMilli()))
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
