package sim_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tandem/billing"
	"tandem/chaos"
	"tandem/chaos/sim"
	"tandem/cluster"
	"tandem/cluster/outbox"
	"tandem/cluster/store"
	"tandem/fsm"
	"tandem/media"
	"tandem/node"
	"tandem/node/cdr"
	"tandem/node/load"
)

var (
	customer = netip.MustParseAddr("10.0.2.1")
	carrier  = netip.MustParseAddr("10.0.2.2")

	// services are the nodes' service addresses: whoever owns one binds it.
	services = []netip.Addr{
		netip.MustParseAddr("10.0.9.1"), netip.MustParseAddr("10.0.9.2"), netip.MustParseAddr("10.0.9.3"),
		netip.MustParseAddr("10.0.9.4"), netip.MustParseAddr("10.0.9.5"),
	}
	loopback = netip.MustParsePrefix("10.0.9.0/24")
)

// edge is a process as package node sees the network.
type edge struct{ *sim.Process }

func (e edge) Dial(ctx context.Context, from netip.Addr, _, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	return e.DialFrom(ctx, from, to)
}

// softswitch is a machine that runs a whole node.
type softswitch struct {
	*sim.Machine
	home netip.Addr // its own service address
	dir  string     // CDRs and outbox are files, which outlive what runs in the bubble
	tune func(*node.Options)
	mu   sync.Mutex // guards what follows, of the newest life
	life *sim.Life
	node *node.Node
}

// running returns the node that serves just now, or nil.
func (s *softswitch) running() *node.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil || s.Machine.Life() != s.life {
		return nil
	}
	return s.node
}

