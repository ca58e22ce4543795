package billing_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"tandem/billing"
)

// price returns a price per minute from text.
func price(t *testing.T, s string) billing.Price {
	t.Helper()
	p, err := billing.ParsePrice(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRate(t *testing.T) {
	perMinute := price(t, "0.0145")
	tests := []struct {
		name   string
		rate   billing.Rate
		talk   string
		billed string
		cost   string
	}{
		{"zero rate", billing.Rate{}, "1h", "1h", "0.00"},
		{"negative time", billing.Rate{Price: perMinute}, "-1s", "0s", "0.00"},
		{"zero increments mean seconds", billing.Rate{Price: perMinute}, "7s", "7s", "0.001692"},
		{"60/60 begun", billing.Rate{Price: perMinute, First: 60, Next: 60}, "1s", "1m", "0.0145"},
		{"60/60 full", billing.Rate{Price: perMinute, First: 60, Next: 60}, "60s", "1m", "0.0145"},
		{"60/60 second minute", billing.Rate{Price: perMinute, First: 60, Next: 60}, "61s", "2m", "0.029"},
		{"30/6 first", billing.Rate{Price: perMinute, First: 30, Next: 6}, "12s", "30s", "0.00725"},
		{"30/6 next", billing.Rate{Price: perMinute, First: 30, Next: 6}, "31s", "36s", "0.0087"},
		{"F052 below", billing.Rate{Price: perMinute, First: 1, Next: 1}, "59.049s", "59s", "0.014258"},
		{"F052 at", billing.Rate{Price: perMinute, First: 1, Next: 1}, "59.050s", "1m", "0.0145"},
		{"F052 set to 500 ms", billing.Rate{Price: perMinute, Rounding: billing.Rounding{HoldMillis: 500}}, "59.499s", "59s", "0.014258"},
		{"zero hold time costs nothing", billing.Rate{Price: perMinute, ConnectFee: 100, Minimum: 30}, "0.049s", "0s", "0.00"},
		{"connect fee", billing.Rate{Price: perMinute, ConnectFee: 10_000, First: 60, Next: 60}, "1s", "1m", "0.0245"},
		{"minimum", billing.Rate{Price: perMinute, First: 1, Next: 1, Minimum: 30}, "2s", "30s", "0.00725"},
		{"minimum within increments", billing.Rate{Price: perMinute, First: 20, Next: 20, Minimum: 30}, "2s", "40s", "0.009667"},
		{"free seconds", billing.Rate{Price: perMinute, First: 6, Next: 6, Free: 10}, "10s", "0s", "0.00"},
		{"behind free seconds", billing.Rate{Price: perMinute, First: 6, Next: 6, Free: 10}, "11s", "6s", "0.00145"},
		{"minimum behind free seconds", billing.Rate{Price: perMinute, First: 6, Next: 6, Free: 10, Minimum: 60}, "11s", "1m", "0.0145"},
		{"connect fee of a free call", billing.Rate{Price: perMinute, ConnectFee: 10_000, Free: 10}, "1s", "0s", "0.01"},
		{"4 decimals half up", billing.Rate{Price: perMinute, First: 30, Next: 6, Rounding: billing.Rounding{Drop: 2}}, "1s", "30s", "0.0073"},
		{"4 decimals half even", billing.Rate{Price: perMinute, First: 30, Next: 6, Rounding: billing.Rounding{Drop: 2, Mode: billing.HalfEven}}, "1s", "30s", "0.0072"},
		{"4 decimals half even, odd", billing.Rate{Price: price(t, "0.0147"), First: 30, Next: 6, Rounding: billing.Rounding{Drop: 2, Mode: billing.HalfEven}}, "1s", "30s", "0.0074"},
		{"4 decimals down", billing.Rate{Price: perMinute, First: 30, Next: 6, Rounding: billing.Rounding{Drop: 2, Mode: billing.Down}}, "1s", "30s", "0.0072"},
		{"2 decimals up", billing.Rate{Price: perMinute, First: 30, Next: 6, Rounding: billing.Rounding{Drop: 4, Mode: billing.Up}}, "1s", "30s", "0.01"},
		{"whole units", billing.Rate{Price: price(t, "30"), Rounding: billing.Rounding{Drop: 6}}, "1s", "1s", "1.00"},
		{"rounded once, with the fee", billing.Rate{Price: price(t, "0.003"), ConnectFee: 3_000, First: 60, Next: 60, Rounding: billing.Rounding{Drop: 4}}, "1s", "1m", "0.01"},
		{"never wraps", billing.Rate{Price: billing.Price(billing.MaxAmount), ConnectFee: billing.MaxAmount}, "1h", "1h", billing.MaxAmount.String()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.rate.Validate(); err != nil {
				t.Fatal(err)
			}
			talk, err := time.ParseDuration(tt.talk)
			if err != nil {
				t.Fatal(err)
			}
			billed, err := time.ParseDuration(tt.billed)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.rate.Billed(talk); got != billed {
				t.Errorf("Billed(%s) = %s, want %s", talk, got, billed)
			}
			if got := tt.rate.Cost(talk).String(); got != tt.cost {
				t.Errorf("Cost(%s) = %s, want %s", talk, got, tt.cost)
			}
		})
	}
}

func TestAffords(t *testing.T) {
	tests := []struct {
		name   string
		rate   billing.Rate
		amount billing.Amount
		want   time.Duration
		ok     bool
	}{
		{"ten minutes at 1/1", billing.Rate{Price: price(t, "0.60"), First: 1, Next: 1}, 6_000_000, 10 * time.Minute, true},
		{"a millionth less", billing.Rate{Price: price(t, "0.60"), First: 1, Next: 1}, 5_999_999, 10*time.Minute - time.Second, true},
		{"first increment", billing.Rate{Price: price(t, "0.60"), First: 30, Next: 6}, 300_000, 30 * time.Second, true},
		{"not the first increment", billing.Rate{Price: price(t, "0.60"), First: 30, Next: 6}, 299_999, 0, false},
		{"not the minimum", billing.Rate{Price: price(t, "0.60"), Minimum: 31}, 300_000, 0, false},
		{"not the connect fee", billing.Rate{ConnectFee: 2}, 1, 0, false},
		{"connect fee alone", billing.Rate{ConnectFee: 2}, 2, billing.Unlimited, true},
		{"free seconds", billing.Rate{Price: price(t, "0.60"), First: 30, Next: 6, Free: 10}, 420_000, 52 * time.Second, true},
		{"free of charge", billing.Rate{}, 0, billing.Unlimited, true},
		{"no funds", billing.Rate{Price: 1, Rounding: billing.Rounding{Mode: billing.Up}}, 0, 0, false},
		{"debt", billing.Rate{}, -1, 0, false},
		{"cheaper than a millionth", billing.Rate{Price: 1}, 0, 29999 * time.Second, true},
		{"beyond the longest call by free seconds", billing.Rate{Price: 1, Free: 6, Rounding: billing.Rounding{Drop: 2, Mode: billing.Down}}, 0, billing.Unlimited, true},
		{"the longest call's increment ends beyond it", billing.Rate{Price: 827, Next: 86_400, Rounding: billing.Rounding{Drop: 5}}, 0, 3542401 * time.Second, true},
		{"all there is", billing.Rate{Price: 1}, billing.MaxAmount, billing.Unlimited, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.rate.Affords(tt.amount)
			if got != tt.want || ok != tt.ok {
				t.Errorf("Affords(%s) = %s, %t, want %s, %t", tt.amount, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestUnrounded(t *testing.T) {
	tests := []struct {
		rate billing.Rate
		want string
	}{
		{billing.Rate{}, "0.00"},
		{billing.Rate{Price: price(t, "0.0145")}, "0.014258333"},
		{billing.Rate{Price: price(t, "0.0145"), ConnectFee: 10_000, Rounding: billing.Rounding{Drop: 4}}, "0.024258333"},
		{billing.Rate{ConnectFee: billing.MaxAmount}, "9223372036.854775807"},
	}
	for _, tt := range tests {
		if got := tt.rate.Unrounded(59 * time.Second); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.rate, got, tt.want)
		}
	}
	if got := (billing.Rate{ConnectFee: 1}).Unrounded(0); got != "0.00" {
		t.Errorf("zero hold time: %s", got)
	}
}

func TestRoundingModeText(t *testing.T) {
	for mode, name := range map[billing.RoundingMode]string{
		billing.HalfUp: "half-up", billing.Up: "up", billing.Down: "down", billing.HalfEven: "half-even",
	} {
		text, err := mode.MarshalText()
		if err != nil || string(text) != name {
			t.Errorf("mode %d is %q, %v, want %q", mode, text, err, name)
		}
		var back billing.RoundingMode
		if err := back.UnmarshalText(text); err != nil || back != mode {
			t.Errorf("%q is mode %d, %v, want %d", text, back, err, mode)
		}
	}
	var mode billing.RoundingMode
	const want = `rounding mode "bankers": not one of ["half-up" "up" "down" "half-even"]`
	if err := mode.UnmarshalText([]byte("bankers")); err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestRateValidate(t *testing.T) {
	tests := []struct {
		rate billing.Rate
		err  string
	}{
		{billing.Rate{Price: -1}, "price -0.000000001: negative"},
		{billing.Rate{ConnectFee: -1}, "connect fee -0.000001: negative"},
		{billing.Rate{First: 86_401}, "first increment 86401 s: more than 86400"},
		{billing.Rate{Next: 86_401}, "next increment 86401 s: more than 86400"},
		{billing.Rate{Minimum: 86_401}, "minimum 86401 s: more than 86400"},
		{billing.Rate{Free: 86_401}, "free seconds 86401 s: more than 86400"},
		{billing.Rate{Rounding: billing.Rounding{HoldMillis: 1000}}, "hold time precision 1000 ms: more than 999"},
		{billing.Rate{Rounding: billing.Rounding{Drop: 7}}, "fee precision: 7 decimals dropped of 6"},
		{billing.Rate{Rounding: billing.Rounding{Mode: 4}}, "rounding mode mode-4: unknown"},
	}
	for _, tt := range tests {
		if err := tt.rate.Validate(); err == nil || err.Error() != tt.err {
			t.Errorf("%+v: error %v, want %q", tt.rate, err, tt.err)
		}
	}
}

func TestNewRounding(t *testing.T) {
	tests := []struct {
		hold, decimals int64
		want           billing.Rounding
		err            string
	}{
		{50, 6, billing.Rounding{HoldMillis: 50}, ""},
		{0, 4, billing.Rounding{HoldMillis: 1, Drop: 2}, ""},
		{999, 0, billing.Rounding{HoldMillis: 999, Drop: 6}, ""},
		{1000, 6, billing.Rounding{}, "hold time precision 1000 ms: not within 0 to 999"},
		{50, 7, billing.Rounding{}, "fee precision 7: not within 0 to 6 decimals"},
		{50, -1, billing.Rounding{}, "fee precision -1: not within 0 to 6 decimals"},
	}
	for _, tt := range tests {
		got, err := billing.NewRounding(tt.hold, tt.decimals, billing.HalfUp)
		if got != tt.want || tt.err != "" && (err == nil || err.Error() != tt.err) || tt.err == "" && err != nil {
			t.Errorf("NewRounding(%d, %d) = %+v, %v, want %+v, %q", tt.hold, tt.decimals, got, err, tt.want, tt.err)
		}
		if err == nil && got.Decimals() != int(tt.decimals) {
			t.Errorf("%d decimals, want %d", got.Decimals(), tt.decimals)
		}
	}
}

// drawRate draws valid rates, plain and absurd ones.
func drawRate(t *rapid.T) billing.Rate {
	seconds := func(label string) billing.Seconds {
		return billing.Seconds(rapid.OneOf(
			rapid.SampledFrom([]uint32{0, 1, 6, 10, 30, 60}),
			rapid.Uint32Range(0, 86_400),
		).Draw(t, label))
	}
	money := func(label string) int64 {
		return rapid.OneOf(
			rapid.Int64Range(0, 100),
			rapid.Map(rapid.Int64Range(0, 100), func(n int64) int64 { return n * 500_000 }), // ties
			rapid.Int64Range(0, 2_000_000_000),
			rapid.Int64Range(0, int64(billing.MaxAmount)),
		).Draw(t, label)
	}
	rate := billing.Rate{
		Price:      billing.Price(money("price")),
		ConnectFee: billing.Amount(money("connect fee")),
		First:      seconds("first"),
		Next:       seconds("next"),
		Minimum:    seconds("minimum"),
		Free:       seconds("free"),
		Rounding: billing.Rounding{
			HoldMillis: rapid.Uint16Range(0, 999).Draw(t, "hold ms"),
			Drop:       rapid.Uint8Range(0, 6).Draw(t, "drop"),
			Mode:       billing.RoundingMode(rapid.Uint8Range(0, 3).Draw(t, "mode")),
		},
	}
	if err := rate.Validate(); err != nil {
		t.Fatal(err)
	}
	return rate
}

// exactCost computes a cost as the vendor's manual words it, in exact decimals.
func exactCost(r billing.Rate, talk time.Duration) decimal.Decimal {
	threshold := int64(r.Rounding.HoldMillis)
	if threshold == 0 {
		threshold = 50
	}
	seconds := talk.Milliseconds() / 1000
	if talk.Milliseconds()%1000 >= threshold {
		seconds++
	}
	if seconds == 0 {
		return decimal.Zero
	}
	billed := int64(0)
	if rest := seconds - int64(r.Free); rest > 0 {
		rest = max(rest, int64(r.Minimum))
		first, next := max(int64(r.First), 1), max(int64(r.Next), 1)
		for billed = first; billed < rest; billed += next * max((rest-billed)/next, 1) {
		}
	}
	// Sixty times the fee has a finite number of decimals.
	sixty := decimal.NewFromInt(60)
	fee := decimal.New(int64(r.Price), -9).Mul(decimal.NewFromInt(billed)).
		Add(decimal.New(int64(r.ConnectFee), -6).Mul(sixty))
	places := int32(6 - r.Rounding.Drop)
	step := decimal.New(1, -places)
	n, rest := fee.QuoRem(step.Mul(sixty), 0)
	half := rest.Add(rest).Cmp(step.Mul(sixty))
	up := false
	switch r.Rounding.Mode {
	case billing.HalfUp:
		up = half >= 0
	case billing.Up:
		up = !rest.IsZero()
	case billing.HalfEven:
		up = half > 0 || half == 0 && n.IntPart()%2 == 1
	}
	if up {
		n = n.Add(decimal.NewFromInt(1))
	}
	return n.Mul(step)
}

// TestCostIsExact compares Cost with exact decimals.
func TestCostIsExact(t *testing.T) {
	limit := decimal.New(int64(billing.MaxAmount), -6)
	rapid.Check(t, func(t *rapid.T) {
		rate := drawRate(t)
		talk := time.Duration(rapid.Int64Range(0, 4*3600*1000).Draw(t, "ms")) * time.Millisecond
		want := decimal.Min(exactCost(rate, talk), limit)
		if got := decimal.New(int64(rate.Cost(talk)), -6); !got.Equal(want) {
			t.Fatalf("%+v: Cost(%s) = %s, want %s", rate, talk, got, want)
		}
	})
}

// TestAffordsIsExact: Cost(Affords(a)) <= a < Cost(Affords(a) + 1 increment).
func TestAffordsIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := drawRate(t)
		a := billing.Amount(rapid.OneOf(
			rapid.Int64Range(0, 100),
			rapid.Int64Range(0, 1_000_000_000),
			rapid.Int64Range(0, int64(billing.MaxAmount)-1),
		).Draw(t, "amount"))
		// What some time costs, and a little less, are the interesting amounts.
		if rapid.Bool().Draw(t, "at a step") {
			talk := time.Duration(rapid.IntRange(0, 7200).Draw(t, "talk")) * time.Second
			a = min(rate.Cost(talk), billing.MaxAmount-1)
			a = max(a-billing.Amount(rapid.IntRange(0, 1).Draw(t, "less")), 0)
		}
		checkAffords(t, rate, a)
	})
}

func checkAffords(t *rapid.T, rate billing.Rate, a billing.Amount) {
	next := max(rate.Next, 1).Duration()
	d, ok := rate.Affords(a)
	switch {
	case !ok:
		if d != 0 {
			t.Fatalf("%+v: Affords(%d) = %s, false", rate, a, d)
		}
		if least := rate.Cost(rate.Free.Duration() + time.Second); least <= a {
			t.Fatalf("%+v: Affords(%d) is false, the shortest billed call costs %d", rate, a, least)
		}
	case rate.Cost(d) > a:
		t.Fatalf("%+v: Affords(%d) = %s costs %d", rate, a, d, rate.Cost(d))
	case d == billing.Unlimited:
	case rate.Cost(d+next) <= a:
		t.Fatalf("%+v: Affords(%d) = %s, but %s costs %d", rate, a, d, d+next, rate.Cost(d+next))
	case rate.Through(d) != d:
		t.Fatalf("%+v: Affords(%d) = %s is within an increment that ends at %s", rate, a, d, rate.Through(d))
	}
}

// TestCostNeverFalls: what Affords rests on, and what has been paid with an
// increment.
func TestCostNeverFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := drawRate(t)
		d := time.Duration(rapid.Int64Range(0, int64(5*time.Hour)).Draw(t, "duration"))
		more := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "more"))
		if rate.Cost(d) > rate.Cost(d+more) {
			t.Fatalf("%+v: %s costs %d, %s costs %d", rate, d, rate.Cost(d), d+more, rate.Cost(d+more))
		}
		through := rate.Through(d)
		if rate.Cost(d) != 0 && rate.Cost(through) != rate.Cost(d) {
			t.Fatalf("%+v: %s costs %d, but its increment costs %d", rate, d, rate.Cost(d), rate.Cost(through))
		}
	})
}

func BenchmarkCost(b *testing.B) {
	rate := billing.Rate{Price: 14_500_000, ConnectFee: 10_000, First: 30, Next: 6}
	for b.Loop() {
		rate.Cost(187 * time.Second)
	}
}

func BenchmarkAffords(b *testing.B) {
	rate := billing.Rate{Price: 14_500_000, ConnectFee: 10_000, First: 30, Next: 6}
	for b.Loop() {
		rate.Affords(12_345_678)
	}
}
