package sim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"tandem/chaos"
	"tandem/chaos/sim"
)

// diary notes what programs do.
type diary struct {
	mu    sync.Mutex // guards lines
	start time.Time
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf("%v ", time.Since(d.start).Round(time.Second))+fmt.Sprintf(format, args...))
}

// parrots makes a world of two machines whose program notes its life, and sends
// datagrams back after a write to the disk.
func parrots(t *testing.T) (*sim.World, *diary) {
	w, d := &sim.World{Net: sim.New(sim.Config{})}, &diary{start: time.Now()}
	for i, addr := range everyone[:2] {
		w.Add(fmt.Sprintf("n%d", i+1), addr, func(ctx context.Context, life *sim.Life) error {
			name := life.Host().Name()
			d.note("%s starts life %d", name, life.Number)
			p, err := life.ListenPacket(at(addr, 5060))
			if err != nil {
				return err
			}
			defer p.Close()
			stop := context.AfterFunc(ctx, func() { p.Close() })
			defer stop()
			for b := make([]byte, 100); ; {
				n, from, err := p.ReadFrom(b)
				if err != nil {
					d.note("%s ends life %d", name, life.Number)
					return nil
				}
				if string(b[:n]) == "crash" {
					return errors.New("as asked")
				}
				index, _ := life.Volume.LastIndex()
				if err := life.Volume.StoreLog(&raft.Log{Index: index + 1}); err != nil {
					d.note("%s: %v", name, err)
				}
				p.WriteTo(b[:n], from)
			}
		})
	}
	for _, m := range w.Machines {
		m.Start()
	}
	return w, d
}

// TestSchedule applies one fault of most kinds to machines and watches what
// their programs live through.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d := parrots(t)
		w.Leader = func() string { return "n2" }
		w.Transfer = func(m *sim.Machine) { d.note("%s hands over", m.Host.Name()) }
		err := w.Run(t.Context(), schedule(t, `
			1s kill n1 for 1s
			3s restart leader for 1s
			5s power all for 1s
			7s vanish follower for 1s
			9s transfer leader
		`))
		if err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		for _, err := range w.Close() {
			t.Error(err)
		}
		w.Net.Close()
		slices.SortStableFunc(d.lines, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
		got := strings.Join(d.lines, "\n")
		for _, want := range []string{
			"1s n1 ends life 1", "2s n1 starts life 2", "3s n2 ends life 1", "4s n2 starts life 2",
			"5s n1 ends life 2", "5s n2 ends life 2", "6s n1 starts life 3", "6s n2 starts life 3",
			"7s n1 ends life 3", "8s n1 starts life 4", "9s n2 hands over",
		} {
			if strings.Count(got, want) != 1 {
				t.Errorf("want %q once in\n%s", want, got)
			}
		}
	})
}

// TestFaultsOfLinksAndDisks asks a parrot every 100 ms and counts how often it
// answers before the next question.
func TestFaultsOfLinksAndDisks(t *testing.T) {
	for _, tc := range []struct {
		fault   string
		answers int // of 40 questions
	}{
		{"1s pause n1 for 2s", 20},
		{"1s partition n1|n2 for 2s", 20},
		{"1s cut n2>n1 for 2s", 20},
		{"1s cut n1>n2 for 2s", 20},
		{"1s loss all 1 for 2s", 20},
		{"1s delay n1 60ms for 2s", 20},
		{"1s slowdisk n1 200ms for 2s", 20},
		{"1s hangdisk n1 for 2s", 20},
		{"1s faildisk n1", 40}, // the parrot notes it
		{"1s clock n1 1h for 2s", 40},
		{"1s dup n2 1 for 2s", 40},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, d := parrots(t)
				defer w.Net.Close()
				var script sync.WaitGroup
				script.Go(func() {
					if err := w.Run(t.Context(), schedule(t, tc.fault)); err != nil {
						t.Error(err)
					}
				})
				asker, err := w.Machines[1].Life().ListenPacket(at(addrB, 5061))
				if err != nil {
					t.Fatal(err)
				}
				answers := 0
				for i := range 40 {
					next := time.Now().Add(100 * time.Millisecond)
					say(t, asker, addrA, fmt.Sprint(i))
					if slices.Contains(heardUntil(t, asker, next), fmt.Sprint(i)) {
						answers++
					}
				}
				script.Wait()
				w.Close()
				if answers < tc.answers-1 || answers > tc.answers+1 {
					t.Errorf("%d of 40 questions were answered, want %d\n%s", answers, tc.answers, strings.Join(d.lines, "\n"))
				}
			})
		})
	}
}

func TestScheduleThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := parrots(t)
		defer w.Net.Close()
		defer w.Close()
		if err := w.Run(t.Context(), schedule(t, "1s kill n9")); err == nil || !strings.Contains(err.Error(), `no machine is called "n9"`) {
			t.Errorf("got %v", err)
		}
		if err := w.Run(t.Context(), schedule(t, "1s kill leader")); err == nil || !strings.Contains(err.Error(), "nobody has that role") {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantErr(t, "a run that is cut short", w.Run(ctx, chaos.Schedule{{At: time.Minute, Kind: chaos.Kill, Groups: [][]string{{"n1"}}}}), context.DeadlineExceeded)
	})
}

func TestProgramThatCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := parrots(t)
		defer w.Net.Close()
		n1, n2 := w.Machines[0], w.Machines[1]
		c, err := n2.Life().ListenPacket(at(addrB, 5061))
		if err != nil {
			t.Fatal(err)
		}
		say(t, c, addrA, "crash")
		time.Sleep(time.Second)
		if n1.Life() != nil {
			t.Error("a program has returned and still lives")
		}
		n1.Start()
		if life := n1.Life(); life == nil || life.Number != 2 {
			t.Errorf("started again: %+v", life)
		}
		// n2 has not closed the socket that c is.
		if got, want := fmt.Sprint(w.Close()), "[n1, life 1: as asked n2, life 1: stopped and left 1 sockets open]"; got != want {
			t.Errorf("crashes: %v, want %v", got, want)
		}
		if _, err := c.WriteTo(nil, c.LocalAddr()); err == nil {
			t.Error("a socket outlives the world")
		}
	})
}
