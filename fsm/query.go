package fsm

import (
	"maps"
	"slices"
	"time"

	"tandem/billing"
	"tandem/fsm/route"
)

// The methods of this file read the state for APIs and local views. Any number of
// them may run at once, but not beside Apply, Snapshot or InstallRates.
// They return copies; slices and bytes in them are shared and must not be
// written to.

// MaxPage is the most that one query returns.
const MaxPage = 1000

func limited(n int) int {
	if n <= 0 || n > MaxPage {
		return MaxPage
	}
	return n
}

func one[K comparable, V any](t *table[K, V], k K) (V, bool) {
	if v := t.get(k); v != nil {
		return *v, true
	}
	var none V
	return none, false
}

func list[V any](t *table[string, V], after string, limit int) []V {
	return t.page(&after, limited(limit), nil)
}

// Account returns an account.
func (s *State) Account(id string) (Account, bool) { return one(s.accounts, id) }

// Accounts returns at most limit accounts behind an id, by id.
func (s *State) Accounts(after string, limit int) []Account { return list(s.accounts, after, limit) }

// House returns the balance of an account of the house, such as house:revenue.
func (s *State) House(name, currency string) billing.Amount {
	b, _ := one(s.houses, houseKey{name, currency})
	return b.Funds
}

// HouseBalance is the balance of one account of the house.
type HouseBalance struct {
	Name     string
	Currency string
	Amount   billing.Amount
}

// Houses returns all accounts of the house, by name and currency.
func (s *State) Houses() []HouseBalance {
	var out []HouseBalance
	for _, k := range s.houses.keys() {
		out = append(out, HouseBalance{k.Name, k.Currency, s.houses.get(k).Funds})
	}
	return out
}

// MappingGateway returns an ingress.
func (s *State) MappingGateway(id string) (MappingGateway, bool) { return one(s.mappings, id) }

// MappingGateways returns at most limit of them behind an id, by id.
func (s *State) MappingGateways(after string, limit int) []MappingGateway {
	return list(s.mappings, after, limit)
}

// RoutingGateway returns an egress.
func (s *State) RoutingGateway(id string) (RoutingGateway, bool) { return one(s.routings, id) }

// RoutingGateways returns at most limit of them behind an id, by id.
func (s *State) RoutingGateways(after string, limit int) []RoutingGateway {
	return list(s.routings, after, limit)
}

// RateTable returns a rate table's settings.
func (s *State) RateTable(id string) (RateTable, bool) { return one(s.prices, id) }

// RateTables returns at most limit of them behind an id, by id.
func (s *State) RateTables(after string, limit int) []RateTable { return list(s.prices, after, limit) }

// Rows returns all rows of a version, by prefix, or nil when it is not there.
func (c RateChunks) Rows() []RateRow {
	var out []RateRow
	for _, rows := range c.chunks {
		out = append(out, rows...)
	}
	return out
}

// LookupRate returns the row of a table's active version that prices a number.
func (s *State) LookupRate(table, number string) (row RateRow, version uint64, ok bool) {
	t := s.prices.get(table)
	if t == nil || t.Active == 0 {
		return RateRow{}, 0, false
	}
	r := s.reader().ratesOf(versionKey{table, t.Active})
	if found := r.find(number); found != nil {
		return *found, t.Active, true
	}
	return RateRow{}, t.Active, false
}

// reader returns a shallow copy of the state that may look things up with the
// code of Apply: what that keeps for later (indexes, scratch) it keeps in the
// copy.
func (s *State) reader() *State {
	c := *s
	c.now = c.head.At
	c.selection, c.routing = route.Selection{}, routing{}
	c.ix.rates = maps.Clone(s.ix.rates)
	return &c
}

// Params returns the system parameters as they are in force.
func (s *State) Params() Params { return s.set }

// ParameterValue returns the value of a parameter by its name, and false when it
// is at its default.
func (s *State) ParameterValue(name string) (string, bool) {
	p, ok := one(s.params, name)
	return p.Value, ok
}

// NumberList returns a list of numbers.
func (s *State) NumberList(name string) (NumberList, bool) { return one(s.lists, name) }

// NumberLists returns at most limit lists behind a name, by name.
func (s *State) NumberLists(after string, limit int) []NumberList { return list(s.lists, after, limit) }

// Token returns a token's record.
func (s *State) Token(id string) (Token, bool) { return one(s.tokens, id) }

// Tokens returns at most limit tokens behind an id, by id.
func (s *State) Tokens(after string, limit int) []Token { return list(s.tokens, after, limit) }

// Member returns a node.
func (s *State) Member(id NodeID) (Member, bool) { return one(s.members, id) }

// Members returns all nodes that ever were up, by name.
func (s *State) Members() []Member { return s.members.page(nil, maxMembers, nil) }

// Address returns a service address.
func (s *State) Address(ip string) (Address, bool) { return one(s.addresses, ip) }

// Addresses returns all service addresses, in order of their names.
func (s *State) Addresses() []Address { return s.addresses.page(nil, maxAddresses, nil) }

// OwnedAddresses returns the addresses that a node's process has to serve, in
// order of their names.
func (s *State) OwnedAddresses(n NodeID, incarnation uint64) []Address {
	return s.addresses.page(nil, maxAddresses, func(a *Address) bool {
		return a.Owner == n && a.Incarnation == incarnation
	})
}

// Call returns a live call.
func (s *State) Call(id CallID) (Call, bool) { return one(s.calls, id) }

// CallFilter selects live calls. Empty fields select all.
type CallFilter struct {
	Account string
	Ingress string
	Egress  string
	Owner   NodeID
	Number  string // caller or callee, normalised
}

