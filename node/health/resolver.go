package health

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// minTTL and maxTTL bound how long an answer is believed, whatever it says.
	minTTL = 5 * time.Second
	maxTTL = time.Hour
	// negativeTTL is how long the answer "no such name" is believed (RFC 2308 allows
	// more, a carrier that mends its zone would not).
	negativeTTL = 30 * time.Second
	// staleTTL is how long the last good answer serves while the name servers are
	// silent: a gateway rarely moves, and an old address is better than none.
	staleTTL = 24 * time.Hour
	// lookupTime is how long all questions about one name may take.
	lookupTime = 5 * time.Second
	// maxLookups run at a time.
	maxLookups = 8
	// maxNames bounds the cache. Names beyond are not resolved.
	maxNames = 10_000
	// maxServers bounds the addresses of one name.
	maxServers = 16
	// sipPort and sipsPort are those of addresses that name none (RFC 3261 section 19.1.2).
	sipPort, sipsPort = 5060, 5061
)

// Service is one SRV record (RFC 2782).
type Service struct {
	Target           string
	Port             uint16
	Priority, Weight uint16
}

// ErrNoName: the name servers say that there is no such name, or no such record.
var ErrNoName = errors.New("no such name")

// Lookup asks name servers. ttl is how long the answer may be kept.
type Lookup interface {
	Services(ctx context.Context, name string) (services []Service, ttl time.Duration, err error)
	Hosts(ctx context.Context, name string) (addrs []netip.Addr, ttl time.Duration, err error)
}

// ResolverConfig is what a resolver works with; Lookup is required.
type ResolverConfig struct {
	Lookup Lookup
	// IPv4 and IPv6 say which addresses this node can reach; both false: all.
	IPv4, IPv6 bool
	// Changed is told that a name has other addresses. It may call Configure. nil:
	// nobody is told.
	Changed func()
	Logger  *slog.Logger // nil discards
}

// Host is a name to be kept resolved: "telco.example" finds its SRV records first,
// "telco.example:5080" its addresses alone (RFC 3263 section 4.2).
type Host struct{ Name, Via string }

// Resolver keeps the addresses of names. Its methods may be called from any goroutine.
type Resolver struct {
	cfg  ResolverConfig
	wake chan struct{} // capacity 1: there is something to look up

	mu    sync.Mutex // guards names; held for no I/O
	names map[Host]*answer
}

// answer is what is known of a name.
type answer struct {
	servers []server
	expires time.Time // then it is asked again
	good    time.Time // when servers came
}

// server is one address that a name stands for.
type server struct {
	addr             netip.AddrPort
	priority, weight uint16
}

// NewResolver makes a resolver that knows nothing yet.
func NewResolver(cfg ResolverConfig) (*Resolver, error) {
	if cfg.Lookup == nil {
		return nil, errors.New("health: Lookup is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if !cfg.IPv4 && !cfg.IPv6 {
		cfg.IPv4, cfg.IPv6 = true, true
	}
	return &Resolver{cfg: cfg, wake: make(chan struct{}, 1), names: map[Host]*answer{}}, nil
}

// Configure takes the names that are to be kept from now on; others are forgotten.
func (r *Resolver) Configure(hosts []Host) {
	r.mu.Lock()
	kept := make(map[Host]*answer, len(hosts))
	for _, h := range hosts[:min(len(hosts), maxNames)] {
		a := r.names[h]
		if a == nil {
			a = &answer{}
		}
		kept[h] = a
	}
	r.names = kept
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Resolve returns the addresses of a name in the order in which they are to be
// tried, without waiting; none: it is not known, or not yet. Records of one
// priority are ordered by weight and the seed, so that the same call finds the
// same order on every node.
func (r *Resolver) Resolve(host, via string, seed uint64) []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.names[Host{host, via}]
	if a == nil || len(a.servers) == 0 {
		return nil
	}
	return order(a.servers, seed)
}

// Run looks names up until ctx ends and returns after the last lookup has.
func (r *Resolver) Run(ctx context.Context) error {
	clock := time.NewTimer(0)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-clock.C:
		}
		r.refresh(ctx)
		clock.Reset(r.wait())
	}
}

// refresh looks up what has expired, a few names at a time.
func (r *Resolver) refresh(ctx context.Context) {
	now := time.Now()
	var due []Host
	r.mu.Lock()
	for h, a := range r.names {
		if !a.expires.After(now) {
			due = append(due, h)
		}
	}
	r.mu.Unlock()
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxLookups)
	for _, h := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r.look(ctx, h)
		})
	}
	wg.Wait()
}

// wait is how long nothing expires.
func (r *Resolver) wait() time.Duration {
	now := time.Now()
	wait := time.Minute
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.names {
		wait = min(wait, a.expires.Sub(now))
	}
	return max(wait, wakeEvery)
}

