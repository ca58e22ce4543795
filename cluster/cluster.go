// Package cluster is consensus and membership: it makes one ordered, durable,
// replicated log out of several processes and feeds it to a state machine that
// it knows only as a [Machine].
//
// It owns raft (elections, replication, snapshots), memberlist (who is there),
// the way of a command from any node to the leader and of its result back,
// log time, linearizable reads, membership changes, leases, the evidence that a
// member is dead, backups and new generations, and the rpc that nodes use among
// themselves. It never looks into a command, never decides about money, and
// never opens a socket: connections come in through a [Network], disks through
// raft's store interfaces.
//
//	c, err := cluster.Open(cluster.Config{ID: "n1", Network: net, Machine: m, ...})
//	c.Handle("cdr.fill", fill)        // before Run
//	go c.Run(ctx)                     // returns after everything has stopped
//	r, err := c.Propose(ctx, cluster.Command{Lane: cluster.LaneStart, Body: b})
//	c.Announced()                     // the state has the node's own announcement
//	if c.Lease() { ... }              // before anything is sent to the outside
//
// Sub-packages: pki (certificates), transport (the [Network] of production:
// one TLS port and UDP gossip), store (log and stable store on bbolt), outbox
// (settlements that wait for a leader).
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Cluster is a running member.
type Cluster struct {
	cfg         Config
	log         *slog.Logger
	incarnation atomic.Uint64

	clock     *logClock
	disk      *diskGuard
	replica   *replica
	raft      *raft.Raft
	link      *raftLink
	gossip    *gossip
	rpc       *rpc
	rpcListen net.Listener
	leader    *leaderWatch
	proposer  *proposer
	sequencer *sequencer
	reader    *reader
	pilot     *pilot
	reports   *reports
	lease     *lease

	joined                            atomic.Bool
	clockWrong, diskHangs             atomic.Bool
	diverged, theirs                  atomic.Bool // the others contradict this node's state; theirs is to come
	hashAlarms, clockAlarms, electing atomic.Uint64

	mu       sync.Mutex           // guards what follows
	differed map[string]uint64    // newest index at which a node's state differed
	healthy  map[string]time.Time // since when a member of raft has been healthy

	dead    chan struct{} // closed when the process must end
	once    sync.Once     // closes dead
	deadErr error         // why, set before dead is closed
}

// Open starts raft and gossip. Run must be called once afterwards, it also
// stops them.
func Open(cfg Config) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	incarnation, err := identify(cfg)
	if err != nil {
		return nil, err
	}
	empty, err := neverStarted(cfg)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		cfg: cfg, log: cfg.Logger,
		clock: &logClock{}, leader: newLeaderWatch(), differed: map[string]uint64{},
		reports: &reports{last: map[string]report{}}, dead: make(chan struct{}),
	}
	c.incarnation.Store(incarnation)
	c.joined.Store(wasMember(cfg.Stable))
	c.rpc = newRPC(hello{node: cfg.ID, cluster: cfg.ClusterID, generation: cfg.Generation}, cfg.Network, c.log)
	c.lease = newLease(c)
	c.disk = newDiskGuard(cfg.Log, c.fatal)
	c.replica = &replica{machine: cfg.Machine, clock: c.clock, fatal: c.fatal, self: raft.ServerID(cfg.ID), member: c.becameMember, absent: c.lease.suspend, receive: c.receiving}
	if err := c.inquire(empty); err != nil {
		c.rpc.close(nil)
		return nil, err
	}
	if err := c.reinstall(); err != nil {
		c.rpc.close(nil)
		return nil, err
	}
	if err := c.openRaft(); err != nil {
		c.rpc.close(nil)
		return nil, err
	}
	own := meta{Expect: cfg.Expect, Empty: empty, Joined: c.joined.Load(), Voter: !cfg.Nonvoter}
	if c.gossip, err = startGossip(cfg, own, c.log); err != nil {
		c.rpc.close(nil)
		return nil, errors.Join(err, c.closeRaft())
	}
	if c.rpcListen, err = cfg.Network.Listen(ProtoRPC); err != nil {
		c.gossip.stop(false)
		c.rpc.close(nil)
		return nil, errors.Join(fmt.Errorf("listen for rpc: %w", err), c.closeRaft())
	}
	c.assemble()
	return c, nil
}

// assemble makes the parts that need raft and gossip.
func (c *Cluster) assemble() {
	c.sequencer = &sequencer{
		raft: c.raft, clock: c.clock, median: c.median, survey: c.pingAll, wantsTick: c.cfg.Machine.WantsTick,
		hint: c.link.hint, wake: make(chan struct{}, 1),
	}
	c.proposer = &proposer{
		node: c.cfg.ID, life: c.Incarnation(), clock: c.clock, replica: c.replica, leader: c.leader,
		send: c.sendBatch, check: c.cfg.Check, log: c.log, wake: make(chan struct{}, 1),
		open: map[uint64]*op{}, landed: map[*op]bool{}, low: 1, next: 1,
	}
	c.reader = &reader{ask: c.readIndex}
	c.pilot = &pilot{c: c, healthy: map[string]time.Time{}}
	c.rpc.handle(pingName, c.servePing)
	c.rpc.handle(whoisName, c.serveWhois)
	c.rpc.handle(readmitName, c.serveReadmit)
	c.rpc.handle(batchName, c.serveBatch)
	c.rpc.handle(readName, c.serveRead)
	c.rpc.handle(pulseName, c.lease.serve)
	c.rpc.handle(pledgeName, c.lease.servePledge)
	c.rpc.handle(exitedName, c.lease.serveExited)
	c.rpc.handle(rankName, c.serveRank)
	c.rpc.handle(campaignName, c.serveCampaign)
}

