package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tandem/node/api/client"
)

// poll is how often a run looks whether what it waits for has come.
const poll = 200 * time.Millisecond

// fill puts a node's name into a command.
func fill(command, node string) string { return strings.ReplaceAll(command, "NODE", node) }

// wait polls until done says so. The last reason why not is the error.
func wait(ctx context.Context, limit time.Duration, done func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var why error
	for {
		err := done(ctx)
		if err == nil {
			return nil
		}
		if why == nil || ctx.Err() == nil {
			why = err // not that the look itself was cut short
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", limit, why)
		case <-tick.C:
		}
	}
}

// retryFor is how long a cluster may be without a leader before that is a doubt.
const retryFor = 15 * time.Second

// retry repeats what was refused for want of a leader.
func retry(ctx context.Context, do func(context.Context) error) error {
	var final error
	err := wait(ctx, retryFor, func(ctx context.Context) error {
		final = do(ctx)
		if p := new(client.Problem); errors.As(final, &p) && p.Status == http.StatusServiceUnavailable {
			return final
		}
		return nil
	})
	if err != nil {
		return err
	}
	return final
}

// check waits until the cluster can do without the node: the one before has just
// come back.
func (r *run) check(ctx context.Context, n client.Node) error {
	return wait(ctx, r.Waits.Home, func(ctx context.Context) error {
		plan, err := Look(ctx, r.Fleet)
		if err == nil {
			err = plan.sound(n.Node)
		}
		return err
	})
}

// drain lets the node run empty.
func (r *run) drain(ctx context.Context, n client.Node) error {
	if n.Witness || !n.Up {
		return nil // it has nothing
	}
	begun := time.Now()
	if !n.Draining {
		err := retry(ctx, func(ctx context.Context) error {
			_, _, err := r.Fleet.any.Drain(ctx, n.Node, client.DrainRequest{Reason: r.Reason})
			return err
		})
		if err != nil {
			return err
		}
	}
	err := wait(ctx, r.Waits.Drain, func(ctx context.Context) error {
		now, _, err := r.Fleet.any.Node(ctx, n.Node)
		switch {
		case err != nil:
			return err
		case !now.Drained:
			return fmt.Errorf("%d calls and %d addresses are left", now.Calls, len(now.Addresses))
		}
		s, _, err := r.Fleet.any.Status(ctx)
		if err == nil && s.Leader == n.Node {
			err = errors.New("it still leads")
		}
		return err
	})
	if err == nil {
		r.Report(n.Node, fmt.Sprintf("drained in %v, %d calls moved or ended", time.Since(begun).Round(time.Millisecond), n.Calls))
	}
	return err
}

func (r *run) replace(ctx context.Context, n client.Node) error {
	if r.Replace == nil {
		return nil
	}
	if err := r.Replace(ctx, n); err != nil {
		return err
	}
	r.Report(n.Node, "program replaced")
	return nil
}

// await waits until a new process of the node serves and has caught up.
func (r *run) await(ctx context.Context, n client.Node) error {
	begun := time.Now()
	var version string
	err := wait(ctx, r.Waits.Return, func(ctx context.Context) error {
		now, _, err := r.Fleet.any.Node(ctx, n.Node)
		switch {
		case err != nil:
			return err
		case !now.Up || now.Incarnation <= n.Incarnation:
			return errors.New("its new process has not announced itself")
		case r.Want != "" && now.Version != r.Want:
			return fmt.Errorf("it runs version %s, not %s", now.Version, r.Want)
		}
		version = now.Version
		s, _, err := r.Fleet.of[n.Node].Status(ctx)
		if err == nil && !s.Ready {
			err = errors.New(s.NotReady)
		}
		return err
	})
	if err == nil {
		r.Report(n.Node, fmt.Sprintf("back with version %s and caught up after %v", version, time.Since(begun).Round(time.Millisecond)))
	}
	return err
}

// same compares the node's state with that of the others at an index that the new
// program has applied itself.
func (r *run) same(ctx context.Context, n client.Node) error {
	s, _, err := r.Fleet.of[n.Node].Status(ctx)
	if err != nil {
		return err
	}
	var at uint64
	compare := func(ctx context.Context) error {
		at, err = r.compare(ctx, n.Node, s.Applied)
		if d := new(differs); errors.As(err, &d) {
			at, err = 0, d
			return nil // waiting changes nothing
		}
		return err
	}
	if waited := wait(ctx, r.Waits.Hash, compare); waited != nil {
		// Nothing happens on this cluster: entries without an effect bring the log to
		// the next index at which states are hashed.
		if err := r.advance(ctx, s.Applied); err != nil {
			return err
		}
		if waited = wait(ctx, r.Waits.Hash, compare); waited != nil {
			return waited
		}
	}
	if err != nil {
		return err
	}
	r.Report(n.Node, fmt.Sprintf("has the same state as the others at index %d", at))
	return nil
}

// differs says that states are not the same.
type differs struct{ text string }

func (d *differs) Error() string { return d.text }

// compare returns the newest index above from at which a node and all others have
// the same hash.
func (r *run) compare(ctx context.Context, node string, from uint64) (uint64, error) {
	own, err := r.Fleet.of[node].Checkpoints(ctx)
	if err != nil {
		return 0, err
	}
	for _, k := range own.Items {
		if k.Index <= from {
			break // newest first
		}
		others := 0
		for name, c := range r.Fleet.of {
			if name == node {
				continue
			}
			list, err := c.Checkpoints(ctx)
			if err != nil {
				return 0, fmt.Errorf("hashes of %s: %w", name, err)
			}
			i := slices.IndexFunc(list.Items, func(o client.Checkpoint) bool { return o.Index == k.Index })
			if i < 0 {
				continue
			}
			if others++; list.Items[i].Hash != k.Hash {
				return 0, &differs{fmt.Sprintf("its state differs from that of %s at index %d: %s, %s", name, k.Index, k.Hash, list.Items[i].Hash)}
			}
		}
		if others == len(r.Fleet.of)-1 {
			return k.Index, nil
		}
	}
	return 0, fmt.Errorf("no state hash above index %d that all nodes have", from)
}

// checkpointEvery is how many entries lie between two state hashes.
const checkpointEvery = 1024

// idle is a parameter that is set to what it is, for entries without an effect.
const idle = "SS_SIP_TIMEOUT_INVITE"

// advance brings the log behind the next index at which states are hashed.
func (r *run) advance(ctx context.Context, from uint64) error {
	p, at, err := r.Fleet.any.Parameter(ctx, idle)
	if err != nil {
		return err
	}
	for target := (from/checkpointEvery + 1) * checkpointEvery; at.Index < target; {
		if _, at, err = r.Fleet.any.SetParameter(ctx, p.Name, p.Value); err != nil {
			return err
		}
	}
	return nil
}

// home waits until the node has its addresses back.
func (r *run) home(ctx context.Context, n client.Node) error {
	var calls int
	err := wait(ctx, r.Waits.Home, func(ctx context.Context) error {
		s, _, err := r.Fleet.any.Status(ctx)
		if err != nil {
			return err
		}
		for _, a := range s.Away {
			if a.Home == n.Node {
				return fmt.Errorf("its address %s is on %s", a.IP, a.Owner)
			}
		}
		now, _, err := r.Fleet.any.Node(ctx, n.Node)
		if calls = now.Calls; err == nil && now.Draining {
			err = errors.New("it drains")
		}
		return err
	})
	if err == nil {
		r.Report(n.Node, fmt.Sprintf("has its addresses back, and %d calls", calls))
	}
	return err
}