// look asks for one name and keeps the answer.
func (r *Resolver) look(ctx context.Context, h Host) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	servers, ttl, err := r.ask(ctx, h)
	if r.keep(h, servers, ttl, err) && r.cfg.Changed != nil {
		r.cfg.Changed()
	}
}

// keep takes the answer and reports whether the name has other addresses now.
func (r *Resolver) keep(h Host, servers []server, ttl time.Duration, err error) (changed bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.names[h]
	if a == nil {
		return false
	}
	if err == nil && len(servers) > 0 {
		changed = !slices.Equal(a.servers, servers)
		a.servers, a.good, a.expires = servers, now, now.Add(min(max(ttl, minTTL), maxTTL))
		return changed
	}
	a.expires = now.Add(negativeTTL)
	if !errors.Is(err, ErrNoName) {
		a.expires = now.Add(minTTL)
	}
	if errors.Is(err, ErrNoName) || now.Sub(a.good) > staleTTL {
		changed = len(a.servers) > 0
		a.servers = nil
	}
	r.cfg.Logger.Warn("gateway's name is not resolved", "host", h.Name, "via", h.Via, "err", err)
	return changed
}

// ask finds the servers of a name (RFC 3263 section 4.2): SRV where the name has
// no port, else or in their absence its addresses.
func (r *Resolver) ask(ctx context.Context, h Host) ([]server, time.Duration, error) {
	port := uint16(sipPort)
	if h.Via == "tls" {
		port = sipsPort
	}
	name, text, err := net.SplitHostPort(h.Name)
	if err == nil {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, 0, ErrNoName
		}
		return r.hosts(ctx, name, Service{Port: uint16(n)})
	}
	services, ttl, err := r.cfg.Lookup.Services(ctx, serviceName(h))
	switch {
	case errors.Is(err, ErrNoName) || err == nil && len(services) == 0:
		return r.hosts(ctx, h.Name, Service{Port: port})
	case err != nil:
		return nil, 0, err
	}
	var all []server
	for _, s := range services[:min(len(services), maxServers)] {
		found, hostTTL, hostErr := r.hosts(ctx, s.Target, s)
		if hostErr != nil {
			err = hostErr
			continue
		}
		all, ttl = append(all, found...), min(ttl, hostTTL)
	}
	if len(all) > 0 {
		return all[:min(len(all), maxServers)], ttl, nil
	}
	return nil, 0, cmp.Or(err, ErrNoName)
}

// serviceName is the owner of a host's SRV records.
func serviceName(h Host) string {
	switch h.Via {
	case "tcp":
		return "_sip._tcp." + h.Name
	case "tls":
		return "_sips._tcp." + h.Name
	}
	return "_sip._udp." + h.Name
}

// hosts finds the addresses of a name, as servers of a service.
func (r *Resolver) hosts(ctx context.Context, name string, s Service) ([]server, time.Duration, error) {
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return []server{{netip.AddrPortFrom(ip, s.Port), s.Priority, s.Weight}}, maxTTL, nil
	}
	addrs, ttl, err := r.cfg.Lookup.Hosts(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	var found []server
	for _, ip := range addrs[:min(len(addrs), maxServers)] {
		if ip = ip.Unmap(); ip.Is4() && r.cfg.IPv4 || ip.Is6() && r.cfg.IPv6 {
			found = append(found, server{netip.AddrPortFrom(ip, s.Port), s.Priority, s.Weight})
		}
	}
	if len(found) == 0 {
		return nil, 0, ErrNoName
	}
	return found, ttl, nil
}

// order sorts servers by priority, and within one draws them by weight (RFC 2782).
func order(servers []server, seed uint64) []netip.AddrPort {
	left := slices.Clone(servers)
	slices.SortStableFunc(left, func(a, b server) int { return cmp.Compare(a.priority, b.priority) })
	out := make([]netip.AddrPort, 0, len(left))
	for len(left) > 0 {
		group := 1
		for group < len(left) && left[group].priority == left[0].priority {
			group++
		}
		i := draw(left[:group], seed, len(out))
		out = append(out, left[i].addr)
		left = slices.Delete(left, i, i+1)
	}
	return out
}

// draw picks one server of a priority. A weight of 0 has a small chance.
func draw(group []server, seed uint64, round int) int {
	total := uint64(0)
	for _, s := range group {
		total += uint64(s.weight)*16 + 1
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], seed)
	binary.BigEndian.PutUint64(b[8:], uint64(round))
	h := fnv.New64a()
	h.Write(b[:])
	at := h.Sum64() % total
	for i, s := range group {
		weight := uint64(s.weight)*16 + 1
		if at < weight {
			return i
		}
		at -= weight
	}
	return 0
}
