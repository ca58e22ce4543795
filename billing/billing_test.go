package billing_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"tandem/billing"
)

func TestParseAmount(t *testing.T) {
	tests := []struct {
		text string
		want billing.Amount
		err  string
	}{
		{text: "0", want: 0},
		{text: "-0.00", want: 0},
		{text: "0.0145", want: 14_500},
		{text: "-12.5", want: -12_500_000},
		{text: "007", want: 7_000_000},
		{text: "1.234567000", want: 1_234_567},
		{text: "9223372036854.775807", want: billing.MaxAmount},
		{text: "-9223372036854.775807", want: -billing.MaxAmount},
		{text: "9223372036854.775808", err: `amount "9223372036854.775808": amount out of range`},
		{text: "99999999999999999999", err: `amount "99999999999999999999": amount out of range`},
		{text: "0,0145", err: `amount "0,0145": only digits and one decimal point, not ','`},
		{text: "1e-3", err: `amount "1e-3": only digits and one decimal point, not 'e'`},
		{text: "+1", err: `amount "+1": only digits and one decimal point, not '+'`},
		{text: " 1", err: `amount " 1": only digits and one decimal point, not ' '`},
		{text: "--1", err: `amount "--1": only digits and one decimal point, not '-'`},
		{text: "0x1", err: `amount "0x1": only digits and one decimal point, not 'x'`},
		{text: "1，5", err: `amount "1，5": only digits and one decimal point, not '，'`},
		{text: "1.2.3", err: `amount "1.2.3": two decimal points`},
		{text: "1.0000001", err: `amount "1.0000001": more than 6 decimals`},
		{text: ".5", err: `amount ".5": a digit has to come first`},
		{text: "5.", err: `amount "5.": no digit behind the point`},
		{text: "-", err: `amount "-": a digit has to come first`},
		{text: "", err: `amount "": a digit has to come first`},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := billing.ParseAmount(tt.text)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("%d, %v, want %d", got, err, tt.want)
			}
		})
	}
	if _, err := billing.ParseAmount("9223372036854.775808"); !errors.Is(err, billing.ErrOverflow) {
		t.Errorf("%v is not ErrOverflow", err)
	}
	if _, err := billing.ParsePrice("1,5"); err == nil || err.Error() != `price "1,5": only digits and one decimal point, not ','` {
		t.Errorf("price error %v", err)
	}
}

func TestPrint(t *testing.T) {
	tests := []struct{ got, want string }{
		{billing.Amount(0).String(), "0.00"},
		{billing.Amount(14_500).String(), "0.0145"},
		{billing.Amount(-12_500_000).String(), "-12.50"},
		{billing.Amount(-1).String(), "-0.000001"},
		{billing.MaxAmount.String(), "9223372036854.775807"},
		{billing.Amount(math.MinInt64).String(), "-9223372036854.775808"},
		{billing.Price(14_500_001).String(), "0.014500001"},
		{billing.Price(2_000_000_000).String(), "2.00"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("printed %q, want %q", tt.got, tt.want)
		}
	}
}

func TestJSON(t *testing.T) {
	type row struct {
		Fee   billing.Amount
		Price billing.Price
	}
	text := `{"Fee":"-0.10","Price":"0.000000001"}`
	var got row
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if want := (row{Fee: -100_000, Price: 1}); got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if back, err := json.Marshal(got); err != nil || string(back) != text {
		t.Errorf("wrote %s, %v, want %s", back, err, text)
	}
	if err := json.Unmarshal([]byte(`{"Fee":0.1}`), &got); err == nil {
		t.Error("a JSON number was taken for an amount")
	}
}

// TestPrintAndParse: text and value are the same, by an exact library too.
func TestPrintAndParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAmount(t, "amount")
		exact := decimal.New(int64(a), -6)
		if !decimal.RequireFromString(a.String()).Equal(exact) {
			t.Fatalf("%d prints as %s", a, a)
		}
		for _, text := range []string{a.String(), exact.StringFixed(9)} {
			if back, err := billing.ParseAmount(text); err != nil || back != a {
				t.Fatalf("parse %q: %d, %v, want %d", text, back, err, a)
			}
		}
		p := billing.Price(a)
		if back, err := billing.ParsePrice(p.String()); err != nil || back != p {
			t.Fatalf("parse %q: %d, %v, want %d", p, back, err, p)
		}
	})
}

