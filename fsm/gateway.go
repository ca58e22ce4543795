package fsm

import (
	"fmt"
	"time"

	"tandem/fsm/number"
)

// putMapping creates or replaces an ingress.
func (s *State) putMapping(g *MappingGateway) Result {
	if r := s.checkMapping(g); r.Code != OK {
		return r
	}
	n := *g
	n.Live, n.CallsTotal = 0, 0
	plans, r := s.prepare(&n.Rules, false)
	if r.Code != OK {
		return r
	}
	old := s.mappings.get(g.ID)
	switch {
	case old != nil:
		n.Live, n.CallsTotal = old.Live, old.CallsTotal
	case s.mappings.count >= maxGateways:
		return refuse(Full, fmt.Sprintf("%d mapping gateways", maxGateways))
	default: // calls of a gateway that was deleted under them count again
		s.calls.each(func(_ CallID, c *Call) {
			if c.Ingress == g.ID {
				n.Live++
			}
		})
	}
	if old != nil {
		s.ix.sources.remove(old)
	}
	s.mappings.put(g.ID, n)
	s.ix.plansIn[g.ID] = plans
	s.ix.sources.add(&n)
	s.event(Event{Kind: EventConfig, ID: g.ID})
	return Result{}
}

func (s *State) checkMapping(g *MappingGateway) Result {
	a := s.accounts.get(g.Account)
	switch {
	case !isName(g.ID):
		return invalid("id", "%q: letters, digits and . _ - only", g.ID)
	case a == nil:
		return invalid("account", "%q is not there", g.Account)
	case a.Type != Client:
		return invalid("account", "%q is no client", g.Account)
	case len(g.Addrs) == 0:
		return invalid("addrs", "at least one signalling address")
	}
	if err := number.Valid(g.TechPrefix); err != nil {
		return invalid("tech_prefix", "%v", err)
	}
	if g.RateTable != "" {
		t := s.prices.get(g.RateTable)
		if t == nil {
			return invalid("rate_table", "%q is not there", g.RateTable)
		}
		if t.Currency != a.Currency {
			return invalid("rate_table", "%q is in %s, account %q in %s", g.RateTable, t.Currency, a.ID, a.Currency)
		}
	}
	if r := g.Profile.check(); r.Code != OK {
		return r
	}
	if other := s.ix.sources.tie(g); other != "" {
		return refuse(Conflict, fmt.Sprintf("gateway %q has the same address, port and tech prefix", other))
	}
	return Result{}
}

// putRouting creates or replaces an egress.
func (s *State) putRouting(g *RoutingGateway) Result {
	if r := s.checkRouting(g); r.Code != OK {
		return r
	}
	n := *g
	plans, r := s.prepare(&n.Rules, true)
	if r.Code != OK {
		return r
	}
	var err error
	if n.Prefixes, err = number.Prefixes(g.Prefixes); err != nil {
		return invalid("prefixes", "%v", err)
	}
	n.Live, n.CallsTotal, n.OutUntil, n.OutReason, n.SecondWindow, n.SecondCalls = 0, 0, 0, "", 0, 0
	old := s.routings.get(g.ID)
	switch {
	case old != nil:
		n.Live, n.CallsTotal, n.OutUntil, n.OutReason = old.Live, old.CallsTotal, old.OutUntil, old.OutReason
		n.SecondWindow, n.SecondCalls = old.SecondWindow, old.SecondCalls
	case s.routings.count >= maxGateways:
		return refuse(Full, fmt.Sprintf("%d routing gateways", maxGateways))
	default:
		s.calls.each(func(_ CallID, c *Call) {
			if c.gateway() == g.ID {
				n.Live++
			}
		})
	}
	s.routings.put(g.ID, n)
	s.ix.plansOut[g.ID] = plans
	s.ix.routes.changed()
	s.event(Event{Kind: EventConfig, ID: g.ID})
	return Result{}
}

