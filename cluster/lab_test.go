package cluster

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
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// ledger is a machine that remembers every body it applied, once per (node,
// incarnation, seq), and answers with the body's place.
type ledger struct {
	mu     sync.Mutex // guards what follows
	state  ledgerState
	checks []Checkpoint
	broken []byte // a body that cannot be decoded
	tick   bool
	sizes  []int // commands in each entry
	late   int   // commands that came after their deadline
}

type ledgerState struct {
	Bodies [][]byte
	At     []int64 // log time of each entry
	Seen   map[string]uint64
	Hash   [32]byte
}

func (l *ledger) Apply(index uint64, at int64, commands []Envelope) ([][]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.At = append(l.state.At, at)
	l.sizes = append(l.sizes, len(commands))
	var out [][]byte
	for _, c := range commands {
		if l.broken != nil && bytes.Equal(l.broken, c.Body) {
			return nil, errors.New("cannot decode this")
		}
		if at > c.Deadline {
			l.late++
		}
		key := fmt.Sprintf("%s/%d/%d", c.Node, c.Incarnation, c.Seq)
		place, seen := l.state.Seen[key]
		if !seen {
			l.state.Bodies = append(l.state.Bodies, c.Body)
			place = uint64(len(l.state.Bodies))
			if l.state.Seen == nil {
				l.state.Seen = map[string]uint64{}
			}
			l.state.Seen[key] = place
			l.state.Hash = sha256.Sum256(append(l.state.Hash[:], c.Body...))
		}
		out = append(out, binary.BigEndian.AppendUint64(nil, place))
	}
	if index%16 == 0 {
		k := Checkpoint{Index: index}
		copy(k.Hash[:], l.state.Hash[:])
		l.checks = append([]Checkpoint{k}, l.checks...)
	}
	return out, nil
}

func (l *ledger) Snapshot() (SnapshotWriter, error) {
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

func (l *ledger) checkpoints() []Checkpoint {
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

// memDisk is what survives a node's lives.
type memDisk struct {
	*raft.InmemStore
	snaps raft.SnapshotStore
}

// life is a memDisk as one life sees it: after the kill writes go nowhere.
type life struct {
	*memDisk
	mu    sync.Mutex // guards what follows
	dead  bool
	hang  chan struct{} // StoreLogs waits for its close
	fails error
}

func (d *life) state() (dead bool, hang chan struct{}, fails error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead, d.hang, d.fails
}

func (d *life) StoreLogs(logs []*raft.Log) error {
	_, hang, fails := d.state()
	if hang != nil {
		<-hang
	}
	if dead, _, _ := d.state(); dead {
		return nil
	}
	if fails != nil {
		return fails
	}
	return d.memDisk.StoreLogs(logs)
}
func (d *life) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }
func (d *life) DeleteRange(a, b uint64) error {
	if dead, _, _ := d.state(); dead {
		return nil
	}
	return d.memDisk.DeleteRange(a, b)
}
func (d *life) Set(k, v []byte) error {
	if dead, _, _ := d.state(); dead {
		return nil
	}
	return d.memDisk.Set(k, v)
}
func (d *life) SetUint64(k []byte, v uint64) error {
	if dead, _, _ := d.state(); dead {
		return nil
	}
	return d.memDisk.SetUint64(k, v)
}

// lab is a cluster under test.
type lab struct {
	t     testing.TB
	net   *memNet
	nodes []*labNode
	wg    sync.WaitGroup
}

type labNode struct {
	id, addr string
	disk     *memDisk
	cfg      Config
	skew     time.Duration // of the wall clock; set while stopped or under mu
	mu       sync.Mutex    // guards what follows
	c        *Cluster
	m        *ledger
	host     *memHost
	life     *life
	stop     context.CancelFunc
	ended    chan error
	events   []Event
	fatal    error
}

// newLab starts size nodes that bootstrap among themselves.
func newLab(t testing.TB, size int) *lab {
	t.Helper()
	l := &lab{t: t, net: newMemNet()}
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
	n := &labNode{id: fmt.Sprintf("n%d", i), addr: fmt.Sprintf("10.0.0.%d:7946", i),
		disk: &memDisk{raft.NewInmemStore(), raft.NewInmemSnapshotStore()}}
	n.cfg = Config{ID: n.id, ClusterID: "test", Generation: 1, Advertise: n.addr, Expect: expect,
		Join: []string{"10.0.0.1:7946", "10.0.0.2:7946", "10.0.0.3:7946"}}
	if os.Getenv("CLUSTER_LOG") != "" {
		n.cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})).With("on", n.id)
	}
	l.nodes = append(l.nodes, n)
	return n
}

func (l *lab) start(n *labNode) {
	l.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.m, n.host, n.life = &ledger{}, l.net.host(n.addr), &life{memDisk: n.disk}
	cfg := n.cfg
	cfg.Network, cfg.Machine, cfg.Checkpoints = n.host, n.m, n.m.checkpoints
	cfg.Log, cfg.Stable, cfg.Snapshots = n.life, n.life, n.disk.snaps
	cfg.Wall = func() time.Time { return time.Now().Add(n.getSkew()) }
	cfg.Notify = func(e Event) {
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
	c, err := Open(cfg)
	n.mu.Lock()
	if err != nil {
		l.t.Fatalf("open %s: %v", n.id, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.c, n.stop, n.ended = c, stop, make(chan error, 1)
	ended := n.ended
	l.wg.Go(func() { ended <- c.Run(ctx) })
}

func (n *labNode) getSkew() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.skew
}

func (n *labNode) setSkew(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.skew = d
}

func (n *labNode) happened(kind EventKind) int {
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
	n.life.mu.Lock()
	n.life.dead = true
	n.life.mu.Unlock()
	n.host.kill()
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
		if n.stop != nil {
			n.stop()
		}
	}
	l.wg.Wait()
	time.Sleep(3 * time.Minute)
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
			if _, ok := n.cluster().sequencer.leads(); ok && n.cluster().raft.VerifyLeader().Error() == nil {
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
	r, err := n.c.Propose(context.Background(), Command{Lane: LaneStart, Body: []byte(body)})
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
	if first.m.late > 0 {
		return fmt.Sprintf("%d commands were late", first.m.late)
	}
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

func (n *labNode) cluster() *Cluster {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.c
}

func (n *labNode) stillLives() bool { return n.cluster() != nil }

func (n *labNode) getFatal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fatal
}

func (d *life) setHang(hang chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hang = hang
}

func (d *life) setFails(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = err
}
