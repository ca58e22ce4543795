// Package game plays a game day: a scenario of faults against a cluster of real
// processes under calls, and a verdict that a stranger can read.
//
// It owns the scenario's run from the first process to the last: cluster, callers
// and carriers, the faults (package chaos/live), what was seen, the thresholds and
// the report. It judges by what callers, carriers and the nodes' API say, with the
// checkers of package chaos, and never touches a cluster that it has not started.
//
//	s, err := game.Load("leader-kill")
//	result, err := game.Run(ctx, s, game.Config{Exe: exe, Out: os.Stdout})
//	err = game.WriteHTML(w, result)
package game

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"tandem/billing"
	"tandem/chaos"
	"tandem/chaos/live"
	"tandem/cmd/tandem/local"
	"tandem/cmd/tandem/objects"
	"tandem/node/api/client"
	"tandem/node/load"
)

// Config says with what and where to.
type Config struct {
	Exe    string   // the program
	Env    []string // of its processes
	Out    io.Writer
	Safety *live.Safety // may be nil
	// First is the last part of the first node's address, 127.0.0.11 by default. The
	// others follow, and behind them the customer and the carrier.
	First byte
}

// firstNode is the default of Config.First.
const firstNode = 11

func (c *Config) customer() netip.Addr { return loopback(c.First + maxNodes) }
func (c *Config) carrier() netip.Addr  { return loopback(c.First + maxNodes + 2) }

const (
	sipPort = 5060
	ring    = 150 * time.Millisecond
)

const (
	settleTime  = 45 * time.Second // for calls to be over and nodes to be back
	verdictTime = 45 * time.Second // for all questions to the nodes
	prepaid     = 10_000 * billing.Unit
)

func loopback(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, last}) }

// match is one run of a scenario.
type match struct {
	scenario Scenario
	cfg      Config
	cluster  *local.Cluster
	begin    time.Time // of the traffic
	recorder chaos.Recorder

	mu     sync.Mutex // guards out and result
	result Result
}

// Run plays a scenario. The error is about the game itself; whether the promises
// were kept is in the result.
func Run(ctx context.Context, s Scenario, cfg Config) (result Result, err error) {
	cfg.First = cmp.Or(cfg.First, firstNode)
	plan, err := s.plan()
	if err == nil {
		err = live.Possible(plan)
	}
	if err != nil {
		return Result{}, err
	}
	dir, err := os.MkdirTemp("", "tandem-chaos-")
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m := &match{scenario: s, cfg: cfg, result: Result{Scenario: s, Began: time.Now()}}
	var ips []netip.Addr
	for i := range s.Nodes {
		ips = append(ips, loopback(cfg.First+byte(i)))
	}
	m.say("starting %d nodes on %s and following", s.Nodes, ips[0])
	if m.cluster, err = local.Start(ctx, local.Config{Exe: cfg.Exe, Env: cfg.Env, Dir: dir, IPs: ips}); err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, m.cluster.Stop()) }()
	doc := business(cfg)
	if err := doc.Apply(ctx, m.cluster.Client(), objects.Options{}); err != nil {
		return Result{}, err
	}
	if err := m.play(ctx, plan); err != nil {
		return Result{}, err
	}
	return m.result, nil
}

// say prints a line with the time of the game.
func (m *match) say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := time.Duration(0)
	if !m.begin.IsZero() {
		at = time.Since(m.begin)
	}
	fmt.Fprintf(m.cfg.Out, " %02d:%04.1f  %s\n", int(at.Minutes()), (at % time.Minute).Seconds(), fmt.Sprintf(format, args...))
}

// business is one customer with money and one carrier.
func business(cfg Config) objects.Document {
	table := func(id, price string) objects.RateTable {
		return objects.RateTable{
			ID: id, RateTableSettings: client.RateTableSettings{Currency: "USD"}, RatesFile: id + ".csv",
			Rates: []byte("prefix,area,price,connect_fee,first,next\n86,China," + price + ",0,1,1\n"),
		}
	}
	return objects.Document{
		RateTables: []objects.RateTable{table("buy", "0.03"), table("sell", "0.06")},
		Accounts: []objects.Account{
			{ID: "customer", AccountSettings: client.AccountSettings{Type: client.AccountClient, Currency: "USD", RateTable: "sell"}},
			{ID: "carrier", AccountSettings: client.AccountSettings{Type: client.AccountVendor, Currency: "USD", RateTable: "buy"}},
		},
		MappingGateways: []objects.MappingGateway{{ID: "customer", MappingSettings: client.MappingSettings{
			Account: "customer", Addrs: []string{cfg.customer().String()},
		}}},
		RoutingGateways: []objects.RoutingGateway{{ID: "carrier", RoutingSettings: client.RoutingSettings{
			Account: "carrier", Prefixes: []string{"86"}, Addrs: []string{netip.AddrPortFrom(cfg.carrier(), sipPort).String()},
		}}},
		TopUps: []objects.TopUp{{Account: "customer", Amount: prepaid, Key: "game"}},
	}
}

