package fsm

// Refusal is how the outside learns that a call was refused.
type Refusal struct {
	Status uint16 // SIP
	Q850   uint8  // cause, for Reason: Q.850 (RFC 3326)
	Reason EndReason
	// RetryAfter: the answer carries Retry-After, which takes the whole trunk
	// down for a while (RFC 3261 section 21.5.4). Without it the caller treats a
	// 503 as the failure of this call alone.
	RetryAfter bool
}

// Refusal returns how a StartCall that was refused with this code is answered.
// The zero Refusal stands for codes that refuse no call. An unknown source may
// get silence instead.
func (c Code) Refusal() Refusal {
	switch c {
	case UnknownSource:
		return Refusal{Status: 403, Q850: 21, Reason: EndUnknownSource}
	case UnknownAccount, Locked:
		return Refusal{Status: 403, Q850: 21, Reason: EndLocked}
	case Expired:
		return Refusal{Status: 403, Q850: 21, Reason: EndExpired}
	case WrongAddress:
		return Refusal{Status: 403, Q850: 21, Reason: EndWrongAddress}
	case CallerForbidden, CalleeForbidden:
		return Refusal{Status: 403, Q850: 21, Reason: EndForbidden}
	case CallerBlocked, CalleeBlocked:
		return Refusal{Status: 403, Q850: 21, Reason: EndBlocked}
	case BadNumber:
		return Refusal{Status: 484, Q850: 28, Reason: EndBadNumber}
	case NoMoney, DailySpend:
		return Refusal{Status: 402, Q850: 21, Reason: EndNoMoney}
	case NoRate:
		return Refusal{Status: 503, Q850: 3, Reason: EndNoRate}
	case NoRoute:
		return Refusal{Status: 503, Q850: 3, Reason: EndNoRoute}
	case AccountLimit, GatewayLimit, CallerLimit:
		return Refusal{Status: 503, Q850: 34, Reason: EndOverLimit}
	case CPSLimit:
		return Refusal{Status: 503, Q850: 42, Reason: EndCPS}
	case CalleeOffline: // Q.850: subscriber absent
		return Refusal{Status: 480, Q850: 20, Reason: EndOffline}
	case CalleeBusy:
		return Refusal{Status: 486, Q850: 17, Reason: EndBusy}
	case StaleCommand:
		return Refusal{Status: 504, Q850: 102, Reason: EndHeldTooLong}
	case Full:
		return Refusal{Status: 503, Q850: 42, Reason: EndOverload, RetryAfter: true}
	}
	return Refusal{}
}
