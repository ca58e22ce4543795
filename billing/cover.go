package billing

import "time"

// Cover is how a call of any length is paid for: its beginning by seconds that
// were bought ahead, the rest by money, as a call of its own. It is fixed at the
// grant, so that what a call takes never depends on what others do.
type Cover struct {
	Prepaid time.Duration // whole seconds
	Rate    Rate          // of the rest
}

// Split divides a call of duration d into what the prepaid seconds cover and the
// rest. Both are whole seconds; hold time is rounded first (F052).
func (c Cover) Split(d time.Duration) (covered, rest time.Duration) {
	talk := time.Duration(c.Rate.Rounding.seconds(d)) * time.Second
	covered = min(c.Prepaid, talk)
	return covered, talk - covered
}

// Cost returns what the rest of a call of duration d costs: nothing when the
// prepaid seconds cover all of it.
func (c Cover) Cost(d time.Duration) Amount {
	_, rest := c.Split(d)
	return c.Rate.Cost(rest)
}

// Billed returns the time that a call of duration d takes from both: prepaid
// seconds to the second, and the increments of the rest.
func (c Cover) Billed(d time.Duration) time.Duration {
	covered, rest := c.Split(d)
	return covered + c.Rate.Billed(rest)
}

// Prepaid is the rate of seconds that were bought ahead, in a unit of which one
// is a second: every second costs [Unit]. Its hold time is rounded as a call's is.
func (r Rate) Prepaid() Rate {
	const minute = 60
	return Rate{Price: minute * Price(Unit) * pricesPerAmount, Rounding: Rounding{HoldMillis: r.Rounding.HoldMillis}}
}

// pricesPerAmount: prices are billionths, amounts millionths.
const pricesPerAmount = 1000

// SecondsOf returns the time that an amount of prepaid seconds is, and AmountOf
// the amount that a time is.
func SecondsOf(a Amount) time.Duration { return time.Duration(a/Unit) * time.Second }

// AmountOf returns how much of prepaid seconds a time is: a unit for each whole
// second.
func AmountOf(d time.Duration) Amount { return Amount(d/time.Second) * Unit }
