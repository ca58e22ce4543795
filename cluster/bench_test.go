package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"tandem/cluster"
	"tandem/cluster/pki"
	"tandem/cluster/store"
	"tandem/cluster/transport"
)

// counter is a machine that counts commands, each once: one that is repeated
// through an election may reach the log again.
type counter struct {
	n    atomic.Int64
	seen map[string]map[uint64]bool // by node, of one incarnation
}

func (c *counter) Apply(_ uint64, _ int64, commands []cluster.Envelope) ([][]byte, error) {
	if c.seen == nil {
		c.seen = map[string]map[uint64]bool{}
	}
	for _, e := range commands {
		seen := c.seen[e.Node]
		if seen == nil {
			seen = map[uint64]bool{}
			c.seen[e.Node] = seen
		}
		if seen[e.Seq] {
			continue
		}
		seen[e.Seq] = true
		c.n.Add(1)
	}
	return make([][]byte, len(commands)), nil
}
func (c *counter) Snapshot() (cluster.SnapshotWriter, error) { return nothing{}, nil }
func (c *counter) Restore(io.Reader) error                   { return nil }
func (c *counter) WantsTick() bool                           { return false }

type nothing struct{}

func (nothing) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (nothing) Release()                         {}

// startReal runs nodes over real TLS, UDP and bbolt on loopback.
func startReal(tb testing.TB, size int, edit func(*cluster.Config)) ([]*cluster.Cluster, []*counter) {
	tb.Helper()
	ca, err := pki.CreateCA(pki.NewClusterID(), time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	key := pki.NewGossipKey()
	var nodes []*cluster.Cluster
	var counters []*counter
	var join []string
	for i := range size {
		stream, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		addr := stream.Addr().String()
		datagram, err := net.ListenPacket("udp", addr)
		if err != nil {
			tb.Fatal(err)
		}
		id := fmt.Sprintf("n%d", i+1)
		cred, err := ca.IssueNode(id, []string{"127.0.0.1"}, time.Now())
		if err != nil {
			tb.Fatal(err)
		}
		network, err := transport.New(transport.Config{Credentials: cred, Generation: 1, Stream: stream, Datagram: datagram})
		if err != nil {
			tb.Fatal(err)
		}
		log, err := store.OpenLog(filepath.Join(tb.TempDir(), "raft.db"))
		if err != nil {
			tb.Fatal(err)
		}
		m := &counter{}
		cfg := cluster.Config{
			ID: id, ClusterID: ca.ClusterID, Generation: 1, Network: network, Advertise: addr, Join: join, Expect: size,
			Log: log, Stable: log, Snapshots: raft.NewInmemSnapshotStore(), Machine: m, Keyring: [][]byte{key},
		}
		edit(&cfg)
		c, err := cluster.Open(cfg)
		if err != nil {
			tb.Fatal(err)
		}
		join = append(join, addr)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		tb.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				tb.Errorf("run %s: %v", id, err)
			}
			if err := network.Close(); err != nil {
				tb.Errorf("close network of %s: %v", id, err)
			}
			if err := log.Close(); err != nil {
				tb.Errorf("close log of %s: %v", id, err)
			}
		})
		nodes, counters = append(nodes, c), append(counters, m)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	for _, c := range nodes {
		if _, err := c.ReadIndex(ctx); err != nil {
			tb.Fatalf("no cluster: %v", err)
		}
	}
	return nodes, counters
}

// TestRealCluster: TLS, UDP gossip with a keyring and bbolt, on loopback.
func TestRealCluster(t *testing.T) {
	nodes, counters := startReal(t, 3, func(*cluster.Config) {})
	ctx := context.Background()
	for i := range 30 {
		if _, err := nodes[i%3].Propose(ctx, cluster.Command{Lane: cluster.LaneStart, Body: []byte("call")}); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range nodes {
		if _, err := c.ReadIndex(ctx); err != nil {
			t.Fatal(err)
		}
		if n := counters[i].n.Load(); n != 30 {
			t.Errorf("node %d has applied %d commands, want 30", i+1, n)
		}
	}
}

// TestRealCampaign: over real connections a survivor that hears of the leader's
// exit leads within milliseconds.
func TestRealCampaign(t *testing.T) {
	lives := make([]atomic.Uint64, 3)
	nodes, _ := startReal(t, 3, func(c *cluster.Config) {
		c.Peers = func() ([]cluster.LeaseMember, uint64) { return census(lives) }
	})
	for i, c := range nodes {
		lives[i].Store(c.Incarnation())
		c.Announced()
	}
	held := func() bool {
		return !slices.ContainsFunc(nodes, func(c *cluster.Cluster) bool { return !c.Lease() })
	}
	for begin := time.Now(); !held(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("no leases")
		}
	}
	old := nodes[0].Status().Leader
	dead := slices.IndexFunc(nodes, func(c *cluster.Cluster) bool { return c.Status().ID == old })
	start := time.Now()
	for i, c := range nodes {
		if i != dead { // it is alive, and finds itself replaced
			c.Exited(old, lives[dead].Load())
		}
	}
	heir := nodes[(dead+1)%3]
	for leader := old; leader == old || leader == ""; leader = heir.Status().Leader {
		if time.Since(start) > 5*time.Second {
			t.Fatal("no other leader")
		}
		time.Sleep(100 * time.Microsecond)
	}
	t.Log("another leader after", time.Since(start))
	if _, err := heir.Propose(t.Context(), cluster.Command{Body: []byte("x")}); err != nil {
		t.Error(err)
	}
	t.Log("commit after", time.Since(start))
	if took := time.Since(start); took > 500*time.Millisecond { // an election takes 0.8 s
		t.Errorf("took %v", took)
	}
}

