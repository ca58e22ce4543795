package live_test

import (
	"context"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/chaos"
	"tandem/chaos/live"
)

// sleeper is a process that can be struck.
type sleeper struct {
	t *testing.T

	mu  sync.Mutex // guards cmd and log
	cmd *exec.Cmd
	log []string
}

func (s *sleeper) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, "start")
	s.cmd = exec.Command("sleep", "60")
	return s.cmd.Start()
}

func (s *sleeper) kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, "kill")
	s.cmd.Process.Kill()
	s.cmd.Wait()
	return nil
}

func (s *sleeper) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// state is the letter of a process in /proc: T is stopped.
func state(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

func pair(t *testing.T) (nodes []live.Node, all []*sleeper) {
	t.Helper()
	for _, name := range []string{"n1", "n2"} {
		s := &sleeper{t: t}
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.kill() })
		all = append(all, s)
		nodes = append(nodes, live.Node{
			Name: name, IP: netip.MustParseAddr("127.0.0.1"), PID: s.pid, Kill: s.kill, Start: s.start,
			Stop: func(context.Context) error { return s.kill() },
		})
	}
	return nodes, all
}

func leader(context.Context) string { return "n2" }

// TestStrikes: faults hit who has the role, end after their time, and are told
// with names.
func TestStrikes(t *testing.T) {
	nodes, all := pair(t)
	s, err := chaos.ParseSchedule("0s kill leader for 50ms\n10ms pause n1 for 100ms\n200ms transfer leader")
	if err != nil {
		t.Fatal(err)
	}
	var handed []string
	var mu sync.Mutex
	paused := ""
	d := live.New(live.Config{
		Nodes: nodes, Leader: leader,
		Transfer: func(_ context.Context, n string) error { handed = append(handed, n); return nil },
		Notify: func(f chaos.Fault, over bool) {
			if f.Kind == chaos.Transfer && !over {
				mu.Lock()
				defer mu.Unlock()
				paused = state(t, all[0].pid())
			}
		},
	})
	struck, err := d.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range struck {
		got = append(got, string(f.Kind)+" "+f.Groups[0][0])
	}
	slices.Sort(got)
	if want := []string{"kill n2", "pause n1", "transfer n2"}; !slices.Equal(got, want) || !slices.Equal(handed, []string{"n2"}) {
		t.Errorf("struck %v, handed over %v, want %v", got, handed, want)
	}
	if !slices.Equal(all[1].log, []string{"start", "kill", "start"}) || paused == "T" {
		t.Errorf("n2 lived through %v; n1 is in state %s afterwards", all[1].log, paused)
	}
}

// TestInterrupted: whoever stops the run finds nothing broken.
func TestInterrupted(t *testing.T) {
	nodes, all := pair(t)
	s, err := chaos.ParseSchedule("0s pause n1 for 1m\n0s kill n2")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := live.New(live.Config{Nodes: nodes, Leader: leader}).Run(ctx, s); err == nil {
		t.Error("an interrupted run has no error")
	}
	if got := state(t, all[0].pid()); got == "T" {
		t.Error("n1 is still stopped")
	}
	if !slices.Equal(all[1].log, []string{"start", "kill", "start"}) {
		t.Errorf("n2 lived through %v", all[1].log)
	}
}

// TestGuardian: when the tool dies, somebody else lets its victims go on.
func TestGuardian(t *testing.T) {
	nodes, all := pair(t)
	path := filepath.Join(t.TempDir(), "run.json")
	safety, err := live.NewSafety(path, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	s, err := chaos.ParseSchedule("0s pause n1")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // this tool never comes to its end
		d := live.New(live.Config{Nodes: nodes, Leader: leader, Safety: safety, Notify: func(_ chaos.Fault, over bool) {
			if over {
				<-t.Context().Done()
			}
		}})
		d.Run(context.Background(), s)
	}()
	for state(t, all[0].pid()) != "T" {
		time.Sleep(time.Millisecond)
	}
	alive, tool := io.Pipe()
	tool.Close()
	if err := live.Guard(path, alive); err != nil {
		t.Error(err)
	}
	if got := state(t, all[0].pid()); got == "T" {
		t.Error("n1 is still stopped")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is still there")
	}
	if err := live.Mend(path); err != nil {
		t.Errorf("mending what is whole: %v", err)
	}
}

func TestImpossible(t *testing.T) {
	s, err := chaos.ParseSchedule("0s power all for 1s")
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Possible(s); err == nil || !strings.Contains(err.Error(), "only the simulator") {
		t.Errorf("got %v", err)
	}
}