// openRaft starts raft over the network and the stores.
func (c *Cluster) openRaft() error {
	l, err := c.cfg.Network.Listen(ProtoRaft)
	if err != nil {
		return fmt.Errorf("listen for raft: %w", err)
	}
	logger := newRaftLogger(c.log)
	c.link = &raftLink{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream:  raftStream{&raftListener{Listener: l, addr: advertised(c.cfg.Advertise), conns: map[*raftConn]bool{}}, c.cfg.Network},
			MaxPool: 4, MaxRPCsInFlight: 1, Timeout: 2 * time.Second, Logger: logger,
		}),
		disk: c.disk, gate: newRaftGate(), self: raft.ServerID(c.cfg.ID), addr: raft.ServerAddress(c.cfg.Advertise),
		peer: c.addrOf, hinted: map[string]*commitHint{},
	}
	cached, err := raft.NewLogCache(logCache, c.disk)
	if err != nil {
		return errors.Join(err, c.link.Close())
	}
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(c.cfg.ID)
	rc.HeartbeatTimeout, rc.ElectionTimeout = c.cfg.Timing.Heartbeat, c.cfg.Timing.Election
	rc.LeaderLeaseTimeout = c.cfg.Timing.Lease
	rc.CommitTimeout = commitTimeout
	rc.MaxAppendEntries = 64
	rc.BatchApplyCh = true
	rc.NoLegacyTelemetry = true
	rc.SnapshotThreshold, rc.TrailingLogs = c.cfg.Timing.SnapshotEntries, c.cfg.Timing.TrailingLogs
	rc.SnapshotInterval = snapshotCheck
	rc.Logger = logger
	c.raft, err = raft.NewRaft(rc, c.replica, cached, stableGuard{c.cfg.Stable, c.cutOff}, c.cfg.Snapshots, c.link)
	if err != nil {
		return errors.Join(fmt.Errorf("start raft: %w", err), c.link.Close())
	}
	return nil
}

const (
	// commitTimeout is when followers that wait for no result of their own learn
	// what is committed, while nothing is proposed.
	commitTimeout = 25 * time.Millisecond
	// snapshotCheck is how often raft looks whether enough entries have gathered.
	snapshotCheck = 30 * time.Second
)

// Run keeps the node a member until ctx ends, then hands leadership over, leaves
// gossip and returns after all goroutines have ended. It returns early with an
// error when the process must end.
func (c *Cluster) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.Background())
	defer stop()
	c.rpc.start(c.rpcListen)
	var all sync.WaitGroup
	for _, loop := range []func(context.Context){c.proposer.run, c.sequencer.run, c.watchLeader, c.runPings, c.runMembership, c.lease.run} {
		all.Go(func() { loop(work) })
	}
	all.Go(func() { c.gossip.run(work, c.cfg.Join, c.peerAddrs) })

	polite := true
	select {
	case <-ctx.Done():
		c.handOver()
	case <-c.dead:
		polite = false
	}
	c.lease.surrender()
	if polite {
		c.lease.farewell()
	}
	c.gossip.stop(polite)
	stop()
	err := c.closeRaft()
	c.lease.close()
	c.rpc.close(c.rpcListen)
	all.Wait()
	if !polite {
		return c.deadErr
	}
	return err
}

// handOver gives leadership away before a planned stop.
func (c *Cluster) handOver() {
	if c.raft.State() != raft.Leader || len(c.Status().Peers) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), transferTimeout)
	defer cancel()
	if err := c.Transfer(ctx); err != nil {
		c.log.Warn("leadership not handed over", "err", err)
	}
}

// closeRaft stops raft and its transport.
func (c *Cluster) closeRaft() error {
	c.link.gate.close()
	err := c.raft.Shutdown().Error()
	c.link.stopHints()
	c.link.CloseStreams()
	return errors.Join(err, c.link.Close())
}

// Incarnation is the number of this life of the node; it grows with each Open.
func (c *Cluster) Incarnation() uint64 { return c.incarnation.Load() }

// fatal ends the node: the caller's Fatal usually ends the process.
func (c *Cluster) fatal(err error) {
	c.once.Do(func() {
		c.deadErr = err
		close(c.dead)
		c.log.Error("node stops", "err", err)
		if c.cfg.Fatal != nil {
			c.cfg.Fatal(err)
		}
	})
}

// cutOff ends the node after raft's own state could not be stored.
func (c *Cluster) cutOff(err error) {
	c.link.silence()
	c.fatal(err)
}

// watchLeader follows raft's changes of leadership until ctx ends.
func (c *Cluster) watchLeader(ctx context.Context) {
	seen := make(chan raft.Observation, 1) // to wake; what is observed is asked for
	o := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	c.raft.RegisterObserver(o)
	defer c.raft.DeregisterObserver(o)
	for {
		info := observe(c.raft)
		if c.leader.set(info) {
			c.electing.Add(1)
			if info.id != c.cfg.ID {
				c.link.gate.release()
			}
			c.log.Debug("leader", "node", info.id)
			c.cfg.Notify(Event{Kind: EventLeader, Node: info.id, Text: info.addr})
		}
		select {
		case <-ctx.Done():
			c.leader.set(leaderInfo{})
			return
		case <-seen:
		}
	}
}