// Calls returns at most limit live calls behind an id, by id.
func (s *State) Calls(f CallFilter, after CallID, limit int) []Call {
	var from *CallID
	if after != (CallID{}) {
		from = &after
	}
	return s.calls.page(from, limited(limit), func(c *Call) bool {
		return (f.Account == "" || c.Account == f.Account) && (f.Ingress == "" || c.Ingress == f.Ingress) &&
			(f.Egress == "" || c.gateway() == f.Egress) && (f.Owner == "" || c.Owner == f.Owner) &&
			(f.Number == "" || c.Caller == f.Number || c.Callee == f.Number)
	})
}

// OwnedCalls returns the ids of all live calls of a node's incarnation, in
// order: what that node has to serve.
func (s *State) OwnedCalls(n NodeID, incarnation uint64) []CallID {
	return slices.DeleteFunc(s.ix.owned.of(n), func(id CallID) bool { return s.calls.get(id).Incarnation != incarnation })
}

// Grant returns what the owner of a live call may do with its present hold.
func (s *State) Grant(id CallID) (Grant, bool) {
	c := s.calls.get(id)
	if c == nil {
		return Grant{}, false
	}
	return c.grant(min(c.Granted, longestSlice)), true
}

// Ended returns the CDR's sequence of a call that ended a short while ago.
func (s *State) Ended(id CallID) (cdr uint64, ok bool) {
	t, ok := one(s.ended, id)
	return t.CDR, ok
}

// Ingress returns the mapping gateway that a call from an address would belong
// to, for early refusal: it is never a reason to grant anything.
func (s *State) Ingress(from Addr, callee string) (MappingGateway, bool) {
	return one(s.mappings, s.ix.sources.find(from, callee))
}

// Blocked returns the entry of the dynamic blacklist that would refuse a call
// of an account, for early refusal.
func (s *State) Blocked(account, caller, callee string, at Time) (Block, bool) {
	if s.listed(listWhite, caller) || s.listed(listWhite, callee) || s.listed(listEmergency, callee) {
		return Block{}, false
	}
	for _, k := range []struct {
		list   BlockList
		number string
	}{{Malicious, caller}, {Concurrent, caller}, {NoAnswer, callee}} {
		if found, ok := s.block(k.list, "", account, k.number); ok {
			b := s.blocks.get(found)
			return *b, b.Until == 0 || at < b.Until
		}
	}
	return Block{}, false
}

// BlocksOf returns every entry of a number, in order of list, scope, account.
func (s *State) BlocksOf(number string) []Block {
	return s.blocks.page(nil, MaxPage, func(b *Block) bool { return b.Number == number })
}

// Blocks returns at most limit entries of a list behind a number, by scope,
// account and number; list 0 is all of them.
func (s *State) Blocks(l BlockList, after *Block, limit int) []Block {
	keep := func(b *Block) bool { return l == 0 || b.List == l }
	if after == nil {
		return s.blocks.page(nil, limited(limit), keep)
	}
	k := after.key()
	return s.blocks.page(&k, limited(limit), keep)
}

// Counts says how much there is of each kind of record, for metrics.
type Counts struct {
	Accounts, MappingGateways, RoutingGateways, RateTables, RateRows int
	Calls, Ended, Blocks, Windows, Results, Keys, Members            int
	Phones, Bindings                                                 int
	CDRs, Transfers                                                  uint64 // sequences of the last ones
	Evicted                                                          uint64 // windows dropped to keep within bounds, on this replica
}

// Counts returns how much there is of each kind of record.
func (s *State) Counts() Counts {
	return Counts{
		Accounts: s.accounts.count, MappingGateways: s.mappings.count, RoutingGateways: s.routings.count,
		RateTables: s.prices.count, RateRows: s.ix.rateRows, Calls: s.calls.count, Ended: s.ended.count,
		Blocks: s.blocks.count, Windows: s.windows.count, Results: s.results.count, Keys: s.keys.count,
		Members: s.members.count, Phones: s.phones.count, Bindings: s.bindings.count, CDRs: s.head.CDRs, Transfers: s.head.Transfers,
		Evicted: s.ix.watch.malicious.Evicted() + s.ix.watch.noAnswer.Evicted(),
	}
}

// Explanation is how StartCall would decide, without doing it.
type Explanation struct {
	Code       Code
	Refusal    Refusal
	Detail     string
	Ingress    string
	Account    string
	Caller     string // normalised and rewritten by the ingress
	Callee     string
	Emergency  bool
	White      bool
	RateTable  string
	RateVer    uint64
	RatePrefix string
	Area       string
	Rate       billing.Rate
	Candidates []Candidate
	Skipped    []Skip // with the reason
	Hold       billing.Amount
	Talk       time.Duration // covered by the first slice
	Prepaid    time.Duration // the beginning of it, by packages
	MaxLength  time.Duration
}

// Simulate runs the decision of StartCall without any effect, as of the last
// entry's log time. Counts of the dynamic blacklist stay as they are.
func (s *State) Simulate(b StartCall) Explanation {
	d := s.reader().decide(&b)
	x := Explanation{
		Code: d.code, Refusal: d.code.Refusal(), Detail: d.detail, Caller: d.caller, Callee: d.callee,
		Emergency: d.flags&FlagEmergency != 0, White: d.flags&FlagWhite != 0,
		RateTable: d.price.table, RateVer: d.price.version, RatePrefix: d.price.prefix, Area: d.price.area, Rate: d.price.rate,
		Candidates: d.routes, Skipped: d.skipped, Hold: d.slice.hold, Talk: d.slice.granted, Prepaid: d.slice.prepaid, MaxLength: d.maxLength,
	}
	if d.ingress != nil {
		x.Ingress, x.Account = d.ingress.ID, d.ingress.Account
	}
	return x
}
