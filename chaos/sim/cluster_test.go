package sim_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/chaos"
	"tandem/chaos/sim"
	"tandem/cluster"
)

var (
	seeds = flag.Uint64("seeds", 0, "how many seeds each swarm runs; 0: its own number")
	from  = flag.Uint64("from", 1, "the first of them")
	trace = flag.String("trace", "", "append every packet to this file")
	keep  = flag.String("keep", "", "write history and schedule of a failed day to this directory")
	less  = flag.String("without", "", "numbers of faults to leave out of each schedule, from 1: 2,5")
)

// swarm runs a scenario with so many seeds, each in a bubble of its own; -seeds
// sets another number. A failing seed is repeated by -from SEED -seeds 1.
func swarm(t *testing.T, count uint64, scenario func(t *testing.T, seed uint64)) {
	count = cmp.Or(*seeds, count)
	for seed := *from; seed < *from+count; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			reseed(t, seed)
			synctest.Test(t, func(t *testing.T) { scenario(t, seed) })
		})
	}
}

// journal is the simplest replicated state: every body in the order of the log,
// each once.
type journal struct {
	mu    sync.Mutex // guards state and marks
	state journalState
	marks []cluster.Checkpoint
}

type journalState struct {
	Bodies []string
	Seen   map[string]int // places by node, incarnation and sequence
	Hash   [sha256.Size]byte
}

func (j *journal) Apply(index uint64, at int64, commands []cluster.Envelope) ([][]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state.Seen == nil {
		j.state.Seen = map[string]int{}
	}
	results := make([][]byte, len(commands))
	for i, c := range commands {
		key := fmt.Sprint(c.Node, " ", c.Incarnation, " ", c.Seq)
		place, again := j.state.Seen[key]
		switch {
		case !again && c.Deadline < at:
			results[i] = []byte("late")
			continue
		case !again:
			place = len(j.state.Bodies)
			j.state.Bodies = append(j.state.Bodies, string(c.Body))
			j.state.Seen[key] = place
			j.state.Hash = sha256.Sum256(append(j.state.Hash[:], c.Body...))
		}
		results[i] = fmt.Append(nil, place)
	}
	if index%16 == 0 {
		mark := cluster.Checkpoint{Index: index}
		copy(mark.Hash[:], j.state.Hash[:])
		j.marks = slices.Insert(j.marks, 0, mark)
	}
	return results, nil
}

func (j *journal) Snapshot() (cluster.SnapshotWriter, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	view := &journalView{}
	return view, gob.NewEncoder(&view.Buffer).Encode(j.state)
}

func (j *journal) Restore(r io.Reader) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state, j.marks = journalState{}, nil
	return gob.NewDecoder(r).Decode(&j.state)
}

func (j *journal) WantsTick() bool { return true }

func (j *journal) checkpoints() []cluster.Checkpoint {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.marks)
}

func (j *journal) bodies() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.state.Bodies)
}

type journalView struct{ bytes.Buffer }

func (*journalView) Release() {}

// member is one node of the cluster under test.
type member struct {
	*sim.Machine
	mu      sync.Mutex // guards what follows, of the newest life
	life    *sim.Life
	cluster *cluster.Cluster
	journal *journal
	alarms  []cluster.Event
}

// running returns the parts of the life that serves just now.
func (m *member) running() (*sim.Life, *cluster.Cluster, *journal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life == nil || m.Machine.Life() != m.life {
		return nil, nil, nil
	}
	return m.life, m.cluster, m.journal
}

