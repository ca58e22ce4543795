package fsm

import (
	"cmp"
	"slices"
	"strings"

	"tandem/fsm/fraud"
)

// Registry returns the description of every system parameter, by name. Names,
// aliases and the vendor's defaults are those of VOS3000 (spec 1.1, 1.3); names
// without SS_ or SERVER_ are ours.
func Registry() []Parameter {
	all := slices.Concat(billingParameters(), callParameters(), sipParameters(), securityParameters(), blacklistParameters(), clusterParameters())
	slices.SortFunc(all, func(a, b Parameter) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

const day = 86_400 // seconds

func onOff(name, value, vendor, about string, field func(*Params) any) Parameter {
	return Parameter{Name: name, Kind: ParameterFlag, Default: value, Vendor: vendor, About: about, field: field}
}

func billingParameters() []Parameter {
	return group("billing",
		onOff("SERVER_BILLING_RECORD_ILLEGAL_CALL", "1", "1",
			"write a CDR for calls from unknown or blacklisted sources before they are refused",
			func(p *Params) any { return &p.RecordIllegal }),
		onOff("SERVER_BILLING_RECORD_ZERO_HOLD_TIME", "1", "1",
			"write a CDR for calls that were not answered",
			func(p *Params) any { return &p.RecordZero }),
		onOff("SERVER_BILLING_RECORD_SERVER_HANG_UP", "1", "1",
			"write a CDR for unanswered calls that the switch itself ended",
			func(p *Params) any { return &p.RecordHangUp }),
		Parameter{
			Name: "SERVER_BILLING_FEE_PRECISION", Aliases: []string{"SERVER_BILLING_FEE_PRECISTION"},
			Kind: ParameterCount, Unit: "decimals", Max: 6, Default: "6", Vendor: "2",
			About: "decimals of fees", field: func(p *Params) any { return &p.FeePrecision },
		},
		Parameter{
			Name: "BILLING_FEE_ROUNDING", Kind: ParameterChoice, Default: "half-up",
			Choices: []string{"half-up", "up", "down", "half-even"}, // in the order of billing.RoundingMode
			About:   "what becomes of the decimals that a fee loses", field: func(p *Params) any { return &p.FeeRounding },
		},
		Parameter{
			Name: "SERVER_BILLING_HOLD_TIME_PRECISION", Kind: ParameterTime, Unit: "ms", Max: 999, Default: "50", Vendor: "50",
			About: "fraction of a second from which the hold time is rounded up",
			field: func(p *Params) any { return &p.HoldPrecision },
		},
		Parameter{
			Name: "SERVER_BILLING_FREE_TIME", Kind: ParameterTime, Unit: "s", Max: 3600, Default: "0", Vendor: "0",
			About: "seconds of each call that are not charged", field: func(p *Params) any { return &p.FreeTime },
		},
		Parameter{
			Name: "SERVER_BILLING_PREVENT_OVERDRAFT_ADVANCE_TIME", Kind: ParameterTime, Unit: "min", Min: 1, Max: 15,
			Optional: true, Default: None,
			About: "talk time that a call has to be able to pay for before it starts; None: one slice",
			field: func(p *Params) any { return &p.Advance },
		},
		onOff("SERVER_BILLING_GATEWAY_ROUTE_PREFIX", "0", "0",
			"look the rate up without the tech prefix of the ingress; 0: rate tables have it",
			func(p *Params) any { return &p.StripTechPrefix }),
		onOff("SERVER_VERIFY_CLEARING_CUSTOMER", "0", "",
			"skip a gateway whose clearing account is locked, expired or without funds",
			func(p *Params) any { return &p.VerifyClearing }),
		onOff("SERVER_PHONE_AS_CALLEE_MONEY_VERIFY", "1", "1",
			"a phone whose account has no money cannot be called",
			func(p *Params) any { return &p.VerifyCallee }),
		Parameter{
			Name: "SS_CLIENT_LOW_BALANCE_ALARM", Kind: ParameterMoney, Optional: true, Default: None,
			About: "balance below which an account is reported", field: func(p *Params) any { return &p.LowBalance },
		},
		Parameter{
			Name: "SERVER_ALARM_CUSTOMER_BALANCE_MAX_SIZE", Kind: ParameterCount, Unit: "accounts", Min: 1, Max: 1_000_000,
			Default: "1000", Vendor: "1000", About: "accounts that the balance alarm watches at most",
		},
		Parameter{
			Name: "TIME_ZONE", Kind: ParameterZone, Default: "UTC",
			About: "the zone whose days bound daily limits, with its offsets from UTC and when they change",
			field: func(p *Params) any { return &p.Zone },
		},
		Parameter{
			Name: "CDR_DAYS_KEPT", Kind: ParameterCount, Unit: "days", Min: 1, Max: 10_000, Default: "400",
			About: "days after which CDRs are deleted", field: func(p *Params) any { return &p.CDRDays },
		},
	)
}

func callParameters() []Parameter {
	return group("calls",
		Parameter{
			Name: "CALL_MAX_DURATION", Kind: ParameterTime, Unit: "s", Min: 60, Max: 7 * day, Default: "14400",
			About: "longest call", field: func(p *Params) any { return &p.MaxCallTime },
		},
		onOff("SS_ENABLE_CALL_LIMIT", "1", "1",
			"accounts may have a longest call of their own",
			func(p *Params) any { return &p.LimitAccounts }),
		Parameter{
			Name: "SS_MAXCONCURRENTCALL", Kind: ParameterCount, Unit: "calls", Min: 1, Max: maxLiveCallsParameter,
			Optional: true, Default: None, About: "calls at once in the whole cluster",
			field: func(p *Params) any { return &p.MaxCalls },
		},
		Parameter{
			Name: "CALL_RING_TIME", Kind: ParameterTime, Unit: "s", Min: 5, Max: 600, Default: "60",
			About: "longest ringing at one gateway", field: func(p *Params) any { return &p.RingTime },
		},
		Parameter{
			Name: "SS_GATEWAY_SWITCH_LIMIT", Kind: ParameterCount, Unit: "failovers", Max: 100,
			Optional: true, Default: None, Vendor: None, none: unlimited,
			About: "how often one call may go on to another gateway",
			field: func(p *Params) any { return &p.SwitchLimit },
		},
		onOff("SS_GATEWAY_SWITCH_STOP_AFTER_RTP_START", "1", "1",
			"no failover once RTP came from the gateway",
			func(p *Params) any { return &p.StopAfterRTP }),
		onOff("SS_GATEWAY_SWITCH_UNTIL_CONNECT", "0", "0",
			"failover goes on through ringing and busy until a gateway answers",
			func(p *Params) any { return &p.SwitchUntilAnswer }),
		onOff("SS_SIP_STOP_SWITCH_AFTER_SDP", "0", "",
			"no failover once a gateway sent SDP",
			func(p *Params) any { return &p.StopAfterSDP }),
		onOff("SS_SIP_USER_AGENT_STOP_SWITCH_AFTER_INVITE_TIMEOUT", "0", "",
			"no failover when a gateway did not answer the INVITE at all",
			func(p *Params) any { return &p.StopAfterTimeout }),
		Parameter{
			Name: "SS_CALLERALLOWLENGTH", Kind: ParameterLengths, Unit: "digits", Optional: true, Default: None,
			About: "lengths of callers that are let through; a lone number is the longest",
			field: func(p *Params) any { return &p.CallerLengths },
		},
		Parameter{
			Name: "RTP_TIMEOUT", Kind: ParameterTime, Unit: "s", Min: 5, Max: day, Optional: true, Default: None,
			About: "silence of RTP in both directions after which a call is ended",
			field: func(p *Params) any { return &p.RTPTimeout },
		},
		Parameter{
			Name: "RTP_ALARM", Kind: ParameterTime, Unit: "s", Min: 5, Max: day, Optional: true, Default: "60",
			About: "silence of RTP after which a call is reported", field: func(p *Params) any { return &p.RTPAlarm },
		},
	)
}

// group names the group of parameters.
func group(name string, parameters ...Parameter) []Parameter {
	for i := range parameters {
		parameters[i].Group = name
	}
	return parameters
}

func clusterParameters() []Parameter {
	return group("cluster",
		onOff("REAPER_DRY_RUN", "0", "",
			"calls of which nothing shows that they are still there are counted and reported, not ended",
			func(p *Params) any { return &p.SpareDead }),
		Parameter{
			Name: "SNAPSHOT_ENTRIES", Kind: ParameterCount, Unit: "entries", Min: 1000, Max: 10_000_000, Default: "50000",
			About: "log entries after which a snapshot is taken", field: func(p *Params) any { return &p.SnapshotEntries },
		},
		Parameter{
			Name: "TRAILING_LOGS", Kind: ParameterCount, Unit: "entries", Min: 1000, Max: 100_000_000, Default: "100000",
			About: "log entries that are kept behind a snapshot, for nodes that were away",
			field: func(p *Params) any { return &p.TrailingLogs },
		},
	)
}

// blacklistTimes is a time of the dynamic blacklist.
func blacklistTime(name, value, vendor, about string, field func(*Params) any) Parameter {
	return Parameter{
		Name: name, Kind: ParameterTime, Unit: "s", Min: 1, Max: 365 * day,
		Default: value, Vendor: vendor, About: about, field: field,
	}
}

// blacklistLimit is a limit of the dynamic blacklist: off by default (spec C1, C3).
func blacklistLimit(name, vendor, about string, field func(*Params) any) Parameter {
	return Parameter{
		Name: name, Kind: ParameterCount, Unit: "calls", Min: 1, Max: fraud.MaxLimit, Optional: true,
		Default: None, Vendor: vendor, About: about, field: field,
	}
}

func blacklistParameters() []Parameter {
	const malicious, short = "SS_BLACK_LIST_CALLER_MALICIOUS_CALL_", "SS_BLACK_LIST_MALICIOUS_CALL_"
	lists := group("blacklist",
		blacklistLimit(malicious+"LIMIT", "1000", "attempts within the check interval that block a caller; the attempt that reaches it is refused",
			func(p *Params) any { return &p.MaliciousLimit }),
		blacklistTime(malicious+"CHECK_INTERVAL", "600", "600", "sliding window in which a caller's attempts are counted",
			func(p *Params) any { return &p.MaliciousWindow }),
		blacklistTime(malicious+"EXPIRE", "3600", "3600", "how long a malicious caller stays blocked",
			func(p *Params) any { return &p.MaliciousExpire }),
		blacklistLimit("SS_BLACK_LIST_CALLER_CONCURRENT_LIMIT", None, "calls at once that block a caller",
			func(p *Params) any { return &p.ConcurrentLimit }),
		blacklistTime("SS_BLACK_LIST_CALLER_CONCURRENT_EXPIRE", "86400", "86400", "how long a caller with too many calls at once stays blocked",
			func(p *Params) any { return &p.ConcurrentExpire }),
		blacklistLimit("SS_BLACK_LIST_NO_ANSWER_LIMIT", "100", "unanswered calls in a row that block a callee",
			func(p *Params) any { return &p.NoAnswerLimit }),
		blacklistTime("SS_BLACK_LIST_NO_ANSWER_PERIODS", "86400", "", "sliding window in which unanswered calls in a row are counted",
			func(p *Params) any { return &p.NoAnswerWindow }),
		blacklistTime("SS_BLACK_LIST_NO_ANSWER_EXPIRE", "172800", "172800", "how long a callee that never answers stays blocked",
			func(p *Params) any { return &p.NoAnswerExpire }),
		blacklistTime("SS_SIP_DYNAMIC_BLACKLIST_EXPIRE", "3600", "3600", "how long a manual entry without an end stays",
			func(p *Params) any { return &p.BlockExpire }),
		onOff("CENTRAL_CROSS_ACCOUNT", "0", "",
			"attempts through all customers count together, so that one customer's traffic can block a number for another",
			func(p *Params) any { return &p.CrossAccount }),
	)
	for i, p := range lists {
		if rest, ok := strings.CutPrefix(p.Name, malicious); ok { // spec C2
			lists[i].Aliases = []string{short + rest}
		}
	}
	return lists
}
