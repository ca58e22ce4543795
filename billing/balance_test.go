package billing_test

import (
	"errors"
	"testing"

	"tandem/billing"
)

const unit = billing.Unit

func TestBalance(t *testing.T) {
	type balance = billing.Balance
	client := balance{Funds: 10 * unit, Credit: 5 * unit, Held: 3 * unit}
	tests := []struct {
		name   string
		before balance
		do     func(balance) (balance, error)
		after  balance // unchanged when err is set
		err    error
	}{
		{"hold all that is available", client, func(b balance) (balance, error) { return b.Hold(12 * unit) },
			balance{Funds: 10 * unit, Credit: 5 * unit, Held: 15 * unit}, nil},
		{"hold more", client, func(b balance) (balance, error) { return b.Hold(12*unit + 1) }, client, billing.ErrFunds},
		{"hold more with overdraft", balance{Overdraft: true}, func(b balance) (balance, error) { return b.Hold(unit) },
			balance{Overdraft: true, Held: unit}, nil},
		{"hold less than nothing", client, func(b balance) (balance, error) { return b.Hold(-1) }, client, billing.ErrNegative},
		{"hold beyond all bounds", balance{Held: 1, Overdraft: true}, func(b balance) (balance, error) { return b.Hold(billing.MaxAmount) },
			balance{Held: 1, Overdraft: true}, billing.ErrOverflow},

		{"extend", client, func(b balance) (balance, error) { return b.Extend(3*unit, 15*unit) },
			balance{Funds: 10 * unit, Credit: 5 * unit, Held: 15 * unit}, nil},
		{"extend by more than is available", client, func(b balance) (balance, error) { return b.Extend(3*unit, 15*unit+1) }, client, billing.ErrFunds},
		{"extend to less", client, func(b balance) (balance, error) { return b.Extend(3*unit, 2*unit) }, client, billing.ErrHold},
		{"extend what is not held", client, func(b balance) (balance, error) { return b.Extend(4*unit, 5*unit) }, client, billing.ErrHold},

		{"settle less than the hold", client, func(b balance) (balance, error) { return b.Settle(3*unit, unit) },
			balance{Funds: 9 * unit, Credit: 5 * unit}, nil},
		{"settle the whole hold", client, func(b balance) (balance, error) { return b.Settle(3*unit, 3*unit) },
			balance{Funds: 7 * unit, Credit: 5 * unit}, nil},
		{"settle more than the hold", client, func(b balance) (balance, error) { return b.Settle(3*unit, 3*unit+1) }, client, billing.ErrHold},
		{"settle what is not held", client, func(b balance) (balance, error) { return b.Settle(4*unit, unit) }, client, billing.ErrHold},
		{"settle less than nothing", client, func(b balance) (balance, error) { return b.Settle(3*unit, -1) }, client, billing.ErrNegative},
		{"settle into the credit", balance{Credit: 5 * unit, Held: 5 * unit}, func(b balance) (balance, error) { return b.Settle(5*unit, 5*unit) },
			balance{Funds: -5 * unit, Credit: 5 * unit}, nil},

		{"release", client, func(b balance) (balance, error) { return b.Release(3 * unit) },
			balance{Funds: 10 * unit, Credit: 5 * unit}, nil},
		{"release what is not held", client, func(b balance) (balance, error) { return b.Release(3*unit + 1) }, client, billing.ErrHold},
		{"release less than nothing", client, func(b balance) (balance, error) { return b.Release(-1) }, client, billing.ErrHold},

		{"post", client, func(b balance) (balance, error) { return b.Post(unit) },
			balance{Funds: 11 * unit, Credit: 5 * unit, Held: 3 * unit}, nil},
		{"take what is available", client, func(b balance) (balance, error) { return b.Post(-12 * unit) },
			balance{Funds: -2 * unit, Credit: 5 * unit, Held: 3 * unit}, nil},
		{"take what is held", client, func(b balance) (balance, error) { return b.Post(-12*unit - 1) }, client, billing.ErrFunds},
		{"take from the house", balance{Overdraft: true}, func(b balance) (balance, error) { return b.Post(-unit) },
			balance{Funds: -unit, Overdraft: true}, nil},
		{"post beyond all bounds", client, func(b balance) (balance, error) { return b.Post(billing.MaxAmount) }, client, billing.ErrOverflow},

		{"lower the credit", client, func(b balance) (balance, error) { return b.Terms(0, false) },
			balance{Funds: 10 * unit, Held: 3 * unit}, nil},
		{"lower a credit that is used", balance{Funds: -unit, Credit: unit}, func(b balance) (balance, error) { return b.Terms(unit-1, false) },
			balance{Funds: -unit, Credit: unit}, billing.ErrFunds},
		{"forbid an overdraft that is used", balance{Funds: -unit, Overdraft: true}, func(b balance) (balance, error) { return b.Terms(0, false) },
			balance{Funds: -unit, Overdraft: true}, billing.ErrFunds},
		{"negative credit", client, func(b balance) (balance, error) { return b.Terms(-1, false) }, client, billing.ErrNegative},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			after, err := tt.do(tt.before)
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if after != tt.after {
				t.Errorf("%+v, want %+v", after, tt.after)
			}
		})
	}
}

func TestAvailableNeverWraps(t *testing.T) {
	rich := billing.Balance{Funds: billing.MaxAmount, Credit: billing.MaxAmount}
	if got := rich.Available(); got != billing.MaxAmount {
		t.Errorf("%s, want %s", got, billing.MaxAmount)
	}
	poor := billing.Balance{Funds: -billing.MaxAmount, Held: billing.MaxAmount, Overdraft: true}
	if got := poor.Available(); got != -billing.MaxAmount {
		t.Errorf("%s, want %s", got, -billing.MaxAmount)
	}
}
