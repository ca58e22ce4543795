package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/billing"
	"tandem/fsm/number"
	"tandem/fsm/wire"
)

// Package is a product: seconds of talk that an account buys ahead (F061). What
// was bought stays as it was bought, whatever becomes of the product.
type Package struct {
	ID       string
	Name     string
	Currency string
	Price    billing.Amount
	Time     time.Duration // whole seconds
	Prefixes []string      // of callees that it is for; empty: all
	Validity time.Duration // from the purchase; 0: until it is used up
	Priority int32         // smaller is used first
	Created  Time
}

// Purchase is what an account has of a package that it bought. Its seconds are a
// balance of the ledger in a unit of their own, which calls hold and take as they
// do money: no two calls get the same second.
type Purchase struct {
	ID       uint64 // of the transfer that issued the seconds
	Account  string
	Package  string
	Prefixes []string
	Priority int32
	Bought   Time
	Until    Time // 0: no end
	Used     Time // when a call last took of it
	Balance  billing.Balance
}

// Prepaid is how much of a purchase a live call holds, or an ended one has taken.
type Prepaid struct {
	Package  string
	Purchase uint64
	Time     time.Duration // whole seconds
}

// PackageUnit returns the unit of a package's seconds, in which transfers and
// sums name them as they name a currency. An amount of 1.00 is a second.
func PackageUnit(id string) string { return packageUnit + id }

const packageUnit = "sec:"

// Bounds of what packages are.
const (
	maxPackages      = 10_000
	maxPurchases     = 2_000_000
	maxPurchasesEach = 64 // of one account: a call looks at all of them
	maxPackageTime   = 100_000 * time.Hour
	maxPackageID     = maxName - len(packageUnit)
	longestValidity  = 100 * 366 * 24 * time.Hour
)

// purchaseKey names a purchase.
type purchaseKey struct {
	Account string
	ID      uint64
}

func (k purchaseKey) compare(o purchaseKey) int {
	return cmp.Or(strings.Compare(k.Account, o.Account), cmp.Compare(k.ID, o.ID))
}

func (k *purchaseKey) fields(c *wire.Codec) {
	name(c, &k.Account)
	c.Uint(&k.ID)
}

func (p *Package) fields(c *wire.Codec) {
	name(c, &p.ID)
	name(c, &p.Name)
	name(c, &p.Currency)
	wire.Int(c, &p.Price)
	wire.Int(c, &p.Time)
	prefixes(c, &p.Prefixes)
	wire.Int(c, &p.Validity)
	i32(c, &p.Priority)
	wire.Int(c, &p.Created)
}

func (p *Purchase) fields(c *wire.Codec) {
	c.Uint(&p.ID)
	name(c, &p.Account)
	name(c, &p.Package)
	prefixes(c, &p.Prefixes)
	i32(c, &p.Priority)
	wire.Int(c, &p.Bought)
	wire.Int(c, &p.Until)
	wire.Int(c, &p.Used)
	balance(c, &p.Balance)
}

func (p *Prepaid) fields(c *wire.Codec) {
	name(c, &p.Package)
	c.Uint(&p.Purchase)
	wire.Int(c, &p.Time)
}

// Package returns a product.
func (s *State) Package(id string) (Package, bool) { return one(s.packages, id) }

// Packages returns at most limit products behind an id, by id.
func (s *State) Packages(after string, limit int) []Package { return list(s.packages, after, limit) }

// Purchases returns what an account has bought, in the order in which it is used.
// What is used up or over stays for a while.
func (s *State) Purchases(account string) []Purchase {
	var out []Purchase
	for _, id := range s.ix.purchases[account] {
		out = append(out, *s.purchases.get(purchaseKey{account, id}))
	}
	return out
}

// putPackage creates or replaces a product.
func (s *State) putPackage(p *Package) Result {
	switch {
	case !isName(p.ID) || len(p.ID) > maxPackageID:
		return invalid("id", "%q: at most %d letters, digits and . _ -", p.ID, maxPackageID)
	case !isCurrency(p.Currency):
		return invalid("currency", "%q: three capital letters (ISO 4217)", p.Currency)
	case p.Price < 0:
		return invalid("price", "%s: negative", p.Price)
	case p.Time < time.Second || p.Time > maxPackageTime || p.Time%time.Second != 0:
		return invalid("time", "%s: whole seconds up to %s", p.Time, maxPackageTime)
	case p.Validity < 0 || p.Validity > longestValidity:
		return invalid("validity", "%s: 0 to %s", p.Validity, longestValidity)
	}
	n := *p
	var err error
	if n.Prefixes, err = number.Prefixes(p.Prefixes); err != nil {
		return invalid("prefixes", "%v", err)
	}
	n.Created = s.now
	if old := s.packages.get(p.ID); old != nil {
		n.Created = old.Created
	} else if s.packages.count >= maxPackages {
		return refuse(Full, fmt.Sprintf("%d packages", maxPackages))
	}
	s.packages.put(p.ID, n)
	s.event(Event{Kind: EventConfig, ID: p.ID})
	return Result{}
}

// deletePackage removes a product. Purchases of it stay.
func (s *State) deletePackage(id string) Result {
	if !s.packages.remove(id) {
		return refuse(NotFound, fmt.Sprintf("package %q is not there", id))
	}
	s.event(Event{Kind: EventConfig, ID: id})
	return Result{}
}

