package node

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tandem/fsm"
	"tandem/node/health"
	"tandem/sip"
)

// gateways is what this node knows of gateways beyond the state: which of them
// answer, where their names are, and whose an address is.
type gateways struct {
	check  *health.Checker
	names  *health.Resolver // nil: names are not resolved
	params atomic.Pointer[fsm.Params]
	owners atomic.Pointer[owners]
}

// owners are the addresses of every gateway, replaced whole.
type owners struct {
	ingress map[string][]netip.Prefix
	egress  map[string][]netip.Prefix
}

// checkWait is how long a check waits for its answer: longer than the answer of a
// busy gateway takes, shorter than the pause between two.
const checkWait = 5 * time.Second

func newGateways(n *Node) (*gateways, error) {
	g := &gateways{}
	params := fsm.DefaultParams()
	g.params.Store(&params)
	g.owners.Store(&owners{})
	cfg := health.Config{Probe: n.probeGateway, Logger: n.log}
	if n.opts.Names != nil {
		var err error
		g.names, err = health.NewResolver(health.ResolverConfig{Lookup: n.opts.Names, Changed: n.refreshGuard, Logger: n.log})
		if err != nil {
			return nil, err
		}
		cfg.Resolve = g.names.Resolve
	}
	var err error
	g.check, err = health.New(cfg)
	return g, err
}

// resolve returns the addresses of a gateway's name.
func (g *gateways) resolve(host, via string, seed uint64) []netip.AddrPort {
	if g.names == nil {
		return nil
	}
	return g.names.Resolve(host, via, seed)
}

// belongs says whether an address is one of a gateway's.
func (g *gateways) belongs(id string, ingress bool, ip netip.Addr) bool {
	table := g.owners.Load().egress
	if ingress {
		table = g.owners.Load().ingress
	}
	return slices.ContainsFunc(table[id], func(p netip.Prefix) bool { return p.Contains(ip) })
}

// configure takes the gateways and parameters of the state. It returns the
// addresses of egresses, which the guard lets in.
func (g *gateways) configure(mappings []fsm.MappingGateway, routings []fsm.RoutingGateway, params fsm.Params) (peers []netip.Prefix) {
	g.params.Store(&params)
	own := owners{ingress: map[string][]netip.Prefix{}, egress: map[string][]netip.Prefix{}}
	for i := range mappings {
		for _, p := range mappings[i].Addrs {
			own.ingress[mappings[i].ID] = append(own.ingress[mappings[i].ID], netipPrefix(p))
		}
	}
	var targets []health.Target
	var hosts []health.Host
	for i := range routings {
		r := &routings[i]
		t := health.Target{Gateway: r.ID, Via: viaOf(r), Host: r.Host}
		for _, a := range r.Addrs {
			t.Addrs = append(t.Addrs, addrPort(a))
		}
		at := t.Addrs
		if len(at) == 0 && r.Host != "" {
			hosts = append(hosts, health.Host{Name: r.Host, Via: t.Via})
			at = g.resolve(r.Host, t.Via, 0)
		}
		if r.Check != (fsm.Addr{}) {
			t.Check = addrPort(r.Check)
			at = append(slices.Clone(at), t.Check)
		}
		for _, addr := range at {
			own.egress[r.ID] = append(own.egress[r.ID], netip.PrefixFrom(addr.Addr(), addr.Addr().BitLen()))
		}
		peers = append(peers, own.egress[r.ID]...)
		if !r.NoCheck && !r.Disabled {
			targets = append(targets, t)
		}
	}
	g.owners.Store(&own)
	if g.names != nil {
		g.names.Configure(hosts)
	}
	g.check.Configure(targets, params.OptionsPeriod, int(params.OptionsMisses))
	return peers
}

func viaOf(g *fsm.RoutingGateway) string {
	if g.Via == "" {
		return "udp"
	}
	return g.Via
}

// probeGateway sends an OPTIONS request from this node's own service address. A
// node that may not send learns nothing.
func (n *Node) probeGateway(to health.Peer, done func(status int)) {
	var from *line
	for _, l := range n.lines.all() {
		if l.ip.Is4() == to.Addr.Addr().Is4() && (from == nil || l.address.Home == n.id) {
			from = l
		}
	}
	if from == nil || !n.Serving() || !n.leased() {
		done(0)
		return
	}
	via, _ := sip.ParseTransport(to.Via)
	e := from.endpoint
	tag := e.NewIdentifier()
	req := &sip.Request{
		Method: sip.OPTIONS, URI: "sip:" + to.Addr.String(), Dest: sip.Peer{Transport: via, Addr: to.Addr},
		From: "<" + e.Contact("check", via) + ">;tag=" + tag, FromTag: tag, To: "<sip:" + to.Addr.String() + ">",
		CallID: e.NewIdentifier(), CSeq: 1, MaxForwards: 70,
	}
	req.Headers.Add("Contact", "<"+e.Contact("check", via)+">")
	req.Headers.Add("Accept", "application/sdp")
	_, err := e.Request(req, sip.Options{FirstResponse: checkWait}, func(res *sip.Response, err error) {
		switch {
		case err != nil:
			done(408)
		case res.Status >= 200:
			done(res.Status)
		}
	})
	if err != nil {
		done(0) // our own trouble says nothing about the gateway
	}
}
