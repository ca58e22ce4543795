package fsm

import (
	"tandem/fsm/fraud"
	"tandem/fsm/number"
	"tandem/fsm/route"
)

// routing answers package route for the gateways of one call, and collects
// those that are chosen.
type routing struct {
	s        *State
	d        *decision
	chosen   []choice
	standing [route.MaxCandidates]bool

	vendor *Account // looked up last
	asked  bool     // table was looked up, with this outcome
	table  string
	cost   priced
	rated  bool
}

// Facts returns the state of a gateway.
func (w *routing) Facts(id string) route.Facts {
	g := w.s.routings.get(id)
	in := w.d.ingress
	f := route.Facts{Priority: g.Priority, Live: g.Live, Lines: g.MaxCalls, History: g.CallsTotal}
	emergency := w.d.flags&FlagEmergency != 0
	switch {
	case g.Disabled:
		f.Skip = route.Disabled
	case !route.Allowed(in.Routes, in.DenyRoutes, id):
		f.Skip = route.NotAllowed
	case g.OutUntil != 0 && w.s.now < g.OutUntil:
		f.Skip = route.Out
	case emergency:
		f.Lines = 0
	case g.MaxCPS > 0 && rateWindow{g.SecondWindow, g.SecondCalls}.after(w.s.now, g.CPSPeriod).calls > g.MaxCPS:
		f.Skip = route.CPSReached
	}
	return f
}

// Refuse says why a gateway must not be chosen; one that is usable is taken.
func (w *routing) Refuse(id string) route.Reason {
	s, d, g := w.s, w.d, w.s.routings.get(id)
	above := d.flags&(FlagEmergency|FlagWhite) != 0
	if d.flags&FlagEmergency == 0 {
		if r := s.checkNumbers(&g.Rules, d.caller, d.callee, above); r != route.Usable {
			return r
		}
	}
	if g.Standalone && !above && s.blocks.count > 0 {
		if _, ok := s.callerBlock(d, id); ok {
			return route.CallerBlocked
		}
		if _, ok := s.calleeBlock(d, id); ok {
			return route.CalleeBlocked
		}
	}
	vendor := w.account(g.Account)
	if vendor == nil || s.set.VerifyClearing && !s.creditworthy(vendor) {
		return route.NoClearingAccount
	}
	cost, rated := w.clearing(vendor.RateTable)
	demand := route.Price{Check: g.CheckRate, MinProfit: g.MinProfit, Max: g.MaxRate}
	revenue := d.price.rate.Price
	if vendor.Currency != d.account.Currency {
		// Prices in two currencies do not compare.
		revenue, demand.MinProfit = cost.rate.Price, min(demand.MinProfit, 0)
	}
	if d.flags&FlagEmergency == 0 {
		if r := demand.Refuse(revenue, cost.rate.Price, rated); r != route.Usable {
			return r
		}
	}
	w.take(g, cost)
	return route.Usable
}

// clearing returns what a table says about the callee. Gateways of one vendor,
// which mostly stand together, share the answer.
func (w *routing) clearing(table string) (priced, bool) {
	if !w.asked || w.table != table {
		w.cost, w.rated = w.s.price(table, w.d.callee)
		w.asked, w.table = true, table
	}
	return w.cost, w.rated
}

// account returns a clearing account; gateways of one vendor share it, too.
func (w *routing) account(id string) *Account {
	if w.vendor == nil || w.vendor.ID != id {
		w.vendor = w.s.accounts.get(id)
	}
	return w.vendor
}

// creditworthy reports whether a clearing account may be used (F042).
func (s *State) creditworthy(a *Account) bool {
	return !a.Locked && (a.Expiry == 0 || s.now < a.Expiry) && (a.Balance.Overdraft || a.Balance.Available() >= 0)
}

// choice is a gateway that a candidate is made of when all are known: they are
// large, and written once.
type choice struct {
	gateway *RoutingGateway
	cost    priced
}

// take appends a gateway to those chosen.
func (w *routing) take(g *RoutingGateway, cost priced) {
	w.standing[len(w.chosen)] = g.Standalone
	w.chosen = append(w.chosen, choice{g, cost})
}

// candidates returns what was chosen, with the numbers as they are sent.
func (w *routing) candidates(found []route.Candidate) []Candidate {
	if len(found) == 0 {
		return nil
	}
	all := make([]Candidate, len(found))
	for i := range all {
		g, cost, c := w.chosen[i].gateway, &w.chosen[i].cost, &all[i]
		*c = Candidate{
			Gateway: g.ID, Vendor: g.Account, Addrs: g.Addrs, Host: g.Host, Via: g.Via,
			Caller: w.d.caller, Callee: w.d.callee, Prefix: found[i].Prefix, Priority: found[i].Priority,
			Cost: cost.rate, CostVer: cost.version, CostPrefix: cost.prefix, Ring: g.Ring, FirstTry: g.FirstTry,
			Source: g.Source, NAT: g.NAT, Limit: g.MaxDuration, Media: g.Media, Profile: g.Profile,
		}
		if len(g.Rules.CallerPlan)+len(g.Rules.CalleePlan) > 0 {
			p, call := w.s.ix.plansOut[g.ID], w.d.call[:]
			c.Caller, _ = p.caller.Apply(c.Caller, number.Seed(call, g.ID+" caller"))
			c.Callee, _ = p.callee.Apply(c.Callee, number.Seed(call, g.ID+" callee"))
		}
		if c.Via == "" {
			c.Via = "udp"
		}
	}
	return all
}

// callerBlock returns the entry that blocks a caller in a scope.
func (s *State) callerBlock(d *decision, scope string) (fraud.Key, bool) {
	for _, list := range [...]BlockList{Malicious, Concurrent} {
		if k, ok := s.block(list, scope, d.account.ID, d.caller); ok {
			return k, true
		}
	}
	return fraud.Key{}, false
}

// calleeBlock returns the entry that blocks a callee in a scope.
func (s *State) calleeBlock(d *decision, scope string) (fraud.Key, bool) {
	return s.block(NoAnswer, scope, d.account.ID, d.callee)
}

// block returns an entry that is in force, for the account or for all.
func (s *State) block(list BlockList, scope, account, n string) (fraud.Key, bool) {
	k := fraud.Key{List: uint8(list), Scope: scope, Account: account, Number: n}
	if b := s.blocks.get(k); b != nil && (b.Until == 0 || s.now < b.Until) {
		return k, true
	}
	k.Account = ""
	if b := s.blocks.get(k); b != nil && (b.Until == 0 || s.now < b.Until) {
		return k, true
	}
	return k, false
}
