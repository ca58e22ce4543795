package billing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrBook: a book was asked for an account or hold that it does not have, or
// to open one that it has.
var ErrBook = errors.New("not in the books")

// Transfer moves money from one account to another of the same currency. The
// sum over both stays what it was.
type Transfer struct {
	From, To string
	Amount   Amount // not negative
}

// Post returns both balances after the transfer, or both unchanged and an
// error: ErrNegative, ErrFunds, ErrOverflow.
func (t Transfer) Post(from, to Balance) (Balance, Balance, error) {
	if t.Amount < 0 {
		return from, to, fmt.Errorf("transfer %s: %w", t.Amount, ErrNegative)
	}
	paid, err := from.Post(-t.Amount)
	if err != nil {
		return from, to, err
	}
	received, err := to.Post(t.Amount)
	if err != nil {
		return from, to, err
	}
	return paid, received, nil
}

// Book is a whole ledger of one currency, for those who check one: tests and
// models replay into it what a ledger claims to have done, and compare. The
// state machine keeps its own accounts. Accounts open empty, so the sum of all
// funds is zero, always; money comes in from an account with overdraft.
type Book struct {
	accounts map[string]Balance
	holds    map[string]hold
}

// hold is money of one account that is set aside under one key.
type hold struct {
	account string
	amount  Amount
}

// NewBook returns a book without accounts.
func NewBook() *Book {
	return &Book{accounts: map[string]Balance{}, holds: map[string]hold{}}
}

// Open adds an empty account. Errors: ErrBook, ErrNegative.
func (b *Book) Open(account string, credit Amount, overdraft bool) error {
	if _, ok := b.accounts[account]; ok {
		return fmt.Errorf("open account %q again: %w", account, ErrBook)
	}
	balance, err := Balance{}.Terms(credit, overdraft)
	if err != nil {
		return fmt.Errorf("open account %q: %w", account, err)
	}
	b.accounts[account] = balance
	return nil
}

// Balance returns an account's balance; one that is not open has none.
func (b *Book) Balance(account string) Balance { return b.accounts[account] }

// Transfer posts t. Errors: ErrBook, and as Transfer.Post.
func (b *Book) Transfer(t Transfer) error {
	if t.From == t.To {
		return fmt.Errorf("transfer from %q to itself: %w", t.From, ErrBook)
	}
	from, err := b.account(t.From)
	if err != nil {
		return err
	}
	to, err := b.account(t.To)
	if err != nil {
		return err
	}
	if from, to, err = t.Post(from, to); err != nil {
		return err
	}
	b.accounts[t.From], b.accounts[t.To] = from, to
	return nil
}

// Hold sets money of an account aside under a new key, such as a call's id.
// Errors: ErrBook, and as Balance.Hold.
func (b *Book) Hold(key, account string, a Amount) error {
	if _, ok := b.holds[key]; ok {
		return fmt.Errorf("hold %q again: %w", key, ErrBook)
	}
	balance, err := b.account(account)
	if err != nil {
		return err
	}
	if balance, err = balance.Hold(a); err != nil {
		return err
	}
	b.accounts[account], b.holds[key] = balance, hold{account, a}
	return nil
}

// Extend raises a hold to a larger amount. Errors: ErrBook, and as
// Balance.Extend.
func (b *Book) Extend(key string, to Amount) error {
	h, ok := b.holds[key]
	if !ok {
		return fmt.Errorf("extend hold %q: %w", key, ErrBook)
	}
	balance, err := b.accounts[h.account].Extend(h.amount, to)
	if err != nil {
		return err
	}
	b.accounts[h.account], b.holds[key] = balance, hold{h.account, to}
	return nil
}

// Settle ends a hold: its cost goes to the payee, the rest is free again.
// Errors: ErrBook, and as Balance.Settle and Balance.Post.
func (b *Book) Settle(key, payee string, cost Amount) error {
	h, ok := b.holds[key]
	if !ok || h.account == payee {
		return fmt.Errorf("settle hold %q to %q: %w", key, payee, ErrBook)
	}
	to, err := b.account(payee)
	if err != nil {
		return err
	}
	from, err := b.accounts[h.account].Settle(h.amount, cost)
	if err != nil {
		return err
	}
	if to, err = to.Post(cost); err != nil {
		return err
	}
	b.accounts[h.account], b.accounts[payee] = from, to
	delete(b.holds, key)
	return nil
}

// Release ends a hold without a charge. Errors: ErrBook.
func (b *Book) Release(key string) error {
	h, ok := b.holds[key]
	if !ok {
		return fmt.Errorf("release hold %q: %w", key, ErrBook)
	}
	balance, err := b.accounts[h.account].Release(h.amount)
	if err != nil {
		return err
	}
	b.accounts[h.account] = balance
	delete(b.holds, key)
	return nil
}

// Check returns what is wrong with the book, all of it: the funds do not sum
// up to zero, an account's Held is not the sum of its holds, or less than
// nothing is available where anti-overdraft is on.
func (b *Book) Check() error {
	held := map[string]Amount{}
	for _, h := range b.holds {
		held[h.account] += h.amount // at most the account's Held, which is an Amount
	}
	var faults []error
	var sum Amount // wraps on the way, but whole numbers that sum up to 0 wrap back
	for _, name := range slices.Sorted(maps.Keys(b.accounts)) {
		balance := b.accounts[name]
		sum += balance.Funds
		if balance.Held != held[name] {
			faults = append(faults, fmt.Errorf("account %q holds %s, its holds sum up to %s", name, balance.Held, held[name]))
		}
		if !balance.Overdraft && balance.Available() < 0 {
			faults = append(faults, fmt.Errorf("account %q has %s available", name, balance.Available()))
		}
	}
	if sum != 0 {
		faults = append(faults, fmt.Errorf("the funds sum up to %s", sum))
	}
	return errors.Join(faults...)
}

// account returns an open account's balance.
func (b *Book) account(name string) (Balance, error) {
	balance, ok := b.accounts[name]
	if !ok {
		return Balance{}, fmt.Errorf("account %q: %w", name, ErrBook)
	}
	return balance, nil
}
