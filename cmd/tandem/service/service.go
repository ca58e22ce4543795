// Package service tells systemd how the process is: ready, alive, stopping.
//
// It owns nothing but the messages of sd_notify(3). The watchdog is fed only when
// the process has shown that its work moves, so a process that hangs is ended by
// systemd although it still answers signals. Without systemd it does nothing.
//
//	m := service.New(log)
//	go m.Run(ctx, node)   // READY=1 once it is, WATCHDOG=1 as long as it moves
//	m.Stopping(30 * time.Second)
package service

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Process is what is watched.
type Process interface {
	// Ready says why the process does not serve; nil: it does.
	Ready() error
	// Pulse returns when the process has shown that its work moves, and says what
	// hangs when ctx ends before.
	Pulse(ctx context.Context) error
}

// Manager speaks to systemd.
type Manager struct {
	log *slog.Logger
	// notify sends a message; false: there is no systemd.
	notify func(state string) (bool, error)
	// interval is within which systemd wants to hear of life; 0: it does not.
	interval func() (time.Duration, error)
}

// New returns a Manager for this process.
func New(log *slog.Logger) *Manager {
	return &Manager{
		log:      log,
		notify:   func(state string) (bool, error) { return daemon.SdNotify(false, state) },
		interval: func() (time.Duration, error) { return daemon.SdWatchdogEnabled(false) },
	}
}

const (
	// readyPoll is how often it is looked whether the process serves.
	readyPoll = 100 * time.Millisecond
	// margin is what systemd waits longer than a stop may take.
	margin = 15 * time.Second
)

// Run tells systemd when the process serves for the first time, and feeds the
// watchdog from the start, until ctx ends.
func (m *Manager) Run(ctx context.Context, p Process) error {
	interval, err := m.interval()
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	there, err := m.notify("STATUS=starting")
	if err != nil || !there {
		return err
	}
	ready := time.NewTicker(readyPoll)
	defer ready.Stop()
	var feed <-chan time.Time
	if interval > 0 {
		t := time.NewTicker(interval / 4)
		defer t.Stop()
		feed = t.C
	}
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-feed:
			m.feed(ctx, p, interval/4)
		case <-ready.C:
			status := "serving"
			if err := p.Ready(); err != nil {
				status = err.Error()
			}
			if status == told {
				continue
			}
			told = status
			message := "STATUS=" + status
			if status == "serving" {
				message = daemon.SdNotifyReady + "\n" + message
			}
			m.send(message)
		}
	}
}

// feed shows systemd a sign of life, if there is one.
func (m *Manager) feed(ctx context.Context, p Process, within time.Duration) {
	pulse, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := p.Pulse(pulse)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		m.log.Error("no sign of life for the watchdog", "err", err)
	default:
		m.send(daemon.SdNotifyWatchdog)
	}
}

// Stopping tells that the process is about to end, within a time.
func (m *Manager) Stopping(within time.Duration) {
	m.send(fmt.Sprintf("%s\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, (within + margin).Microseconds()))
}

// Status shows a line to who asks for the service's status.
func (m *Manager) Status(text string) { m.send("STATUS=" + text) }

func (m *Manager) send(state string) {
	if _, err := m.notify(state); err != nil {
		m.log.Warn("systemd not told", "state", state, "err", err)
	}
}
