package cluster

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// TestWrongStores: a data directory of another node or cluster is refused.
func TestWrongStores(t *testing.T) {
	cfg := Config{ID: "n1", ClusterID: "a", Generation: 1, Stable: raft.NewInmemStore()}.withDefaults()
	first, err := identify(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := identify(cfg); err != nil || second <= first {
		t.Errorf("incarnation %d after %d, %v", second, first, err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.ID = "n2" },
		func(c *Config) { c.ClusterID = "b" },
		func(c *Config) { c.Generation = 2 },
	} {
		other := cfg
		change(&other)
		if _, err := identify(other); !errors.Is(err, ErrWrongCluster) {
			t.Errorf("%s/%d/%s: %v", other.ClusterID, other.Generation, other.ID, err)
		}
	}
}
