package fsm

import (
	"fmt"
	"strings"
	"time"

	"tandem/billing"
	"tandem/fsm/fraud"
	"tandem/fsm/number"
	"tandem/fsm/route"
)

// decision is what StartCall makes of an INVITE, before anything is changed.
// Apply carries it out; Simulate shows it.
type decision struct {
	code      Code
	detail    string
	call      CallID
	ingress   *MappingGateway // nil: unknown source
	phone     *Phone          // that calls; ingress stands for it
	account   *Account
	rawCaller string // as received, where the ingress looks for it
	rawCallee string
	caller    string
	callee    string
	flags     CallFlags
	hit       fraud.Key // the blacklist's entry that refused, if code says so
	price     priced
	free      bool // emergency: nothing has a price
	routes    []Candidate
	skipped   []Skip
	standing  [route.MaxCandidates]bool // of routes: keeps a blacklist of its own
	slice     slice
	maxLength time.Duration
}

func (d *decision) refuse(c Code, format string, args ...any) {
	d.code, d.detail = c, clip(fmt.Sprintf(format, args...))
}

// decide runs the whole decision. The first reason to refuse ends it; the order
// is that of cost and of what may be told to whom. The result is valid until the
// next decision.
func (s *State) decide(b *StartCall) *decision {
	d := &s.decision
	*d = decision{call: b.Call}
	steps := [...]func(*decision, *StartCall){
		s.findIngress, s.checkEntry, s.checkIngressRules, s.checkBlocks, s.checkDestination,
		s.checkLimits, s.checkPrice, s.findRoutes, s.findMoney,
	}
	for _, step := range steps {
		if step(d, b); d.code != OK {
			break
		}
	}
	return d
}

// findIngress finds who sent the INVITE, and what number it is for.
func (s *State) findIngress(d *decision, b *StartCall) {
	callee, err := number.Normalise(b.Callee)
	// A caller that is no number is anonymous; the raw text goes into the CDR.
	caller, _ := number.Normalise(b.Caller)
	d.rawCaller, d.rawCallee = b.Caller, b.Callee
	d.caller, d.callee = caller.Digits, callee.Digits
	if b.Phone != "" {
		if d.phone = s.phones.get(b.Phone); d.phone == nil {
			d.refuse(UnknownSource, "phone %q is not there", b.Phone)
			return
		}
		d.ingress = d.phone.ingress()
	} else if d.ingress = s.mappings.get(s.ix.sources.find(b.Source, callee.Digits)); d.ingress == nil {
		d.refuse(UnknownSource, "no ingress has this address")
		return
	}
	d.account = s.accounts.get(d.ingress.Account)
	if d.rawCaller, d.rawCallee = b.named(&d.ingress.Profile); d.rawCallee != b.Callee {
		callee, err = number.Normalise(d.rawCallee)
		d.callee = callee.Digits
	}
	if d.rawCaller != b.Caller {
		caller, _ = number.Normalise(d.rawCaller)
		d.caller = caller.Digits
	}
	if d.phone != nil { // whoever it says it is
		d.caller = d.phone.Number
	}
	d.callee = strings.TrimPrefix(d.callee, d.ingress.TechPrefix)
	if !fraud.Countable(d.caller) {
		d.flags |= FlagUncounted
	}
	switch {
	case d.account == nil:
		d.refuse(UnknownAccount, "account %q is not there", d.ingress.Account)
	case err != nil:
		d.refuse(BadNumber, "callee %v", err)
	case d.callee == "":
		d.refuse(BadNumber, "callee %q: no digits", d.rawCallee)
	}
}

// checkEntry applies what does not depend on the number, after finding out
// whether the number is above that.
func (s *State) checkEntry(d *decision, b *StartCall) {
	if s.listed(listEmergency, d.callee) {
		d.flags |= FlagEmergency
		return
	}
	if s.listed(listWhite, d.caller) || s.listed(listWhite, d.callee) {
		d.flags |= FlagWhite
	}
	a := d.account
	switch {
	case d.ingress.Disabled:
		d.refuse(Locked, "gateway %q is disabled", d.ingress.ID)
	case a.Locked:
		d.refuse(Locked, "account %q is locked", a.ID)
	case a.Expiry != 0 && s.now >= a.Expiry:
		d.refuse(Expired, "account %q expired", a.ID)
	case s.set.CheckAccessIP && len(a.AccessIPs) > 0 && !contains(a.AccessIPs, b.Source):
		d.refuse(WrongAddress, "account %q may not call from there", a.ID)
	}
}

