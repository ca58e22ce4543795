// Package health knows which gateways answer from this node, and where those are
// that have a name instead of an address.
//
// A [Checker] sends OPTIONS to the addresses of all routing gateways (F109); a
// [Resolver] keeps the addresses of their names in a cache (RFC 3263). Both
// answer call control at once, from what they know: neither ever makes a call
// wait. What they find is this node's alone and never enters the replicated
// state; the owner of a call skips what is down from here.
//
//	names := health.NewResolver(health.ResolverConfig{Lookup: lookup})
//	check, err := health.New(health.Config{Probe: probe, Resolve: names.Resolve})
//	names.Configure(hosts)          // whenever the gateways change
//	check.Configure(targets, period, misses)
//	go names.Run(ctx)
//	go check.Run(ctx)
//	check.Down("telco")             // all its addresses are out
package health

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultPeriod is the pause between two checks of an address, defaultMisses
	// how many in a row take it out.
	defaultPeriod = 30 * time.Second
	defaultMisses = 3
	// minPeriod is the shortest pause: a gateway is not to suffer from our care.
	minPeriod = 10 * time.Second
	// wakeEvery is how often the loop looks for checks that are due.
	wakeEvery = time.Second
	// maxAddresses bounds what is checked; the others count as alive.
	maxAddresses = 20_000
)

// Peer is an address that is checked, and how it is reached.
type Peer struct {
	Addr netip.AddrPort
	Via  string // "udp", "tcp" or "tls"
}

// Target is a gateway to be checked.
type Target struct {
	Gateway string
	Via     string
	Addrs   []netip.AddrPort // alternates
	Host    string           // resolved where Addrs is empty
	Check   netip.AddrPort   // OPTIONS go here instead; zero: to all the others
}

// Probe sends an OPTIONS request and calls done once with the final status, with
// 408 when nothing came, or with 0 when nothing could be sent, which says nothing
// about the peer. It must not block.
type Probe func(to Peer, done func(status int))

// Config is what a checker works with; Probe is required.
type Config struct {
	Probe Probe
	// Resolve returns the addresses of a name from a cache. nil: names are not checked.
	Resolve func(host, via string, seed uint64) []netip.AddrPort
	Logger  *slog.Logger // nil discards
}

// Stats are the counters of a checker since the start of the process.
type Stats struct {
	Checks atomic.Uint64 // OPTIONS sent, and answered or given up
	Misses atomic.Uint64 // of them without a good answer
	Falls  atomic.Uint64 // addresses that went out
	Rises  atomic.Uint64 // and that came back
}

// Checker checks gateways. Its methods may be called from any goroutine.
type Checker struct {
	cfg   Config
	stats Stats
	down  atomic.Pointer[outage]

	mu      sync.Mutex // guards all below; held for no I/O
	targets []Target
	period  time.Duration
	misses  int
	peers   map[Peer]*state
}

// state is what is known of an address.
type state struct {
	next   time.Time // when it is checked
	asked  bool      // a check is under way
	missed int       // in a row
	down   bool
	used   bool // by a target of the present configuration
}

// outage is what is down, replaced whole.
type outage struct {
	gateways map[string]bool
	peers    map[Peer]bool
}

