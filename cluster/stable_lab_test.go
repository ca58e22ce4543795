package cluster_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"tandem/cluster"
)

// brittle is a stable store whose writes can fail.
type brittle struct {
	raft.StableStore
	broken atomic.Bool
}

var errBroken = errors.New("input/output error")

func (b *brittle) Set(key, value []byte) error {
	if b.broken.Load() {
		return errBroken
	}
	return b.StableStore.Set(key, value)
}

func (b *brittle) SetUint64(key []byte, value uint64) error {
	if b.broken.Load() {
		return errBroken
	}
	return b.StableStore.SetUint64(key, value)
}

// TestVoteThatCannotBeStored ends the process with the reason, not raft's
// panic, and elects nobody.
func TestVoteThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := emptyLab(t)
		defer l.close()
		for range 3 {
			l.add(3).stable = &brittle{}
		}
		for _, n := range l.nodes {
			l.start(n)
		}
		dead, sick := l.leader(), l.follower()
		sick.stable.broken.Store(true)
		l.kill(dead)
		time.Sleep(5 * time.Second)
		if err := <-sick.ended; !errors.Is(err, errBroken) || !errors.Is(sick.getFatal(), errBroken) {
			t.Errorf("ended with %v", err)
		}
		for _, n := range l.live() {
			if n != sick && n.c.Leads() {
				t.Error("a leader by a vote that was not stored")
			}
		}
		sick.stable.broken.Store(false)
		sick.mu.Lock()
		sick.c = nil
		sick.mu.Unlock()
		l.restart(sick)
		l.propose(sick, "again")
	})
}

// TestResultThatIsTooLarge fails its own command and none that travels with it.
func TestResultThatIsTooLarge(t *testing.T) {
	bubble(t, 3, func(t *testing.T, l *lab) {
		for _, n := range []*labNode{l.leader(), l.follower()} {
			errs := make(chan error, 2)
			for _, body := range []string{"verbose", "brief"} {
				n.c.Submit(cluster.Command{Lane: cluster.LaneStart, Body: []byte(body)}, func(r cluster.Result, err error) {
					if body == "verbose" && !errors.Is(err, cluster.ErrTooLarge) {
						errs <- errors.New("a result of a megabyte came through")
						return
					}
					if body == "verbose" {
						err = nil
					}
					errs <- err
				})
			}
			for range 2 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
		}
		if _, err := l.nodes[0].c.ReadIndex(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
