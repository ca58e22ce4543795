package watchman

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"syscall"
	"time"
)

// KeepConfig says how a node runs its guard.
type KeepConfig struct {
	// Command makes the guard's command: a program that calls [Watch] with its
	// standard input as the news, after it has printed [Watching].
	Command func() *exec.Cmd
	// News returns what the guard has to know at the moment.
	News   func() News
	Logger *slog.Logger // nil discards
}

// Watching is the line that a guard prints when it holds its node's process.
const Watching = "watching"

const (
	// newsEvery is how often the node looks whether there is news for its guard.
	newsEvery = 500 * time.Millisecond
	// writeTimeout is how long a guard may leave its news unread: it does nothing
	// but read them, so it hangs.
	writeTimeout = time.Second
	// firstPause and maxPause bound the rate at which guards are started that die;
	// one that lived for steadyAfter died of something else than its start.
	firstPause  = 50 * time.Millisecond
	maxPause    = 5 * time.Second
	steadyAfter = 30 * time.Second
)

// Keep runs a guard until ctx ends, and starts another one whenever it dies. The
// last guard is left behind on purpose: it reports the end of this process,
// which is about to come.
func Keep(ctx context.Context, cfg KeepConfig) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	pause := firstPause
	for {
		started := time.Now()
		err := keepOne(ctx, cfg)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > steadyAfter {
			pause = firstPause
		}
		cfg.Logger.Warn("guard process ended, another one is started", "err", err, "in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// keepOne runs one guard to its end, or until ctx ends.
func keepOne(ctx context.Context, cfg KeepConfig) error {
	c, err := start(cfg.Command())
	if err != nil {
		return err
	}
	gone := make(chan error, 1)
	go func() { gone <- c.listen(cfg.Logger) }()
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	fed := make(chan error, 1)
	go func() { fed <- c.feed(feeding, cfg.News) }()
	select {
	case err := <-gone: // the guard has ended
		stop()
		<-fed
		return errors.Join(err, c.reap(false))
	case err := <-fed:
		if ctx.Err() == nil { // it does not read
			kill := c.cmd.Process.Kill()
			return errors.Join(err, <-gone, kill, c.reap(false))
		}
		err = c.close()
		<-gone
		return errors.Join(err, c.reap(true))
	}
}

// child is a guard process, seen from its node.
type child struct {
	cmd  *exec.Cmd
	news *os.File // its standard input
	said *os.File // its standard output; ends when it does
}

// start begins a guard. It is in a process group of its own: what a terminal or
// a tool does to the node's group is not to hit both.
func start(cmd *exec.Cmd) (*child, error) {
	in, news, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	said, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), news.Close())
	}
	cmd.Stdin, cmd.Stdout = in, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	err = cmd.Start()
	err = errors.Join(err, in.Close(), out.Close())
	c := &child{cmd: cmd, news: news, said: said}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start guard: %w", err), c.close())
	}
	return c, nil
}

// listen returns when the guard has ended or the pipe from it is closed.
func (c *child) listen(log *slog.Logger) error {
	lines := bufio.NewScanner(c.said)
	for lines.Scan() {
		if lines.Text() == Watching {
			log.Info("guard process watches", "pid", c.cmd.Process.Pid)
		}
	}
	if err := lines.Err(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// feed tells the guard what is new until ctx ends, and then that the end is a
// planned one.
func (c *child) feed(ctx context.Context, news func() News) error {
	var told News
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	for {
		n := news()
		n.Stopping = ctx.Err() != nil
		if !reflect.DeepEqual(n, told) {
			if err := c.tell(n); err != nil {
				return err
			}
			told = n
		}
		if n.Stopping {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (c *child) tell(n News) error {
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := c.news.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("news for the guard: %w", err)
	}
	if _, err := c.news.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("news for the guard: %w", err)
	}
	return nil
}

func (c *child) close() error { return errors.Join(c.news.Close(), c.said.Close()) }

// reap collects a guard that has ended, or lets go of one that is to outlive us.
func (c *child) reap(alive bool) error {
	if alive {
		return c.cmd.Process.Release()
	}
	return errors.Join(c.cmd.Wait(), c.close())
}