func (m *member) serve(ctx context.Context, life *sim.Life, join []string) error {
	host, own := life.Host(), &journal{}
	c, err := cluster.Open(cluster.Config{
		ID: host.Name(), ClusterID: "sim", Generation: 1, Expect: len(join), Join: join,
		Network:   sim.NewMember(life.Process, 7946, cluster.ProtoRaft, cluster.ProtoRPC, cluster.ProtoGossip),
		Advertise: netip.AddrPortFrom(host.Addr(), 7946).String(),
		Log:       life.Volume, Stable: life.Volume, Snapshots: life.Volume.Snapshots(),
		Machine: own, Checkpoints: own.checkpoints, Wall: host.Wall, Boot: life.SinceBoot,
		Timing: cluster.Timing{SnapshotEntries: 200, TrailingLogs: 100},
		Notify: m.notify,
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.life, m.cluster, m.journal = life, c, own
	m.mu.Unlock()
	return c.Run(ctx)
}

func (m *member) notify(e cluster.Event) {
	if e.Kind == cluster.EventHash {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.alarms = append(m.alarms, e)
	}
}

// trio is a cluster of three and what its clients know.
type trio struct {
	*sim.World
	members []*member

	mu    sync.Mutex      // guards acked
	acked map[string]bool // bodies whose commit a client was told of
}

// newTrio starts a cluster of three members in the present bubble.
func newTrio(t *testing.T, seed uint64) *trio {
	t.Helper()
	c := &trio{World: &sim.World{Net: sim.New(sim.Config{Seed: seed, Trace: tracer(t)})}, acked: map[string]bool{}}
	var join []string
	for _, a := range everyone {
		join = append(join, netip.AddrPortFrom(a, 7946).String())
	}
	for i, a := range everyone {
		m := &member{}
		m.Machine = c.Add(fmt.Sprintf("n%d", i+1), a, func(ctx context.Context, life *sim.Life) error {
			return m.serve(ctx, life, join)
		})
		c.members = append(c.members, m)
	}
	c.Leader, c.Transfer = c.leader, c.transfer
	for _, m := range c.members {
		m.Start()
	}
	return c
}

// tracer writes packets to the file that -trace names.
func tracer(t *testing.T) func(sim.Event) {
	if *trace == "" {
		return nil
	}
	f, err := os.OpenFile(*trace, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	t.Cleanup(func() {
		if err := errors.Join(w.Flush(), f.Close()); err != nil {
			t.Error(err)
		}
	})
	return func(e sim.Event) { fmt.Fprintln(w, e.At.UnixNano(), e.Kind, e.Src, e.Dst, e.Len, e.Sum) }
}

// close ends the bubble: the last goroutines of raft sleep for minutes.
func (c *trio) close(t *testing.T) {
	t.Helper()
	for _, err := range c.Close() {
		t.Errorf("a node ended by itself: %v", err)
	}
	time.Sleep(3 * time.Minute)
	c.Net.Close()
}

// leader names the running member that leads the highest term.
func (c *trio) leader() string {
	name, term := "", uint64(0)
	for _, m := range c.members {
		if _, c, _ := m.running(); c != nil {
			if s := c.Status(); s.State == "Leader" && s.Term > term {
				name, term = s.ID, s.Term
			}
		}
	}
	return name
}

func (c *trio) transfer(machine *sim.Machine) {
	for _, m := range c.members {
		if _, c, _ := m.running(); c != nil && m.Machine == machine {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = c.Transfer(ctx) // to nobody, when everybody else is away
		}
	}
}

// propose commits body at member m. What a dead node answers does not count.
func (c *trio) propose(m *member, body string) error {
	life, running, _ := m.running()
	if running == nil {
		return cluster.ErrClosed
	}
	result, err := running.Propose(context.Background(), cluster.Command{Lane: cluster.LaneStart, Flow: body[:2], Body: []byte(body)})
	if err != nil {
		return err
	}
	if string(result.Data) == "late" {
		return cluster.ErrTimeout
	}
	if now, _, _ := m.running(); now == life {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.acked[body] = true
	}
	return nil
}

// work lets a client at each member propose every 50 ms until ctx ends.
func (c *trio) work(ctx context.Context, t *testing.T) {
	var clients, commands sync.WaitGroup
	defer commands.Wait()
	defer clients.Wait()
	for _, m := range c.members {
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				body := fmt.Sprintf("%s-%d", m.Host.Name(), i)
				commands.Go(func() {
					err := c.propose(m, body)
					if err != nil && !errors.Is(err, cluster.ErrTimeout) && !errors.Is(err, cluster.ErrClosed) && !errors.Is(err, cluster.ErrBusy) {
						t.Errorf("propose %s: %v", body, err)
					}
				})
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
}

// settle starts what is down and waits until all members have the same journal.
func (c *trio) settle(t *testing.T) {
	t.Helper()
	for _, m := range c.members {
		m.Start()
	}
	why := ""
	for range 60 {
		time.Sleep(time.Second)
		if why = c.differ(); why == "" {
			return
		}
	}
	t.Fatalf("after a minute of peace: %s", why)
}

func (c *trio) differ() string {
	if c.leader() == "" {
		return "there is no leader"
	}
	var first []string
	for i, m := range c.members {
		_, _, j := m.running()
		if j == nil {
			return m.Host.Name() + " does not run"
		}
		bodies := j.bodies()
		if i == 0 {
			first = bodies
		} else if !slices.Equal(first, bodies) {
			return fmt.Sprintf("%s has %d commands, n1 has %d", m.Host.Name(), len(bodies), len(first))
		}
	}
	return ""
}

// problems says what does not hold although it must, whatever happened: each
// acknowledged command is in the journal, none is there twice, and no state
// hashes differ.
func (c *trio) problems() (found []string) {
	_, _, j := c.members[0].running()
	count := map[string]int{}
	for _, body := range j.bodies() {
		if count[body]++; count[body] == 2 {
			found = append(found, body+" was applied twice")
		}
	}
	for _, body := range slices.Sorted(maps.Keys(c.acked)) {
		if count[body] == 0 {
			found = append(found, body+" was acknowledged and is lost")
		}
	}
	for _, m := range c.members {
		for _, e := range m.alarms {
			found = append(found, fmt.Sprintf("%s raised an alarm: %+v", m.Host.Name(), e))
		}
	}
	return found
}

// run works for so long while a schedule is applied, lets the cluster settle
// and returns what is wrong.
func (c *trio) run(t *testing.T, s chaos.Schedule, length time.Duration, atLeast int) []string {
	t.Helper()
	defer c.close(t)
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { c.work(ctx, t) })
	if err := c.Run(context.Background(), s); err != nil {
		t.Error(err)
	}
	all.Wait()
	c.settle(t)
	if len(c.acked) < atLeast {
		t.Errorf("only %d commands were acknowledged, want %d", len(c.acked), atLeast)
	}
	return c.problems()
}

// schedule parses what a test applies.
func schedule(t *testing.T, text string) chaos.Schedule {
	t.Helper()
	s, err := chaos.ParseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestClusterStory is one bad day of a cluster, told by a schedule.
func TestClusterStory(t *testing.T) {
	story := schedule(t, `
		5s   kill leader for 5s            # elect another, rejoin from disk
		15s  partition n1|n2,n3 for 10s    # longer than the detection of gossip
		30s  pause leader for 3s           # wakes up as a leader of old
		40s  cut n2>n3 for 5s
		50s  hangdisk leader for 4s        # muted after a second
		60s  power all for 2s              # everybody starts from disk
		75s  loss all 0.1 for 10s
		90s  transfer leader
		95s  kill n3 for 20s               # comes back by snapshot
		120s clock n1 1h for 5s
	`)
	swarm(t, 5, func(t *testing.T, seed uint64) {
		for _, p := range newTrio(t, seed).run(t, story, 130*time.Second, 4000) {
			t.Error(p)
		}
	})
}

// TestClusterSwarm applies another schedule with each seed.
func TestClusterSwarm(t *testing.T) {
	cfg := chaos.PlanConfig{Nodes: []string{"n1", "n2", "n3"}, Length: 40 * time.Second, Quiet: 5 * time.Second, Longest: 5 * time.Second}
	swarm(t, 20, func(t *testing.T, seed uint64) {
		plan := chaos.Plan(seed, cfg)
		for _, p := range newTrio(t, seed).run(t, plan, cfg.Length, 500) {
			t.Error(p)
		}
		if t.Failed() {
			t.Logf("the schedule of seed %d:\n%v", seed, plan)
		}
	})
}

// TestLostWritesAreFound is the control of the two tests above: disks that lie
// about fsync lose acknowledged commands in a power cut, and that must be seen.
func TestLostWritesAreFound(t *testing.T) {
	cut := schedule(t, "10s power all for 2s")
	swarm(t, 3, func(t *testing.T, seed uint64) {
		c := newTrio(t, seed)
		for _, m := range c.members {
			m.Disk.Set(sim.DiskFaults{SyncLag: time.Second})
		}
		if c.run(t, cut, 15*time.Second, 100) == nil {
			t.Error("all disks lost a second of writes and nobody noticed")
		}
	})
}
