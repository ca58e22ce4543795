package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tandem/node/api/client"
)

// Fleet is the way to every node of a cluster.
type Fleet struct {
	any *client.Client            // whichever answers
	of  map[string]*client.Client // each node by itself, by name; reads are its own
}

// NewFleet asks each address which node it is. Every node of the cluster has to be
// there: what cannot be looked at cannot be upgraded.
func NewFleet(ctx context.Context, any *client.Client, each []*client.Client) (*Fleet, error) {
	f := &Fleet{any: any, of: map[string]*client.Client{}}
	for _, c := range each {
		s, _, err := c.Status(ctx)
		if err != nil {
			return nil, err
		}
		f.of[s.Node] = c
	}
	nodes, err := any.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, n := range nodes.Items {
		if f.of[n.Node] == nil {
			missing = append(missing, n.Node)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no --addr for %s: each node is looked at by itself", strings.Join(missing, ", "))
	}
	return f, nil
}

// Plan is what a run would do, in this order.
type Plan struct {
	Cluster  string        `json:"cluster"`
	Leader   string        `json:"leader"`
	Health   string        `json:"health"`
	Level    uint16        `json:"level"`    // in force
	Possible uint16        `json:"possible"` // that all nodes can apply by now
	Nodes    []client.Node `json:"nodes"`    // the leader last
}

// Look makes the plan.
func Look(ctx context.Context, f *Fleet) (Plan, error) {
	s, _, err := f.any.Status(ctx)
	if err != nil {
		return Plan{}, err
	}
	nodes, err := f.any.Nodes(ctx)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Cluster: s.Cluster, Leader: s.Leader, Health: s.Health, Level: s.Level, Nodes: nodes.Items}
	for i, n := range p.Nodes {
		if i == 0 || n.Level < p.Possible {
			p.Possible = n.Level
		}
	}
	slices.SortStableFunc(p.Nodes, func(a, b client.Node) int {
		switch {
		case a.Node == s.Leader && b.Node != s.Leader:
			return 1
		case b.Node == s.Leader && a.Node != s.Leader:
			return -1
		}
		return strings.Compare(a.Node, b.Node)
	})
	return p, nil
}

// next returns the node to be rolled: the one that was begun, or the first that is
// not done.
func (p *Plan) next(s State) (client.Node, bool) {
	for _, n := range p.Nodes {
		if n.Node == s.Node && !s.done(n.Node) {
			return n, true
		}
	}
	for _, n := range p.Nodes {
		if !s.done(n.Node) {
			return n, true
		}
	}
	return client.Node{}, false
}

// sound says why a node must not be taken away now. One that is away already, from
// a run before, may be brought back.
func (p *Plan) sound(node string) error {
	away := false
	for _, n := range p.Nodes {
		switch {
		case n.Node == node:
			away = !n.Up
		case !n.Up:
			return fmt.Errorf("node %s is down", n.Node)
		case n.Draining:
			return fmt.Errorf("node %s drains", n.Node)
		}
	}
	if p.Health != client.Healthy && !away {
		return errors.New("the cluster is " + p.Health)
	}
	return nil
}
