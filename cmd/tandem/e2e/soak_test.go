//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// usage is what a node's process holds.
type usage struct {
	goroutines, descriptors int
	heap                    float64 // bytes in use
}

// use reads what a node holds, from its metrics and from the kernel.
func (s *held) use(i int) usage {
	s.t.Helper()
	res, err := http.Get("http://" + s.c.API(i) + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	figure := func(name string) float64 {
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					s.t.Fatal(err)
				}
				return f
			}
		}
		s.t.Fatalf("no metric %s", name)
		return 0
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.c.PID(i)))
	if err != nil {
		s.t.Fatal(err)
	}
	return usage{goroutines: int(figure("go_goroutines")), descriptors: len(files), heap: figure("go_memstats_heap_inuse_bytes")}
}

// soakFor is how long the soak lasts: SOAK, such as "10m".
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("SOAK: %v", err)
		}
		return d
	}
	return length(15*time.Second, time.Hour)
}

// For a long time there is a fault every 30 s, under calls that are held. In the
// end no call is lost, the books add up, and nodes hold no more than at the
// beginning.
func TestSoak(t *testing.T) {
	every := length(10*time.Second, 30*time.Second)
	s := newHeld(t, holding{voice: length(20, 100), cps: 20})
	s.quiet()
	var before []usage
	for i := range s.c.Nodes() {
		before = append(before, s.use(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rng := rand.New(rand.NewPCG(7, 7))
	for end, n := time.Now().Add(soakFor(t)), 0; time.Now().Before(end); n++ {
		next := time.Now().Add(every)
		s.quiet()
		s.fault(ctx, n, rng.IntN(s.c.Nodes()))
		if up := s.established(); up != s.calls() {
			t.Fatalf("after fault %d %d of %d calls are up", n, up, s.calls())
		}
		time.Sleep(time.Until(next))
	}
	s.quiet()
	for i := range s.c.Nodes() {
		now := s.use(i)
		t.Logf("%s: %+v at first, %+v now", s.c.Name(i), before[i], now)
		if now.goroutines > before[i].goroutines*3/2+20 || now.descriptors > before[i].descriptors*3/2+20 || now.heap > before[i].heap*2+64<<20 {
			t.Errorf("%s holds more than at first: %+v, now %+v", s.c.Name(i), before[i], now)
		}
	}
	s.finish()
}

// fault does the nth thing to a node and waits until it serves again.
func (s *held) fault(ctx context.Context, n, node int) {
	s.t.Helper()
	switch n % 4 {
	case 0:
		s.kill(node, false)
	case 1:
		s.kill(node, true)
	case 2:
		if err := s.c.Terminate(ctx, node); err != nil {
			s.t.Fatal(err)
		}
	case 3:
		pid := s.c.PID(node)
		for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
			if err := syscall.Kill(pid, sig); err != nil {
				s.t.Fatal(err)
			}
			if sig == syscall.SIGSTOP {
				time.Sleep(2 * time.Second)
			}
		}
		return
	}
	time.Sleep(time.Second)
	if err := s.c.Run(node); err != nil {
		s.t.Fatal(err)
	}
	if err := s.c.Ready(ctx); err != nil {
		s.t.Fatal(err)
	}
}
