package fsm

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tandem/fsm/fraud"
	"tandem/fsm/route"
)

// indexes are what follows from the records. They are in no snapshot, and a
// restored state builds them anew: nothing here may depend on how the records
// came about.
type indexes struct {
	sources    sourceIndex
	routes     routeIndex
	plansIn    map[string]plans // of mapping gateways
	plansOut   map[string]plans // of routing gateways
	rates      map[versionKey]*Rates
	rateRows   int
	listed     int                 // numbers in all lists
	purchases  map[string][]uint64 // of an account, in order of use
	lapses     agenda[dueKey[purchaseKey], struct{}]
	owned      callSets
	silent     callSets
	sums       sums
	lastGrants map[string]int // live calls of an account whose grant is the last
	ended      burials
	orphans    burials // those of them that may have legs to be told
	blocks     agenda[dueKey[fraud.Key], struct{}]
	keys       agenda[dueKey[string], struct{}]
	keysOf     map[string]*agenda[dueKey[string], struct{}] // by token
	users      map[string]string                            // numbers of phones by whom they authenticate as
	bound      map[string][]string                          // ids of bindings by number, in order
	expiring   agenda[dueKey[bindingKey], struct{}]
	watch      watch
}

// dueKey orders an agenda by time, then by key.
type dueKey[K any] struct {
	at  Time
	key K
}

func byDue[K any](compare func(a, b K) int) func(a, b dueKey[K]) int {
	return func(a, b dueKey[K]) int { return cmp.Or(cmp.Compare(a.at, b.at), compare(a.key, b.key)) }
}

// reindex builds all indexes from the records.
func (s *State) reindex() {
	s.ix = indexes{
		sources:    sourceIndex{nets: map[Prefix][]source{}},
		plansIn:    map[string]plans{},
		plansOut:   map[string]plans{},
		rates:      map[versionKey]*Rates{},
		owned:      callSets{},
		silent:     callSets{},
		purchases:  map[string][]uint64{},
		lastGrants: map[string]int{},
		users:      map[string]string{},
		bound:      map[string][]string{},
		keysOf:     map[string]*agenda[dueKey[string], struct{}]{},
	}
	s.ix.blocks.order = byDue(fraud.Key.Compare)
	s.ix.lapses.order = byDue(purchaseKey.compare)
	s.ix.keys.order = byDue(strings.Compare)
	s.ix.expiring.order = byDue(bindingKey.compare)
	s.ix.sums = s.sumUp()
	s.resolve()
	s.mappings.each(func(id string, g *MappingGateway) {
		s.ix.sources.add(g)
		s.ix.plansIn[id] = mustCompile(&g.Rules, false)
	})
	s.routings.each(func(id string, g *RoutingGateway) { s.ix.plansOut[id] = mustCompile(&g.Rules, true) })
	s.phones.each(func(n string, p *Phone) {
		s.ix.users[p.user()] = n
		s.ix.plansIn[phonePrefix+n] = mustCompile(&p.Rules, false)
	})
	s.bindings.each(func(k bindingKey, b *Binding) {
		s.ix.bind(k)
		s.ix.expiring.push(dueKey[bindingKey]{b.Expires, k}, struct{}{})
	})
	s.versions.each(func(_ versionKey, v *rateVersion) { s.ix.rateRows += int(v.Rows) })
	s.lists.each(func(_ string, l *NumberList) { s.ix.listed += len(l.Numbers) })
	s.ended.each(func(id CallID, t *tombstone) { s.ix.ended.due = append(s.ix.ended.due, dueKey[CallID]{t.At, id}) })
	slices.SortFunc(s.ix.ended.due, byDue(CallID.compare))
	for _, due := range s.ix.ended.due {
		if s.ended.get(due.key).Last != nil {
			s.ix.orphans.push(due.at, due.key)
		}
	}
	s.keys.each(func(k string, r *adminResult) { s.ix.addKey(k, r.At) })
	s.blocks.each(func(k fraud.Key, b *Block) {
		if b.Until != 0 {
			s.ix.blocks.push(dueKey[fraud.Key]{b.Until, k}, struct{}{})
		}
	})
	s.purchases.each(func(_ purchaseKey, p *Purchase) { s.ix.addPurchase(p, s.purchases) })
	s.reindexFraud()
	s.calls.each(func(_ CallID, c *Call) { s.ix.add(c) })
}

// mustCompile compiles plans that were checked when they came.
func mustCompile(r *NumberRules, sent bool) plans {
	p, err := compilePlans(r, sent)
	if err != nil {
		panic("fsm: stored dial plan: " + err.Error())
	}
	return p
}

// add enters a live call; remove takes it out, and has to see it as add did.
func (x *indexes) add(c *Call) {
	x.owned.add(c.Owner, c.ID)
	if c.LastGrant {
		x.lastGrants[c.Account]++
	}
	if c.Flags&FlagSilent != 0 {
		x.silent.add(c.Owner, c.ID)
	}
}

