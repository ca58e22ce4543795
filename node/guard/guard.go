// Package guard refuses what is cheap to refuse before anything is parsed,
// proposed or paid for: packets from addresses that belong to no gateway, and
// more new calls a second than an ingress may send.
//
// It works from a local view of the replicated configuration. It never grants
// anything: what it lets through is decided by the state machine. What it
// refuses is counted, and reported to the log in bounded, aggregated batches, so
// that a flood costs the cluster a few commands a second and still leaves
// records (ARCHITECTURE.md, rule 9).
package guard

import (
	"context"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"tandem/fsm"
)

// Bounds of a report round, one second.
const (
	reportEvery = time.Second
	// maxReports is how many sources get a report of their own each round; the
	// rest are reported together under the zero address.
	maxReports = 32
	// maxSources bounds the sources counted one by one within a round.
	maxSources = 4096
	// maxSeen bounds the packets remembered to tell a retransmission from a new
	// call; beyond it each counts. seenFor is how long a caller repeats an INVITE
	// that nobody answers (RFC 3261 timer B).
	maxSeen = 8192
	seenFor = 32 * time.Second
	// DefaultCPS is the limit of an ingress that sets none: new calls a second
	// through this node.
	DefaultCPS = 200
)

// Ingress is one mapping gateway as the guard needs it.
type Ingress struct {
	ID   string
	From []netip.Prefix
	CPS  uint32 // 0: DefaultCPS
}

// View is the part of the configuration that the guard works from.
type View struct {
	Ingress []Ingress
	// Peers are other addresses that may send: routing gateways.
	Peers []netip.Prefix
	// Trusted networks are answered where others get silence.
	Trusted []netip.Prefix
	// AnswerAll: everybody is answered (SS_REPLY_UNAUTHORIZED).
	AnswerAll bool
}

// Submit hands a report to the log. It must not block.
type Submit func(fsm.Refused)

// Guard is the early refusal of one node.
type Guard struct {
	submit Submit
	seed   maphash.Seed
	table  atomic.Pointer[table]

	mu      sync.Mutex // the counters of this round
	counts  map[key]*count
	totals  map[fsm.EndReason]uint64
	dropped uint64             // refusals folded into the zero address, since the start
	seen    [2]map[uint64]bool // packets refused in this seenFor and the one before
	turned  time.Time          // when seen[0] began
}

// table is an immutable view, swapped whole.
type table struct {
	known   bart.Table[*bucket] // nil bucket: a peer that is no ingress
	trusted bart.Lite
	all     bool // everybody is trusted so far
}

type key struct {
	source netip.Addr
	reason fsm.EndReason
}

type count struct {
	n              uint32
	first, last    time.Time
	port           uint16
	caller, callee string
	status         uint16
}

// New returns a guard that knows nobody yet.
func New(submit Submit) *Guard {
	g := &Guard{
		submit: submit, seed: maphash.MakeSeed(),
		counts: map[key]*count{}, totals: map[fsm.EndReason]uint64{}, seen: [2]map[uint64]bool{{}, {}},
	}
	g.table.Store(&table{})
	return g
}

// Configure replaces the view. Buckets of gateways that stay keep their fill.
func (g *Guard) Configure(v View, now time.Time) {
	old := map[string]*bucket{}
	for _, b := range g.table.Load().known.All() {
		if b != nil {
			old[b.id] = b
		}
	}
	t := &table{all: v.AnswerAll}
	for _, p := range v.Peers {
		t.known.Insert(p.Masked(), nil)
	}
	for _, in := range v.Ingress {
		cps := in.CPS
		if cps == 0 {
			cps = DefaultCPS
		}
		b := old[in.ID]
		if b == nil || b.rate != cps {
			b = newBucket(in.ID, cps, now)
		}
		for _, p := range in.From {
			t.known.Insert(p.Masked(), b)
		}
	}
	for _, p := range v.Trusted {
		t.trusted.Insert(p.Masked())
	}
	g.table.Store(t)
}

