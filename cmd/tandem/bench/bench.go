// Package bench measures a cluster of three real processes on this machine: what
// a call costs in CPU, summed over all nodes, how long customers wait, how many
// entries a second are committed, and what a held call keeps in memory.
//
// It measures from outside, by /proc and the nodes' API, and has no part in the
// nodes' work: its own callers and carriers are not counted, but share the
// machine. It never compares with other programs. A rate is only worth its name
// when no call failed, so failures stand beside it.
//
// [Run] measures calls, [Events] the log alone.
//
//	err := bench.Run(ctx, bench.Config{Exe: exe, Steps: []float64{50, 200}, Each: 10 * time.Second, Report: print})
package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"tandem/billing"
	"tandem/cmd/tandem/local"
	"tandem/cmd/tandem/objects"
	"tandem/node/api/client"
	"tandem/node/load"
)

// Config says what to measure.
type Config struct {
	Exe   string
	Env   []string
	Steps []float64     // calls a second
	Each  time.Duration // of each step
	Talk  time.Duration
	RTP   bool
	Held  int // calls that are held at once for the figure of memory; 0: none
	// Report is called with each result as it is there. The first is that of a
	// cluster that rests: 0 calls a second.
	Report func(Result)
	Nodes  []netip.Addr // nil: 127.0.0.21 to 23
}

// Result is one step.
type Result struct {
	CPS       float64       `json:"cps"`
	Calls     int           `json:"calls"`
	Failed    int           `json:"failed"`
	SetupP50  time.Duration `json:"setup_p50_ns"`
	SetupP99  time.Duration `json:"setup_p99_ns"`
	SetupMax  time.Duration `json:"setup_max_ns"`
	CPU       float64       `json:"cpu"` // cores that all nodes were busy with
	CPUPer    time.Duration `json:"cpu_per_call_ns"`
	Events    float64       `json:"events_per_second"`         // committed commands
	Entries   float64       `json:"entries_per_second"`        // of the log; an entry holds a batch of commands
	MemoryPer int64         `json:"memory_per_call,omitempty"` // bytes, all nodes; only of held calls
}

const (
	sipPort  = 5060
	ring     = 20 * time.Millisecond
	holdRate = 100.0 // calls a second while held calls are built up
	settle   = 2 * time.Second
	idleWait = 30 * time.Second
	restTime = 3 * time.Second
	// A call that is answered commits four commands: start, ring, answer, end.
	eventsPerCall = 4
)

func defaultNodes() []netip.Addr { return []netip.Addr{loopback(21), loopback(22), loopback(23)} }

func loopback(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, last}) }

// The far ends of all calls.
func customer() netip.Addr { return loopback(26) }
func carrier() netip.Addr  { return loopback(28) }

// Run starts a cluster and measures step by step.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Nodes == nil {
		cfg.Nodes = defaultNodes()
	}
	dir, err := os.MkdirTemp("", "tandem-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := local.Start(ctx, local.Config{Exe: cfg.Exe, Env: cfg.Env, Dir: dir, IPs: cfg.Nodes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	doc := business()
	if err := doc.Apply(ctx, c.Client(), objects.Options{}); err != nil {
		return err
	}
	answering, err := answer(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answering()) }()
	r, err := rest(ctx, cfg, c)
	if err != nil {
		return err
	}
	cfg.Report(r)
	for _, cps := range cfg.Steps {
		r, err := step(ctx, cfg, c, cps)
		if err != nil {
			return err
		}
		cfg.Report(r)
	}
	if cfg.Held == 0 {
		return nil
	}
	r, err = held(ctx, cfg, c)
	if err == nil {
		cfg.Report(r)
	}
	return err
}

// business is one customer and one carrier, with a rate for every number.
func business() objects.Document {
	table := func(id string, price string) objects.RateTable {
		return objects.RateTable{
			ID: id, RateTableSettings: client.RateTableSettings{Currency: "USD"}, RatesFile: id + ".csv",
			Rates: []byte("prefix,price\n86," + price + "\n"),
		}
	}
	account := func(id, kind, table string) objects.Account {
		return objects.Account{ID: id, AccountSettings: client.AccountSettings{Type: kind, Currency: "USD", RateTable: table}}
	}
	return objects.Document{
		RateTables: []objects.RateTable{table("sell", "0.02"), table("buy", "0.01")},
		Accounts:   []objects.Account{account("customer", client.AccountClient, "sell"), account("carrier", client.AccountVendor, "buy")},
		MappingGateways: []objects.MappingGateway{{ID: "in", MappingSettings: client.MappingSettings{
			Account: "customer", Addrs: []string{customer().String()}, MaxCPS: maxCPS,
		}}},
		RoutingGateways: []objects.RoutingGateway{{ID: "out", RoutingSettings: client.RoutingSettings{
			Account: "carrier", Prefixes: []string{"86"}, Addrs: []string{fmt.Sprintf("%s:%d", carrier(), sipPort)},
		}}},
		TopUps: []objects.TopUp{{Account: "customer", Amount: 1_000_000 * billing.Unit, Key: "bench"}},
	}
}

