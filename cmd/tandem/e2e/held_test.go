//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tandem/billing"
	"tandem/cmd/tandem/local"
	"tandem/cmd/tandem/objects"
	"tandem/node/api/client"
	"tandem/node/load"
)

// held is a cluster with calls that are up all the time while something is done
// to it. The first part of the calls has voice.
type held struct {
	t     *testing.T
	c     *local.Cluster
	api   *client.Client
	parts []*part
	begun time.Time // of the first call
	end   func()    // of the carriers
}

// part is one customer with his carrier.
type part struct {
	name    string
	calls   int
	callers *load.Callers
	carrier *load.Carrier
	done    chan error // of the callers

	mu       sync.Mutex // guards outcomes
	outcomes []load.Outcome
}

// The addresses of tests with held calls.
const heldNet = "127.0.0."

func heldIP(n int) netip.Addr { return netip.MustParseAddr(heldNet + strconv.Itoa(80+n)) }

// holding is how many calls are held, and how fast they are placed.
type holding struct {
	exe           string // empty: the program under test
	voice, silent int
	cps           float64
}

// longTalk is longer than any test.
const longTalk = 3 * time.Hour

// newHeld starts a cluster and places the calls.
func newHeld(t *testing.T, h holding) *held {
	t.Helper()
	exe := h.exe
	if exe == "" {
		var err error
		if exe, err = binary(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	c, err := local.Start(t.Context(), local.Config{Exe: exe, Dir: dir, IPs: []netip.Addr{heldIP(1), heldIP(2), heldIP(3)}})
	if err != nil {
		t.Fatal(err)
	}
	s := &held{t: t, c: c, api: c.Client(), begun: time.Now()}
	t.Cleanup(func() {
		s.end()
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		for i := range c.Nodes() {
			if t.Failed() {
				t.Logf("--- the end of %s\n%s", c.LogFile(i), tail(c.LogFile(i)))
			}
		}
	})
	carrying, cancel := context.WithCancel(context.Background())
	var carriers sync.WaitGroup
	s.end = func() {
		cancel()
		carriers.Wait()
	}
	doc := heldBusiness()
	if err := doc.Apply(t.Context(), s.api, objects.Options{}); err != nil {
		t.Fatal(err)
	}
	for i, calls := range []int{h.voice, h.silent} {
		if calls > 0 {
			s.parts = append(s.parts, s.place(carrying, &carriers, i, calls, h.cps))
		}
	}
	within(t, time.Duration(float64(h.voice+h.silent)/h.cps)*time.Second+30*time.Second, "all calls are up", func() (bool, string) {
		return s.established() == h.voice+h.silent, fmt.Sprintf("%d of %d", s.established(), h.voice+h.silent)
	})
	return s
}

// heldBusiness is two customers, each with a carrier of his own.
func heldBusiness() *objects.Document {
	rates := []byte("prefix,area,price,first,next\n1,One,0.06,1,1\n2,Two,0.03,1,1\n")
	doc := &objects.Document{}
	for _, id := range []string{"sell", "buy"} {
		doc.RateTables = append(doc.RateTables, objects.RateTable{
			ID: id, RateTableSettings: client.RateTableSettings{Currency: "USD"}, RatesFile: id + ".csv", Rates: rates,
		})
	}
	for i := range 2 {
		customer, carrier := fmt.Sprintf("customer-%d", i), fmt.Sprintf("carrier-%d", i)
		doc.Accounts = append(doc.Accounts,
			objects.Account{ID: customer, AccountSettings: client.AccountSettings{Type: client.AccountClient, Currency: "USD", RateTable: "sell"}},
			objects.Account{ID: carrier, AccountSettings: client.AccountSettings{Type: client.AccountVendor, Currency: "USD", RateTable: "buy"}})
		doc.MappingGateways = append(doc.MappingGateways, objects.MappingGateway{ID: customer, MappingSettings: client.MappingSettings{
			Account: customer, Addrs: []string{heldIP(4 + i).String()},
		}})
		doc.RoutingGateways = append(doc.RoutingGateways, objects.RoutingGateway{ID: carrier, RoutingSettings: client.RoutingSettings{
			Account: carrier, Prefixes: []string{strconv.Itoa(i + 1)}, Addrs: []string{netip.AddrPortFrom(heldIP(6+i), 5060).String()},
		}})
		doc.TopUps = append(doc.TopUps, objects.TopUp{Account: customer, Amount: 100_000 * billing.Unit, Key: "held-" + customer})
	}
	return doc
}

// place starts a customer and his carrier; the first pair has voice.
func (s *held) place(ctx context.Context, carriers *sync.WaitGroup, i, calls int, cps float64) *part {
	p := &part{name: []string{"voice", "silent"}[i], calls: calls}
	return s.placeWith(ctx, carriers, ctx, i, p, load.CallersConfig{CPS: cps, Calls: calls, Talk: longTalk, RTP: i == 0})
}

// placeWith starts the ith customer with his own traffic, until calling ends.
func (s *held) placeWith(ctx context.Context, carriers *sync.WaitGroup, calling context.Context, i int, p *part, cfg load.CallersConfig) *part {
	s.t.Helper()
	listen := func(a netip.AddrPort) (net.PacketConn, error) {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	}
	p.done = make(chan error, 1)
	var err error
	p.carrier, err = load.NewCarrier(load.CarrierConfig{Listen: listen, Addr: netip.AddrPortFrom(heldIP(6+i), 5060), RTP: cfg.RTP})
	if err != nil {
		s.t.Fatal(err)
	}
	carriers.Go(func() {
		if err := p.carrier.Run(ctx); err != nil {
			s.t.Errorf("carrier: %v", err)
		}
	})
	cfg.Listen, cfg.Addr = listen, netip.AddrPortFrom(heldIP(4+i), 5060)
	cfg.Targets = []netip.AddrPort{s.c.SIP(0), s.c.SIP(1), s.c.SIP(2)}
	cfg.Callee = func(n int) string { return fmt.Sprintf("%d%07d", i+1, n) }
	cfg.OnEnd = func(o load.Outcome) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.outcomes = append(p.outcomes, o)
	}
	p.callers, err = load.NewCallers(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_, err := p.callers.Run(calling)
		p.done <- err
	}()
	return p
}

func (s *held) established() int {
	n := 0
	for _, p := range s.parts {
		n += p.callers.Established()
	}
	return n
}

func (s *held) calls() int {
	n := 0
	for _, p := range s.parts {
		n += p.calls
	}
	return n
}

// gaps returns what calls have heard since the last time, by the address that
// they came to.
func (s *held) gaps() map[netip.Addr][]time.Duration {
	out := map[netip.Addr][]time.Duration{}
	for _, p := range s.parts {
		for _, g := range p.callers.TakeGaps() {
			out[g.Target.Addr()] = append(out[g.Target.Addr()], g.Longest)
		}
	}
	return out
}

// node is a node as the cluster sees it.
func (s *held) node(name string) (client.Node, error) {
	n, _, err := s.api.Node(s.t.Context(), name)
	return n, err
}

// quiet waits until every node is up, none drains and every address is at home.
func (s *held) quiet() {
	s.t.Helper()
	within(s.t, 60*time.Second, "all addresses are at home", func() (bool, string) {
		st, _, err := s.api.Status(s.t.Context())
		return err == nil && st.Health == client.Healthy && len(st.Away)+len(st.Down)+len(st.Draining) == 0,
			fmt.Sprintf("%s, down %v, away %+v %v", st.Health, st.Down, st.Away, err)
	})
}

// guardOf is the process id of a node's guard.
func (s *held) guardOf(i int) int {
	s.t.Helper()
	pid := s.c.PID(i)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range tasks {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, text := range strings.Fields(string(b)) {
			child, err := strconv.Atoi(text)
			if err != nil {
				continue
			}
			if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child)); strings.Contains(string(line), "\x00guard\x00") {
				return child
			}
		}
	}
	return 0
}

