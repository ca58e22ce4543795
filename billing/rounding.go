package billing

import (
	"fmt"
	"time"
)

// Rounding says how hold time and fees are rounded. The zero value is the
// documented default: 50 ms, six decimals, half up.
type Rounding struct {
	// HoldMillis (F052) is the fraction of a second, in ms, from which hold
	// time rounds up to the next second: by default 21.049 s are 21 s and
	// 21.050 s are 22 s. 1 to 999; 0 is the default, 50.
	HoldMillis uint16
	// Drop is the number of decimals of an Amount's six that a fee loses
	// (F051): 0 keeps them all, 2 leaves four, 6 leaves whole units.
	Drop uint8
	// Mode says what becomes of the dropped part.
	Mode RoundingMode
}

// RoundingMode is one way to round a fee, which is never negative.
type RoundingMode uint8

// The modes. A replica that meets any other one treats it as HalfUp; Validate
// keeps them out.
const (
	HalfUp   RoundingMode = iota // to the nearest, a tie up
	Up                           // always up
	Down                         // always down
	HalfEven                     // to the nearest, a tie to the even neighbour
)

// modeNames are the modes in texts, in their order.
func modeNames() [4]string { return [...]string{"half-up", "up", "down", "half-even"} }

// String returns the name of the mode.
func (m RoundingMode) String() string {
	if m > HalfEven {
		return fmt.Sprintf("mode-%d", uint8(m))
	}
	return modeNames()[m]
}

// MarshalText returns the name of the mode.
func (m RoundingMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the name of a mode.
func (m *RoundingMode) UnmarshalText(text []byte) error {
	for i, name := range modeNames() {
		if string(text) == name {
			*m = RoundingMode(i)
			return nil
		}
	}
	return fmt.Errorf("rounding mode %q: not one of %q", text, modeNames())
}

// defaultHoldMillis is the vendor's default of F052.
const defaultHoldMillis = 50

// NewRounding returns the rounding for explicit settings: the hold time's
// threshold in ms (0 to 999; 0 bills every started millisecond as a second),
// decimals of fees (0 to 6) and mode.
func NewRounding(holdMillis, decimals int64, mode RoundingMode) (Rounding, error) {
	if holdMillis < 0 || holdMillis > 999 {
		return Rounding{}, fmt.Errorf("hold time precision %d ms: not within 0 to 999", holdMillis)
	}
	if decimals < 0 || decimals > amountDecimals {
		return Rounding{}, fmt.Errorf("fee precision %d: not within 0 to %d decimals", decimals, amountDecimals)
	}
	r := Rounding{HoldMillis: uint16(max(holdMillis, 1)), Drop: uint8(amountDecimals - decimals), Mode: mode}
	return r, r.validate()
}

// Decimals returns how many decimals a fee keeps.
func (r Rounding) Decimals() int { return amountDecimals - int(r.drop()) }

func (r Rounding) validate() error {
	switch {
	case r.HoldMillis > 999:
		return fmt.Errorf("hold time precision %d ms: more than 999", r.HoldMillis)
	case r.Drop > amountDecimals:
		return fmt.Errorf("fee precision: %d decimals dropped of %d", r.Drop, amountDecimals)
	case r.Mode > HalfEven:
		return fmt.Errorf("rounding mode %s: unknown", r.Mode)
	}
	return nil
}

// unit returns the last decimal that a fee keeps in 60ths of a billionth.
func (r Rounding) unit() uint64 { return 60 * 1000 * r.step() }

// kept returns the largest rest, below unit, that rounds n units and the rest
// down to n.
func (r Rounding) kept(n uint64) uint64 {
	unit := r.unit() // even, so half of it is exact
	switch r.Mode {
	case Up:
		return 0
	case Down:
		return unit - 1
	case HalfEven:
		return unit/2 - n%2
	default:
		return unit/2 - 1
	}
}

// step returns the last decimal that a fee keeps in millionths.
func (r Rounding) step() uint64 {
	step := uint64(1)
	for range r.drop() {
		step *= 10
	}
	return step
}

func (r Rounding) drop() uint8 { return min(r.Drop, amountDecimals) }

// seconds rounds a hold time to whole seconds (F052).
func (r Rounding) seconds(d time.Duration) int64 {
	threshold := time.Duration(r.HoldMillis) * time.Millisecond
	if threshold == 0 {
		threshold = defaultHoldMillis * time.Millisecond
	}
	d = min(max(d, 0), Unlimited)
	s := int64(d / time.Second)
	if d%time.Second >= threshold {
		s++
	}
	return s
}
