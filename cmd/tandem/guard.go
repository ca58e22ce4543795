package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"tandem/node"
	"tandem/node/config"
	"tandem/node/watchman"
)

// guardCommand is the guard process of a node: "tandem serve" starts it, nobody
// else does.
func (a *app) guardCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "guard", Short: "Watch the node that has started this process", Args: cobra.NoArgs, Hidden: true}
	file := cmd.Flags().String("config", "", "the node's configuration file")
	pid := cmd.Flags().Int("pid", 0, "the node's process")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		// The guard ends after its node, whatever is sent to both.
		signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		c, err := config.Load(*file)
		if err != nil {
			return fmt.Errorf("guard not started: %w", err)
		}
		return a.guard(context.WithoutCancel(cmd.Context()), c, *pid)
	}
	return cmd
}

// guard watches a node's process until it has ended and the peers know.
func (a *app) guard(ctx context.Context, c config.Config, pid int) error {
	log := a.logger(c.Log).With("guard", os.Getpid())
	if err := watchman.Urgent(); err != nil {
		log.Debug("guard runs at the node's priority", "err", err)
	}
	herald, err := node.OpenHerald(c, log)
	if err != nil {
		return fmt.Errorf("guard of %s: %w", c.Node.Name, err)
	}
	defer herald.Close()
	release, err := node.TakeOff(c, log)
	if err != nil {
		return fmt.Errorf("guard of %s: %w", c.Node.Name, err)
	}
	if _, err := fmt.Fprintln(a.out, watchman.Watching); err != nil {
		return err
	}
	return watchman.Watch(ctx, watchman.Config{PID: pid, News: a.in, Voice: herald, Release: release, Logger: log})
}

// guarded runs a node's guard beside it until stop is called, which returns when
// the guard knows that the end is near.
func (a *app) guarded(file string, n *node.Node, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var keeper sync.WaitGroup
	keeper.Go(func() {
		err := watchman.Keep(ctx, watchman.KeepConfig{
			Command: func() *exec.Cmd {
				// The very same program, also when its file was replaced meanwhile.
				cmd := exec.Command("/proc/self/exe", "guard", "--config", file, "--pid", fmt.Sprint(os.Getpid()))
				cmd.Args[0], cmd.Stderr = "tandem", os.Stderr
				return cmd
			},
			News: n.News, Logger: log,
		})
		if err != nil {
			log.Error("no guard process", "err", err)
		}
	})
	return func() {
		cancel()
		keeper.Wait()
	}
}
