package cluster_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"tandem/chaos/sim"
	"tandem/cluster"
)

// ledger is a machine that remembers every body it applied, once per (node,
// incarnation, seq), and answers with the body's place, or with nothing when it
// came after its deadline.
type ledger struct {
	mu     sync.Mutex // guards what follows
	state  ledgerState
	checks []cluster.Checkpoint
	broken []byte // a body that cannot be decoded
	tick   bool
	sizes  []int // commands in each entry
	roster roster
	died   func(*cluster.Death)
}

type ledgerState struct {
	Bodies [][]byte
	At     []int64 // log time of each entry
	Seen   map[string]uint64
	Hash   [32]byte
}

func (l *ledger) Apply(index uint64, at int64, commands []cluster.Envelope) ([][]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.At = append(l.state.At, at)
	l.sizes = append(l.sizes, len(commands))
	var out [][]byte
	for _, c := range commands {
		if l.broken != nil && bytes.Equal(l.broken, c.Body) {
			return nil, errors.New("cannot decode this")
		}
		key := fmt.Sprintf("%s/%d/%d", c.Node, c.Incarnation, c.Seq)
		place, seen := l.state.Seen[key]
		if at > c.Deadline && !seen {
			out = append(out, nil) // refused, as package fsm does
			continue
		}
		if !seen {
			l.state.Bodies = append(l.state.Bodies, c.Body)
			place = uint64(len(l.state.Bodies))
			if l.state.Seen == nil {
				l.state.Seen = map[string]uint64{}
			}
			l.state.Seen[key] = place
			l.state.Hash = sha256.Sum256(append(l.state.Hash[:], c.Body...))
			if d := l.roster.apply(index, at, c.Body); d != nil && l.died != nil {
				defer l.died(d)
			}
		}
		if bytes.Equal(c.Body, []byte("verbose")) {
			out = append(out, make([]byte, 1<<20))
			continue
		}
		out = append(out, binary.BigEndian.AppendUint64(nil, place))
	}
	if index%16 == 0 {
		k := cluster.Checkpoint{Index: index}
		copy(k.Hash[:], l.state.Hash[:])
		l.checks = append([]cluster.Checkpoint{k}, l.checks...)
	}
	return out, nil
}

func (l *ledger) Snapshot() (cluster.SnapshotWriter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(l.state); err != nil {
		return nil, err
	}
	return &ledgerView{b}, nil
}

func (l *ledger) Restore(r io.Reader) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = ledgerState{}
	return gob.NewDecoder(r).Decode(&l.state)
}

func (l *ledger) WantsTick() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tick
}

func (l *ledger) checkpoints() []cluster.Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.checks)
}

func (l *ledger) bodies() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.state.Bodies)
}

func (l *ledger) times() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.state.At)
}

type ledgerView struct{ bytes.Buffer }

func (*ledgerView) Release() {}

// lab is a cluster under test, in the world of package sim.
type lab struct {
	t     testing.TB
	net   *sim.Net
	nodes []*labNode
	wg    sync.WaitGroup
}

// labNode is a node of the lab: what outlives its program, and its newest life.
type labNode struct {
	id       string
	cfg      cluster.Config
	host     *sim.Host
	disk     *sim.Disk
	mu       sync.Mutex // guards what follows
	c        *cluster.Cluster
	m        *ledger
	life     *sim.Process
	volume   *sim.Volume
	stop     context.CancelFunc
	ended    chan error
	events   []cluster.Event
	fatal    error
	stable   *brittle // in front of its stable store, if it is to fail
	refusals int
	lease    *leaseLab              // of a lab with leases
	probe    func(node string) bool // of later lives
}

// emptyLab is a network without nodes.
func emptyLab(t testing.TB) *lab { return &lab{t: t, net: sim.New(sim.Config{})} }

// newLab starts size nodes that bootstrap among themselves.
func newLab(t testing.TB, size int) *lab {
	t.Helper()
	l := emptyLab(t)
	for range size {
		l.add(size)
	}
	for _, n := range l.nodes {
		l.start(n)
	}
	return l
}

// add prepares a further node.
func (l *lab) add(expect int) *labNode {
	i := len(l.nodes) + 1
	n := &labNode{id: fmt.Sprintf("n%d", i), disk: sim.NewDisk()}
	n.cfg = cluster.Config{ID: n.id, ClusterID: "test", Generation: 1, Expect: expect,
		Join: []string{"10.0.0.1:7946", "10.0.0.2:7946", "10.0.0.3:7946"}}
	l.move(n, fmt.Sprintf("10.0.0.%d", i))
	if os.Getenv("CLUSTER_LOG") != "" {
		n.cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})).With("on", n.id)
	}
	l.nodes = append(l.nodes, n)
	return n
}

// move lets the next lives of a node run on the host at an address.
func (l *lab) move(n *labNode, addr string) {
	n.host = l.net.Host(addr, netip.MustParseAddr(addr))
	n.cfg.Advertise = netip.AddrPortFrom(n.host.Addr(), labPort).String()
}

// labPort is where all nodes listen.
const labPort = 7946

// network is what a process sees of the lab.
func network(p *sim.Process) cluster.Network {
	return sim.NewMember(p, labPort, cluster.ProtoRaft, cluster.ProtoRPC, cluster.ProtoGossip)
}

// use gives a node the stores of a volume.
func use(v *sim.Volume, c *cluster.Config) { c.Log, c.Stable, c.Snapshots = v, v, v.Snapshots() }

