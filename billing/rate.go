package billing

import (
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Seconds is a length of time in a rate: increments, minimum, free time.
type Seconds uint32

// maxSeconds is the longest time that a rate may name.
const maxSeconds Seconds = 86_400

// Duration returns s as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Unlimited is what Affords returns at most: longer than any call lasts, and
// short enough that sums of it and of the times in a rate are safe. Calls that
// are said to be longer are priced as if they were as long.
const Unlimited = 1000 * time.Hour

// Rate is all that the price of one call depends on. It is a comparable value:
// the state machine keeps the one that was active at StartCall in the call.
type Rate struct {
	Price      Price   // per minute, not negative
	ConnectFee Amount  // for each call of at least one second, not negative
	First      Seconds // first increment; 0 means 1
	Next       Seconds // every later increment; 0 means 1
	Minimum    Seconds // billed at least, once anything is
	Free       Seconds // not billed, at the start of each call
	Rounding   Rounding
}

// Validate names the first field that no rate may have.
func (r Rate) Validate() error {
	switch {
	case r.Price < 0:
		return fmt.Errorf("price %s: negative", r.Price)
	case r.ConnectFee < 0:
		return fmt.Errorf("connect fee %s: negative", r.ConnectFee)
	}
	for _, t := range []struct {
		name  string
		value Seconds
	}{{"first increment", r.First}, {"next increment", r.Next}, {"minimum", r.Minimum}, {"free seconds", r.Free}} {
		if t.value > maxSeconds {
			return fmt.Errorf("%s %d s: more than %d", t.name, t.value, maxSeconds)
		}
	}
	return r.Rounding.validate()
}

// Billed returns the time that a call of duration d is billed for, in whole
// increments: hold time to whole seconds (F052), minus free seconds, the
// minimum, increments. A call of zero seconds, or within its free seconds, is
// billed for nothing.
func (r Rate) Billed(d time.Duration) time.Duration {
	talk := r.Rounding.seconds(d) - int64(r.Free)
	if talk <= 0 {
		return 0
	}
	return time.Duration(r.round(talk)) * time.Second
}

// Through returns the end of the increment that d falls in, counted from the
// answer as d is: what has been paid for once Cost(d) has. It is never below
// the free seconds.
func (r Rate) Through(d time.Duration) time.Duration {
	return r.Free.Duration() + r.Billed(d)
}

// Cost returns what a call of duration d costs. The connect fee is due from the
// first whole second, free or not. Cost never falls when d grows, and is
// MaxAmount where it would be more.
func (r Rate) Cost(d time.Duration) Amount {
	if r.Rounding.seconds(d) == 0 {
		return 0
	}
	fee := r.exact(uint64(r.Billed(d) / time.Second))
	unit := r.Rounding.unit()
	if fee.hi >= unit/2 { // n would have 64 bits, one more than an Amount
		return MaxAmount
	}
	n, rest := bits.Div64(fee.hi, fee.lo, unit)
	if rest > r.Rounding.kept(n) {
		n++
	}
	step := r.Rounding.step()
	if n > uint64(MaxAmount)/step {
		return MaxAmount
	}
	return Amount(n * step)
}

// Unrounded prints what Cost rounds: the fee with nine decimals, cut off behind
// them. Above nine thousand million units it prints the largest it can.
func (r Rate) Unrounded(d time.Duration) string {
	if r.Rounding.seconds(d) == 0 {
		return formatDecimal(0, priceDecimals)
	}
	fee := r.exact(uint64(r.Billed(d) / time.Second))
	billionths := uint64(math.MaxInt64)
	if fee.hi < 60/2 { // else they have 64 bits
		billionths, _ = bits.Div64(fee.hi, fee.lo, 60)
	}
	return formatDecimal(int64(billionths), priceDecimals)
}

// Affords returns the longest duration that costs at most a: free seconds and
// whole increments, so that a does not pay for one increment more. It is false
// when a does not cover the connect fee and the first increment or the minimum.
// What costs too little to count affords Unlimited.
func (r Rate) Affords(a Amount) (time.Duration, bool) {
	if a < 0 {
		return 0, false
	}
	// The most that exact may be so that Cost still rounds to a at most.
	n := uint64(a) / r.Rounding.step()
	most := mul(n, r.Rounding.unit()).add(wide{lo: r.Rounding.kept(n)})
	fee := r.exact(0)
	if most.less(fee) {
		return 0, false
	}
	most = most.sub(fee)
	if most.hi >= uint64(max(r.Price, 0)) { // price 0, or more seconds than 64 bits hold
		return Unlimited, true
	}
	paid, _ := bits.Div64(most.hi, most.lo, uint64(r.Price))
	const enough = 2 * int64(Unlimited/time.Second) // Unlimited and any increment
	talk := int64(min(paid, uint64(enough)))
	if talk < r.round(1) {
		return 0, false
	}
	first, next := r.increments()
	talk -= (talk - first) % next
	return min(r.Free.Duration()+time.Duration(talk)*time.Second, Unlimited), true
}

// round returns the whole increments that talk seconds fill, talk > 0.
func (r Rate) round(talk int64) int64 {
	first, next := r.increments()
	talk = max(talk, int64(r.Minimum))
	if talk <= first {
		return first
	}
	return first + (talk-first+next-1)/next*next
}

func (r Rate) increments() (first, next int64) {
	return int64(max(r.First, 1)), int64(max(r.Next, 1))
}

// exact returns the fee for so many billed seconds before rounding, in 60ths
// of a billionth: price × seconds + connect fee, without loss.
func (r Rate) exact(seconds uint64) wide {
	const perAmount = 60 * 1000
	talk := mul(uint64(max(r.Price, 0)), seconds)
	return talk.add(mul(uint64(max(r.ConnectFee, 0)), perAmount))
}

// wide is an unsigned integer of 128 bits: price × seconds needs 98 of them.
type wide struct{ hi, lo uint64 }

func mul(a, b uint64) wide {
	hi, lo := bits.Mul64(a, b)
	return wide{hi, lo}
}

func (a wide) add(b wide) wide {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, carry)
	return wide{hi, lo}
}

// sub returns a-b, b not above a.
func (a wide) sub(b wide) wide {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, borrow)
	return wide{hi, lo}
}

func (a wide) less(b wide) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }
