package node

import (
	"context"
	"fmt"
	"time"

	"tandem/chaos/plant"
	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/call"
)

// proposer turns commands of the state machine into proposals of the cluster
// and results back. It is what call control, the API and the node's own loops
// commit through.
type proposer struct {
	cluster *cluster.Cluster
	// announced returns when the state knows this life of the node: it refuses
	// commands of one that it does not know.
	announced func(context.Context) error
}

// Submit implements call.Proposer.
func (p proposer) Submit(cmd call.Command, done func(fsm.Result, error)) {
	body, err := fsm.AppendBody(nil, "", cmd.Body)
	if err != nil {
		done(fsm.Result{}, err)
		return
	}
	p.cluster.Submit(cluster.Command{
		Lane: cmd.Lane, Flow: cmd.Flow, Body: body, Since: cmd.Since, Until: cmd.Until,
	}, func(r cluster.Result, err error) {
		if err != nil {
			done(fsm.Result{}, err)
			return
		}
		done(fsm.DecodeResult(r.Data))
	})
}

// Propose commits an administrative command and waits for its result. Key is
// its idempotency key, or empty.
func (p proposer) Propose(ctx context.Context, lane cluster.Lane, key string, body fsm.Body) (fsm.Result, error) {
	if err := p.announced(ctx); err != nil {
		return fsm.Result{}, fmt.Errorf("commit %s: %w", body.Kind(), err)
	}
	return p.commit(ctx, lane, key, body)
}

// commit is Propose for a node that may not be announced yet.
func (p proposer) commit(ctx context.Context, lane cluster.Lane, key string, body fsm.Body) (fsm.Result, error) {
	b, err := fsm.AppendBody(nil, key, body)
	if err != nil {
		return fsm.Result{}, err
	}
	if _, pays := body.(*fsm.TopUp); pays && plant.On(plant.EarlyAck) {
		p.cluster.Submit(cluster.Command{Lane: lane, Flow: adminFlow, Body: b}, func(cluster.Result, error) {})
		return fsm.Result{}, nil
	}
	r, err := p.cluster.Propose(ctx, cluster.Command{Lane: lane, Flow: adminFlow, Body: b})
	if err != nil {
		return fsm.Result{}, fmt.Errorf("commit %s: %w", body.Kind(), err)
	}
	return fsm.DecodeResult(r.Data)
}

// adminFlow is the share of administration in the lane of new calls.
const adminFlow = "admin"

// box hands settlements to the durable outbox.
type box struct {
	put func(body []byte, since time.Time) error
}

// Put implements call.Outbox.
func (b box) Put(body fsm.Body, since time.Time) error {
	encoded, err := fsm.AppendBody(nil, "", body)
	if err != nil {
		return err
	}
	return b.put(encoded, since)
}