// checkIngressRules applies the rules and the dial plan of the ingress.
func (s *State) checkIngressRules(d *decision, _ *StartCall) {
	r := &d.ingress.Rules
	if d.flags&FlagEmergency == 0 {
		switch s.checkNumbers(r, d.caller, d.callee, d.flags&FlagWhite != 0) {
		case route.CallerForbidden:
			d.refuse(CallerForbidden, "caller %q by gateway %q", d.caller, d.ingress.ID)
			return
		case route.CalleeForbidden:
			d.refuse(CalleeForbidden, "callee %q by gateway %q", d.callee, d.ingress.ID)
			return
		case route.LengthForbidden:
			d.refuse(BadNumber, "callee %q: %d digits", d.callee, len(d.callee))
			return
		}
		if !s.set.CallerLengths.Allow(d.caller) && d.caller != "" {
			d.refuse(CallerForbidden, "caller %q: %d digits", d.caller, len(d.caller))
			return
		}
	}
	if len(r.CallerPlan)+len(r.CalleePlan) == 0 {
		return
	}
	p := s.ix.plansIn[d.ingress.ID]
	d.caller, _ = p.caller.Apply(d.caller, number.Seed(d.call[:], "ingress caller"))
	d.callee, _ = p.callee.Apply(d.callee, number.Seed(d.call[:], "ingress callee"))
	if d.callee == "" {
		d.refuse(BadNumber, "callee: no digits are left by the dial plan of gateway %q", d.ingress.ID)
	}
}

// checkNumbers applies the rules of a gateway. The system's white list is above
// black lists, not above prefixes that a gateway cannot carry.
func (s *State) checkNumbers(r *NumberRules, caller, callee string, white bool) route.Reason {
	switch {
	case !number.Permitted(r.AllowCaller, r.DenyCaller, caller),
		r.CallerWhite != "" && !s.listed(r.CallerWhite, caller),
		r.CallerBlack != "" && !white && s.listed(r.CallerBlack, caller):
		return route.CallerForbidden
	case !number.Permitted(r.AllowCallee, r.DenyCallee, callee),
		r.CalleeWhite != "" && !s.listed(r.CalleeWhite, callee),
		r.CalleeBlack != "" && !white && s.listed(r.CalleeBlack, callee):
		return route.CalleeForbidden
	case !number.Lengths(r.Lengths).Allow(callee):
		return route.LengthForbidden
	}
	return route.Usable
}

// The names of the system's lists.
const (
	listEmergency = "emergency" // skips lock, money, limits and lists
	listWhite     = "whitelist" // above every blacklist (F135)
)

func (s *State) listed(list, n string) bool {
	l := s.lists.get(list)
	return l != nil && number.Listed(l.Numbers, n)
}

// checkBlocks looks for the numbers in the dynamic blacklist, in the scope of
// the whole cluster.
func (s *State) checkBlocks(d *decision, _ *StartCall) {
	if d.flags&(FlagEmergency|FlagWhite) != 0 || s.blocks.count == 0 {
		return
	}
	if k, ok := s.callerBlock(d, ""); ok {
		d.hit = k
		d.refuse(CallerBlocked, "caller %q is on the %s list", d.caller, BlockList(k.List))
	} else if k, ok := s.calleeBlock(d, ""); ok {
		d.hit = k
		d.refuse(CalleeBlocked, "callee %q is on the %s list", d.callee, BlockList(k.List))
	}
}

// checkDestination applies the account's authorisation (F057, F058).
func (s *State) checkDestination(d *decision, _ *StartCall) {
	a := d.account
	if d.flags&FlagEmergency == 0 && !number.Permitted(a.AllowCallee, a.BlockCallee, d.callee) {
		d.refuse(CalleeForbidden, "callee %q by account %q", d.callee, a.ID)
	}
}

