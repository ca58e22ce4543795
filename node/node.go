// Package node composes a process of the cluster: consensus and the state
// machine's replica, call control on its service addresses, media relays, the
// CDR store, the API and the metrics. It is the one place where signalling,
// media, money and consensus meet.
//
// It decides nothing that has to be the same everywhere. What it serves follows
// from the replicated state: a loop compares the two and acts on the difference
// (reconcile.go), so that replay, lag and takeover are one case.
//
//	n, err := node.Open(file)        // production: files, TLS, real sockets
//	n, err := node.New(options)      // everything ready-made: tests, simulator
//	err = n.Run(ctx)                 // returns after everything has stopped
package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tandem/cluster"
	"tandem/cluster/outbox"
	"tandem/fsm"
	"tandem/media"
	"tandem/node/address"
	"tandem/node/call"
	"tandem/node/cdr"
	"tandem/node/guard"
	"tandem/node/health"
	"tandem/node/phones"
	"tandem/node/trace"
)

// Options is everything a node is made of, opened by the caller.
type Options struct {
	// Cluster is the member's configuration without Machine, Checkpoints and
	// Notify, which the node fills in.
	Cluster cluster.Config
	// Secret is the cluster's secret of at least 32 bytes, the same on all nodes:
	// the keys of identifiers and of state hashes are derived from it.
	Secret  []byte
	Version string // of the build, shown to operators
	Zone    string
	Witness bool

	CDRs *cdr.Store
	// Outbox configures the durable queue of settlements; the node fills in
	// Proposer, Done and Logger. A witness needs none.
	Outbox outbox.Config

	Network Network
	// Addresses are this node's own. It serves others' as well, when those nodes do
	// not.
	Addresses []Address
	// Names resolves the host names of gateways; nil: they are not resolved.
	Names health.Lookup
	// Moving says how addresses come to this host; the node fills in Leased, Alarm
	// and Logger.
	Moving address.Config
	// Movers makes what moves addresses; nil: address.New.
	Movers  func(address.Config) func(kind string) (address.Mover, error)
	SIP     SIP
	Media   media.PortRange
	Denied  []netip.Prefix // networks that media is never sent to, beside the relay's own rules
	Trusted []netip.Prefix // networks that are answered when refused (F009)

	// HTTP is the API's listener; nil: no API.
	HTTP net.Listener
	// FirstToken is the administrator's token that is put into a state without
	// tokens. Empty ID: none.
	FirstToken fsm.Token

	Logger *slog.Logger // nil discards
}

// Address is a service address.
type Address struct {
	IP     netip.Addr
	Public netip.Addr // carried by Contacts and SDP; zero: IP
	Move   string     // how it comes to another host: address.Bind, ...; empty: address.Bind
}

// SIP is signalling on every service address.
type SIP struct {
	Port     uint16
	TCP      bool
	Secure   Secure
	Hold     time.Duration
	MaxCalls int
}

// minSecret is the length below which a secret is refused.
const minSecret = 32

// Validate reports the first option that cannot be used.
func (o *Options) Validate() error {
	switch {
	case len(o.Secret) < minSecret:
		return fmt.Errorf("node: Secret has %d bytes, needs at least %d", len(o.Secret), minSecret)
	case o.CDRs == nil:
		return errors.New("node: CDRs is missing")
	case !o.Witness && len(o.Addresses) == 0:
		return errors.New("node: Addresses is empty: a full node needs a service address")
	case len(o.Addresses) > 0 && o.Network == nil:
		return errors.New("node: Network is missing")
	case len(o.Addresses) > 0 && o.Outbox.Store == nil:
		return errors.New("node: Outbox.Store is missing")
	}
	return nil
}

