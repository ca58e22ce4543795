package fsm

// String returns the outcome as it is shown and documented, such as "no-money".
func (c Code) String() string {
	names := [...]string{
		OK: "ok", UnknownSource: "unknown-source", UnknownAccount: "unknown-account", Locked: "locked",
		Expired: "expired", WrongAddress: "wrong-address", CallerForbidden: "caller-forbidden",
		CalleeForbidden: "callee-forbidden", CallerBlocked: "caller-blocked", CalleeBlocked: "callee-blocked",
		BadNumber: "bad-number", NoMoney: "no-money", NoRate: "no-rate", NoRoute: "no-route",
		AccountLimit: "account-limit", GatewayLimit: "gateway-limit", CallerLimit: "caller-limit", CPSLimit: "cps-limit",
		DailySpend: "daily-spend", CallExists: "call-exists", UnknownCall: "unknown-call", CallEnded: "call-ended",
		StaleEpoch: "stale-epoch", StaleCommand: "stale-command", LostRace: "lost-race", NoFunds: "no-funds",
		NotFound: "not-found", Conflict: "conflict", Invalid: "invalid", Unsupported: "unsupported", Full: "full",
		KeyReused: "key-reused", CalleeOffline: "callee-offline", CalleeBusy: "callee-busy",
	}
	return named(names[:], int(c))
}

// String returns the end reason as CDRs show it, such as "no-answer".
func (r EndReason) String() string {
	names := [...]string{
		0: "none", EndNormal: "normal", EndCanceled: "canceled", EndBusy: "busy", EndNoAnswer: "no-answer",
		EndRejected: "rejected", EndFailed: "failed", EndCredit: "credit", EndLimit: "limit",
		EndMediaTimeout: "media-timeout", EndOperator: "operator", EndReaped: "reaped", EndTimeout: "timeout",
		EndInternal: "internal", EndUnknownSource: "unknown-source", EndLocked: "locked", EndExpired: "expired",
		EndWrongAddress: "wrong-address", EndForbidden: "forbidden", EndBlocked: "blocked",
		EndBadNumber: "bad-number", EndNoMoney: "no-money", EndNoRate: "no-rate", EndNoRoute: "no-route",
		EndOverLimit: "over-limit", EndCPS: "cps", EndHeldTooLong: "held-too-long", EndVoided: "voided",
		EndMalformed: "malformed", EndOverload: "overload", EndOffline: "offline", EndRestored: "restored",
	}
	return named(names[:], int(r))
}

// String returns the side of a call.
func (p Party) String() string {
	return named([]string{0: "none", ByCaller: "caller", ByCallee: "callee", ByServer: "server"}, int(p))
}

// String returns the state of a call.
func (s CallState) String() string {
	return named([]string{0: "none", CallStarting: "starting", CallRinging: "ringing", CallAnswered: "answered"}, int(s))
}

// String returns the type of an account.
func (t AccountType) String() string {
	return named([]string{0: "none", Client: "client", Vendor: "vendor", House: "house"}, int(t))
}

// String returns why money moved.
func (k TransferKind) String() string {
	names := [...]string{
		0: "none", TransferPayment: "payment", TransferAdjustment: "adjustment", TransferCharge: "charge",
		TransferCost: "cost", TransferLoss: "loss", TransferAmendment: "amendment",
		TransferUse: "use", TransferPackage: "package", TransferLapse: "lapse",
	}
	return named(names[:], int(k))
}

func named(names []string, i int) string {
	if i < len(names) && names[i] != "" {
		return names[i]
	}
	return "unknown"
}