// Known says whether an address belongs to any gateway. It is called for every
// packet, takes no lock and allocates nothing.
func (g *Guard) Known(src netip.Addr) bool {
	_, ok := g.table.Load().known.Lookup(src.Unmap())
	return ok
}

// Trusted says whether a refused address deserves an answer (F009).
func (g *Guard) Trusted(src netip.Addr) bool {
	t := g.table.Load()
	return t.all || t.trusted.Contains(src.Unmap())
}

// Admit takes a token of the ingress that owns src, for one new call. It says
// no when the ingress is over its limit.
func (g *Guard) Admit(now time.Time, src netip.Addr) bool {
	b, ok := g.table.Load().known.Lookup(src.Unmap())
	return ok && (b == nil || b.take(now))
}

// Refusal is one call or packet that this node refused by itself.
type Refusal struct {
	Source         netip.AddrPort
	Reason         fsm.EndReason
	Caller, Callee string // as received; may be empty
	Status         uint16 // SIP status of the answer; 0: silence
	// Packet is what was refused in silence: when it comes again it is a
	// retransmission and does not count. Nil: every refusal counts.
	Packet []byte
}

// Refused counts a refusal for the next report.
func (g *Guard) Refused(now time.Time, r Refusal) {
	var print uint64
	if r.Packet != nil {
		print = maphash.Bytes(g.seed, r.Packet)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Packet != nil && g.again(now, print) {
		return
	}
	g.totals[r.Reason]++
	k := key{r.Source.Addr().Unmap(), r.Reason}
	c := g.counts[k]
	if c == nil {
		if len(g.counts) >= maxSources {
			k.source = netip.Addr{}
			g.dropped++
		}
		if c = g.counts[k]; c == nil {
			c = &count{first: now, port: r.Source.Port(), caller: r.Caller, callee: r.Callee, status: r.Status}
			g.counts[k] = c
		}
	}
	c.n++
	c.last = now
}

// again remembers a packet and says whether it was there. Called with mu held.
func (g *Guard) again(now time.Time, print uint64) bool {
	if now.Sub(g.turned) > seenFor {
		g.seen[1], g.seen[0], g.turned = g.seen[0], map[uint64]bool{}, now
	}
	if g.seen[0][print] || g.seen[1][print] {
		return true
	}
	if len(g.seen[0]) < maxSeen {
		g.seen[0][print] = true
	}
	return false
}

// Totals returns how many refusals of each reason there were since the start.
func (g *Guard) Totals() map[fsm.EndReason]uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[fsm.EndReason]uint64, len(g.totals))
	for r, n := range g.totals {
		out[r] = n
	}
	return out
}

// Run reports once a second until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	t := time.NewTicker(reportEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			for _, r := range g.round(now) {
				g.submit(r)
			}
		}
	}
}

// round takes the counters and makes reports of them: the loudest sources one by
// one, the others of each reason together.
func (g *Guard) round(now time.Time) []fsm.Refused {
	g.mu.Lock()
	counts := g.counts
	g.counts = make(map[key]*count)
	g.mu.Unlock()

	keys := make([]key, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		if d := int(counts[b].n) - int(counts[a].n); d != 0 {
			return d
		}
		if d := a.source.Compare(b.source); d != 0 {
			return d
		}
		return int(a.reason) - int(b.reason)
	})
	var out []fsm.Refused
	rest := map[fsm.EndReason]int{} // index into out
	for i, k := range keys {
		r := counts[k].report(k, now)
		if i >= maxReports || !k.source.IsValid() {
			r.Source = fsm.Addr{}
			if at, ok := rest[k.reason]; ok {
				out[at].Count += r.Count
				out[at].First = max(out[at].First, r.First)
				out[at].Last = min(out[at].Last, r.Last)
				continue
			}
			rest[k.reason] = len(out)
		}
		out = append(out, r)
	}
	return out
}

func (c *count) report(k key, now time.Time) fsm.Refused {
	return fsm.Refused{
		Source: fsm.Addr{IP: k.source.As16(), Port: c.port}, Reason: k.reason, Count: c.n,
		First: now.Sub(c.first), Last: now.Sub(c.last),
		Caller: c.caller, Callee: c.callee, Status: c.status,
	}
}