// maxCPS lifts the default limit of 200 new calls a second for each gateway and
// node.
const maxCPS = 10_000

func listen(a netip.AddrPort) (net.PacketConn, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	if err != nil {
		return nil, err
	}
	// With the default buffers one stall becomes a storm of retransmissions.
	return conn, errors.Join(conn.SetReadBuffer(socketBuffer), conn.SetWriteBuffer(socketBuffer))
}

const socketBuffer = 4 << 20

// answer runs the carrier until the returned function is called.
func answer(ctx context.Context, cfg Config) (func() error, error) {
	far, err := load.NewCarrier(load.CarrierConfig{Listen: listen, Addr: netip.AddrPortFrom(carrier(), sipPort), Ring: ring, RTP: cfg.RTP})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- far.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}, nil
}

func (cfg Config) callers(c *local.Cluster, cps float64, calls int, talk time.Duration) (*load.Callers, error) {
	var targets []netip.AddrPort
	for i := range c.Nodes() {
		targets = append(targets, c.SIP(i))
	}
	return load.NewCallers(load.CallersConfig{
		Listen: listen, Addr: netip.AddrPortFrom(customer(), sipPort), Targets: targets,
		CPS: cps, Calls: calls, Talk: talk, RTP: cfg.RTP,
	})
}

// rest measures what the nodes spend when there is nothing to do.
func rest(ctx context.Context, cfg Config, c *local.Cluster) (Result, error) {
	before, err := commits(ctx, c)
	if err != nil {
		return Result{}, err
	}
	cpu, t := c.CPU(), time.NewTimer(min(cfg.Each, restTime))
	defer t.Stop()
	began := time.Now()
	select {
	case <-ctx.Done():
		return Result{}, ctx.Err()
	case <-t.C:
	}
	spent, took := c.CPU()-cpu, time.Since(began)
	after, err := commits(ctx, c)
	return Result{CPU: spent.Seconds() / took.Seconds(), Entries: float64(after-before) / took.Seconds()}, err
}

// step places calls at a rate and divides what the nodes spent by them.
func step(ctx context.Context, cfg Config, c *local.Cluster, cps float64) (Result, error) {
	callers, err := cfg.callers(c, cps, max(1, int(cps*cfg.Each.Seconds())), cfg.Talk)
	if err != nil {
		return Result{}, err
	}
	before, err := commits(ctx, c)
	if err != nil {
		return Result{}, err
	}
	began, cpu := time.Now(), c.CPU()
	report, err := callers.Run(ctx)
	if err != nil {
		return Result{}, err
	}
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	idle, cancel := context.WithTimeout(ctx, idleWait)
	defer cancel()
	if err := c.Idle(idle, 0); err != nil {
		return Result{}, err
	}
	spent, took := c.CPU()-cpu, time.Since(began)
	after, err := commits(ctx, c)
	if err != nil {
		return Result{}, err
	}
	return Result{
		CPS: cps, Calls: report.Placed, Failed: report.Failed() + report.Cut + report.ByesLost,
		SetupP50: report.SetupP50, SetupP99: report.SetupP99, SetupMax: report.SetupMax,
		CPU: spent.Seconds() / took.Seconds(), CPUPer: spent / time.Duration(max(1, report.Completed)),
		Events: eventsPerCall * float64(report.Completed) / took.Seconds(), Entries: float64(after-before) / took.Seconds(),
	}, nil
}

func commits(ctx context.Context, c *local.Cluster) (uint64, error) {
	s, _, err := c.Client().Status(ctx)
	return s.Commit, err
}

// held builds up calls that stay, and divides by them what the nodes' memory
// grew.
func held(ctx context.Context, cfg Config, c *local.Cluster) (Result, error) {
	before := memory(c)
	building := time.Duration(float64(cfg.Held) / holdRate * float64(time.Second))
	callers, err := cfg.callers(c, holdRate, cfg.Held, building+2*settle)
	if err != nil {
		return Result{}, err
	}
	done := make(chan load.Report, 1)
	failed := make(chan error, 1)
	go func() {
		report, err := callers.Run(ctx)
		failed <- err
		done <- report
	}()
	t := time.NewTimer(building + settle)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	live := callers.Live()
	grown := memory(c) - before
	if err := <-failed; err != nil {
		return Result{}, err
	}
	report := <-done
	return Result{
		CPS: holdRate, Calls: live, Failed: report.Failed() + report.Cut + report.ByesLost,
		SetupP50: report.SetupP50, SetupP99: report.SetupP99, SetupMax: report.SetupMax,
		MemoryPer: grown / int64(max(1, live)),
	}, ctx.Err()
}

func memory(c *local.Cluster) int64 {
	var sum int64
	for i := range c.Nodes() {
		sum += c.Memory(i)
	}
	return sum
}
