// Package demo shows the promise on one machine: three nodes as real processes,
// customers and carriers that talk through them, the leader killed in the middle,
// and a verdict from the records afterwards.
//
// It uses nothing that an operator does not have: the nodes' API, their SIP and
// RTP. It never counts in its own favour: customers go on calling the killed node's
// address, and its calls must live. It ends every process that it started and
// removes every file.
//
//	verdict, err := demo.Run(ctx, demo.Config{Exe: exe, Out: os.Stdout, Duration: time.Minute, CPS: 10})
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"tandem/cmd/tandem/local"
	"tandem/cmd/tandem/objects"
	"tandem/cmd/tandem/render"
)

// Config says how long and how hard.
type Config struct {
	Exe      string // the program
	Env      []string
	Duration time.Duration // of all, about
	CPS      float64       // new calls a second
	Talk     time.Duration // of each call
	Rates    int           // rows in each rate table
	Keep     string        // keep the nodes' files in this directory; empty: remove them
	Live     bool          // Out is a terminal: redraw the last line
	Unicode  bool
	Out      io.Writer
	Printer  render.Printer // colours

	Nodes             []netip.Addr // nil: 127.0.0.11 to 13
	Customers, Vendor []netip.Addr // nil: 127.0.0.16, 17 and 127.0.0.18, 19
}

// The parts of the demo, as shares of its duration. Start and verdict take about
// ten seconds more than nothing.
const (
	trafficShare = 0.72
	killShare    = 0.30 // of the traffic
	restartShare = 0.60
	sipPort      = 5060
	verdictTime  = 45 * time.Second // for all questions to the nodes at the end
)

func (c *Config) complete() {
	loopback := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, last}) }
	if c.Nodes == nil {
		c.Nodes = []netip.Addr{loopback(11), loopback(12), loopback(13)}
	}
	if c.Customers == nil {
		c.Customers = []netip.Addr{loopback(16), loopback(17)}
	}
	if c.Vendor == nil {
		c.Vendor = []netip.Addr{loopback(18), loopback(19)}
	}
}

// Run runs the demo. The error is about the demo itself; whether the promise was
// kept is in the verdict.
func Run(ctx context.Context, cfg Config) (verdict Verdict, err error) {
	cfg.complete()
	dir, err := os.MkdirTemp(cfg.Keep, "tandem-demo-")
	if err != nil {
		return Verdict{}, err
	}
	if cfg.Keep == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	show := newShow(cfg)
	defer show.end()
	show.event("starting three nodes on %s", join(cfg.Nodes))
	cluster, err := local.Start(ctx, local.Config{Exe: cfg.Exe, Env: cfg.Env, Dir: dir, IPs: cfg.Nodes})
	if err != nil {
		return Verdict{}, occupied(err, cfg)
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()

	doc := business(cfg)
	count := 0
	if err := doc.Apply(ctx, cluster.Client(), objects.Options{Report: func(objects.Step) { count++ }}); err != nil {
		return Verdict{}, err
	}
	show.event("loaded %d objects and %d rates", count, len(doc.RateTables)*cfg.Rates)
	show.event("try: export TANDEM_ADDR=%s TANDEM_TOKEN=%s", cluster.API(0), cluster.Token())

	traffic, err := startTraffic(ctx, cfg, cluster)
	if err != nil {
		return Verdict{}, err
	}
	defer traffic.stop()
	show.follow(ctx, cluster, traffic)
	fault, err := killLeader(ctx, cfg, cluster, traffic, show)
	if err != nil {
		return Verdict{}, err
	}
	show.event("customers go on for %v and then end their calls", traffic.left().Round(time.Second))
	if err := traffic.wait(ctx); err != nil {
		return Verdict{}, err
	}
	show.event("comparing records, money and state of all nodes")
	show.quiet()
	last, cancel := context.WithTimeout(ctx, verdictTime)
	defer cancel()
	return judge(last, cluster, traffic, fault)
}

// fault is what was done to the cluster.
type fault struct {
	node           int // that led
	name           string
	killed         time.Time
	led            time.Time // another node led
	leader         string
	restarted      time.Time
	live           int // calls that it owned
	elected, ready time.Duration
}

// killLeader lets traffic flow, kills the leader, and starts it again later.
func killLeader(ctx context.Context, cfg Config, c *local.Cluster, t *traffic, show *show) (fault, error) {
	begin, whole := time.Now(), t.duration
	if err := until(ctx, begin.Add(time.Duration(killShare*float64(whole)))); err != nil {
		return fault{}, err
	}
	leader, err := c.AwaitLeader(ctx)
	if err != nil {
		return fault{}, err
	}
	f := fault{node: leader, name: c.Name(leader)}
	if f.live, err = owned(ctx, c, leader); err != nil {
		return f, err
	}
	f.killed = time.Now()
	if err := c.Kill(leader); err != nil {
		return f, err
	}
	show.event("kill -9 %s, the leader, with %d of %d calls on it", f.name, f.live, t.live())
	next, err := c.AwaitLeader(ctx)
	if err != nil {
		return f, err
	}
	f.led, f.leader = time.Now(), c.Name(next)
	f.elected = f.led.Sub(f.killed)
	show.event("%s leads, %v later", f.leader, f.elected.Round(10*time.Millisecond))
	if err := until(ctx, begin.Add(time.Duration(restartShare*float64(whole)))); err != nil {
		return f, err
	}
	f.restarted = time.Now()
	if err := c.Run(leader); err != nil {
		return f, err
	}
	if err := c.Ready(ctx); err != nil {
		return f, err
	}
	f.ready = time.Since(f.restarted)
	show.event("%s is back and takes calls, %v after its start", f.name, f.ready.Round(10*time.Millisecond))
	return f, nil
}

// owned is how many live calls a node owns.
func owned(ctx context.Context, c *local.Cluster, node int) (int, error) {
	members, err := c.Client().Members(ctx)
	if err != nil {
		return 0, err
	}
	for _, m := range members.Items {
		if m.Node == c.Name(node) {
			return m.Calls, nil
		}
	}
	return 0, nil
}

// until waits for a time, or for the end of ctx.
func until(ctx context.Context, at time.Time) error {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// occupied says what a port in use mostly means.
func occupied(err error, cfg Config) error {
	if strings.Contains(err.Error(), "address already in use") {
		return fmt.Errorf("another demo or node uses the ports of %s: %w", join(cfg.Nodes), err)
	}
	return err
}

func join(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

// listen opens the sockets of customers and carriers.
func listen(a netip.AddrPort) (net.PacketConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
}
