// Package billing is the arithmetic of money: amounts and prices, what a call
// costs and how long funds last (Rate), which row of a rate table prices a
// number (Tariff), and what may be held, settled and moved (Balance, Transfer,
// Book).
//
// Everything here is a pure function of values: no clock, no I/O, no floating
// point, no package state. Sums never wrap: operations report overflow, and a
// cost beyond MaxAmount is MaxAmount. The package owns no accounts and no rate
// tables; the state machine keeps them and asks here what they mean.
//
// A call is priced in this order: hold time to whole seconds, minus free
// seconds, minimum, increments, price, connect fee, and one rounding at the
// end.
//
//	rate := billing.Rate{Price: price, First: 30, Next: 6}
//	d, ok := rate.Affords(balance.Available())
//	balance, err := balance.Hold(rate.Cost(d))
//	...
//	balance, err = balance.Settle(held, rate.Cost(talked))
package billing

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// ErrOverflow: a result does not fit an Amount.
var ErrOverflow = errors.New("amount out of range")

// Amount is a sum of money in millionths of its currency's unit. The range is
// symmetric: the most negative int64 is no Amount, so that each has a negative.
type Amount int64

// MaxAmount is the largest amount, about nine million million units.
const MaxAmount Amount = math.MaxInt64

// Unit is one unit of a currency.
const Unit Amount = 1_000_000

// Price is what a minute costs, in billionths of the currency's unit.
type Price int64

// Decimals behind the point, by type.
const (
	amountDecimals = 6
	priceDecimals  = 9
	shownDecimals  = 2 // at least, when printed
)

// ParseAmount reads a decimal number such as "-12.5" or "0.0145": digits, a
// point and digits, nothing else. Digits beyond the sixth decimal have to be
// zero, so that nothing is ever lost by reading. The error names the text.
func ParseAmount(s string) (Amount, error) {
	v, err := parseDecimal(s, amountDecimals)
	if err != nil {
		return 0, fmt.Errorf("amount %w", err)
	}
	return Amount(v), nil
}

// ParsePrice reads a price per minute as ParseAmount reads an amount, with up
// to nine decimals.
func ParsePrice(s string) (Price, error) {
	v, err := parseDecimal(s, priceDecimals)
	if err != nil {
		return 0, fmt.Errorf("price %w", err)
	}
	return Price(v), nil
}

// String prints all decimals that are not trailing zeros, and at least two.
// ParseAmount of it is the same amount.
func (a Amount) String() string { return formatDecimal(int64(a), amountDecimals) }

// String prints all decimals that are not trailing zeros, and at least two.
// ParsePrice of it is the same price.
func (p Price) String() string { return formatDecimal(int64(p), priceDecimals) }

// MarshalText prints as String does; in JSON an amount is a string.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads as ParseAmount does.
func (a *Amount) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAmount(string(text))
	return err
}

// MarshalText prints as String does; in JSON a price is a string.
func (p Price) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads as ParsePrice does.
func (p *Price) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePrice(string(text))
	return err
}

// Add returns a+b, or false when that is no Amount.
func (a Amount) Add(b Amount) (Amount, bool) {
	sum := a + b
	wrapped := (a >= 0) == (b >= 0) && (sum >= 0) != (a >= 0)
	if wrapped || sum == math.MinInt64 {
		return 0, false
	}
	return sum, true
}

// Sub returns a-b, or false when that is no Amount.
func (a Amount) Sub(b Amount) (Amount, bool) {
	if b == math.MinInt64 {
		return 0, false
	}
	return a.Add(-b)
}

// Mul returns a*n, or false when that is no Amount.
func (a Amount) Mul(n int64) (Amount, bool) {
	if a == 0 || n == 0 {
		return 0, true
	}
	product := a * Amount(n)
	if product == math.MinInt64 || product/Amount(n) != a {
		return 0, false
	}
	return product, true
}

// maxDecimalText is longer than any number that fits; what is longer is not
// repeated in errors.
const maxDecimalText = 64

// parseDecimal reads a decimal number as an integer of the last decimal.
func parseDecimal(s string, decimals int) (int64, error) {
	if len(s) > maxDecimalText {
		return 0, fmt.Errorf("%q...: %d characters", s[:maxDecimalText], len(s))
	}
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	for _, c := range digits {
		if c != '.' && (c < '0' || c > '9') {
			return 0, fmt.Errorf("%q: only digits and one decimal point, not %q", s, c)
		}
	}
	switch {
	case whole == "":
		return 0, fmt.Errorf("%q: a digit has to come first", s)
	case point && fraction == "":
		return 0, fmt.Errorf("%q: no digit behind the point", s)
	case strings.Contains(fraction, "."):
		return 0, fmt.Errorf("%q: two decimal points", s)
	case len(strings.TrimRight(fraction, "0")) > decimals:
		return 0, fmt.Errorf("%q: more than %d decimals", s, decimals)
	}
	fraction = (fraction + "000000000")[:decimals]

	var v int64
	for i := range len(whole) + decimals {
		d := int64((whole + fraction)[i] - '0')
		if v > (math.MaxInt64-d)/10 {
			return 0, fmt.Errorf("%q: %w", s, ErrOverflow)
		}
		v = v*10 + d
	}
	if negative {
		v = -v
	}
	return v, nil
}

// formatDecimal prints an integer of the last decimal.
func formatDecimal(v int64, decimals int) string {
	sign, u := "", uint64(v)
	if v < 0 {
		sign, u = "-", -u
	}
	digits := fmt.Sprintf("%0*d", decimals+1, u)
	whole, fraction := digits[:len(digits)-decimals], digits[len(digits)-decimals:]
	for len(fraction) > shownDecimals && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	return sign + whole + "." + fraction
}