func (s *State) checkRouting(g *RoutingGateway) Result {
	a := s.accounts.get(g.Account)
	switch {
	case !isName(g.ID):
		return invalid("id", "%q: letters, digits and . _ - only", g.ID)
	case a == nil:
		return invalid("account", "%q is not there", g.Account)
	case a.Type != Vendor:
		return invalid("account", "%q is no vendor", g.Account)
	case len(g.Addrs) == 0 && g.Host == "":
		return invalid("addrs", "an address or a host name")
	case g.Via != "" && g.Via != "udp" && g.Via != "tcp" && g.Via != "tls":
		return invalid("via", "%q: udp, tcp or tls", g.Via)
	case g.MaxDuration < 0 || g.Ring < 0 || g.FirstTry < 0 || g.CPSPeriod < 0:
		return invalid("max_duration, ring, first_try, cps_period", "negative")
	}
	return g.Profile.check()
}

// deleteGateway removes a gateway. Its live calls go on with what they copied.
func (s *State) deleteGateway(b *DeleteGateway) Result {
	if b.Mapping {
		g := s.mappings.get(b.ID)
		if g == nil {
			return refuse(NotFound, fmt.Sprintf("mapping gateway %q is not there", b.ID))
		}
		s.ix.sources.remove(g)
		delete(s.ix.plansIn, b.ID)
		s.mappings.remove(b.ID)
	} else {
		g := s.routings.get(b.ID)
		if g == nil {
			return refuse(NotFound, fmt.Sprintf("routing gateway %q is not there", b.ID))
		}
		s.ix.routes.changed()
		delete(s.ix.plansOut, b.ID)
		s.routings.remove(b.ID)
	}
	s.event(Event{Kind: EventConfig, ID: b.ID})
	return Result{}
}

// plans are a gateway's compiled dial plans.
type plans struct{ caller, callee number.Plan }

// prepare checks the number rules of a gateway, brings their lists into the form
// that is searched, and compiles the plans.
func (s *State) prepare(r *NumberRules, sent bool) (p plans, _ Result) {
	for _, list := range []*[]string{&r.AllowCaller, &r.DenyCaller, &r.AllowCallee, &r.DenyCallee} {
		var err error
		if *list, err = number.Prefixes(*list); err != nil {
			return p, invalid("rules", "%v", err)
		}
	}
	for _, name := range []string{r.CallerWhite, r.CallerBlack, r.CalleeWhite, r.CalleeBlack} {
		if name != "" && s.lists.get(name) == nil {
			return p, invalid("rules", "list %q is not there", name)
		}
	}
	var err error
	if p, err = compilePlans(r, sent); err != nil {
		return p, invalid("rules", "%v", err)
	}
	return p, Result{}
}

// compilePlans compiles the dial plans of an ingress, or of an egress, whose
// numbers are sent.
func compilePlans(r *NumberRules, sent bool) (p plans, err error) {
	compile := number.Compile[Transform]
	if sent {
		compile = number.CompileSent[Transform]
	}
	if p.caller, err = compile(r.CallerPlan); err != nil {
		return p, fmt.Errorf("caller plan: %w", err)
	}
	if p.callee, err = compile(r.CalleePlan); err != nil {
		return p, fmt.Errorf("callee plan: %w", err)
	}
	return p, nil
}

// longestOut bounds how long a vendor's Retry-After keeps its gateway out.
const longestOut = 24 * time.Hour

// gatewayHealth takes a gateway out of plans for a time, or back in (F110).
func (s *State) gatewayHealth(b *GatewayHealth) Result {
	g := s.routings.edit(b.Gateway)
	if g == nil {
		return refuse(NotFound, fmt.Sprintf("routing gateway %q is not there", b.Gateway))
	}
	g.OutUntil, g.OutReason = 0, ""
	if b.Out > 0 {
		g.OutUntil, g.OutReason = s.now.Add(min(b.Out, longestOut)), b.Reason
	}
	s.event(Event{Kind: EventConfig, ID: b.Gateway})
	return Result{}
}

// isName reports whether a text can name an object: it appears in URLs, file
// names and ledger accounts.
func isName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

func isCurrency(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return len(s) == 3
}