// kill ends a node without notice, and its guard before it if asked.
func (s *held) kill(i int, guard bool) {
	s.t.Helper()
	if guard {
		if err := syscall.Kill(s.guardOf(i), syscall.SIGKILL); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.c.Kill(i); err != nil {
		s.t.Fatal(err)
	}
}

// finish hangs up all calls, half of them from each side, and compares what
// became of them with what the cluster has written down.
func (s *held) finish() {
	s.t.Helper()
	const atOnce = 10 // every tenth of a second
	for _, p := range s.parts {
		for left := p.calls / 2; left > 0; time.Sleep(100 * time.Millisecond) {
			left -= max(1, p.carrier.HangUp(min(left, atOnce)))
		}
		for p.callers.HangUp(atOnce) > 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	ended := map[string]load.Outcome{}
	cut := 0
	for _, p := range s.parts {
		if err := <-p.done; err != nil {
			s.t.Error(err)
		}
		for _, o := range p.outcomes {
			ended[o.CallID] = o
			if o.Cut {
				cut++
			}
			if !o.Answered() || o.ByeLost {
				s.t.Errorf("%s call failed: %+v", p.name, o)
			}
		}
	}
	if len(ended) != s.calls() || cut != s.calls()/2 {
		s.t.Errorf("%d of %d calls have ended, %d by the carrier", len(ended), s.calls(), cut)
	}
	s.judge(ended)
}

// judge compares records, money and states.
func (s *held) judge(ended map[string]load.Outcome) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := s.c.Idle(ctx, 0); err != nil {
		s.t.Error(err)
	}
	cdrs, err := s.c.CDRs(ctx, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range cdrs {
		if err := local.Charged(r); err != nil {
			s.t.Error(err)
		}
		o, ok := ended[r.SIPCallIDA]
		if !ok || r.Amends != 0 {
			continue
		}
		seen[r.SIPCallIDA]++
		if off := r.Duration.Duration() - o.Talk; off.Abs() > time.Second {
			s.t.Errorf("call %s talked %v, its record says %v", o.CallID, o.Talk, r.Duration)
		}
	}
	for id := range ended {
		if seen[id] != 1 {
			s.t.Errorf("call %s has %d records", id, seen[id])
		}
	}
	if _, err := s.c.Balanced(ctx); err != nil {
		s.t.Error(err)
	}
	if _, err := s.c.SameState(ctx); err != nil {
		s.t.Error(err)
	}
	s.t.Logf("%d calls, %d records, all charged exactly", len(ended), len(cdrs))
}

// figures are the percentiles of gaps.
func figures(gaps []time.Duration) (p50, p99, longest time.Duration) {
	if len(gaps) == 0 {
		return 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(gaps))
	return sorted[len(sorted)/2], sorted[len(sorted)*99/100], sorted[len(sorted)-1]
}

// envInt reads a number from the environment.
func envInt(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