func (x *indexes) remove(c *Call) {
	x.owned.remove(c.Owner, c.ID)
	if c.LastGrant {
		decrement(x.lastGrants, c.Account)
	}
	if c.Flags&FlagSilent != 0 {
		x.silent.remove(c.Owner, c.ID)
	}
}

func decrement[K comparable](counts map[K]int, k K) {
	if n := counts[k]; n > 1 {
		counts[k] = n - 1
	} else {
		delete(counts, k)
	}
}

// addKey enters an administrative key.
func (x *indexes) addKey(key string, at Time) {
	token := tokenOf(key)
	own := x.keysOf[token]
	if own == nil {
		own = &agenda[dueKey[string], struct{}]{order: x.keys.order}
		x.keysOf[token] = own
	}
	due := dueKey[string]{at, key}
	own.push(due, struct{}{})
	x.keys.push(due, struct{}{})
}

// callSets are sets of calls by owner.
type callSets map[NodeID]map[CallID]struct{}

func (s callSets) add(n NodeID, id CallID) {
	if s[n] == nil {
		s[n] = map[CallID]struct{}{}
	}
	s[n][id] = struct{}{}
}

func (s callSets) remove(n NodeID, id CallID) {
	if delete(s[n], id); len(s[n]) == 0 {
		delete(s, n)
	}
}

// of returns the calls of an owner in order.
func (s callSets) of(n NodeID) []CallID { return slices.SortedFunc(maps.Keys(s[n]), CallID.compare) }

// sourceIndex finds the ingress of an address: the most specific network first,
// in it the gateways of that port before those of any port, and of them the one
// with the longest tech prefix.
type sourceIndex struct {
	nets map[Prefix][]source
	bits []uint8 // lengths of networks that are there, longest first
}

type source struct {
	gateway string
	port    uint16
	tech    string
}

func (x *sourceIndex) add(g *MappingGateway) {
	for _, p := range distinct(g.Addrs) {
		x.nets[p] = append(x.nets[p], source{g.ID, g.Port, g.TechPrefix})
		if !slices.Contains(x.bits, p.Bits) {
			x.bits = append(x.bits, p.Bits)
			slices.Sort(x.bits)
			slices.Reverse(x.bits)
		}
	}
}

func (x *sourceIndex) remove(g *MappingGateway) {
	for _, p := range distinct(g.Addrs) {
		x.nets[p] = slices.DeleteFunc(x.nets[p], func(s source) bool { return s.gateway == g.ID })
		if len(x.nets[p]) == 0 {
			delete(x.nets, p)
		}
	}
}

// tie returns another gateway that g could not be told apart from.
func (x *sourceIndex) tie(g *MappingGateway) (other string) {
	for _, p := range distinct(g.Addrs) {
		for _, s := range x.nets[p] {
			if s.gateway != g.ID && s.port == g.Port && s.tech == g.TechPrefix {
				other = earlier(other, s.gateway)
			}
		}
	}
	return other
}

// find returns the ingress of a call, or "".
func (x *sourceIndex) find(from Addr, callee string) string {
	for _, bits := range x.bits {
		var best *source
		list := x.nets[masked(Prefix{from.IP, bits})]
		for i := range list {
			s := &list[i]
			if s.port != 0 && s.port != from.Port || !strings.HasPrefix(callee, s.tech) {
				continue
			}
			if best == nil || s.port > best.port || s.port == best.port && len(s.tech) > len(best.tech) {
				best = s
			}
		}
		if best != nil {
			return best.gateway
		}
	}
	return ""
}

// distinct returns networks with their host bits cleared, each once.
func distinct(list []Prefix) []Prefix {
	out := make([]Prefix, 0, len(list))
	for _, p := range list {
		if p = masked(p); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func masked(p Prefix) Prefix {
	p.Bits = min(p.Bits, 128)
	for i := range p.IP {
		if keep := int(p.Bits) - 8*i; keep < 8 {
			p.IP[i] &= ^byte(0) << (8 - max(keep, 0))
		}
	}
	return p
}

// contains reports whether one of the networks has the address.
func contains(list []Prefix, a Addr) bool {
	for _, p := range list {
		if masked(p) == masked(Prefix{a.IP, p.Bits}) {
			return true
		}
	}
	return false
}

// routeIndex finds routing gateways by prefix. It is built at the first call
// after a change.
type routeIndex struct{ built *route.Index }

func (x *routeIndex) changed() { x.built = nil }

func (s *State) routeIndex() *route.Index {
	if s.ix.routes.built == nil {
		gateways := make([]route.Gateway, 0, s.routings.count)
		s.routings.each(func(id string, g *RoutingGateway) {
			gateways = append(gateways, route.Gateway{ID: id, Prefixes: g.Prefixes, Terminate: g.Mode == PrefixTerminate})
		})
		built, err := route.NewIndex(gateways)
		if err != nil {
			panic("fsm: stored gateways: " + err.Error())
		}
		s.ix.routes.built = built
	}
	return s.ix.routes.built
}