func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"0.0145", "-1", "0,0145", "1e-3", "9223372036854.775808"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := billing.ParseAmount(s)
		if err != nil {
			return
		}
		if want, err := decimal.NewFromString(s); err != nil || !want.Equal(decimal.New(int64(a), -6)) {
			t.Errorf("%q is read as %s", s, a)
		}
	})
}

// drawAmount draws from all amounts, often near the limits and near zero.
func drawAmount(t *rapid.T, label string) billing.Amount {
	limit := int64(billing.MaxAmount)
	return billing.Amount(rapid.OneOf(
		rapid.Int64Range(-limit, limit),
		rapid.Int64Range(-limit, -limit+9),
		rapid.Int64Range(limit-9, limit),
		rapid.Int64Range(-9, 9),
		rapid.Int64Range(-5_000_000_000, 5_000_000_000),
	).Draw(t, label))
}

// TestCheckedArithmetic compares with integers that have no limit.
func TestCheckedArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawAmount(t, "a"), drawAmount(t, "b")
		x, y := big.NewInt(int64(a)), big.NewInt(int64(b))
		limit := big.NewInt(int64(billing.MaxAmount))
		check := func(name string, got billing.Amount, ok bool, want *big.Int) {
			if fits := want.CmpAbs(limit) <= 0; ok != fits {
				t.Fatalf("%d %s %d: ok %t, want %t", a, name, b, ok, fits)
			}
			if ok && int64(got) != want.Int64() {
				t.Fatalf("%d %s %d = %d, want %d", a, name, b, got, want)
			}
		}
		sum, ok := a.Add(b)
		check("+", sum, ok, new(big.Int).Add(x, y))
		difference, ok := a.Sub(b)
		check("-", difference, ok, new(big.Int).Sub(x, y))
		product, ok := a.Mul(int64(b))
		check("*", product, ok, new(big.Int).Mul(x, y))
	})
}

// TestLimits pins the ends of the range, which random amounts rarely meet: the
// most negative int64 is no amount, neither as a result nor as an operand.
func TestLimits(t *testing.T) {
	const none, most = billing.Amount(math.MinInt64), billing.MaxAmount
	add, sub := billing.Amount.Add, billing.Amount.Sub
	mul := func(a, b billing.Amount) (billing.Amount, bool) { return a.Mul(int64(b)) }
	tests := []struct {
		name string
		op   func(a, b billing.Amount) (billing.Amount, bool)
		a, b billing.Amount
		want billing.Amount
		ok   bool
	}{
		{"most + 0", add, most, 0, most, true},
		{"most + 1", add, most, 1, 0, false},
		{"-most + 1 - 1", add, -most + 1, -1, -most, true},
		{"-most + -1", add, -most, -1, 0, false},
		{"-most + -most", add, -most, -most, 0, false},
		{"0 - most", sub, 0, most, -most, true},
		{"-1 - most", sub, -1, most, 0, false},
		{"-1 - none", sub, -1, none, 0, false},
		{"most * -1", mul, most, -1, -most, true},
		{"-2^62 * 2", mul, -1 << 62, 2, 0, false},
		{"1 - none", sub, 1, none, 0, false},
		{"-1 * none", mul, -1, none, 0, false},
		{"none * -1", mul, none, -1, 0, false},
		{"none * 1", mul, none, 1, 0, false},
		{"none * 2", mul, none, 2, 0, false},
		{"2^32 * 2^32", mul, 1 << 32, 1 << 32, 0, false},
	}
	for _, tt := range tests {
		if got, ok := tt.op(tt.a, tt.b); got != tt.want || ok != tt.ok {
			t.Errorf("%s = %d, %t, want %d, %t", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}