// play lets customers call while faults strike, and judges what was seen.
func (m *match) play(ctx context.Context, plan chaos.Schedule) error {
	vendor, callers, err := m.phones()
	if err != nil {
		return err
	}
	m.begin = time.Now()
	serving, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	calling, enough := context.WithTimeout(ctx, time.Duration(m.scenario.Duration))
	defer enough()
	watching, close := context.WithCancel(context.WithoutCancel(ctx))
	defer close()

	var all, phones sync.WaitGroup
	errs := make(chan error, 3) // carrier, callers, faults
	all.Go(func() { errs <- vendor.Run(serving) })
	all.Go(func() { m.watch(watching) })
	phones.Go(func() {
		_, err := callers.Run(calling)
		errs <- err
	})
	m.say("calls: %g a second, each %v with voice, at all %d addresses", m.scenario.Traffic.CPS, m.scenario.Traffic.Talk, m.scenario.Nodes)
	struck, err := m.driver().Run(ctx, plan)
	phones.Wait()
	m.say("all callers have hung up; waiting for the nodes")
	settling, cancel := context.WithTimeout(ctx, settleTime)
	settled := errors.Join(m.cluster.Ready(settling), m.cluster.Idle(settling, 0))
	cancel()
	close()
	hangUp()
	all.Wait()
	for range cap(errs) - 1 {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return err
	}
	last, cancel := context.WithTimeout(ctx, verdictTime)
	defer cancel()
	return m.judge(last, struck, settled)
}

// phones opens the sockets of the customer and of the carrier.
func (m *match) phones() (*load.Carrier, *load.Callers, error) {
	listen := func(a netip.AddrPort) (net.PacketConn, error) {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	}
	vendor, err := load.NewCarrier(load.CarrierConfig{
		Listen: listen, Addr: netip.AddrPortFrom(m.cfg.carrier(), sipPort), Ring: ring, RTP: true, OnEnd: m.leg,
	})
	if err != nil {
		return nil, nil, err
	}
	cfg := load.CallersConfig{
		Listen: listen, Addr: netip.AddrPortFrom(m.cfg.customer(), sipPort), CPS: m.scenario.Traffic.CPS,
		Talk: time.Duration(m.scenario.Traffic.Talk), Drain: settleTime, RTP: true, OnEnd: m.ended,
	}
	for i := range m.cluster.Nodes() {
		cfg.Targets = append(cfg.Targets, m.cluster.SIP(i))
	}
	callers, err := load.NewCallers(cfg)
	return vendor, callers, err
}

// driver strikes the cluster's processes.
func (m *match) driver() *live.Driver {
	c := m.cluster
	cfg := live.Config{Leader: m.leader, Safety: m.cfg.Safety, Notify: m.struck}
	for i := range c.Nodes() {
		cfg.Nodes = append(cfg.Nodes, live.Node{
			Name: c.Name(i), IP: c.IP(i), PID: func() int { return c.PID(i) },
			Kill: func() error { return c.Kill(i) }, Start: func() error { return c.Run(i) },
			Stop: func(ctx context.Context) error { return c.Terminate(ctx, i) },
		})
	}
	cfg.Transfer = func(ctx context.Context, node string) error {
		_, _, err := c.Client().TransferLeadership(ctx)
		return err
	}
	return live.New(cfg)
}

// leader names the node that leads; during an election it waits a moment.
func (m *match) leader(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	i, err := m.cluster.AwaitLeader(ctx)
	if err != nil {
		return ""
	}
	return m.cluster.Name(i)
}

func (m *match) struck(f chaos.Fault, over bool) {
	f.At = 0
	if over {
		m.say("healed: %s", describe(f))
		return
	}
	m.say("%s", describe(f))
}

// describe is a fault without its time.
func describe(f chaos.Fault) string {
	f.At = 0
	return f.String()[len("0s "):]
}