// New makes a checker that checks nothing until it is configured.
func New(cfg Config) (*Checker, error) {
	if cfg.Probe == nil {
		return nil, errors.New("health: Probe is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Checker{cfg: cfg, period: defaultPeriod, misses: defaultMisses, peers: map[Peer]*state{}}
	c.down.Store(&outage{})
	return c, nil
}

// Stats returns the live counters.
func (c *Checker) Stats() *Stats { return &c.stats }

// Down reports that a gateway does not answer at any of its addresses.
func (c *Checker) Down(gateway string) bool { return c.down.Load().gateways[gateway] }

// PeerDown reports that one address does not answer.
func (c *Checker) PeerDown(addr netip.AddrPort, via string) bool {
	return c.down.Load().peers[Peer{addr, via}]
}

// Configure takes the gateways that are to be checked from now on. What is known
// of an address stays known. A period of 0 checks nothing: all count as alive.
func (c *Checker) Configure(targets []Target, period time.Duration, misses int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.targets, c.misses = targets, max(misses, 1)
	if c.period = period; period > 0 {
		c.period = max(period, minPeriod)
	}
	c.survey(time.Now())
	c.publish()
}

// addresses are where a target is checked.
func (c *Checker) addresses(t *Target) []netip.AddrPort {
	switch {
	case t.Check.IsValid():
		return []netip.AddrPort{t.Check}
	case len(t.Addrs) > 0 || t.Host == "" || c.cfg.Resolve == nil:
		return t.Addrs
	}
	return c.cfg.Resolve(t.Host, t.Via, 0)
}

// survey brings the table of addresses in line with the targets. New ones are
// first checked at a random moment of a period, so that a thousand gateways and
// three nodes do not ask in step.
func (c *Checker) survey(now time.Time) {
	for _, s := range c.peers {
		s.used = false
	}
	for i := range c.targets {
		t := &c.targets[i]
		for _, addr := range c.addresses(t) {
			p := Peer{addr, t.Via}
			s := c.peers[p]
			if s == nil {
				if c.period <= 0 || len(c.peers) >= maxAddresses {
					continue
				}
				s = &state{next: now.Add(rand.N(c.period))}
				c.peers[p] = s
			}
			s.used = true
		}
	}
	for p, s := range c.peers {
		if !s.used || c.period <= 0 {
			delete(c.peers, p)
		}
	}
}

// publish makes the new outage.
func (c *Checker) publish() {
	out := &outage{gateways: map[string]bool{}, peers: map[Peer]bool{}}
	for p, s := range c.peers {
		if s.down {
			out.peers[p] = true
		}
	}
	for i := range c.targets {
		t := &c.targets[i]
		addrs := c.addresses(t)
		down := len(addrs) > 0
		for _, addr := range addrs {
			down = down && out.peers[Peer{addr, t.Via}]
		}
		if down {
			out.gateways[t.Gateway] = true
		}
	}
	c.down.Store(out)
}

// Run checks until ctx ends.
func (c *Checker) Run(ctx context.Context) error {
	t := time.NewTicker(wakeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			for _, p := range c.due(now) {
				c.cfg.Probe(p, func(status int) { c.heard(p, status) })
			}
		}
	}
}

// due returns the addresses whose time has come. A name may have moved meanwhile.
func (c *Checker) due(now time.Time) []Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.survey(now)
	var due []Peer
	for p, s := range c.peers {
		if !s.asked && !s.next.After(now) {
			s.asked = true
			due = append(due, p)
		}
	}
	return due
}

// heard takes the answer to a check. Any answer but 408 and 503 shows that
// somebody is there (404, 405 and 501 too).
func (c *Checker) heard(p Peer, status int) {
	alive := status != 408 && status != 503
	if status != 0 {
		c.stats.Checks.Add(1)
	}
	if !alive {
		c.stats.Misses.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.peers[p]
	if s == nil {
		return
	}
	s.asked = false
	pause := c.period
	switch {
	case status == 0:
	case alive:
		s.missed = 0
	default:
		s.missed++
		pause = minPeriod // the sooner it is known, and known to be back
	}
	// A tenth of the pause is random, against falling into step.
	s.next = time.Now().Add(pause + rand.N(max(pause/10, 1)))
	if down := s.missed >= c.misses; down != s.down {
		s.down = down
		c.turned(p, down)
	}
}

// turned tells of an address that went out or came back.
func (c *Checker) turned(p Peer, down bool) {
	if down {
		c.stats.Falls.Add(1)
		c.cfg.Logger.Warn("gateway does not answer OPTIONS", "address", p.Addr, "via", p.Via)
	} else {
		c.stats.Rises.Add(1)
		c.cfg.Logger.Info("gateway answers OPTIONS again", "address", p.Addr, "via", p.Via)
	}
	c.publish()
}