func (l *lab) start(n *labNode) {
	l.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.m, n.life, n.volume = &ledger{}, n.host.Start(), n.disk.Open()
	cfg := n.cfg
	cfg.Network, cfg.Machine, cfg.Checkpoints, cfg.Wall = network(n.life), n.m, n.m.checkpoints, n.host.Wall
	use(n.volume, &cfg)
	cfg.Boot = n.life.SinceBoot
	if n.stable != nil {
		n.stable.StableStore = cfg.Stable
		cfg.Stable = n.stable
	}
	if n.lease != nil {
		n.m.died = n.lease.died
		cfg.Peers, cfg.Probe = n.m.peers, n.probe
		cfg.Down = func(d cluster.Death) { n.lease.tell(n.cluster(), notice{Down: &d}) }
	}
	cfg.Notify = func(e cluster.Event) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.events = append(n.events, e)
	}
	cfg.Fatal = func(err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.fatal = err
	}
	// Notify may be called while Open runs.
	n.mu.Unlock()
	c, err := cluster.Open(cfg)
	n.mu.Lock()
	if err != nil {
		l.t.Fatalf("open %s: %v", n.id, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.c, n.stop, n.ended = c, stop, make(chan error, 1)
	ended := n.ended
	l.wg.Go(func() { ended <- c.Run(ctx) })
}

// refused opens a second life of a node and returns why it does not start.
func refused(cfg cluster.Config, h *sim.Host, d *sim.Disk) error {
	life := h.Start()
	defer life.Kill()
	cfg.Network, cfg.Machine = network(life), &ledger{}
	use(d.Open(), &cfg)
	_, err := cluster.Open(cfg)
	return err
}

// isolate cuts a node off from all others; l.net.Heal ends it.
func (l *lab) isolate(n *labNode) {
	var rest []*sim.Host
	for _, other := range l.nodes {
		if other != n {
			rest = append(rest, other.host)
		}
	}
	l.net.Partition([]*sim.Host{n.host}, rest)
}

// hang lets the writes of a node's disk hang, or go on.
func (n *labNode) hang(on bool) { n.disk.Edit(func(f *sim.DiskFaults) { f.Hang = on }) }

func (n *labNode) happened(kind cluster.EventKind) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, e := range n.events {
		if e.Kind == kind {
			count++
		}
	}
	return count
}

// kill ends a life without a word.
func (l *lab) kill(n *labNode) {
	n.disk.Kill()
	n.life.Kill()
	n.stop()
	n.mu.Lock()
	n.c = nil
	n.mu.Unlock()
}

// restart begins the next life.
func (l *lab) restart(n *labNode) { l.start(n) }

// close stops all nodes and sleeps off raft's waits that nothing cuts short.
func (l *lab) close() {
	for _, n := range l.nodes {
		n.disk.Set(sim.DiskFaults{})
		if n.stop != nil {
			n.stop()
		}
	}
	l.wg.Wait()
	time.Sleep(3 * time.Minute)
	l.net.Close()
}

// live returns the nodes that run.
func (l *lab) live() []*labNode {
	var out []*labNode
	for _, n := range l.nodes {
		if n.cluster() != nil {
			out = append(out, n)
		}
	}
	return out
}

// leader waits for a leader that can commit.
func (l *lab) leader() *labNode {
	l.t.Helper()
	for range 6000 {
		for _, n := range l.live() {
			if c := n.cluster(); c.Leads() && c.VerifyLeader() == nil {
				return n
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.t.Fatal("no leader in a minute")
	return nil
}

func (l *lab) follower() *labNode {
	lead := l.leader()
	for _, n := range l.live() {
		if n != lead {
			return n
		}
	}
	l.t.Fatal("no follower")
	return nil
}

// propose commits body from n and returns its place.
func (l *lab) propose(n *labNode, body string) uint64 {
	l.t.Helper()
	r, err := n.c.Propose(context.Background(), cluster.Command{Lane: cluster.LaneStart, Body: []byte(body)})
	if err != nil {
		l.t.Fatalf("propose %s from %s: %v", body, n.id, err)
	}
	if got := n.c.Applied(); got < r.Index {
		l.t.Fatalf("result of index %d came when %s had applied %d", r.Index, n.id, got)
	}
	return binary.BigEndian.Uint64(r.Data)
}

// equal waits until all live nodes hold the same bodies, want of them.
func (l *lab) equal(want int) {
	l.t.Helper()
	var why string
	for range 1200 {
		why = l.compare(want)
		if why == "" {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	l.t.Fatal(why)
}

func (l *lab) compare(want int) string {
	first := l.live()[0]
	ref := first.m.bodies()
	if len(ref) != want {
		return fmt.Sprintf("%s has %d commands, want %d", first.id, len(ref), want)
	}
	for _, n := range l.live()[1:] {
		if !slices.EqualFunc(ref, n.m.bodies(), bytes.Equal) {
			return fmt.Sprintf("%s (%d commands) differs from %s (%d)", n.id, len(n.m.bodies()), first.id, len(ref))
		}
	}
	return ""
}

// alive and cluster are live and c for goroutines beside the script.
func (l *lab) alive() []*labNode {
	var out []*labNode
	for _, n := range l.nodes {
		if n.stillLives() {
			out = append(out, n)
		}
	}
	return out
}

func (n *labNode) cluster() *cluster.Cluster {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.c
}

func (n *labNode) stillLives() bool { return n.cluster() != nil }

// fenced says whether a member has refused this life for good, once for each.
func (n *labNode) fenced() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, e := range n.events {
		if e.Kind == cluster.EventFenced {
			count++
		}
	}
	news := count > n.refusals
	n.refusals = count
	return news
}

func (n *labNode) getFatal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fatal
}