// Node is one process of the cluster.
type Node struct {
	opts    Options
	id      fsm.NodeID
	log     *slog.Logger
	started time.Time

	replica  *replica
	cluster  *cluster.Cluster
	proposer proposer
	outbox   *outbox.Box
	guard    *guard.Guard
	phones   *phones.Service // nil: a witness
	phoned   atomic.Bool     // there are phones
	blocks   chan block      // to be told to the other nodes
	calls    *call.Control
	ring     *trace.Ring
	lines    *lines
	gateways *gateways

	leaderless atomic.Bool // no leader is known: a UDP caller hears nothing yet
	refreshing sync.Mutex  // one refreshGuard at a time: the last one has the newest state
	movers     func(kind string) (address.Mover, error)

	confirmer *confirmer
	figures   figures
	handler   http.Handler   // of the API
	opened    []func() error // what Open made, closed after Run

	life         atomic.Uint64      // incarnation whose NodeUp has been applied here; 0: none
	fenced       chan struct{}      // capacity 1: the present life was declared dead
	awake        awake              // whether what sockets give is new
	resting      chan chan struct{} // has the reconciliation leave everything
	pulse        chan chan struct{} // has the reconciliation take a turn
	moves        chan struct{}      // capacity 1: look whether an address has to move
	contradicted chan struct{}      // capacity 1: the others agree that this node's state is wrong
	moving       sync.Mutex         // one hand-over at a time

	// Only the reconciliation touches what follows.
	former map[netip.Addr]fsm.NodeID // who had an address before it came here
	told   map[fsm.CallID]struct{}   // orphans whose legs have been told
}

// New opens consensus and the sockets. Run must be called once afterwards.
func New(opts Options) (*Node, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{
		opts: opts, id: fsm.NodeID(opts.Cluster.ID), log: opts.Logger,
		started: time.Now(), lines: newLines(),
		fenced: make(chan struct{}, 1), resting: make(chan chan struct{}), pulse: make(chan chan struct{}), moves: make(chan struct{}, 1),
		contradicted: make(chan struct{}, 1),
		former:       map[netip.Addr]fsm.NodeID{}, told: map[fsm.CallID]struct{}{},
	}
	if n.awake.boot = opts.Cluster.Boot; n.awake.boot == nil {
		n.awake.boot = sinceBoot
	}
	n.replica = newReplica([16]byte(derive(opts.Secret, "state hash")), opts.CDRs, n.log)
	opts.Cluster.Machine = n.replica
	opts.Cluster.Checkpoints = n.replica.Checkpoints
	opts.Cluster.Notify = n.notice
	opts.Cluster.Check = checkBody
	opts.Cluster.Build = opts.Version
	opts.Cluster.Peers, opts.Cluster.Down, opts.Cluster.Witness = n.peers, n.declare, opts.Witness
	if at, err := netip.ParseAddrPort(opts.Cluster.Advertise); err == nil && at.Addr().IsLoopback() && opts.Network != nil {
		opts.Cluster.Probe = n.probe // all members are on this machine
	}
	var err error
	if n.cluster, err = cluster.Open(opts.Cluster); err != nil {
		return nil, err
	}
	n.proposer = proposer{n.cluster, n.awaitLife}
	n.blocks = make(chan block, maxBlocks)
	n.guard = guard.New(n.report)
	n.confirmer = newConfirmer(n.upToDate)
	n.movers = n.makeMovers()
	n.ring = trace.New(trace.Config{})
	n.handleFill()
	n.handleReady()
	n.handleMissing()
	n.handleBlock()
	n.handleTrace()
	n.handleOperate()
	if err := n.openCalls(); err != nil {
		return nil, errors.Join(err, n.abandon())
	}
	if err := n.openAPI(); err != nil {
		return nil, errors.Join(err, n.abandon())
	}
	return n, nil
}

// abandon stops what New has opened when a later part fails.
func (n *Node) abandon() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return n.cluster.Run(ctx)
}

// derive makes a key for one purpose from the cluster's secret.
func derive(secret []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("tandem " + purpose))
	return mac.Sum(nil)[:16]
}

// ID returns the node's name.
func (n *Node) ID() fsm.NodeID { return n.id }

