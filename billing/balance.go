package billing

import (
	"errors"
	"fmt"
)

// Why an operation on a balance was refused. A refusal leaves it as it was.
var (
	// ErrFunds: it would take more than is available.
	ErrFunds = errors.New("insufficient funds")
	// ErrHold: more would be settled or released than is held, or a hold
	// would shrink. The caller's books are wrong.
	ErrHold = errors.New("not covered by the hold")
	// ErrNegative: a sum that has to be positive is not.
	ErrNegative = errors.New("negative amount")
)

// Balance is the money of one account in one currency. It is a value: each
// operation returns the balance afterwards, or the unchanged one and an error.
//
// A call's money moves in two phases. Hold sets aside what its first slice may
// cost, Extend raises that, and in the end either Settle posts the real cost
// and frees the rest, or Release frees everything. While anti-overdraft is on,
// which it is unless Overdraft is set, what is available never goes below zero,
// in whatever order the calls of an account do that.
type Balance struct {
	Funds     Amount // what the account has; negative is what it owes
	Credit    Amount // how far Funds may go below zero, never negative
	Held      Amount // the sum of all holds, never negative
	Overdraft bool   // anti-overdraft is off: nothing is refused for lack of funds
}

// Available returns what can still be held: funds plus credit minus holds. Where
// that is no Amount it returns the nearest one.
func (b Balance) Available() Amount {
	free, ok := b.Funds.Sub(b.Held) // Held >= 0: can only be too low
	if !ok {
		return -MaxAmount
	}
	if free, ok = free.Add(b.Credit); !ok {
		return MaxAmount
	}
	return free
}

// Hold sets a aside. Errors: ErrFunds, ErrNegative, ErrOverflow.
func (b Balance) Hold(a Amount) (Balance, error) {
	if a < 0 {
		return b, fmt.Errorf("hold %s: %w", a, ErrNegative)
	}
	if !b.Overdraft && a > b.Available() {
		return b, fmt.Errorf("hold %s of %s: %w", a, b.Available(), ErrFunds)
	}
	held, ok := b.Held.Add(a)
	if !ok {
		return b, fmt.Errorf("hold %s beside %s: %w", a, b.Held, ErrOverflow)
	}
	b.Held = held
	return b, nil
}

// Extend raises one hold from the amount that it has to the amount that it has
// to have. Errors: as Hold, and ErrHold when to is below held or held was never
// held.
func (b Balance) Extend(held, to Amount) (Balance, error) {
	if held < 0 || held > b.Held || to < held {
		return b, fmt.Errorf("extend a hold of %s to %s: %w", held, to, ErrHold)
	}
	return b.Hold(to - held)
}

// Settle posts the cost of a hold and frees the rest of it. The cost never
// exceeds the hold: what a call cost beyond it is the loss of the house, which
// the caller posts there. Errors: ErrHold, ErrNegative, ErrOverflow.
func (b Balance) Settle(held, cost Amount) (Balance, error) {
	if cost < 0 {
		return b, fmt.Errorf("settle %s: %w", cost, ErrNegative)
	}
	if cost > held {
		return b, fmt.Errorf("settle %s of %s: %w", cost, held, ErrHold)
	}
	after, err := b.Release(held)
	if err != nil {
		return b, err
	}
	funds, ok := after.Funds.Sub(cost)
	if !ok {
		return b, fmt.Errorf("settle %s: %w", cost, ErrOverflow)
	}
	after.Funds = funds
	return after, nil
}

// Release frees a hold without a charge. Errors: ErrHold.
func (b Balance) Release(held Amount) (Balance, error) {
	if held < 0 || held > b.Held {
		return b, fmt.Errorf("release %s of %s: %w", held, b.Held, ErrHold)
	}
	b.Held -= held
	return b, nil
}

// Post adds a, which may be negative, to the funds: one side of a transfer.
// Errors: ErrFunds when a negative a takes more than is available, ErrOverflow.
func (b Balance) Post(a Amount) (Balance, error) {
	if a < 0 && !b.Overdraft && -a > b.Available() {
		return b, fmt.Errorf("take %s of %s: %w", -a, b.Available(), ErrFunds)
	}
	funds, ok := b.Funds.Add(a)
	if !ok {
		return b, fmt.Errorf("post %s to %s: %w", a, b.Funds, ErrOverflow)
	}
	b.Funds = funds
	return b, nil
}

// Terms changes the credit and whether overdraft is allowed. Errors:
// ErrNegative for the credit, ErrFunds when the new terms would leave less than
// nothing available.
func (b Balance) Terms(credit Amount, overdraft bool) (Balance, error) {
	after := b
	after.Credit, after.Overdraft = credit, overdraft
	if credit < 0 {
		return b, fmt.Errorf("credit %s: %w", credit, ErrNegative)
	}
	if !overdraft && after.Available() < 0 {
		return b, fmt.Errorf("credit %s leaves %s available: %w", credit, after.Available(), ErrFunds)
	}
	return after, nil
}