func (s *softswitch) serve(ctx context.Context, life *sim.Life, join []string) (err error) {
	queue, err := store.OpenQueue(filepath.Join(s.dir, "outbox.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	cdrs, err := cdr.Open(filepath.Join(s.dir, "cdr"), nil)
	if err != nil {
		return err
	}
	host := life.Host()
	opts := node.Options{
		Cluster: cluster.Config{
			ID: host.Name(), ClusterID: "sim", Generation: 1, Expect: len(join), Join: join,
			Network:   sim.NewMember(life.Process, 7946, cluster.ProtoRaft, cluster.ProtoRPC, cluster.ProtoGossip),
			Advertise: netip.AddrPortFrom(host.Addr(), 7946).String(),
			Log:       life.Volume, Stable: life.Volume, Snapshots: life.Volume.Snapshots(),
			Wall: host.Wall, Boot: life.SinceBoot,
		},
		Secret: []byte("a secret of thirty-two bytes or so"), Version: "sim",
		CDRs: cdrs, Outbox: outbox.Config{Store: queue, Wall: host.Wall},
		Network: edge{life.Process}, Addresses: []node.Address{{IP: s.home}},
		SIP: node.SIP{Port: 5060}, Media: media.PortRange{First: 20000, Last: 20999},
	}
	s.tune(&opts)
	n, err := node.New(opts)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.life, s.node = life, n
	s.mu.Unlock()
	return n.Run(ctx)
}

// exchange is three nodes, a customer and a carrier.
type exchange struct {
	*sim.World
	t        *testing.T
	start    time.Time
	nodes    []*softswitch
	recorder chaos.Recorder
	blind    atomic.Bool // nobody watches the owners any more
}

// newExchange starts them; tune changes what a node is made of.
func newExchange(t *testing.T, seed uint64, tune ...func(*node.Options)) *exchange {
	x := &exchange{t: t, start: time.Now()}
	x.World = &sim.World{Net: sim.New(sim.Config{Seed: seed, Trace: tracer(t), Tap: x.tap, Shared: loopback})}
	var join []string
	for _, a := range everyone {
		join = append(join, netip.AddrPortFrom(a, 7946).String())
	}
	for i, a := range everyone {
		s := &softswitch{home: services[i], dir: t.TempDir(), tune: func(o *node.Options) {
			for _, f := range tune {
				f(o)
			}
		}}
		s.Machine = x.Add(fmt.Sprintf("n%d", i+1), a, func(ctx context.Context, life *sim.Life) error { return s.serve(ctx, life, join) })
		x.nodes = append(x.nodes, s)
		s.Start()
	}
	x.Leader = func() string {
		for _, s := range x.nodes {
			if n := s.running(); n != nil && n.Cluster().Status().State == "Leader" {
				return s.Host.Name()
			}
		}
		return ""
	}
	x.eventually("all nodes serve", func(n *node.Node) bool { return n.Serving() })
	return x
}

// eventually waits until ok holds on all nodes.
func (x *exchange) eventually(what string, ok func(*node.Node) bool) {
	x.t.Helper()
	for range 1200 {
		all := true
		for _, s := range x.nodes {
			n := s.running()
			all = all && n != nil && ok(n)
		}
		if all {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	x.t.Fatalf("not within two minutes: %s", what)
}

// do commits a command.
func (x *exchange) do(body fsm.Body) {
	x.t.Helper()
	r, err := x.nodes[0].running().Propose(context.Background(), cluster.LaneStart, "", body)
	if err != nil || r.Code != fsm.OK {
		x.t.Fatalf("%T: code %v, %v: %s", body, r.Code, err, r.Detail)
	}
}

// provision loads a customer with money and a carrier.
func (x *exchange) provision(funds billing.Amount) {
	x.t.Helper()
	for table, price := range map[string]billing.Price{"sell": 60_000_000, "buy": 30_000_000} {
		x.do(&fsm.PutRateTable{Table: fsm.RateTable{ID: table, Currency: "USD"}})
		x.do(&fsm.ImportRates{Table: table, Version: 1, Rows: []fsm.RateRow{{Prefix: "86", Price: price, First: 1, Next: 1}}})
		x.do(&fsm.ActivateRates{Table: table, Version: 1, Rows: 1})
	}
	x.do(&fsm.PutAccount{Account: fsm.Account{ID: "acme", Type: fsm.Client, Currency: "USD", RateTable: "sell"}})
	x.do(&fsm.PutAccount{Account: fsm.Account{ID: "telco", Type: fsm.Vendor, Currency: "USD", RateTable: "buy"}})
	x.do(&fsm.TopUp{Account: "acme", Amount: funds, Memo: "first"})
	x.recorder.TopUp(chaos.TopUp{Key: "first", Account: "client:acme", Amount: funds, Outcome: chaos.Done})
	x.do(&fsm.PutMappingGateway{Gateway: fsm.MappingGateway{
		ID: "in", Account: "acme", Addrs: []fsm.Prefix{{IP: customer.As16(), Bits: 128}},
	}})
	x.do(&fsm.PutRoutingGateway{Gateway: fsm.RoutingGateway{
		ID: "out", Account: "telco", Prefixes: []string{"86"}, Addrs: []fsm.Addr{{IP: carrier.As16(), Port: 5060}},
	}})
}

// traffic places calls through all nodes that live, while the schedule runs.
func (x *exchange) traffic(cfg load.CallersConfig, s chaos.Schedule) load.Report {
	x.t.Helper()
	cfg.Listen, cfg.Addr = x.Net.Host("customer", customer).Start().ListenPacket, at(customer, 5060)
	for _, s := range x.nodes {
		cfg.Targets = append(cfg.Targets, at(s.home, 5060))
	}
	cfg.OnEnd = x.ended
	cfg.Skip = func(target netip.AddrPort) bool {
		n := x.at(target.Addr()).running()
		return n == nil || !n.Serving()
	}
	vendor, err := load.NewCarrier(load.CarrierConfig{
		Listen: x.Net.Host("carrier", carrier).Start().ListenPacket, Addr: at(carrier, 5060), Ring: time.Second, OnEnd: x.leg,
	})
	if err != nil {
		x.t.Fatal(err)
	}
	callers, err := load.NewCallers(cfg)
	if err != nil {
		x.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	beside.Go(func() {
		if err := vendor.Run(ctx); err != nil {
			x.t.Errorf("carrier: %v", err)
		}
	})
	beside.Go(func() {
		if err := x.Run(ctx, s); err != nil {
			x.t.Errorf("schedule: %v", err)
		}
	})
	report, err := callers.Run(ctx)
	if err != nil {
		x.t.Errorf("callers: %v", err)
	}
	x.eventually("no call is live", func(n *node.Node) (ok bool) {
		n.View(func(s *fsm.State) { ok = s.Counts().Calls == 0 })
		return ok
	})
	cancel()
	beside.Wait()
	return report
}

// reading returns the ledger of a node.
func (x *exchange) reading(name string, s *fsm.State) chaos.Reading {
	r := chaos.Reading{At: time.Since(x.start), Node: name, Index: s.Index(), Hash: s.Hash()}
	for _, a := range s.Accounts("", 100) {
		kind := "client:"
		if a.Type == fsm.Vendor {
			kind = "vendor:"
		}
		r.Accounts = append(r.Accounts, chaos.Account{Name: kind + a.ID, Currency: a.Currency, Balance: a.Balance})
		r.Accounts = append(r.Accounts, purchases(s, a.ID)...)
	}
	for _, h := range s.Houses() {
		r.Accounts = append(r.Accounts, chaos.Account{Name: h.Name, Currency: h.Currency, Balance: billing.Balance{Funds: h.Amount, Overdraft: true}})
	}
	return r
}

// purchases returns what an account has of packages, by package.
func purchases(s *fsm.State, account string) []chaos.Account {
	var out []chaos.Account
	at := map[string]int{}
	for _, p := range s.Purchases(account) {
		unit := fsm.PackageUnit(p.Package)
		i, ok := at[unit]
		if !ok {
			i, at[unit] = len(out), len(out)
			out = append(out, chaos.Account{Name: "client:" + account, Currency: unit})
		}
		out[i].Balance.Funds += p.Balance.Funds
		out[i].Balance.Held += p.Balance.Held
	}
	return out
}

// finish reads everything from every node, stops them and checks the history.
func (x *exchange) finish() {
	x.t.Helper()
	ctx := context.Background()
	for _, s := range x.nodes {
		n := s.running()
		var f chaos.Final
		var counts fsm.Counts
		n.View(func(state *fsm.State) {
			f.Reading, counts = x.reading(s.Host.Name(), state), state.Counts()
			if err := state.Check(); err != nil {
				x.t.Errorf("%s: %v", s.Host.Name(), err)
			}
		})
		var err error
		f.CDRs, f.Transfers, err = n.CDRs().Range(ctx, cdr.Span{First: 1, Last: counts.CDRs}, cdr.Span{First: 1, Last: counts.Transfers}, 1<<20)
		if err != nil {
			x.t.Errorf("%s: %v", s.Host.Name(), err)
		}
		x.recorder.Final(f)
	}
	for _, err := range x.Close() {
		x.t.Errorf("a node ended by itself: %v", err)
	}
	time.Sleep(3 * time.Minute)
	x.Net.Close()
	for _, v := range chaos.Check(x.recorder.History()) {
		x.t.Error(v)
	}
}

// TestCallsInTheBubble is the main job in virtual time: calls through three
// nodes, each charged once on both sides, the same records everywhere.
func TestCallsInTheBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchange(t, 1)
		x.provision(100 * billing.Unit)
		report := x.traffic(load.CallersConfig{CPS: 5, Calls: 100, Talk: 10 * time.Second}, nil)
		if report.Answered != 100 {
			t.Errorf("%d of 100 calls were answered: %+v", report.Answered, report)
		}
		x.finish()
	})
}

// TestCallsSwarm kills the leader twice in mid-traffic: no answered call is lost,
// and new ones are answered again within seconds, at every address.
func TestCallsSwarm(t *testing.T) {
	kills := schedule(t, `
		10s kill leader for 5s
		30s kill leader for 5s
	`)
	swarm(t, 5, func(t *testing.T, seed uint64) {
		d := newDay(t, seed, wires[0].link)
		d.provision(100 * billing.Unit)
		d.run(kills, load.CallersConfig{CPS: 5, Calls: 200, Talk: 10 * time.Second})
	})
}
