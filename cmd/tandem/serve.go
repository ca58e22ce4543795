package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/service"
	"tandem/node"
	"tandem/node/config"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "serve", Short: "Run a node", Args: cobra.NoArgs}
	file := cmd.Flags().String("config", "/etc/tandem/tandem.toml", "configuration file (TANDEM_CONFIG)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if v := a.env("TANDEM_CONFIG"); v != "" && !cmd.Flags().Changed("config") {
			*file = v
		}
		c, err := config.Load(*file)
		if err != nil {
			return fmt.Errorf("node not started: %w", err)
		}
		return a.serve(cmd.Context(), *file, c)
	}
	return cmd
}

// serve runs a node until ctx ends.
func (a *app) serve(ctx context.Context, file string, c config.Config) error {
	log := a.logger(c.Log)
	fatal := func(err error) {
		log.Error("node ends at once", "err", err)
		os.Exit(exitFailed)
	}
	n, err := node.Open(c, buildVersion(), log, fatal)
	if err != nil {
		return fmt.Errorf("node %s not started: %w", c.Node.Name, err)
	}
	if err := a.say("%s", greeting(c)); err != nil {
		return err
	}
	unguard := a.guarded(file, n, log)
	err = runNode(ctx, n, time.Duration(*c.Node.Drain), log)
	unguard()
	if err != nil {
		return fmt.Errorf("node %s stopped: %w", c.Node.Name, err)
	}
	return a.say("node %s stopped\n", c.Node.Name)
}

// runNode runs a node until ctx ends, drains it then within a deadline, and stops it.
// A second signal ends the process at once, as main has set up.
func runNode(ctx context.Context, n *node.Node, drain time.Duration, log *slog.Logger) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	manager := service.New(log)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(running) }()
	managed := make(chan error, 1)
	go func() { managed <- manager.Run(running, n) }()
	var err error
	select {
	case err = <-ended:
		stop()
		return errors.Join(err, <-managed)
	case <-ctx.Done():
	}
	manager.Stopping(drain)
	if drain > 0 {
		leave(running, n, drain, manager, log)
	}
	stop()
	return errors.Join(<-ended, <-managed)
}

// leave gives away what the node has, as far as that is possible.
func leave(ctx context.Context, n *node.Node, within time.Duration, manager *service.Manager, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := n.Leave(ctx, func(s node.DrainStep) {
		log.Info("draining", "state", s.String())
		manager.Status("draining: " + s.String())
	})
	switch {
	case errors.Is(err, node.ErrNoHeir):
		log.Warn("stopping without a drain", "reason", err)
	case err != nil:
		log.Warn("not drained in time; what is left goes to others when this process has ended", "err", err)
	}
}

// greeting is what a node says when it starts.
func greeting(c config.Config) string {
	scheme := "https"
	if c.HTTP.Loopback() {
		scheme = "http"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "tandem %s, node %s (%s)\n", buildVersion(), c.Node.Name, c.Node.Role)
	fmt.Fprintf(&b, "  data     %s\n", c.Node.DataDir)
	fmt.Fprintf(&b, "  cluster  %s, with %s\n", c.Advertise(), cmp.Or(strings.Join(c.Cluster.Join, ", "), "nobody else"))
	for _, s := range c.Address {
		fmt.Fprintf(&b, "  sip      %s:%d %s, media %s\n", s.IP, c.SIP.Port, strings.Join(c.SIP.Transports, "+"), c.Media.Ports)
	}
	fmt.Fprintf(&b, "  api      %s://%s\n", scheme, c.HTTP.Listen)
	fmt.Fprintf(&b, "next: tandem status --addr %s\n", c.HTTP.Listen)
	return b.String()
}

// logger writes to standard error: text on a terminal, JSON elsewhere, unless
// the configuration says which.
func (a *app) logger(c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // config has refused other texts
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "text" || c.Format == "" && a.terminal {
		return slog.New(slog.NewTextHandler(a.errOut, opts))
	}
	return slog.New(slog.NewJSONHandler(a.errOut, opts))
}
