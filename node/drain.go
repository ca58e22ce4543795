package node

import (
	"context"
	"fmt"
	"time"

	"tandem/cluster"
	"tandem/fsm"
)

// drainPoll is how often a drain's progress is looked at.
const drainPoll = 50 * time.Millisecond

// DrainStep is how far a drain is.
type DrainStep struct {
	At        time.Duration // since it was asked for
	Calls     int           // that the node still has
	Addresses int           // that it still serves
	Leads     bool          // it still leads the cluster
	Done      bool          // nothing is left
}

// String is a line for an operator.
func (s DrainStep) String() string {
	if s.Done {
		return fmt.Sprintf("drained in %v", s.At.Round(time.Millisecond))
	}
	text := fmt.Sprintf("%d calls on %d addresses are left", s.Calls, s.Addresses)
	if s.Leads {
		text += ", and the leadership"
	}
	return text
}

// Drain lets the node run empty: leadership, addresses and calls go to other
// nodes. It returns when nothing is left, or with ctx's error; the node goes on
// draining then. progress hears of each change, and may be nil.
func (n *Node) Drain(ctx context.Context, progress func(DrainStep)) error {
	began := time.Now()
	if err := n.setDrain(ctx, true, "the node itself"); err != nil {
		return err
	}
	n.poke()
	var last DrainStep
	for first := true; ; first = false {
		step := n.drainStep()
		if same := step == last; !same || first {
			last = step
			step.At = time.Since(began)
			if progress != nil {
				progress(step)
			}
		}
		if step.Done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d calls on %d addresses are left: %w", step.Calls, step.Addresses, ctx.Err())
		case <-time.After(drainPoll):
		}
	}
}

// Undrain lets the node take calls again. Its own addresses come back by
// themselves.
func (n *Node) Undrain(ctx context.Context) error {
	return n.setDrain(ctx, false, "the node itself")
}

func (n *Node) setDrain(ctx context.Context, on bool, by string) error {
	r, err := n.proposer.Propose(ctx, cluster.LaneUrgent, "", &fsm.SetDrain{Node: n.id, On: on, By: by})
	if err == nil && r.Code != fsm.OK {
		err = fmt.Errorf("%s: %s", r.Code, r.Detail)
	}
	return err
}

// drainStep looks at what is left here. Addresses that cannot move stay, without
// calls.
func (n *Node) drainStep() (s DrainStep) {
	n.replica.View(func(st *fsm.State) {
		s.Calls = len(st.OwnedCalls(n.id, n.cluster.Incarnation()))
		for _, a := range st.OwnedAddresses(n.id, n.cluster.Incarnation()) {
			if a.Move != fsm.MoveReinvite {
				s.Addresses++
			}
		}
	})
	s.Leads = n.leads()
	s.Done = s.Calls == 0 && s.Addresses == 0 && !s.Leads
	return s
}
