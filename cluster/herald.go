package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"tandem/fsm/wire"
)

// exitedName is the rpc by which a node's guard process tells that the node's
// process has ended. Its request is an exited; only a connection with the
// certificate of that same node may send it.
const exitedName = "cluster.exited"

// exited is the proof that a life of the sending node is over: the kernel said
// so to a process on the same machine.
type exited struct {
	Incarnation uint64
}

func (e *exited) code(c *wire.Codec) { c.Uint(&e.Incarnation) }

// HeraldConfig is what a Herald is made of.
type HeraldConfig struct {
	// ID, ClusterID and Generation are those of the node it speaks for.
	ID         string
	ClusterID  string
	Generation uint32
	// Network only has to dial, with the node's certificate.
	Network Network
	Logger  *slog.Logger // nil discards
}

// Herald is the voice of a node's guard process: it keeps a connection to each
// peer, so that the news of the node's death costs no handshake.
type Herald struct {
	rpc *rpc
}

// NewHerald returns a Herald without connections. Close ends it.
func NewHerald(cfg HeraldConfig) *Herald {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	self := hello{node: cfg.ID, cluster: cfg.ClusterID, generation: cfg.Generation}
	return &Herald{rpc: newRPC(self, cfg.Network, cfg.Logger)}
}

// Greet makes sure that there is a live connection to each of the peers, given by
// their advertised addresses. The error joins those of the peers that could not
// be reached before ctx ended.
func (h *Herald) Greet(ctx context.Context, peers []string) error {
	return each(peers, func(addr string) error {
		_, err := h.rpc.call(ctx, addr, pingName, nil)
		var answered RemoteError
		if errors.As(err, &answered) {
			return nil // whatever it says, it is there
		}
		return err
	})
}

// Exited tells all peers at once that this life of the node is over, and returns
// when each has answered or ctx has ended.
func (h *Herald) Exited(ctx context.Context, incarnation uint64, peers []string) error {
	e := exited{Incarnation: incarnation}
	return each(peers, func(addr string) error {
		_, err := h.rpc.call(ctx, addr, exitedName, encoded(e.code))
		return err
	})
}

// Close ends all connections and waits.
func (h *Herald) Close() { h.rpc.close(nil) }

// each does something for all peers at the same time.
func each(peers []string, do func(addr string) error) error {
	errs := make([]error, len(peers))
	var all sync.WaitGroup
	for i, addr := range peers {
		all.Go(func() {
			if err := do(addr); err != nil {
				errs[i] = fmt.Errorf("peer %s: %w", addr, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
