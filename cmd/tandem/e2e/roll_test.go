//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"tandem/cmd/tandem/upgrade"
	"tandem/node/api/client"
	"tandem/node/load"
)

// A live cluster is rolled from the program of the commit before to this one and
// back, under traffic: no call is lost, none fails, and the states stay the same.
func TestRoll(t *testing.T) {
	old, fresh := previous(t), build(t, "../../..", "next")
	s := newHeld(t, holding{exe: old, voice: length(40, 200), cps: 20})
	churn := s.churn(length(5.0, 20.0))
	for _, to := range []struct{ exe, version string }{{fresh, "next"}, {old, "previous"}} {
		begun := time.Now()
		if err := s.roll(to.exe, to.version); err != nil {
			t.Fatal(err)
		}
		t.Logf("rolled to %s in %v", to.version, time.Since(begun).Round(time.Second))
	}
	churn()
	s.finish()
}

// All nodes are restarted in turn by SIGTERM, which drains them.
func TestRollingRestart(t *testing.T) {
	s := newHeld(t, holding{voice: length(40, 200), cps: 20})
	churn := s.churn(length(5.0, 20.0))
	var moves []time.Duration
	for i := range s.c.Nodes() {
		s.quiet()
		s.gaps()
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		err := s.c.Terminate(ctx, i)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if up := s.established(); up < s.calls() {
			t.Errorf("after the stop of %s %d of %d calls are up", s.c.Name(i), up, s.calls())
		}
		if err := s.c.Run(i); err != nil {
			t.Fatal(err)
		}
		if err := s.c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.quiet() // its address has moved twice by then
		gaps := s.gaps()[s.c.IP(i)]
		moves = append(moves, gaps...)
		p50, p99, longest := figures(gaps)
		t.Logf("%s stopped and back: %d calls, silent for p50 %v, p99 %v, at most %v", s.c.Name(i), len(gaps), round(p50), round(p99), round(longest))
	}
	if _, p99, _ := figures(moves); p99 > length(200*time.Millisecond, 60*time.Millisecond) {
		t.Errorf("p99 of the gaps of planned moves is %v", round(p99))
	}
	churn()
	s.finish()
}

// roll upgrades the cluster to a program.
func (s *held) roll(exe, version string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	var each []*client.Client
	for i := range s.c.Nodes() {
		each = append(each, s.c.Replica(i))
	}
	fleet, err := upgrade.NewFleet(ctx, s.api, each)
	if err != nil {
		return err
	}
	s.c.SetExe(exe)
	return upgrade.Run(ctx, upgrade.Config{
		Fleet: fleet, Store: upgrade.NewStore(filepath.Join(s.t.TempDir(), "upgrade.json")), Want: version, Reason: "test",
		Restart: func(ctx context.Context, n client.Node) error {
			i, err := strconv.Atoi(n.Node[1:])
			if err != nil {
				return err
			}
			if err := s.c.Terminate(ctx, i-1); err != nil {
				return err
			}
			return s.c.Run(i - 1)
		},
		Report: func(node, text string) { s.t.Logf("%s  %s", node, text) },
		Waits:  upgrade.Waits{Hash: length(time.Second, 10*time.Second)},
	})
}

// churn places short calls until the function that it returns is called, which
// checks that none has failed.
func (s *held) churn(cps float64) func() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var carriers sync.WaitGroup
	carrying, over := context.WithCancel(context.Background())
	p := s.placeWith(carrying, &carriers, ctx, 1, &part{name: "short"}, load.CallersConfig{CPS: cps, Talk: 2 * time.Second})
	return func() {
		s.t.Helper()
		cancel()
		if err := <-p.done; err != nil {
			s.t.Error(err)
		}
		over()
		carriers.Wait()
		var slowest time.Duration
		for _, o := range p.outcomes {
			slowest = max(slowest, o.Setup)
			if !o.Answered() || o.Cut || o.ByeLost {
				s.t.Errorf("short call failed: status %d %s, cut %v, bye lost %v: %+v", o.Status, o.Reason, o.Cut, o.ByeLost, o)
			}
		}
		s.t.Logf("%d short calls, slowest set-up %v", len(p.outcomes), round(slowest))
	}
}

// previous builds the program of the newest commit before this one that can be
// built.
func previous(t *testing.T) string {
	t.Helper()
	const tries = 5
	for n := 1; n <= tries; n++ {
		dir := t.TempDir()
		commit := fmt.Sprintf("HEAD~%d", n)
		if from := os.Getenv("TANDEM_E2E_FROM"); from != "" {
			commit = from
		}
		archive := exec.Command("sh", "-c", "git archive "+commit+" | tar -x -C "+dir)
		archive.Dir = filepath.Join("..", "..", "..")
		if out, err := archive.CombinedOutput(); err != nil {
			t.Fatalf("sources of %s: %v\n%s", commit, err, out)
		}
		path, err := tryBuild(dir, filepath.Join(dir, "tandem-previous"), "previous")
		if err == nil {
			t.Logf("the program before is that of %s", commit)
			return path
		}
		t.Logf("%s does not build: %v", commit, err)
	}
	t.Fatalf("none of the %d commits before builds", tries)
	return ""
}

// build makes the program of a source tree with a version of its own.
func build(t *testing.T, dir, version string) string {
	t.Helper()
	path, err := tryBuild(dir, filepath.Join(t.TempDir(), "tandem-"+version), version)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func tryBuild(dir, path, version string) (string, error) {
	cmd := exec.Command("go", "build", "-o", path, "-ldflags", "-X main.version="+version, "./cmd/tandem")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}
