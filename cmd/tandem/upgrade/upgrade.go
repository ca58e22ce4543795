// Package upgrade rolls a cluster to another program, node by node: drain,
// replace, restart, and no step further before the node has proven itself. It
// stops at the first doubt and says why, so that nobody has to watch it.
//
// What has been done is kept in a small file, so that a run that was stopped,
// paused or interrupted goes on where it was. It never touches a second node
// while one is away, never decides that a call may be lost, and knows nothing of
// how a program comes to a machine: that is the operator's command.
//
//	plan, err := upgrade.Look(ctx, fleet)
//	err = upgrade.Run(ctx, upgrade.Config{Fleet: fleet, Store: store, Replace: ..., Restart: ...})
package upgrade

import (
	"context"
	"fmt"
	"time"

	"tandem/node/api/client"
)

// Config says what to do and how.
type Config struct {
	Fleet *Fleet
	Store *Store // where the state of the run is kept
	// Want is the version that each node has to report afterwards; empty: any.
	Want string
	// Replace puts the new program in its place on a node's machine. Nil: it is
	// there already.
	Replace func(ctx context.Context, node client.Node) error
	// Restart restarts a node's process.
	Restart func(ctx context.Context, node client.Node) error
	// Reason is shown at the nodes that drain.
	Reason string
	// Report hears of each step.
	Report func(node, text string)
	Waits  Waits
}

// Waits are how long a run waits for something before it doubts. Zeros take the
// defaults.
type Waits struct {
	Drain  time.Duration // until a node owns nothing: 10 min
	Return time.Duration // until a restarted node serves and has caught up: 2 min
	Home   time.Duration // until it has its addresses back: 1 min
	Hash   time.Duration // for state hashes that can be compared to come by themselves: 10 s
}

func (w Waits) withDefaults() Waits {
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&w.Drain, 10 * time.Minute}, {&w.Return, 2 * time.Minute}, {&w.Home, time.Minute}, {&w.Hash, 10 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	return w
}

// Doubt is why a run stopped: what, why and what to do next.
type Doubt struct {
	Node string
	Step string
	Err  error
	Next string
}

// Error says what was in doubt.
func (d *Doubt) Error() string {
	if d.Node == "" {
		return fmt.Sprintf("upgrade stopped before %s: %v", d.Step, d.Err)
	}
	return fmt.Sprintf("upgrade stopped at %s, %s: %v", d.Node, d.Step, d.Err)
}

// Unwrap returns the reason.
func (d *Doubt) Unwrap() error { return d.Err }

// Run rolls all nodes that the store does not name as done: those that do not
// lead first. It returns a *Doubt when it stops, ErrPaused when somebody asked
// for a pause, and nil when all nodes are done and the newest feature level that
// all can apply is in force.
func Run(ctx context.Context, cfg Config) error {
	cfg.Waits = cfg.Waits.withDefaults()
	r := &run{Config: cfg}
	for {
		var plan Plan
		err := retry(ctx, func(ctx context.Context) (err error) {
			plan, err = Look(ctx, cfg.Fleet)
			return err
		})
		if err != nil {
			return r.stop("", "the first step", err, "tandem status")
		}
		state, err := cfg.Store.Begin(plan.Cluster, cfg.Want)
		if err != nil {
			return err
		}
		next, ok := plan.next(state)
		if !ok {
			return r.finish(ctx, plan)
		}
		if err := r.roll(ctx, next); err != nil {
			return err
		}
	}
}

// run is an upgrade under way.
type run struct{ Config }

// step is one of the things done to a node.
type step struct {
	name string
	do   func(ctx context.Context, n client.Node) error
	next string // command, if it fails; NODE is replaced
}

// roll takes one node through all steps.
func (r *run) roll(ctx context.Context, node client.Node) error {
	steps := []step{
		{"check", r.check, "tandem status"},
		{"drain", r.drain, "tandem node drain NODE"},
		{"replace", r.replace, "tandem node undrain NODE, then correct the command"},
		{"restart", r.Restart, "look at the node's log; go back to the old program if it does not start"},
		{"return", r.await, "look at NODE's log; go back to the old program if it does not serve"},
		{"hash", r.same, "tandem node drain NODE; keep both states for the maintainers"},
		{"home", r.home, "tandem node list"},
	}
	for _, s := range steps {
		if err := r.Store.Step(node.Node, s.name); err != nil {
			return err // also ErrPaused
		}
		if err := s.do(ctx, node); err != nil {
			return r.stop(node.Node, s.name, err, s.next)
		}
	}
	return r.Store.Done(node.Node)
}

// stop keeps why the run stopped.
func (r *run) stop(node, step string, err error, next string) error {
	d := &Doubt{Node: node, Step: step, Err: err, Next: fill(next, node)}
	if serr := r.Store.Stopped(d.Error()); serr != nil {
		return fmt.Errorf("%w (and not noted down: %w)", d, serr)
	}
	return d
}

// finish puts the newest feature level in force that all nodes can apply.
func (r *run) finish(ctx context.Context, plan Plan) error {
	if plan.Possible > plan.Level {
		err := retry(ctx, func(ctx context.Context) error {
			_, _, err := r.Fleet.any.RaiseLevel(ctx, plan.Possible)
			return err
		})
		if err != nil {
			return r.stop("", "the new feature level", err, "tandem upgrade run")
		}
		r.Report("all", fmt.Sprintf("feature level %d is in force, before it %d: there is no way back to programs below it", plan.Possible, plan.Level))
	}
	return r.Store.Finish()
}
