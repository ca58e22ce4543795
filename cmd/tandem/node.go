package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

func (a *app) nodeCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "The nodes, what they own and whether they drain", Args: cobra.NoArgs}
	list.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		nodes, err := c.Nodes(ctx)
		if err != nil {
			return err
		}
		return render.List(a.printer(), nodes.Items, nodeColumns())
	})
	return group("node", "What a node owns; let it run empty", list, a.drainCommand(), a.undrainCommand())
}

func nodeColumns() []render.Column[client.Node] {
	type N = client.Node
	return []render.Column[N]{
		col("NODE", func(n N) any { return n.Node }),
		col("STATE", func(n N) any { return nodeState(n) }),
		col("CALLS", func(n N) any { return n.Calls }),
		col("ADDRESSES", func(n N) any { return ipsOf(n.Addresses) }),
		col("VERSION", func(n N) any { return n.Version }),
		col("LEVEL", func(n N) any { return n.Level }),
		col("SINCE", func(n N) any { return n.Since }),
		col("DRAINED BY", func(n N) any { return n.DrainBy }),
		col("REASON", func(n N) any { return n.DrainReason }),
	}
}

// nodeState is a node's state in a word.
func nodeState(n client.Node) string {
	switch {
	case !n.Up:
		return "down"
	case n.Drained:
		return "drained"
	case n.Draining:
		return "draining"
	case n.Witness:
		return "witness"
	}
	return "up"
}

func ipsOf(addresses []client.ServiceAddress) []string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = a.IP
	}
	return out
}

func (a *app) drainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "drain NODE", Short: "Let a node run empty: its calls and addresses go to others", Args: cobra.ExactArgs(1),
		Long: "Lets a node run empty: it refuses new calls with 503 and Retry-After, and gives its calls and addresses to other\n" +
			"nodes. No call is lost. Ctrl-C stops watching, the drain goes on; the same command looks at it again.",
	}
	reason := cmd.Flags().String("reason", "", "shown to other operators")
	detach := cmd.Flags().Bool("detach", false, "do not wait for the end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		return a.drain(cmd.Context(), c, args[0], client.DrainRequest{Reason: *reason}, *detach)
	}
	return cmd
}

func (a *app) undrainCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "undrain NODE", Short: "Let a node take calls again", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		n, r, err := c.Undrain(ctx, args[0])
		if err != nil {
			return fmt.Errorf("node %s still drains: %w", args[0], err)
		}
		return a.changed(change{
			What: fmt.Sprintf("node %q takes calls again", n.Node), Index: r.Index, Object: n, Undo: "tandem node drain " + settings.Quote(n.Node),
		})
	})
	return cmd
}

// drain asks for a drain, unless it is under way already, and watches it.
func (a *app) drain(ctx context.Context, c *client.Client, name string, why client.DrainRequest, detach bool) error {
	asking, cancel := context.WithTimeout(ctx, a.flags.timeout)
	defer cancel()
	n, _, err := c.Node(asking, name)
	if err != nil {
		return fmt.Errorf("node %s not drained: %w", name, err)
	}
	calls := n.Calls
	if !n.Draining {
		asked, r, err := c.Drain(asking, name, why)
		if err != nil {
			return fmt.Errorf("node %s not drained: %w", name, err)
		}
		n = asked
		err = a.changed(change{
			What: fmt.Sprintf("node %q drains", name), Index: r.Index, Object: n, Undo: "tandem node undrain " + settings.Quote(name),
		})
		if err != nil {
			return err
		}
	}
	if detach {
		return nil
	}
	return a.watchDrain(ctx, c, n, calls)
}

// watchEvery is how often the progress of a drain is looked at.
const watchEvery = 200 * time.Millisecond

// watchDrain prints a line whenever the node owns less, until it owns nothing.
func (a *app) watchDrain(ctx context.Context, c *client.Client, n client.Node, calls int) error {
	begun := time.Now()
	var shown string
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		switch line := drainLine(n); {
		case !n.Draining:
			return &failure{Code: exitFailed, What: fmt.Sprintf("the drain of %s was ended by somebody", n.Node), Next: "tandem node list"}
		case !n.Up:
			return &failure{
				Code: exitFailed, What: fmt.Sprintf("node %s went down while it drained", n.Node),
				Why: "its calls went to another node all the same", Next: "tandem node list",
			}
		case n.Drained:
			return a.say("%s  drained in %v, %s had to move or end\n", n.Node, time.Since(begun).Round(time.Millisecond), count(calls, "call"))
		case line != shown:
			shown = line
			if err := a.say("%s", line); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return a.say("stopped watching, the drain goes on; look again: tandem node drain %[1]s   cancel: tandem node undrain %[1]s\n", settings.Quote(n.Node))
		case <-tick.C:
		}
		look, cancel := context.WithTimeout(ctx, a.flags.timeout)
		next, _, err := c.Node(look, n.Node)
		cancel()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("the drain of %s goes on unseen: %w", n.Node, err)
		}
		if err == nil {
			n = next
		}
	}
}

func drainLine(n client.Node) string {
	var stay, move []string
	for _, s := range n.Addresses {
		if s.Move == moveReinvite {
			stay = append(stay, s.IP)
		} else {
			move = append(move, s.IP)
		}
	}
	line := fmt.Sprintf("%s  %s left", n.Node, count(n.Calls, "call"))
	if len(move) > 0 {
		line += ", addresses " + strings.Join(slices.Sorted(slices.Values(move)), ", ")
	}
	if len(stay) > 0 {
		line += ", stays " + strings.Join(stay, ", ")
	}
	return line + "\n"
}

// moveReinvite is the kind of address that stays where it is.
const moveReinvite = "reinvite"

// removeCommand takes a dead node out of the cluster.
func (a *app) removeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove NODE", Short: "Take a node that is down out of the cluster for good", Args: cobra.ExactArgs(1),
		Long: "Takes a node out of consensus and out of the replicated state. It has to be down and to own nothing; it can only come\n" +
			"back with an empty data directory. Fewer than three voters are left only with --yes.",
	}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, args []string) error {
		name := args[0]
		_, r, err := c.RemoveNode(ctx, name, a.flags.yes)
		if err != nil {
			return fmt.Errorf("node %s not removed: %w", name, err)
		}
		return a.changed(change{What: fmt.Sprintf("node %q removed from the cluster", name), Index: r.Index,
			Undo: "start it with an empty data_dir that has only pki/ and cluster.json"})
	})
	return cmd
}

func (a *app) transferCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "transfer", Short: "Let another voter lead", Args: cobra.NoArgs}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		before, _, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if _, _, err := c.TransferLeadership(ctx); err != nil {
			return fmt.Errorf("leadership stays with %s: %w", before.Leader, err)
		}
		for {
			s, r, err := c.Status(ctx)
			if err == nil && s.Leader != "" && s.Leader != before.Leader {
				return a.changed(change{What: fmt.Sprintf("node %q leads, before it %q", s.Leader, before.Leader), Index: r.Index,
					Undo: "tandem raft transfer", Object: s})
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("no new leader seen: %w", ctx.Err())
			case <-time.After(watchEvery):
			}
		}
	})
	return cmd
}