// checkLimits applies the limits on calls a second and at once. They are exact
// over the cluster, because all calls are counted here.
func (s *State) checkLimits(d *decision, _ *StartCall) {
	a, g := d.account, d.ingress
	if s.calls.count >= maxLiveCalls {
		d.refuse(Full, "%d live calls", s.calls.count)
		return
	}
	if d.flags&FlagEmergency != 0 {
		return
	}
	second := rateWindow{a.SecondWindow, a.SecondCalls}.after(s.now, time.Second)
	switch {
	case a.MaxCPS > 0 && second.calls > a.MaxCPS:
		d.refuse(CPSLimit, "account %q: %d calls a second", a.ID, a.MaxCPS)
	case a.MaxCalls > 0 && a.Live >= a.MaxCalls:
		d.refuse(AccountLimit, "account %q: %d calls", a.ID, a.Live)
	case d.phone != nil && d.phone.full():
		d.refuse(GatewayLimit, "phone %s: %d calls", d.phone.Number, d.phone.LiveIn+d.phone.LiveOut)
	case g.MaxCalls > 0 && g.Live >= g.MaxCalls:
		d.refuse(GatewayLimit, "gateway %q: %d calls", g.ID, g.Live)
	case s.set.MaxCalls > 0 && s.calls.count >= int(s.set.MaxCalls):
		d.refuse(AccountLimit, "system: %d calls", s.calls.count)
	}
}

// checkPrice finds what the call costs, and whether the account may spend more
// today.
func (s *State) checkPrice(d *decision, _ *StartCall) {
	table := d.ingress.RateTable
	if table == "" {
		table = d.account.RateTable
	}
	dialled := d.callee
	if !s.set.StripTechPrefix {
		dialled = d.ingress.TechPrefix + dialled
	}
	p, ok := s.price(table, dialled)
	d.price = p
	if d.flags&FlagEmergency != 0 {
		d.free = !ok
		return
	}
	if !ok {
		d.refuse(NoRate, "rate table %q has no rate for %q", table, dialled)
		return
	}
	if a := d.account; a.MaxSpend > 0 && s.spentToday(a) >= a.MaxSpend {
		d.refuse(DailySpend, "account %q spent %s today", a.ID, s.spentToday(a))
	}
}

// findRoutes orders the candidates.
func (s *State) findRoutes(d *decision, _ *StartCall) {
	d.maxLength = s.set.MaxCallTime
	if m := d.account.MaxDuration; m > 0 && s.set.LimitAccounts {
		d.maxLength = min(d.maxLength, m)
	}
	if p := s.phones.get(d.callee); p != nil {
		s.findPhone(d, p)
		return
	}
	w := &s.routing
	*w = routing{s: s, d: d, chosen: w.chosen[:0]}
	s.routeIndex().Select(&s.selection, d.callee, w)
	d.routes, d.standing = w.candidates(s.selection.Candidates), w.standing
	for _, k := range s.selection.Skipped {
		d.skipped = append(d.skipped, Skip{Gateway: k.ID, Reason: k.Reason.String()})
	}
	if len(d.routes) == 0 {
		d.refuse(NoRoute, "no gateway for %q%s", d.callee, reasons(d.skipped))
	}
}

func reasons(skipped []Skip) string {
	var b strings.Builder
	for i, k := range skipped {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + k.Gateway + " " + k.Reason)
	}
	return b.String()
}

// findMoney holds the first slice.
func (s *State) findMoney(d *decision, _ *StartCall) {
	a := d.account
	if d.flags&FlagEmergency != 0 {
		d.slice = s.emergencySlice(d)
		return
	}
	m := s.means(a, d.callee, a.Live)
	free := m.money
	advance := max(a.Advance, s.set.Advance)
	if paid := max(advance-billing.SecondsOf(m.seconds), 0); m.limited && d.price.rate.Cost(paid) > free {
		d.refuse(NoMoney, "account %q: %s available, %s of talk cost %s", a.ID, free, paid, d.price.rate.Cost(paid))
		return
	}
	next, ok := slice{}.follow(d.price.rate, m, d.maxLength)
	if !ok && a.MaxSpend > 0 && free < a.Balance.Available() {
		d.refuse(DailySpend, "account %q: %s left to spend today", a.ID, free)
		return
	}
	if !ok {
		d.refuse(NoMoney, "account %q: %s available", a.ID, free)
		return
	}
	if _, err := a.Balance.Hold(next.hold); err != nil {
		d.refuse(NoMoney, "account %q: %v", a.ID, err)
		return
	}
	d.slice = next
}

// emergencySlice covers the whole call and holds what there is for it.
func (s *State) emergencySlice(d *decision) slice {
	sl := slice{granted: d.maxLength, last: true}
	if d.free {
		return sl
	}
	free, limited := s.spendable(d.account)
	sl.hold = d.price.rate.Cost(longestSlice)
	if limited {
		sl.hold = min(sl.hold, free)
	}
	if _, err := d.account.Balance.Hold(sl.hold); err != nil {
		sl.hold = 0
	}
	return sl
}