// buyPackage charges the price of a package and issues its seconds, both or none.
func (s *State) buyPackage(b *BuyPackage) Result {
	a, p := s.accounts.edit(b.Account), s.packages.get(b.Package)
	switch {
	case a == nil:
		return refuse(NotFound, fmt.Sprintf("account %q is not there", b.Account))
	case p == nil:
		return refuse(NotFound, fmt.Sprintf("package %q is not there", b.Package))
	case a.Type != Client:
		return refuse(Conflict, fmt.Sprintf("account %q is a vendor's", a.ID))
	case a.Currency != p.Currency:
		return refuse(Conflict, fmt.Sprintf("package %q costs %s, account %q has %s", p.ID, p.Currency, a.ID, a.Currency))
	}
	s.dropUsed(a.ID)
	if s.purchases.count >= maxPurchases || len(s.ix.purchases[a.ID]) >= maxPurchasesEach {
		return refuse(Full, fmt.Sprintf("account %q has %d packages", a.ID, len(s.ix.purchases[a.ID])))
	}
	price := Transfer{
		Kind: TransferPackage, Debit: a.ledger(), Credit: houseRevenue, Amount: p.Price, Currency: a.Currency,
		Memo: b.Memo, Actor: b.Actor,
	}
	if _, err := s.transfer(price, &a.Balance, s.house(houseRevenue, a.Currency)); err != nil {
		return refuse(Conflict, clip(err.Error()))
	}
	bought := Purchase{
		Account: a.ID, Package: p.ID, Prefixes: p.Prefixes, Priority: p.Priority, Bought: s.now, Used: s.now,
	}
	if p.Validity > 0 {
		bought.Until = s.now.Add(p.Validity)
	}
	issue := bought.seconds(TransferPackage, billing.AmountOf(p.Time))
	issue.Debit, issue.Credit, issue.Memo, issue.Actor = houseIssued, issue.Debit, b.Memo, b.Actor
	var err error
	if bought.ID, err = s.transfer(issue, s.house(houseIssued, issue.Currency), &bought.Balance); err != nil {
		panic("fsm: an empty balance cannot take a package: " + err.Error())
	}
	s.ix.addPurchase(s.purchases.put(purchaseKey{a.ID, bought.ID}, bought), s.purchases)
	s.funded(a.ID)
	return Result{Count: bought.ID}
}

// seconds is a transfer of a purchase's seconds to the house, which is to be
// named.
func (p *Purchase) seconds(kind TransferKind, a billing.Amount) Transfer {
	return Transfer{Kind: kind, Debit: "client:" + p.Account, Amount: a, Currency: PackageUnit(p.Package)}
}

// over reports whether no call may hold any of it any more.
func (p *Purchase) over(now Time) bool { return p.Until != 0 && now >= p.Until }

// lapse ends a purchase whose time is over: the house gets back what no call
// holds. It is called again when a call has ended, and forgets the purchase when
// nothing is left. It reports whether anything changed.
func (s *State) lapse(p *Purchase) bool {
	if !p.over(s.now) {
		return false
	}
	left := p.Balance.Available()
	back := p.seconds(TransferLapse, left)
	back.Credit = houseIssued
	if _, err := s.transfer(back, &p.Balance, s.house(houseIssued, back.Currency)); err != nil {
		panic("fsm: what is available can be moved: " + err.Error())
	}
	if p.empty() {
		s.dropPurchase(purchaseKey{p.Account, p.ID})
	}
	return left > 0 || p.empty()
}

func (p *Purchase) empty() bool { return p.Balance.Funds == 0 && p.Balance.Held == 0 }

// lapsePurchase is what becomes of a purchase when its time is over.
func (s *State) lapsePurchase(due dueKey[purchaseKey]) bool {
	p := s.purchases.edit(due.key)
	return p != nil && s.lapse(p)
}

// dropUsed forgets purchases of an account that are used up, when no late fact can
// give anything back to them.
func (s *State) dropUsed(account string) {
	for _, id := range slices.Clone(s.ix.purchases[account]) {
		k := purchaseKey{account, id}
		if p := s.purchases.get(k); p.empty() && s.now.Sub(p.Used) > tombstoneLife {
			s.dropPurchase(k)
		}
	}
}

func (s *State) dropPurchase(k purchaseKey) {
	s.ix.removePurchase(k)
	s.purchases.remove(k)
}

// dropPurchases ends all purchases of an account that is removed: it has no calls.
func (s *State) dropPurchases(account string) {
	for _, id := range slices.Clone(s.ix.purchases[account]) {
		p := s.purchases.edit(purchaseKey{account, id})
		p.Until = s.now
		s.lapse(p)
	}
}

// addPurchase enters a purchase in the order of use: by priority, those that end
// first, then the oldest.
func (x *indexes) addPurchase(p *Purchase, all *table[purchaseKey, Purchase]) {
	of := func(id uint64) *Purchase { return all.get(purchaseKey{p.Account, id}) }
	ids := append(slices.Clip(x.purchases[p.Account]), p.ID)
	slices.SortFunc(ids, func(a, b uint64) int { return of(a).before(of(b)) })
	x.purchases[p.Account] = ids
	if p.Until != 0 {
		x.lapses.push(dueKey[purchaseKey]{p.Until, purchaseKey{p.Account, p.ID}}, struct{}{})
	}
}

func (x *indexes) removePurchase(k purchaseKey) {
	ids := slices.DeleteFunc(slices.Clone(x.purchases[k.Account]), func(id uint64) bool { return id == k.ID })
	if x.purchases[k.Account] = ids; len(ids) == 0 {
		delete(x.purchases, k.Account)
	}
}

func (p *Purchase) before(o *Purchase) int {
	return cmp.Or(cmp.Compare(p.Priority, o.Priority), cmp.Compare(p.end(), o.end()), cmp.Compare(p.ID, o.ID))
}

// end is Until as an order: no end is behind every other.
func (p *Purchase) end() Time {
	if p.Until == 0 {
		return latestTime + 1
	}
	return p.Until
}
