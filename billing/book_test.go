package billing_test

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tandem/billing"
)

// TestBookOfOneCall follows the money of one call: cash to client, client to
// revenue, cost to vendor.
func TestBookOfOneCall(t *testing.T) {
	book := billing.NewBook()
	steps := []struct {
		name string
		do   func() error
	}{
		{"open client", func() error { return book.Open("client:1", 0, false) }},
		{"open vendor", func() error { return book.Open("vendor:1", 0, true) }},
		{"open cash", func() error { return book.Open("house:cash", 0, true) }},
		{"open revenue", func() error { return book.Open("house:revenue", 0, true) }},
		{"open cost", func() error { return book.Open("house:cost", 0, true) }},
		{"top up", func() error {
			return book.Transfer(billing.Transfer{From: "house:cash", To: "client:1", Amount: 10 * unit})
		}},
		{"hold", func() error { return book.Hold("call", "client:1", 3*unit) }},
		{"extend", func() error { return book.Extend("call", 6*unit) }},
		{"settle", func() error { return book.Settle("call", "house:revenue", 4*unit) }},
		{"pay vendor", func() error {
			return book.Transfer(billing.Transfer{From: "house:cost", To: "vendor:1", Amount: 2 * unit})
		}},
	}
	for _, step := range steps {
		if err := errors.Join(step.do(), book.Check()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	want := map[string]billing.Balance{
		"client:1":      {Funds: 6 * unit},
		"vendor:1":      {Funds: 2 * unit, Overdraft: true},
		"house:cash":    {Funds: -10 * unit, Overdraft: true},
		"house:revenue": {Funds: 4 * unit, Overdraft: true},
		"house:cost":    {Funds: -2 * unit, Overdraft: true},
	}
	for account, balance := range want {
		if got := book.Balance(account); got != balance {
			t.Errorf("%s: %+v, want %+v", account, got, balance)
		}
	}
}

func TestBookRefusesStrangers(t *testing.T) {
	book := billing.NewBook()
	if err := errors.Join(book.Open("a", 0, true), book.Open("b", 0, true), book.Hold("h", "a", unit)); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"open again":        book.Open("a", 0, true),
		"from nowhere":      book.Transfer(billing.Transfer{From: "x", To: "a"}),
		"to nowhere":        book.Transfer(billing.Transfer{From: "a", To: "x"}),
		"to itself":         book.Transfer(billing.Transfer{From: "a", To: "a"}),
		"hold of nobody":    book.Hold("i", "x", unit),
		"hold again":        book.Hold("h", "a", unit),
		"extend unknown":    book.Extend("i", unit),
		"settle unknown":    book.Settle("i", "b", 0),
		"settle to nowhere": book.Settle("h", "x", 0),
		"settle to itself":  book.Settle("h", "a", 0),
		"release unknown":   book.Release("i"),
	} {
		if !errors.Is(err, billing.ErrBook) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := book.Check(); err != nil {
		t.Error(err)
	}
}

// TestMoneyIsConserved runs random operations and checks after each: the sum
// over all accounts is zero, holds add up, nobody is below his limit, and a
// refused operation has changed nothing.
func TestMoneyIsConserved(t *testing.T) {
	accounts := []string{"client:1", "client:2", "vendor:1", "house:cash", "house:revenue"}
	rapid.Check(t, func(t *rapid.T) {
		book := billing.NewBook()
		for i, account := range accounts {
			credit := billing.Amount(rapid.Int64Range(0, 20).Draw(t, "credit"))
			if err := book.Open(account, credit, i > 1); err != nil {
				t.Fatal(err)
			}
		}
		account := rapid.SampledFrom(accounts)
		key := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("call %d", rapid.IntRange(1, 5).Draw(t, "call"))
		})
		amount := rapid.Custom(func(t *rapid.T) billing.Amount {
			return billing.Amount(rapid.OneOf(
				rapid.Int64Range(-3, 30),
				rapid.SampledFrom([]int64{int64(billing.MaxAmount), int64(billing.MaxAmount) - 5, -int64(billing.MaxAmount)}),
			).Draw(t, "amount"))
		})
		try := func(t *rapid.T, do func() error) {
			before := balances(book, accounts)
			if err := do(); err != nil && balances(book, accounts) != before {
				t.Fatalf("refused (%v), and yet %s became %s", err, before, balances(book, accounts))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if err := book.Check(); err != nil {
					t.Fatal(err)
				}
			},
			"transfer": func(t *rapid.T) {
				transfer := billing.Transfer{From: account.Draw(t, "from"), To: account.Draw(t, "to"), Amount: amount.Draw(t, "amount")}
				try(t, func() error { return book.Transfer(transfer) })
			},
			"hold": func(t *rapid.T) {
				k, who, a := key.Draw(t, "key"), account.Draw(t, "account"), amount.Draw(t, "amount")
				try(t, func() error { return book.Hold(k, who, a) })
			},
			"extend": func(t *rapid.T) {
				k, a := key.Draw(t, "key"), amount.Draw(t, "amount")
				try(t, func() error { return book.Extend(k, a) })
			},
			"settle": func(t *rapid.T) {
				k, payee, a := key.Draw(t, "key"), account.Draw(t, "payee"), amount.Draw(t, "amount")
				try(t, func() error { return book.Settle(k, payee, a) })
			},
			"release": func(t *rapid.T) {
				k := key.Draw(t, "key")
				try(t, func() error { return book.Release(k) })
			},
		})
	})
}

// balances prints all balances of a book.
func balances(book *billing.Book, accounts []string) string {
	var text string
	for _, account := range accounts {
		text += fmt.Sprintf("%s %+v\n", account, book.Balance(account))
	}
	return text
}
