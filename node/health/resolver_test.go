package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// zone is a name server.
type zone struct {
	mu       sync.Mutex
	services map[string][]Service
	hosts    map[string][]string
	ttl      time.Duration
	broken   error
	asked    int
}

func (z *zone) Services(_ context.Context, name string) ([]Service, time.Duration, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.broken != nil {
		return nil, 0, z.broken
	}
	s, ok := z.services[name]
	if !ok {
		return nil, 0, ErrNoName
	}
	return s, z.ttl, nil
}

func (z *zone) Hosts(_ context.Context, name string) ([]netip.Addr, time.Duration, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.broken != nil {
		return nil, 0, z.broken
	}
	var addrs []netip.Addr
	for _, text := range z.hosts[name] {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	if len(addrs) == 0 {
		return nil, 0, ErrNoName
	}
	return addrs, z.ttl, nil
}

func (z *zone) change(f func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f()
}

func startResolver(t *testing.T, z *zone) *Resolver {
	t.Helper()
	r, err := NewResolver(ResolverConfig{Lookup: z, IPv4: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func texts(addrs []netip.AddrPort) (out []string) {
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

func TestResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{
			ttl: time.Minute,
			services: map[string][]Service{
				"_sip._udp.telco.example":  {{"b.telco.example.", 5070, 20, 0}, {"a.telco.example.", 5060, 10, 0}},
				"_sips._tcp.telco.example": {{"a.telco.example.", 5061, 10, 0}},
			},
			hosts: map[string][]string{
				"a.telco.example.": {"192.0.2.1", "2001:db8::1"}, "b.telco.example.": {"192.0.2.2"}, "plain.example": {"192.0.2.3"},
			},
		}
		r := startResolver(t, z)
		want := map[Host][]string{
			{"telco.example", "udp"}:      {"192.0.2.1:5060", "192.0.2.2:5070"},
			{"telco.example", "tls"}:      {"192.0.2.1:5061"},
			{"plain.example", "udp"}:      {"192.0.2.3:5060"},
			{"plain.example", "tls"}:      {"192.0.2.3:5061"},
			{"plain.example:5080", "tcp"}: {"192.0.2.3:5080"},
			{"192.0.2.9", "udp"}:          {"192.0.2.9:5060"},
			{"nobody.example", "udp"}:     nil,
		}
		var hosts []Host
		for h := range want {
			hosts = append(hosts, h)
		}
		r.Configure(hosts)
		time.Sleep(time.Second)
		for h, addrs := range want {
			if got := texts(r.Resolve(h.Name, h.Via, 7)); !slices.Equal(got, addrs) {
				t.Errorf("%v: %v, want %v", h, got, addrs)
			}
		}
		if got := r.Resolve("other.example", "udp", 0); got != nil {
			t.Errorf("a name that no gateway has is resolved: %v", got)
		}
	})
}

// TestExpiry: answers live as long as they say, bad news shortly, and silence of
// the name servers changes nothing.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{ttl: time.Minute, hosts: map[string][]string{"gw.example": {"192.0.2.1"}}}
		r := startResolver(t, z)
		r.Configure([]Host{{"gw.example", "udp"}, {"late.example", "udp"}})
		time.Sleep(time.Second)
		z.change(func() {
			z.hosts["gw.example"] = []string{"192.0.2.2"}
			z.hosts["late.example"] = []string{"192.0.2.3"}
		})
		time.Sleep(50 * time.Second)
		if got := texts(r.Resolve("gw.example", "udp", 0)); !slices.Equal(got, []string{"192.0.2.1:5060"}) {
			t.Errorf("asked again before the answer expired: %v", got)
		}
		if got := texts(r.Resolve("late.example", "udp", 0)); !slices.Equal(got, []string{"192.0.2.3:5060"}) {
			t.Errorf("a name that appears is not found: %v", got)
		}
		time.Sleep(20 * time.Second)
		z.change(func() { z.broken = errors.New("timeout") })
		time.Sleep(time.Hour)
		if got := texts(r.Resolve("gw.example", "udp", 0)); !slices.Equal(got, []string{"192.0.2.2:5060"}) {
			t.Errorf("the last answer does not serve while nobody answers: %v", got)
		}
		time.Sleep(24 * time.Hour)
		if got := r.Resolve("gw.example", "udp", 0); got != nil {
			t.Errorf("a day later it still does: %v", got)
		}
		z.change(func() { z.broken = nil })
		time.Sleep(10 * time.Second)
		if got := r.Resolve("gw.example", "udp", 0); len(got) != 1 {
			t.Errorf("answers are not taken again: %v", got)
		}
	})
}

// TestOrder: weights share the calls out, one call sees one order.
func TestOrder(t *testing.T) {
	servers := []server{{addr("192.0.2.1:1"), 10, 30}, {addr("192.0.2.2:2"), 10, 10}, {addr("192.0.2.3:3"), 5, 0}}
	first := map[string]int{}
	for seed := range uint64(4000) {
		got := texts(order(servers, seed))
		if len(got) != 3 || got[0] != "192.0.2.3:3" {
			t.Fatalf("priority is not first: %v", got)
		}
		first[got[1]]++
		if again := texts(order(servers, seed)); !slices.Equal(got, again) {
			t.Fatal("the same call has two orders")
		}
	}
	if n := first["192.0.2.1:1"]; n < 2800 || n > 3200 {
		t.Errorf("weight 30 of 40 came first in %d of 4000", n)
	}
}

// TestDNS asks a name server of our own.
func TestDNS(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{
		"_sip._udp.telco.example. SRV": "_sip._udp.telco.example. 120 IN SRV 10 5 5070 gw.telco.example.",
		"gw.telco.example. A":          "gw.telco.example. 60 IN A 192.0.2.1",
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		res := new(dns.Msg).SetReply(m)
		q := m.Question[0]
		if line, ok := answers[q.Name+" "+dns.TypeToString[q.Qtype]]; ok {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Error(err)
			}
			res.Answer = append(res.Answer, rr)
		}
		if err := w.WriteMsg(res); err != nil {
			t.Error(err)
		}
	})}
	served := make(chan error, 1)
	go func() { served <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-served
	})
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := NewDNS(file)
	if err != nil {
		t.Fatal(err)
	}
	d.servers = []string{conn.LocalAddr().String()}
	services, ttl, err := d.Services(t.Context(), "_sip._udp.telco.example")
	if err != nil || ttl != 2*time.Minute || !slices.Equal(services, []Service{{"gw.telco.example.", 5070, 10, 5}}) {
		t.Errorf("services %v for %s, %v", services, ttl, err)
	}
	hosts, ttl, err := d.Hosts(t.Context(), "gw.telco.example")
	if err != nil || ttl != time.Minute || !slices.Equal(hosts, []netip.Addr{netip.MustParseAddr("192.0.2.1")}) {
		t.Errorf("hosts %v for %s, %v", hosts, ttl, err)
	}
	if _, _, err := d.Hosts(t.Context(), "nobody.example"); !errors.Is(err, ErrNoName) {
		t.Errorf("a name that is not there: %v", err)
	}
}
