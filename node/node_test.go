package node_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"tandem/billing"
	"tandem/cluster"
	"tandem/fsm"
	"tandem/node"
	"tandem/node/cdr"
	"tandem/node/config"
	"tandem/node/load"
	"tandem/node/setup"
)

// lab is three nodes in one process on loopback, with real sockets, TLS and
// disks.
type lab struct {
	t     *testing.T
	files []config.Config
	nodes []*node.Node
	stops []func()
}

func freePort(t *testing.T, ip string) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t}
	made, err := setup.Run(setup.Config{
		Dir: t.TempDir(), Nodes: []setup.Node{
			{Name: "n1", IP: netip.MustParseAddr("127.0.0.41")},
			{Name: "n2", IP: netip.MustParseAddr("127.0.0.42")},
			{Name: "n3", IP: netip.MustParseAddr("127.0.0.43")},
		},
		Ports: setup.Ports{
			Cluster: freePort(t, "127.0.0.41"), SIP: freePort(t, "127.0.0.41"), HTTP: freePort(t, "127.0.0.41"), Media: "30000-30999",
		},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range made.Nodes {
		file, err := config.Load(n.File)
		if err != nil {
			t.Fatal(err)
		}
		l.files = append(l.files, file)
		l.start(i)
	}
	return l
}

// start begins a life of node i.
func (l *lab) start(i int) {
	l.t.Helper()
	log := slog.New(slog.NewTextHandler(l.t.Output(), nil)).With("node", l.files[i].Node.Name)
	n, err := node.Open(l.files[i], "test", log, func(err error) { l.t.Errorf("fatal: %v", err) })
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("node %d: %v", i+1, err)
		}
	}
	l.t.Cleanup(stop)
	if len(l.nodes) == i {
		l.nodes, l.stops = append(l.nodes, nil), append(l.stops, nil)
	}
	l.nodes[i], l.stops[i] = n, stop
}

func (l *lab) sip(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(l.files[i].Address[0].IP), l.files[i].SIP.Port)
}

// do commits a command through node i.
func (l *lab) do(i int, body fsm.Body) fsm.Result {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	r, err := l.nodes[i].Propose(ctx, cluster.LaneStart, "", body)
	if err != nil {
		l.t.Fatalf("%T: %v", body, err)
	}
	if r.Code != fsm.OK {
		l.t.Fatalf("%T: code %v: %s", body, r.Code, r.Detail)
	}
	return r
}

// eventually polls until ok.
func (l *lab) eventually(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	l.t.Fatalf("%s: not within 15 s", what)
}

func host(ip string) fsm.Prefix {
	return fsm.Prefix{IP: netip.MustParseAddr(ip).As16(), Bits: 128}
}

func amount(t *testing.T, s string) billing.Amount {
	a, err := billing.ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func price(t *testing.T, s string) billing.Price {
	p, err := billing.ParsePrice(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// objects loads one customer at 127.0.0.51 and one carrier.
func (l *lab) objects(carrier netip.AddrPort) {
	l.t.Helper()
	for table, p := range map[string]string{"sell": "0.06", "buy": "0.03"} {
		l.do(0, &fsm.PutRateTable{Table: fsm.RateTable{ID: table, Currency: "USD"}})
		l.do(1, &fsm.ImportRates{Table: table, Version: 1, Rows: []fsm.RateRow{
			{Prefix: "86", Price: price(l.t, p), First: 1, Next: 1},
		}})
		l.do(2, &fsm.ActivateRates{Table: table, Version: 1, Rows: 1})
	}
	l.do(0, &fsm.PutAccount{Account: fsm.Account{ID: "acme", Type: fsm.Client, Currency: "USD", RateTable: "sell"}})
	l.do(1, &fsm.PutAccount{Account: fsm.Account{ID: "telco", Type: fsm.Vendor, Currency: "USD", RateTable: "buy"}})
	l.do(0, &fsm.TopUp{Account: "acme", Amount: amount(l.t, "100")})
	l.do(0, &fsm.PutMappingGateway{Gateway: fsm.MappingGateway{ID: "in", Account: "acme", Addrs: []fsm.Prefix{host("127.0.0.51")}}})
	l.do(0, &fsm.PutRoutingGateway{Gateway: fsm.RoutingGateway{
		ID: "out", Account: "telco", Prefixes: []string{"86"},
		Addrs: []fsm.Addr{{IP: carrier.Addr().As16(), Port: carrier.Port()}},
	}})
}

func listen(a netip.AddrPort) (net.PacketConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
}

// Calls through all three nodes, with voice: each is answered, heard, charged
// once on both sides, and every node has the same records and the same state.
func TestCallsThroughThreeNodes(t *testing.T) {
	l := newLab(t)
	carrier := l.carrier(20*time.Millisecond, true)
	l.objects(carrier.Addr())

	const calls = 30
	l.announced()
	report, err := l.callers(load.CallersConfig{
		CPS: 20, Calls: calls, Talk: 1200 * time.Millisecond, RTP: true,
		OnEnd: func(o load.Outcome) {
			if !o.Answered() || o.Cut || o.ByeLost || o.RTP.Received < 10 {
				t.Errorf("outcome %+v", o)
			}
		},
	}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", report)
	l.settled(calls)
	l.same(calls)
}

// announced waits until all nodes serve.
func (l *lab) announced() {
	l.t.Helper()
	for i := range l.nodes {
		l.eventually("node serves", l.nodes[i].Serving)
	}
}

// run runs a part beside the test until the test ends.
func run(t *testing.T, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// settled waits until no call is live anywhere.
func (l *lab) settled(calls uint64) {
	l.t.Helper()
	for i := range l.nodes {
		l.eventually("all calls ended", func() bool {
			ok := false
			l.nodes[i].View(func(s *fsm.State) { c := s.Counts(); ok = c.Calls == 0 && c.CDRs >= calls })
			return ok
		})
	}
}

// same checks records, ledger and state hashes on all nodes.
func (l *lab) same(calls int) {
	l.t.Helper()
	var first []fsm.CDR
	for i, n := range l.nodes {
		page, err := n.CDRs().Search(l.t.Context(), cdr.Query{Limit: 1000})
		if err != nil {
			l.t.Fatal(err)
		}
		if len(page.CDRs) != calls {
			l.t.Errorf("node %d has %d cdrs, want %d", i+1, len(page.CDRs), calls)
		}
		if i == 0 {
			first = page.CDRs
			for _, r := range first {
				if want := r.Rate.Cost(r.Duration); r.Reason == fsm.EndNormal && r.Fee != want {
					l.t.Errorf("cdr %d: %v for %v, want %v", r.Seq, r.Fee, r.Duration, want)
				}
			}
		} else if fmt.Sprint(first) != fmt.Sprint(page.CDRs) {
			l.t.Errorf("node %d has other cdrs than node 1", i+1)
		}
		n.View(func(s *fsm.State) {
			if err := s.Check(); err != nil {
				l.t.Errorf("node %d: %v", i+1, err)
			}
		})
	}
}
