package service

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// process is one that can be made to hang.
type process struct {
	mu    sync.Mutex // guards what follows
	ready error
	hangs bool
}

func (p *process) set(ready error, hangs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready, p.hangs = ready, hangs
}

func (p *process) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}

func (p *process) Pulse(ctx context.Context) error {
	p.mu.Lock()
	hangs := p.hangs
	p.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return errors.New("it hangs")
	}
	return nil
}

// systemd keeps what it is told.
type systemd struct {
	mu   sync.Mutex // guards told
	told []string
}

func (s *systemd) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.told
	s.told = nil
	return told
}

func (s *systemd) manager(interval time.Duration) *Manager {
	return &Manager{
		log: slog.New(slog.DiscardHandler), interval: func() (time.Duration, error) { return interval, nil },
		notify: func(state string) (bool, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = append(s.told, strings.Split(state, "\n")...)
			return true, nil
		},
	}
}

// systemd hears of readiness once it is there, and of life only while the work
// moves.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := &systemd{}, &process{ready: errors.New("catching up")}
		m := s.manager(20 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx, p) }()
		time.Sleep(6 * time.Second)
		if told := s.take(); !slices.Equal(told, []string{"STATUS=starting", "STATUS=catching up", "WATCHDOG=1"}) {
			t.Error(told)
		}
		p.set(nil, false)
		time.Sleep(time.Second)
		if told := s.take(); !slices.Equal(told, []string{"READY=1", "STATUS=serving"}) {
			t.Error(told)
		}
		p.set(nil, true)
		time.Sleep(40 * time.Second)
		if told := s.take(); len(told) != 0 {
			t.Error(told)
		}
		p.set(nil, false)
		time.Sleep(6 * time.Second)
		if told := s.take(); !slices.Contains(told, "WATCHDOG=1") {
			t.Error(told)
		}
		m.Stopping(30 * time.Second)
		if told := s.take(); !slices.Equal(told, []string{"STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=45000000"}) {
			t.Error(told)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A process that systemd did not start says nothing and waits for nothing.
func TestAlone(t *testing.T) {
	m := New(slog.New(slog.DiscardHandler))
	m.notify = func(string) (bool, error) { return false, nil }
	if err := m.Run(t.Context(), &process{}); err != nil {
		t.Error(err)
	}
}
