package route

import "tandem/billing"

// Reason says why a gateway is not a candidate.
type Reason uint8

// The reasons, in the order in which they are found out.
const (
	Usable Reason = iota
	Absent
	Disabled
	NotAllowed
	Out
	LinesBusy
	CPSReached
	CallerForbidden
	CalleeForbidden
	LengthForbidden
	CallerBlocked
	CalleeBlocked
	NoClearingAccount
	NoClearingRate
	RateTooHigh
	ProfitTooLow
	PlanFull
)

// String returns the reason for people, as `route simulate` and CDRs show it.
func (r Reason) String() string {
	switch r {
	case Usable:
		return "usable"
	case Absent:
		return "not there"
	case Disabled:
		return "disabled"
	case NotAllowed:
		return "not allowed for this ingress"
	case Out:
		return "out of service"
	case LinesBusy:
		return "all lines busy"
	case CPSReached:
		return "calls per second reached"
	case CallerForbidden:
		return "caller forbidden"
	case CalleeForbidden:
		return "callee forbidden"
	case LengthForbidden:
		return "length of callee forbidden"
	case CallerBlocked:
		return "caller blacklisted"
	case CalleeBlocked:
		return "callee blacklisted"
	case NoClearingAccount:
		return "no clearing account"
	case NoClearingRate:
		return "no clearing rate"
	case RateTooHigh:
		return "clearing rate above maximum"
	case ProfitTooLow:
		return "profit below minimum"
	case PlanFull:
		return "enough candidates before it"
	}
	return "unknown"
}

// Price is what a gateway demands of the prices of a call.
type Price struct {
	Check     bool          // a clearing rate has to exist (F090)
	MinProfit billing.Price // per minute, may be negative (F091); only with Check
	Max       billing.Price // highest clearing rate (F092); 0: none
}

// Refuse compares what the caller pays with the clearing rate, if there is one.
func (p Price) Refuse(revenue, cost billing.Price, rated bool) Reason {
	switch {
	case !rated && p.Check:
		return NoClearingRate
	case !rated:
		return Usable
	case p.Max > 0 && cost > p.Max:
		return RateTooHigh
	case p.Check && revenue-cost < p.MinProfit:
		return ProfitTooLow
	}
	return Usable
}

// Allowed reports whether an ingress with this list may use a gateway (F077):
// those listed, or with deny those that are not. No list allows all.
func Allowed(routes []string, deny bool, id string) bool {
	if len(routes) == 0 {
		return true
	}
	for _, r := range routes {
		if r == id {
			return !deny
		}
	}
	return deny
}