// census is a fixed set of members for nodes n1, n2 and so on.
func census(lives []atomic.Uint64) (set []cluster.LeaseMember, version uint64) {
	for i := range lives {
		set = append(set, cluster.LeaseMember{ID: fmt.Sprintf("n%d", i+1), Incarnation: lives[i].Load(), Up: true})
	}
	return set, 1
}

// BenchmarkLease measures what leases cost five idle nodes in one process, with
// real TLS: CPU of all nodes in a second, without leases and with them.
func BenchmarkLease(b *testing.B) {
	for _, leases := range []bool{false, true} {
		b.Run(fmt.Sprint(leases), func(b *testing.B) {
			lives := make([]atomic.Uint64, 5)
			nodes, _ := startReal(b, 5, func(c *cluster.Config) {
				if leases {
					c.Peers = func() ([]cluster.LeaseMember, uint64) { return census(lives) }
				}
			})
			for i, c := range nodes {
				lives[i].Store(c.Incarnation())
				c.Announced()
			}
			time.Sleep(time.Second)
			before := cpu()
			for b.Loop() {
				time.Sleep(time.Second)
			}
			b.ReportMetric(float64((cpu()-before).Microseconds())/b.Elapsed().Seconds(), "cpu-µs/s")
			for _, c := range nodes {
				if c.Lease() != leases {
					b.Errorf("lease is %v", c.Lease())
				}
			}
		})
	}
	b.Run("asking", func(b *testing.B) {
		lives := make([]atomic.Uint64, 1)
		nodes, _ := startReal(b, 1, func(c *cluster.Config) {
			c.Peers = func() ([]cluster.LeaseMember, uint64) { return census(lives) }
		})
		lives[0].Store(nodes[0].Incarnation())
		time.Sleep(time.Second)
		for b.Loop() {
			if !nodes[0].Lease() {
				b.Fatal("a node by itself has no lease")
			}
		}
	})
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCommit measures commits through three nodes in one process with real
// TLS and bbolt: alone, and from many proposers spread over all nodes.
func BenchmarkCommit(b *testing.B) {
	nodes, _ := startReal(b, 3, func(*cluster.Config) {})
	body := make([]byte, 300)
	for _, proposers := range []int{1, 16, 256, 1024} {
		b.Run(fmt.Sprintf("proposers=%d", proposers), func(b *testing.B) {
			before := cpu()
			var next atomic.Int64
			var all sync.WaitGroup
			b.ResetTimer()
			for p := range proposers {
				all.Go(func() {
					for next.Add(1) <= int64(b.N) {
						_, err := nodes[p%3].Propose(context.Background(), cluster.Command{Lane: cluster.LaneExtend, Body: body})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/commit")
		})
	}
}

// BenchmarkStream measures latency and CPU at a steady rate of commands, spread
// over all nodes: b.N commands, none waits for another.
func BenchmarkStream(b *testing.B) {
	nodes, _ := startReal(b, 3, func(*cluster.Config) {})
	body := make([]byte, 300)
	for _, rate := range []int{300, 1000, 3000, 10000} {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			before := cpu()
			took := make([]time.Duration, b.N)
			var all sync.WaitGroup
			all.Add(b.N)
			begin := time.Now()
			for i := range b.N {
				due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
				if d := time.Until(due); d > 0 {
					time.Sleep(d)
				}
				start := time.Now()
				nodes[i%3].Submit(cluster.Command{Lane: cluster.LaneExtend, Body: body}, func(_ cluster.Result, err error) {
					took[i] = time.Since(start)
					if err != nil {
						b.Error(err)
					}
					all.Done()
				})
			}
			all.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[b.N/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[b.N*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/commit")
		})
	}
}
