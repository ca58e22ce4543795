package fsm

import (
	"cmp"
	"fmt"

	"tandem/billing"
)

// house returns the balance of an account of the house, to be changed. It is
// made when it is first needed; the house may always owe.
func (s *State) house(name, currency string) *billing.Balance {
	k := houseKey{name, currency}
	if b := s.houses.edit(k); b != nil {
		return b
	}
	return s.houses.put(k, billing.Balance{Overdraft: true})
}

// ledger returns an account's name in the ledger.
func (a *Account) ledger() string {
	if a.Type == Vendor {
		return "vendor:" + a.ID
	}
	return "client:" + a.ID
}

// transfer moves t.Amount from the debited balance to the credited one, both or
// none, and writes the transfer. It returns its sequence, 0 for no money.
func (s *State) transfer(t Transfer, debit, credit *billing.Balance) (uint64, error) {
	if t.Amount == 0 {
		return 0, nil
	}
	from, err := debit.Post(-t.Amount)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", t.Debit, err)
	}
	to, err := credit.Post(t.Amount)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", t.Credit, err)
	}
	*debit, *credit = from, to
	s.ix.sums.move(t.Currency, t.Debit, -t.Amount)
	s.ix.sums.move(t.Currency, t.Credit, t.Amount)
	s.head.Transfers++
	t.Seq, t.At, t.Index = s.head.Transfers, s.now, s.index
	d := s.today()
	d.FirstTransfer, d.LastTransfer = cmp.Or(d.FirstTransfer, t.Seq), t.Seq
	s.out.Transfers = append(s.out.Transfers, t)
	return t.Seq, nil
}

// topUp moves money between the house's cash and an account.
func (s *State) topUp(b *TopUp) Result {
	a := s.accounts.edit(b.Account)
	if a == nil {
		return refuse(NotFound, fmt.Sprintf("account %q is not there", b.Account))
	}
	if b.Amount == 0 {
		return refuse(Invalid, "amount 0.00: nothing to move")
	}
	t := Transfer{Kind: TransferPayment, Currency: a.Currency, Memo: b.Memo, Actor: b.Actor}
	if b.Adjust {
		t.Kind = TransferAdjustment
	}
	cash := s.house(houseCash, a.Currency)
	var err error
	if b.Amount > 0 {
		t.Debit, t.Credit, t.Amount = houseCash, a.ledger(), b.Amount
		_, err = s.transfer(t, cash, &a.Balance)
	} else {
		t.Debit, t.Credit, t.Amount = a.ledger(), houseCash, -b.Amount
		_, err = s.transfer(t, &a.Balance, cash)
	}
	if err != nil {
		return refuse(Invalid, clip(err.Error()))
	}
	if b.Amount > 0 {
		s.funded(b.Account)
	}
	return Result{}
}

// funded tells the owners of an account's last grants that money came in.
func (s *State) funded(account string) {
	if s.ix.lastGrants[account] > 0 {
		s.event(Event{Kind: EventAccountFunded, ID: account})
	}
}

// clip bounds a text that this package made, for results and records.
func clip(s string) string {
	if len(s) > maxDetail {
		return s[:maxDetail]
	}
	return s
}
