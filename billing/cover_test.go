package billing

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCover(t *testing.T) {
	rate := Rate{Price: 600_000_000, ConnectFee: 20_000, First: 60, Next: 6}
	tests := []struct {
		prepaid, talk time.Duration
		covered, rest time.Duration
		cost          Amount
		billed        time.Duration
	}{
		{0, 30 * time.Second, 0, 30 * time.Second, 620_000, time.Minute},
		{time.Minute, 30 * time.Second, 30 * time.Second, 0, 0, 30 * time.Second},
		{time.Minute, time.Minute, time.Minute, 0, 0, time.Minute},
		{time.Minute, 60*time.Second + 49*time.Millisecond, time.Minute, 0, 0, time.Minute},
		{time.Minute, 60*time.Second + 50*time.Millisecond, time.Minute, time.Second, 620_000, 2 * time.Minute},
		{time.Minute, 121 * time.Second, time.Minute, 61 * time.Second, 680_000, 126 * time.Second},
	}
	for _, tt := range tests {
		c := Cover{Prepaid: tt.prepaid, Rate: rate}
		covered, rest := c.Split(tt.talk)
		if covered != tt.covered || rest != tt.rest || c.Cost(tt.talk) != tt.cost || c.Billed(tt.talk) != tt.billed {
			t.Errorf("%v of %v: %v and %v for %v, billed %v; want %v and %v for %v, billed %v", tt.prepaid, tt.talk,
				covered, rest, c.Cost(tt.talk), c.Billed(tt.talk), tt.covered, tt.rest, tt.cost, tt.billed)
		}
	}
}

// TestPrepaidRate: a second costs a unit, and units pay for as many seconds.
func TestPrepaidRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Rounding: Rounding{HoldMillis: uint16(rapid.IntRange(0, 999).Draw(t, "hold"))}}.Prepaid()
		n := rapid.IntRange(1, 1_000_000).Draw(t, "seconds")
		d := time.Duration(n) * time.Second
		if r.Cost(d) != AmountOf(d) || SecondsOf(AmountOf(d)) != d {
			t.Fatalf("%v costs %v", d, r.Cost(d))
		}
		if got, ok := r.Affords(AmountOf(d)); !ok || got != d {
			t.Fatalf("%v pays for %v", AmountOf(d), got)
		}
	})
}
