package fsm

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tandem/billing"
)

// Sum is what the accounts of one currency, or of the seconds of one package
// ([PackageUnit]), hold together. Total is zero at every
// index: money moves, and is neither made nor lost. A sum beyond what an Amount
// can say wraps around, which leaves Total what it is.
type Sum struct {
	Currency string
	Clients  billing.Amount
	Vendors  billing.Amount
	House    billing.Amount
	Total    billing.Amount // of the three
	Held     billing.Amount // for live calls
}

// Sums returns the sums of all accounts by currency, which are kept as money
// moves: they cost nothing to ask for.
func (s *State) Sums() []Sum { return s.ix.sums.list() }

// sums are kept by currency.
type sums map[string]*Sum

func (x sums) of(currency string) *Sum {
	if x[currency] == nil {
		x[currency] = &Sum{Currency: currency}
	}
	return x[currency]
}

// move adds an amount to the sum that an account of the ledger belongs to.
func (x sums) move(currency, ledger string, a billing.Amount) {
	sum := x.of(currency)
	switch {
	case strings.HasPrefix(ledger, "client:"):
		sum.Clients += a
	case strings.HasPrefix(ledger, "vendor:"):
		sum.Vendors += a
	default:
		sum.House += a
	}
	sum.Total += a
}

// list returns the sums of currencies in which anybody has anything.
func (x sums) list() []Sum {
	out := make([]Sum, 0, len(x))
	for _, currency := range slices.Sorted(maps.Keys(x)) {
		if sum := x[currency]; *sum != (Sum{Currency: currency}) {
			out = append(out, *sum)
		}
	}
	return out
}

// sumUp adds up every account.
func (s *State) sumUp() sums {
	all := sums{}
	s.houses.each(func(k houseKey, b *billing.Balance) { all.move(k.Currency, k.Name, b.Funds) })
	s.accounts.each(func(_ string, a *Account) {
		all.move(a.Currency, a.ledger(), a.Balance.Funds)
		all.of(a.Currency).Held += a.Balance.Held
	})
	s.purchases.each(func(_ purchaseKey, p *Purchase) {
		all.move(PackageUnit(p.Package), "client:"+p.Account, p.Balance.Funds)
		all.of(PackageUnit(p.Package)).Held += p.Balance.Held
	})
	return all
}

// checkSums verifies that money is neither made nor lost, and that the sums that
// are kept are those of the accounts.
func (s *State) checkSums() error {
	all := s.sumUp().list()
	for _, sum := range all {
		if sum.Total != 0 {
			return fmt.Errorf("all balances in %s sum up to %s: %w", sum.Currency, sum.Total, ErrInvariant)
		}
	}
	if kept := s.Sums(); !slices.Equal(all, kept) {
		return fmt.Errorf("sums of accounts are %+v, those kept %+v: %w", all, kept, ErrInvariant)
	}
	return nil
}