// Run serves until ctx ends or a part fails, and returns after all parts have
// stopped: first what talks to the outside, then consensus, then the CDR store,
// which has to see the last entries.
func (n *Node) Run(ctx context.Context) error {
	edge := newGroup(ctx)
	core := newGroup(context.WithoutCancel(ctx))
	store := newGroup(context.WithoutCancel(ctx))

	store.run("cdr store", n.opts.CDRs.Run)
	core.run("cluster", n.cluster.Run)
	edge.run("awake", n.awake.run)
	edge.run("life", n.live)
	edge.run("wrong state", n.replaceState)
	edge.run("reconciliation", n.reconcile)
	edge.run("guard", n.guard.Run)
	edge.run("cdr gaps", n.fillGaps)
	edge.run("cdr retention", n.retain)
	edge.run("api", n.serveAPI)
	edge.run("confirmation", n.confirmer.run)
	if n.calls != nil {
		edge.run("calls", n.calls.Run)
		edge.run("gateway checks", n.gateways.check.Run)
		if n.gateways.names != nil {
			edge.run("gateway names", n.gateways.names.Run)
		}
		edge.run("comparison", n.compare)
		edge.run("blocked sources", n.tellBlocks)
		edge.run("outbox", n.outbox.Run)
		edge.run("proof of life", n.beat)
		edge.run("moves", n.move)
	}
	select {
	case <-edge.failed():
	case <-core.failed():
	case <-store.failed():
	case <-ctx.Done():
	}
	return errors.Join(edge.stop(), core.stop(), store.stop(), closeAll(n.opened))
}

// makeMovers returns what finds the mover of a kind of address.
func (n *Node) makeMovers() func(kind string) (address.Mover, error) {
	cfg := n.opts.Moving
	cfg.Leased, cfg.Moving, cfg.Logger = n.leased, n.handingOver, n.log
	cfg.Alarm = func(ip netip.Addr, text string) {
		n.figures.conflicts.Add(1)
		n.log.Error("alarm", "kind", "address conflict", "ip", ip, "text", text)
	}
	if n.opts.Movers != nil {
		return n.opts.Movers(cfg)
	}
	return address.New(cfg)
}

// handingOver says that an address is on its way to another node.
func (n *Node) handingOver(ip netip.Addr) bool {
	l := n.lines.get(ip)
	return l == nil || l.takes.Load() == takesNothing
}

// upToDate returns when everything that was committed before is applied here.
func (n *Node) upToDate(ctx context.Context) error {
	_, err := n.cluster.ReadIndex(ctx)
	return err
}

// notice logs what the cluster reports.
func (n *Node) notice(e cluster.Event) {
	switch e.Kind {
	case cluster.EventLeader:
		n.leaderless.Store(e.Node == "")
	case cluster.EventLease:
		n.replica.changes.lost() // things may have happened that this node could not act on
	case cluster.EventLeaseLost:
		for _, l := range n.lines.all() {
			l.resetStreams() // peers have to find who speaks for the address now
		}
	case cluster.EventFenced:
		if n.announced() {
			n.fence()
		}
	case cluster.EventDiverged:
		select {
		case n.contradicted <- struct{}{}:
		default:
		}
	}
	alarm := []cluster.EventKind{cluster.EventHash, cluster.EventClock, cluster.EventDisk, cluster.EventLeaseLost, cluster.EventDiverged}
	if slices.Contains(alarm, e.Kind) {
		n.log.Error("alarm", "kind", e.Kind, "node", e.Node, "text", e.Text)
		return
	}
	if e.Kind == cluster.EventLeader && e.Node == "" {
		n.log.Warn("no leader: new calls and commands wait for an election")
		return
	}
	n.log.Info("cluster", "kind", e.Kind, "node", e.Node, "text", e.Text)
}

// report hands a batch of refusals to the log. Reports of a flood are worth less
// than anything else, so a full lane drops them.
func (n *Node) report(r fsm.Refused) {
	n.proposer.Submit(call.Command{Lane: cluster.LaneStart, Flow: adminFlow, Body: &r}, func(_ fsm.Result, err error) {
		if err != nil {
			n.log.Warn("refusals not recorded", "count", r.Count, "err", err)
		}
	})
}

// Propose commits a command and waits for its result. Key is its administrative
// idempotency key, or empty.
func (n *Node) Propose(ctx context.Context, lane cluster.Lane, key string, body fsm.Body) (fsm.Result, error) {
	return n.proposer.Propose(ctx, lane, key, body)
}

// View calls fn with the local replica's state, which must not be changed or
// kept.
func (n *Node) View(fn func(*fsm.State)) { n.replica.View(fn) }

// CDRs is the node's store of call detail records.
func (n *Node) CDRs() *cdr.Store { return n.opts.CDRs }

// Cluster is the node's membership.
func (n *Node) Cluster() *cluster.Cluster { return n.cluster }
