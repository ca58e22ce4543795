package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"tandem/cmd/tandem/local"
)

// redraw is how often the footer is drawn on a terminal, report how often a line
// about the traffic is printed elsewhere.
const (
	redraw = 500 * time.Millisecond
	report = 10 * time.Second
)

// show is what people see while the demo runs: a line for each event, and below
// them, on a terminal, a footer that is redrawn.
type show struct {
	cfg   Config
	began time.Time

	following sync.WaitGroup
	cancel    context.CancelFunc

	mu     sync.Mutex // guards the output
	footer bool       // the last line on the screen is the footer
}

func newShow(cfg Config) *show { return &show{cfg: cfg, began: time.Now(), cancel: func() {}} }

// event prints a line with the time since the start.
func (s *show) event(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintf(s.cfg.Out, "%s  %s\n", s.clock(), fmt.Sprintf(format, args...))
}

func (s *show) clock() string {
	d := time.Since(s.began)
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// wipe removes the footer.
func (s *show) wipe() {
	if s.footer {
		fmt.Fprint(s.cfg.Out, "\r\x1b[K")
		s.footer = false
	}
}

// follow draws the footer, or prints a line now and then, until quiet.
func (s *show) follow(ctx context.Context, c *local.Cluster, t *traffic) {
	ctx, s.cancel = context.WithCancel(ctx)
	every := report
	if s.cfg.Live {
		every = redraw
	}
	s.following.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			line := s.line(ctx, c, t)
			if ctx.Err() != nil {
				return
			}
			if !s.cfg.Live {
				s.event("%s", line)
				continue
			}
			s.mu.Lock()
			s.wipe()
			fmt.Fprintf(s.cfg.Out, "tandem demo %s  %s", s.clock(), line)
			s.footer = true
			s.mu.Unlock()
		}
	})
}

// line is the state of things: nodes, leader, calls.
func (s *show) line(ctx context.Context, c *local.Cluster, t *traffic) string {
	leader, nodes := "none", make([]string, c.Nodes())
	if i, err := c.Leader(ctx); err == nil {
		leader = c.Name(i)
	}
	for i := range nodes {
		nodes[i] = c.Name(i) + s.mark(c.Running(i))
	}
	placed, answered, failed := t.figures()
	return fmt.Sprintf("%s  leader %s  %d calls up  %d placed  %d answered  %d not answered",
		strings.Join(nodes, " "), leader, t.live(), placed, answered, failed)
}

func (s *show) mark(good bool) string {
	switch {
	case good && s.cfg.Unicode:
		return s.cfg.Printer.Good("✓")
	case good:
		return s.cfg.Printer.Good("+")
	case s.cfg.Unicode:
		return s.cfg.Printer.Bad("✗")
	}
	return s.cfg.Printer.Bad("-")
}

// quiet ends the footer.
func (s *show) quiet() {
	s.cancel()
	s.following.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

func (s *show) end() { s.quiet() }
