package metrics

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/node/call"
	"tandem/node/cdr"
	"tandem/node/guard"
	"tandem/node/health"
	"tandem/sip"
)

type state struct{ *fsm.State }

func (s state) View(fn func(*fsm.State)) { fn(s.State) }

type box int

func (b box) Len() int { return int(b) }

// sources are all that a test can have without sockets.
func sources(t *testing.T) Sources {
	t.Helper()
	st := fsm.New(fsm.Config{})
	vendor := fsm.Account{ID: "telco", Type: fsm.Vendor, Currency: "USD"}
	gateway := fsm.RoutingGateway{ID: "out", Account: "telco", Host: "sip.example", Prefixes: []string{"44"}, Disabled: true}
	for i, body := range []fsm.Body{&fsm.PutAccount{Account: vendor}, &fsm.PutRoutingGateway{Gateway: gateway}} {
		done := st.Apply(uint64(i+1), fsm.Entry{At: 1_000_000, Commands: []fsm.Command{{Body: body}}})
		if r := done.Results[0]; r.Code != fsm.OK {
			t.Fatal(r.Detail)
		}
	}
	store, err := cdr.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	g := guard.New(func(fsm.Refused) {})
	g.Refused(time.Now(), guard.Refusal{Reason: fsm.EndUnknownSource})
	endpoint := &sip.Stats{}
	endpoint.ResponsesOut[2].Add(3)
	checks, err := health.New(health.Config{Probe: func(health.Peer, func(int)) {}})
	if err != nil {
		t.Fatal(err)
	}
	return Sources{
		Version: "1.2.3", State: state{st}, Guard: g, Health: checks, CDRs: store, Outbox: box(7),
		SIP:   func() []*sip.Stats { return []*sip.Stats{endpoint, endpoint} },
		Media: func() []media.Totals { return []media.Totals{{Packets: 4, PortsInUse: 2}, {Packets: 5}} },
	}
}

func TestScrape(t *testing.T) {
	h, err := Handler(sources(t))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, line := range []string{
		`tandem_build_info{go=`, `tandem_sip_responses_total{class="2xx",dir="out"} 6`, `tandem_rtp_packets_total 9`,
		`tandem_rtp_ports{state="used"} 2`, `tandem_gateway_up{gateway="out"} 0`, `tandem_gateway_channels{gateway="out",role="routing"} 0`,
		`tandem_state_records{kind="account"} 1`, `tandem_state_time_seconds 1`, `tandem_outbox_depth 7`,
		`tandem_refused_early_total{reason="unknown-source"} 1`, `go_goroutines`, `process_open_fds`,
	} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("no %s in\n%s", line, w.Body)
		}
	}
}

// A witness has no calls and no media, and is scraped as well.
func TestNothingThere(t *testing.T) {
	if got := gather(t, newCollector(Sources{})); len(got) != 1 || got[0] != BuildInfo {
		t.Errorf("metrics %v, want the build alone", got)
	}
}

// gather returns the names of what a collector collects, after Prometheus has
// checked it.
func gather(t *testing.T, c prometheus.Collector) (names []string) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range families {
		names = append(names, f.GetName())
	}
	return names
}

// whole collects from every part, so that each name can be seen.
type whole struct{ *collector }

func (w whole) Collect(out chan<- prometheus.Metric) {
	w.collector.Collect(out)
	s := &scrape{w.collector, out}
	s.cluster(cluster.Status{
		ID: "n1", Leader: "n1", Peers: []cluster.Peer{{ID: "n1"}, {ID: "n2", Lag: 3}}, Members: []cluster.Member{{ID: "n1", Alive: true}},
	}, cluster.Counters{Committed: 9})
	for i := range call.Counters {
		if name := result(i); name != "" {
			s.add(CallsTotal, 0, name)
		} else {
			s.add(CallEventsTotal, 0, event(i))
		}
	}
	s.add(CallsActive, 0)
	s.add(CallsHeld, 0)
	s.takeover(Takeover{Serving: true, Open: 1}, cluster.Counters{LeaseLost: 1})
}

// Each documented name is collected, once, by the rules of Prometheus.
func TestNames(t *testing.T) {
	collected := gather(t, whole{newCollector(sources(t))})
	var documented []string
	for _, m := range all() {
		documented = append(documented, m.name)
		if !slices.Contains(collected, m.name) {
			t.Errorf("%s is described and not collected", m.name)
		}
	}
	if constants := constantsOf(t, "names.go"); !slices.Equal(constants, documented) {
		t.Errorf("names %q\ndescribed %q", constants, documented)
	}
}

func constantsOf(t *testing.T, file string) (names []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.HasPrefix(lit.Value, `"tandem_`) {
			name, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Error(err)
			}
			names = append(names, name)
		}
		return true
	})
	return names
}

// Every counter of call control is a result or an event, and no two share a name.
func TestCallCounters(t *testing.T) {
	seen := map[string]call.Counter{}
	for i := range call.Counters {
		r, e := result(i), event(i)
		if (r == "") == (e == "") {
			t.Errorf("counter %d is result %q and event %q", i, r, e)
		}
		if other, ok := seen[r+"/"+e]; ok {
			t.Errorf("counters %d and %d are both %q", i, other, r+e)
		}
		seen[r+"/"+e] = i
	}
}
