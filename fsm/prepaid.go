package fsm

import (
	"time"

	"tandem/billing"
	"tandem/fsm/number"
)

// means are what an account can pay the next slice of a call with.
type means struct {
	seconds billing.Amount // of its packages, for that callee
	money   billing.Amount
	limited bool   // money is
	others  uint32 // live calls beside this one
}

// means returns what an account has for a call to a number.
func (s *State) means(a *Account, callee string, others uint32) means {
	m := means{others: others}
	m.money, m.limited = s.spendable(a)
	for p := range s.usable(a.ID, callee) {
		m.seconds += p.Balance.Available()
	}
	return m
}

// usable yields the purchases that may pay for a call to a number, in the order
// in which they are used.
func (s *State) usable(account, callee string) func(yield func(*Purchase) bool) {
	return func(yield func(*Purchase) bool) {
		for _, id := range s.ix.purchases[account] {
			p := s.purchases.get(purchaseKey{account, id})
			if p.over(s.now) || !number.Permitted(p.Prefixes, nil, callee) {
				continue
			}
			if !yield(p) {
				return
			}
		}
	}
}

// follow returns the slice that follows, as next does, of everything that the
// account has: of prepaid seconds as long as there are any, then of money. Once a
// call holds money its prepaid seconds stay what they are, so that the order in
// which it takes them is that of its grants (ARCHITECTURE.md, rule 3). A call
// that costs nothing takes none.
func (sl slice) follow(r billing.Rate, m means, most time.Duration) (slice, bool) {
	n := sl
	if sl.granted == sl.prepaid && m.seconds > 0 && r.Cost(billing.Unlimited) > 0 {
		unit := r.Prepaid()
		now := slice{granted: sl.prepaid, hold: unit.Cost(sl.prepaid)}
		if p, ok := now.next(unit, m.seconds, true, m.others, most); ok {
			n = slice{granted: p.granted, prepaid: p.granted, last: p.granted >= most}
			if n.last || n.granted >= sl.granted+shortestSlice {
				return n, true
			}
		}
	}
	now := slice{granted: n.granted - n.prepaid, hold: n.hold}
	paid, ok := now.next(r, m.money, m.limited, m.others, most-n.prepaid)
	if !ok {
		n.last = true
		return n, n.granted > sl.granted
	}
	return slice{granted: n.prepaid + paid.granted, prepaid: n.prepaid, hold: paid.hold, last: paid.last}, true
}

// holdPrepaid holds for a call the seconds that it has not yet of those that its
// slice says.
func (s *State) holdPrepaid(c *Call, slice time.Duration) {
	wanted := slice - c.prepaid()
	if wanted <= 0 {
		return
	}
	held := append([]Prepaid(nil), c.Prepaid...)
	for p := range s.usable(c.Account, c.Callee) {
		part := min(wanted, billing.SecondsOf(p.Balance.Available()))
		if part <= 0 {
			continue
		}
		s.reserve(s.purchases.edit(purchaseKey{p.Account, p.ID}), part)
		held = addPrepaid(held, Prepaid{Package: p.Package, Purchase: p.ID, Time: part})
		if wanted -= part; wanted == 0 {
			break
		}
	}
	if wanted > 0 {
		panic("fsm: a slice has more prepaid seconds than there are")
	}
	c.Prepaid = held
}

// addPrepaid adds to the part of its purchase, or behind the others.
func addPrepaid(parts []Prepaid, p Prepaid) []Prepaid {
	for i := range parts {
		if parts[i].Purchase == p.Purchase {
			parts[i].Time += p.Time
			return parts
		}
	}
	return append(parts, p)
}

// reserve changes what calls hold of a purchase by a time, which is negative for
// less.
func (s *State) reserve(p *Purchase, d time.Duration) {
	var err error
	a := billing.AmountOf(d)
	if d > 0 {
		p.Balance, err = p.Balance.Hold(a)
	} else {
		p.Balance, err = p.Balance.Release(-a)
	}
	if err != nil {
		panic("fsm: prepaid seconds: " + err.Error())
	}
	s.ix.sums.of(PackageUnit(p.Package)).Held += a
}

// prepaid returns how many of its seconds a call has paid ahead.
func (c *Call) prepaid() time.Duration { return total(c.Prepaid) }

func total(parts []Prepaid) (sum time.Duration) {
	for _, p := range parts {
		sum += p.Time
	}
	return sum
}

// Cover is how a call is paid for.
func (c *Call) Cover() billing.Cover { return billing.Cover{Prepaid: c.prepaid(), Rate: c.Rate} }

// Cover is how the call of a CDR was paid for, up to the length that it has.
func (r *CDR) Cover() billing.Cover { return billing.Cover{Prepaid: total(r.Prepaid), Rate: r.Rate} }

// settlePrepaid frees what a call holds of packages, and takes from them what it
// has talked of that: the first seconds first.
func (s *State) settlePrepaid(c *Call, talked time.Duration, r *CDR) {
	for _, part := range c.Prepaid {
		p := s.purchases.edit(purchaseKey{c.Account, part.Purchase})
		s.reserve(p, -part.Time)
		if take := min(part.Time, talked); take > 0 {
			talked -= take
			used := p.seconds(TransferUse, billing.AmountOf(take))
			used.Credit, used.Call, used.CDR = houseUsed, c.ID, r.Seq
			if _, err := s.transfer(used, &p.Balance, s.house(houseUsed, used.Currency)); err != nil {
				panic("fsm: what was held can be taken: " + err.Error())
			}
			p.Used = s.now
			r.Prepaid = append(r.Prepaid, Prepaid{Package: part.Package, Purchase: part.Purchase, Time: take})
		}
		s.lapse(p)
	}
}

// refundPrepaid gives back what a call has taken of packages and, as it turned
// out, has not talked. What was taken last comes back first.
func (s *State) refundPrepaid(r *CDR, talked time.Duration) {
	kept := make([]Prepaid, 0, len(r.Prepaid))
	for _, part := range r.Prepaid {
		take := min(part.Time, talked)
		talked -= take
		if take > 0 {
			kept = append(kept, Prepaid{Package: part.Package, Purchase: part.Purchase, Time: take})
		}
		s.giveBack(r, part, part.Time-take)
	}
	r.Prepaid = kept
}

// giveBack moves seconds back to their purchase, or to the house when that is
// over and gone.
func (s *State) giveBack(r *CDR, part Prepaid, d time.Duration) {
	back := Transfer{
		Kind: TransferAmendment, Debit: houseUsed, Credit: houseIssued, Amount: billing.AmountOf(d),
		Currency: PackageUnit(part.Package), Call: r.Call, CDR: r.Seq,
	}
	to := s.house(houseIssued, back.Currency)
	p := s.purchases.edit(purchaseKey{r.Account, part.Purchase})
	if p != nil {
		back.Credit, to = "client:"+p.Account, &p.Balance
	}
	if _, err := s.transfer(back, s.house(houseUsed, back.Currency), to); err != nil {
		r.note("packages: " + err.Error())
	}
	if p != nil {
		s.lapse(p)
		s.funded(p.Account)
	}
}
