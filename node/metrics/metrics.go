// Package metrics shows the figures of a node to Prometheus: it owns the names
// (names.go) and reads, at each scrape, the plain counters that the other
// packages keep.
//
// It never counts anything itself, and no other package knows Prometheus. A
// part that a node does not have, such as call control on a witness, is left
// out.
//
//	handler, err := metrics.Handler(metrics.Sources{Cluster: c, State: n, ...})
package metrics

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
	"tandem/node/call"
	"tandem/node/cdr"
	"tandem/node/guard"
	"tandem/node/health"
	"tandem/sip"
)

// Sources is where the figures come from. A nil field is left out.
type Sources struct {
	Version  string // of the build
	Cluster  *cluster.Cluster
	State    interface{ View(func(*fsm.State)) }
	Calls    *call.Control
	Guard    *guard.Guard
	Health   *health.Checker // nil: a witness has none
	CDRs     *cdr.Store
	SIP      func() []*sip.Stats    // of each service address
	Media    func() []media.Totals  // of each service address
	Outbox   interface{ Len() int } // settlements that wait
	Takeover func() Takeover
	Broken   func() uint64 // snapshots whose records do not hash to what was kept
}

// Handler returns what answers /metrics: the node's figures, those of the Go
// runtime and those of the process.
func Handler(s Sources) (http.Handler, error) {
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		newCollector(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{}), nil
}

// collector reads the sources at each scrape.
type collector struct {
	from  Sources
	descs map[string]*prometheus.Desc
	kinds map[string]prometheus.ValueType
}

func newCollector(s Sources) *collector {
	c := &collector{from: s, descs: map[string]*prometheus.Desc{}, kinds: map[string]prometheus.ValueType{}}
	for _, m := range all() {
		c.descs[m.name] = prometheus.NewDesc(m.name, m.help, m.labels, nil)
		c.kinds[m.name] = m.kind
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := &scrape{c, out}
	s.add(BuildInfo, 1, c.from.Version, runtime.Version())
	if c.from.Calls != nil {
		s.calls(c.from.Calls)
	}
	if c.from.Health != nil {
		s.checks(c.from.Health)
	}
	if c.from.Guard != nil {
		for reason, n := range c.from.Guard.Totals() {
			s.add(RefusedEarlyTotal, float64(n), reason.String())
		}
	}
	if c.from.SIP != nil {
		s.sip(c.from.SIP())
	}
	if c.from.Media != nil {
		s.media(c.from.Media())
	}
	if c.from.State != nil {
		s.state(c.from.State)
	}
	if c.from.Cluster != nil {
		s.cluster(c.from.Cluster.Status(), c.from.Cluster.Counters())
	}
	if c.from.Takeover != nil && c.from.Cluster != nil {
		s.takeover(c.from.Takeover(), c.from.Cluster.Counters())
	}
	if c.from.Outbox != nil {
		s.add(OutboxDepth, float64(c.from.Outbox.Len()))
	}
}

// scrape is one reading of all figures.
type scrape struct {
	*collector
	out chan<- prometheus.Metric
}

func (s *scrape) add(name string, value float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(s.descs[name], s.kinds[name], value, labels...)
}

func (s *scrape) flag(name string, on bool) {
	if on {
		s.add(name, 1)
		return
	}
	s.add(name, 0)
}

// Direction labels.
const (
	in  = "in"
	out = "out"
)

func (s *scrape) sip(endpoints []*sip.Stats) {
	requests := map[[2]string]uint64{}
	responses := map[[2]string]uint64{}
	parse := map[string]uint64{}
	plain := map[[2]string]uint64{}
	var server, client, conns int64
	for _, e := range endpoints {
		e.RequestsIn.Each(func(m sip.Method, n uint64) { requests[[2]string{string(m), in}] += n })
		e.RequestsOut.Each(func(m sip.Method, n uint64) { requests[[2]string{string(m), out}] += n })
		for class := 1; class < len(e.ResponsesIn); class++ {
			label := fmt.Sprintf("%dxx", class)
			responses[[2]string{label, in}] += e.ResponsesIn[class].Load()
			responses[[2]string{label, out}] += e.ResponsesOut[class].Load()
		}
		for i := range e.Malformed {
			parse[sip.Malformed(i).String()] += e.Malformed[i].Load()
		}
		plain[[2]string{SIPRetransmissionsTotal, in}] += e.RetransmitsIn.Load()
		plain[[2]string{SIPRetransmissionsTotal, out}] += e.RetransmitsOut.Load()
		plain[[2]string{SIPDroppedTotal, "gate"}] += e.DroppedGate.Load()
		plain[[2]string{SIPDroppedTotal, "permit"}] += e.DroppedPermit.Load()
		plain[[2]string{SIPDroppedTotal, "full"}] += e.DroppedFull.Load()
		plain[[2]string{SIPDroppedTotal, "source budget"}] += e.DroppedSource.Load()
		plain[[2]string{SIPDroppedTotal, "unknown budget"}] += e.DroppedUnknown.Load()
		plain[[2]string{SIPDroppedTotal, "accept"}] += e.AcceptErrors.Load()
		plain[[2]string{SIPDroppedTotal, "handshake"}] += e.HandshakeErrors.Load()
		plain[[2]string{SIPDroppedTotal, "send"}] += e.SendErrors.Load()
		plain[[2]string{SIPDroppedTotal, "stray"}] += e.Stray.Load()
		e.Refused.Each(func(status int, n uint64) {
			plain[[2]string{SIPRefusedTotal, strconv.Itoa(status)}] += n
		})
		plain[[2]string{SIPTimeoutsTotal, "answer"}] += e.Timeouts.Load()
		plain[[2]string{SIPTimeoutsTotal, "ack"}] += e.AckTimeouts.Load()
		server += e.ServerTx.Load()
		client += e.ClientTx.Load()
		conns += e.Conns.Load()
	}
	for k, n := range requests {
		s.add(SIPRequestsTotal, float64(n), k[0], k[1])
	}
	for k, n := range responses {
		s.add(SIPResponsesTotal, float64(n), k[0], k[1])
	}
	for reason, n := range parse {
		s.add(SIPParseErrorsTotal, float64(n), reason)
	}
	for k, n := range plain {
		s.add(k[0], float64(n), k[1])
	}
	s.add(SIPTransactionsActive, float64(server), "server")
	s.add(SIPTransactionsActive, float64(client), "client")
	s.add(SIPConnections, float64(conns))
}

func (s *scrape) media(relays []media.Totals) {
	var sum media.Totals
	for _, r := range relays {
		sum.Sessions += r.Sessions
		sum.PortsInUse += r.PortsInUse
		sum.PortsQuarantined += r.PortsQuarantined
		sum.Packets += r.Packets
		sum.Bytes += r.Bytes
		for i, n := range r.Dropped {
			sum.Dropped[i] += n
		}
	}
	s.add(RTPSessionsActive, float64(sum.Sessions))
	s.add(RTPPorts, float64(sum.PortsInUse), "used")
	s.add(RTPPorts, float64(sum.PortsQuarantined), "quarantined")
	s.add(RTPPacketsTotal, float64(sum.Packets))
	s.add(RTPBytesTotal, float64(sum.Bytes))
	for i, n := range sum.Dropped {
		s.add(RTPDroppedTotal, float64(n), media.DropReason(i).String())
	}
}
