package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/node/api/client"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "One screen about the cluster (the default)", Args: cobra.NoArgs, RunE: a.api(a.status)}
}

func (a *app) status(ctx context.Context, c *client.Client, _ []string) error {
	s, _, err := c.Status(ctx)
	if err != nil {
		return err
	}
	p := a.printer()
	switch {
	case a.flags.quiet:
	case p.Format == render.Table:
		_, err = fmt.Fprint(a.out, summary(p, s))
	default:
		err = render.Object(p, s, statusColumns())
	}
	if err == nil && s.Health == client.NoQuorum {
		return &failure{
			Code: exitNoLeader, What: fmt.Sprintf("no quorum: %d of %d voters are up", s.VotersUp, s.Voters),
			Why: "reads still work with --stale; writes and new calls resume when a majority sees each other", Next: "tandem members --stale",
		}
	}
	return err
}

func statusColumns() []render.Column[client.Status] {
	type S = client.Status
	return []render.Column[S]{
		col("CLUSTER", func(s S) any { return s.Cluster }),
		col("HEALTH", func(s S) any { return s.Health }),
		col("LEADER", func(s S) any { return s.Leader }),
		col("VOTERS", func(s S) any { return s.Voters }),
		col("VOTERS UP", func(s S) any { return s.VotersUp }),
		col("TERM", func(s S) any { return s.Term }),
		col("COMMIT", func(s S) any { return s.Commit }),
		col("CALLS", func(s S) any { return s.Calls }),
		col("CDRS", func(s S) any { return s.CDRs }),
	}
}

// summary is the status for people.
func summary(p render.Printer, s client.Status) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-8s %s\n", name, fmt.Sprintf(format, args...))
	}
	health := strings.ToUpper(s.Health)
	switch s.Health {
	case client.Healthy:
		health = p.Good(health)
	case client.Degraded:
		health = p.Warn(health)
	default:
		health = p.Bad(health)
	}
	line("cluster", "%s   %s   survives %s   %s", s.Cluster, health, count(s.Survives, "more node failure"), s.Version)
	line("leader", "%s   term %d   index %s   %d of %d voters up", cmp.Or(s.Leader, "none"), s.Term, p.Text(s.Commit), s.VotersUp, s.Voters)
	calls := p.Text(s.Calls) + " live"
	if s.Waiting > 0 {
		calls += "   " + p.Bad(p.Text(s.Waiting)+" on nodes that are down")
	}
	line("calls", "%s   %s   %s", calls, count(s.CDRs, "CDR"), count(s.Transfers, "transfer"))
	line("objects", "%s   %s   %s   %s", count(s.Accounts, "account"), count(s.Gateways, "gateway"),
		count(s.Tables, "rate table"), count(s.Blocked, "blocked number"))
	asked := s.Node + " takes calls"
	if !s.Ready {
		asked = p.Warn(s.Node + " takes no calls: " + cmp.Or(s.NotReady, "not ready"))
	}
	for _, text := range outOfPlace(s) {
		line("nodes", "%s", p.Warn(text))
	}
	line("asked", "%s", asked)
	return b.String()
}

// outOfPlace says what is not as on a quiet day: nodes that are down or drain,
// addresses that are not at home.
func outOfPlace(s client.Status) []string {
	var out []string
	for _, n := range s.Down {
		out = append(out, n+" is down")
	}
	for _, n := range s.Draining {
		text := fmt.Sprintf("%s is %s, %s left, asked for by %s", n.Node, nodeState(n), count(n.Calls, "call"), cmp.Or(n.DrainBy, "itself"))
		if n.DrainReason != "" {
			text += ": " + n.DrainReason
		}
		out = append(out, text)
	}
	for _, a := range s.Away {
		out = append(out, fmt.Sprintf("%s of %s is on %s", a.IP, cmp.Or(a.Home, "nobody"), cmp.Or(a.Owner, "no node")))
	}
	return out
}

func (a *app) membersCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "members", Short: "The nodes, as gossip and the state machine see them", Args: cobra.NoArgs}
	cmd.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		list, err := c.Members(ctx)
		if err != nil {
			return err
		}
		type M = client.Member
		return render.List(a.printer(), list.Items, []render.Column[M]{
			col("NODE", func(m M) any { return m.Node }),
			col("ADDRESS", func(m M) any { return m.Address }),
			col("STATE", func(m M) any { return m.State }),
			col("ROLE", func(m M) any { return m.Role }),
			col("ADMITTED", func(m M) any { return m.Up }),
			col("CALLS", func(m M) any { return m.Calls }),
			col("SERVES", func(m M) any { return m.Services }),
			col("VERSION", func(m M) any { return m.Version }),
			col("SINCE", func(m M) any { return m.Since }),
			col("WITNESS", func(m M) any { return m.Witness }),
		})
	})
	cmd.AddCommand(a.removeCommand())
	return cmd
}

func (a *app) raftCommand() *cobra.Command {
	peers := &cobra.Command{Use: "peers", Short: "Raft's configuration, as the asked node sees it", Args: cobra.NoArgs}
	peers.RunE = a.api(func(ctx context.Context, c *client.Client, _ []string) error {
		list, err := c.Peers(ctx)
		if err != nil {
			return err
		}
		type P = client.Peer
		return render.List(a.printer(), list.Items, []render.Column[P]{
			col("NODE", func(p P) any { return p.Node }),
			col("ADDRESS", func(p P) any { return p.Address }),
			col("STATE", func(p P) any { return p.State }),
			col("VOTER", func(p P) any { return p.Voter }),
			col("LAST CONTACT", func(p P) any { return contact(p) }),
			col("COMMIT", func(p P) any { return p.Commit }),
			col("APPLIED", func(p P) any { return p.Applied }),
			col("BEHIND", func(p P) any { return p.Lag }),
			col("SNAPSHOT", func(p P) any { return orNone(p.Snapshot) }),
			col("CLOCK", func(p P) any { return p.WallOffset }),
			col("DISK HANGS", func(p P) any { return orNothing(p.DiskStalled) }),
		})
	})
	return group("raft", "Consensus", peers, a.transferCommand())
}

func contact(p client.Peer) any {
	if p.LastContact < 0 {
		return "never"
	}
	return p.LastContact
}
