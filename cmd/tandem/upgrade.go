package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/upgrade"
	"tandem/node/api/client"
)

func (a *app) upgradeCommand() *cobra.Command {
	var file string
	c := group("upgrade", "Roll the cluster to another program, node by node",
		a.upgradePlan(&file), a.upgradeRun(&file), a.upgradeStatus(&file), a.upgradePause(&file))
	c.PersistentFlags().StringVar(&file, "state", "tandem-upgrade.json", "file that keeps how far the upgrade is")
	return c
}

// fleet connects to each node by itself. Every node has to be among --addr.
func (a *app) fleet(ctx context.Context) (*upgrade.Fleet, error) {
	any, err := a.client()
	if err != nil {
		return nil, err
	}
	var each []*client.Client
	for _, addr := range a.flags.addrs {
		c, err := a.clientOf([]string{addr}, a.flags.token)
		if err != nil {
			return nil, err
		}
		each = append(each, c)
	}
	ctx, cancel := context.WithTimeout(ctx, a.flags.timeout)
	defer cancel()
	return upgrade.NewFleet(ctx, any, each)
}

func (a *app) upgradePlan(file *string) *cobra.Command {
	return &cobra.Command{Use: "plan", Short: "What a run would do, in its order", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		f, err := a.fleet(cmd.Context())
		if err != nil {
			return err
		}
		plan, err := upgrade.Look(cmd.Context(), f)
		if err != nil {
			return err
		}
		p := a.printer()
		if p.Format != render.Table {
			return render.Object(p, plan, []render.Column[upgrade.Plan]{col("CLUSTER", func(p upgrade.Plan) any { return p.Cluster })})
		}
		if err := render.List(p, plan.Nodes, nodeColumns()); err != nil {
			return err
		}
		return a.say("in this order; the cluster is %s, feature level %d is in force, all nodes know %d\nnext: tandem upgrade run --binary FILE --state %s\n",
			plan.Health, plan.Level, plan.Possible, *file)
	}}
}

type upgradeOptions struct {
	binary, install, replace, restart, want, reason string
}

func (a *app) upgradeRun(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "run", Short: "Upgrade all nodes, or go on with a run that has stopped", Args: cobra.NoArgs,
		Long: "For each node, the leader last: drain it, put the new program in place, restart it, wait until it serves, has caught\n" +
			"up, has the same state as the others and its addresses back. At the first doubt the run stops and says why.\n" +
			"When all nodes are done, the newest feature level that all know is put in force.\n\n" +
			"--replace-cmd and --restart-cmd run in a shell with TANDEM_NODE and TANDEM_IP (a service address of the node).\n" +
			"Without --replace-cmd, --binary is put at --install on this machine: for nodes on this machine.",
		Example: "  tandem upgrade run --to v1.5.0 \\\n" +
			"    --replace-cmd 'scp tandem root@$TANDEM_NODE:/usr/local/bin/tandem.new && ssh root@$TANDEM_NODE mv /usr/local/bin/tandem.new /usr/local/bin/tandem' \\\n" +
			"    --restart-cmd 'ssh root@$TANDEM_NODE systemctl restart tandem'",
	}
	var o upgradeOptions
	f := cmd.Flags()
	f.StringVar(&o.binary, "binary", "", "the new program")
	f.StringVar(&o.install, "install", "/usr/local/bin/tandem", "where nodes on this machine start it from")
	f.StringVar(&o.replace, "replace-cmd", "", "command that puts the new program on a node's machine")
	f.StringVar(&o.restart, "restart-cmd", "systemctl restart tandem", "command that restarts a node")
	f.StringVar(&o.want, "to", "", "version that nodes have to report afterwards; default: that of --binary")
	f.StringVar(&o.reason, "reason", "upgrade", "shown at nodes that drain")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runUpgrade(cmd.Context(), *file, o) }
	return cmd
}

func (a *app) runUpgrade(ctx context.Context, file string, o upgradeOptions) error {
	cfg := upgrade.Config{
		Store: upgrade.NewStore(file), Want: o.want, Reason: o.reason, Restart: upgrade.Command(o.restart),
		Report: func(node, text string) { fmt.Fprintf(a.errOut, "%s  %s\n", node, text) },
	}
	switch {
	case o.replace != "":
		cfg.Replace = upgrade.Command(o.replace)
	case o.binary != "":
		cfg.Replace = func(context.Context, client.Node) error { return upgrade.Install(o.binary, o.install) }
	}
	var err error
	if cfg.Want == "" && o.binary != "" {
		if cfg.Want, err = upgrade.VersionOf(ctx, o.binary); err != nil {
			return err
		}
	}
	if cfg.Fleet, err = a.fleet(ctx); err != nil {
		return fmt.Errorf("upgrade not begun: %w", err)
	}
	err = upgrade.Run(ctx, cfg)
	var doubt *upgrade.Doubt
	switch {
	case errors.As(err, &doubt):
		return &failure{Code: exitFailed, What: doubt.Error(), Why: "the other nodes serve as before", Next: doubt.Next + "; then tandem upgrade run goes on"}
	case errors.Is(err, upgrade.ErrPaused):
		return a.say("paused; go on: tandem upgrade run\n")
	case err != nil:
		return err
	}
	return a.say("all nodes are upgraded\n  undo: tandem upgrade run with the old program, as long as its feature level is not below the one in force\n")
}

func (a *app) upgradeStatus(file *string) *cobra.Command {
	return &cobra.Command{Use: "status", Short: "How far the upgrade is", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		st, ok, err := upgrade.NewStore(*file).Read()
		if err != nil {
			return err
		}
		if !ok {
			return &failure{Code: exitFailed, What: "no upgrade is under way: " + *file + " is not there", Next: "tandem upgrade plan"}
		}
		type S = upgrade.State
		return render.Object(a.printer(), st, []render.Column[S]{
			col("CLUSTER", func(s S) any { return s.Cluster }),
			col("TO", func(s S) any { return s.Want }),
			col("STATE", func(s S) any { return upgradeState(s) }),
			col("DONE", func(s S) any { return strings.Join(s.Done, ", ") }),
			col("BEGUN", func(s S) any { return client.Time{Time: s.Begun} }),
			col("UPDATED", func(s S) any { return client.Time{Time: s.Updated} }),
		})
	}}
}

func upgradeState(s upgrade.State) string {
	at := ""
	if s.Node != "" {
		at = fmt.Sprintf(" at %s, %s", s.Node, s.Step)
	}
	switch {
	case s.Ended:
		return "ended"
	case s.Stopped != "":
		return "stopped" + at + ": " + s.Stopped
	case s.Pause:
		return "pauses behind" + at
	}
	return "running" + at
}

func (a *app) upgradePause(file *string) *cobra.Command {
	return &cobra.Command{Use: "pause", Short: "Let a run stop before its next step", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		if err := upgrade.NewStore(*file).Pause(); err != nil {
			return err
		}
		return a.say("the run stops before its next step; go on: tandem upgrade run\n")
	}}
}
