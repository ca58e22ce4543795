package fsm

// maxLiveCallsParameter is the highest cap on calls at once that can be set.
const maxLiveCallsParameter = 1_000_000

func sipParameters() []Parameter {
	return group("sip",
		Parameter{
			Name: "SS_SIP_TIMEOUT_INVITE", Kind: ParameterTime, Unit: "s", Min: 1, Max: 32, Default: "4",
			About: "wait for the first answer of a gateway to an INVITE", field: func(p *Params) any { return &p.FirstResponse },
		},
		Parameter{
			Name: "SIP_TIMER_C", Kind: ParameterTime, Unit: "s", Min: 180, Max: 3600, Default: "180",
			About: "longest wait for a final answer to an INVITE (RFC 3261 section 16.6)",
			field: func(p *Params) any { return &p.TimerC },
		},
		Parameter{
			Name: "SS_SIP_SESSION_TTL", Kind: ParameterTime, Unit: "s", Min: 90, Max: day, Default: "1800", Vendor: "600",
			About: "Session-Expires (RFC 4028)", field: func(p *Params) any { return &p.SessionExpires },
		},
		Parameter{
			Name: "SIP_SESSION_MIN_SE", Kind: ParameterTime, Unit: "s", Min: 90, Max: 3600, Default: "90",
			About: "shortest Session-Expires that is accepted (RFC 4028 section 5)", field: func(p *Params) any { return &p.MinSE },
		},
		Parameter{
			Name: "SS_SIP_SESSION_UPDATE_SEGMENT", Kind: ParameterCount, Unit: "refreshes", Min: 2, Max: 10, Default: "2", Vendor: "2",
			About: "session refreshes within one Session-Expires", field: func(p *Params) any { return &p.SessionSegments },
		},
		Parameter{
			Name: "SS_SIP_SESSION_TIMEOUT_EARLY_HANGUP", Kind: ParameterTime, Unit: "s", Max: 3600, Default: "0",
			About: "how long before its end a session without refresh is hung up", field: func(p *Params) any { return &p.SessionGrace },
		},
		Parameter{
			Name: "SS_SIP_NO_TIMER_REINVITE_INTERVAL", Kind: ParameterTime, Unit: "s", Min: 60, Max: day, Optional: true, Default: None,
			About: "how often a side without session timers is probed", field: func(p *Params) any { return &p.ProbeInterval },
		},
		Parameter{
			Name: "SS_SIP_OPTIONS_CHECK_PERIOD", Kind: ParameterTime, Unit: "s", Min: 5, Max: 3600, Optional: true, Default: "30",
			About: "how often gateways are checked by OPTIONS", field: func(p *Params) any { return &p.OptionsPeriod },
		},
		Parameter{
			Name: "SIP_OPTIONS_MISSES", Kind: ParameterCount, Unit: "checks", Min: 1, Max: 20, Default: "3",
			About: "failed checks in a row that take a gateway out", field: func(p *Params) any { return &p.OptionsMisses },
		},
		onOff("SS_REPLY_UNAUTHORIZED", "0", "",
			"answer 403 to every unknown source; 0: only to TRUSTED_NETWORKS",
			func(p *Params) any { return &p.ReplyUnknown }),
		Parameter{
			Name: "TRUSTED_NETWORKS", Kind: ParameterNetworks, Optional: true, Default: None,
			About: "networks whose unknown sources get an answer", field: func(p *Params) any { return &p.TrustedNetworks },
		},
		onOff("SS_TCP_CLOSE_RESET", "0", "",
			"close TCP connections by RST instead of FIN",
			func(p *Params) any { return &p.ResetTCP }),
		Parameter{
			Name: "SS_MAPPING_GATEWAY_TIMEOUT", Kind: ParameterTime, Unit: "s", Min: 1, Max: 300, Default: "10",
			About: "longest wait for an answer of a mapping gateway",
		},
		Parameter{
			Name: "MAPPING_GATEWAY_IDLE_TIMEOUT", Kind: ParameterTime, Unit: "s", Min: 10, Max: day, Default: "300",
			About: "idle time after which a mapping gateway is shown as away",
		},
		Parameter{
			Name: "SIP_REALM", Kind: ParameterName, Default: "tandem",
			About: "the realm of phones' passwords; a change makes those that are stored useless", field: func(p *Params) any { return &p.Realm },
		},
		Parameter{
			Name: "SS_ENDPOINT_EXPIRE", Kind: ParameterTime, Unit: "s", Min: 60, Max: day, Default: "3600", Vendor: "3600",
			About: "longest registration", field: func(p *Params) any { return &p.LongestBinding },
		},
		Parameter{
			Name: "SS_ENDPOINTTIMETOLIVE", Kind: ParameterTime, Unit: "s", Min: 10, Max: 3600, Default: "60", Vendor: "60",
			About: "how often registered phones are probed",
		},
		onOff("SS_ENDPOINT_REGISTER_REPLACE", "0", "",
			"a phone that registers more contacts than it may loses its oldest; 0: the newest is refused",
			func(p *Params) any { return &p.ReplaceBindings }),
	)
}

func securityParameters() []Parameter {
	return group("security",
		onOff("SS_ACCESS_IP_CHECK", "0", "0",
			"enforce the access addresses of accounts; 1 is recommended",
			func(p *Params) any { return &p.CheckAccessIP }),
		Parameter{
			Name: "SS_MAX_LOGIN_FAILED", Kind: ParameterCount, Unit: "tries", Min: 1, Max: 100, Default: "5", Vendor: "5",
			About: "failed logins that lock an operator out", field: func(p *Params) any { return &p.LoginTries },
		},
		Parameter{
			Name: "SS_LOGIN_LOCK_TIME", Aliases: []string{"SERVER_LOGIN_FAILED_DISABLE_TIME"}, // spec C13
			Kind: ParameterTime, Unit: "min", Min: 1, Max: 7 * 24 * 60, Default: "30", Vendor: "30",
			About: "how long a locked-out operator stays out", field: func(p *Params) any { return &p.LoginLock },
		},
		Parameter{
			Name: "SS_AUTHENTICATION_MAX_RETRY", Kind: ParameterCount, Unit: "tries", Min: 1, Max: 100, Default: "6", Vendor: "6",
			About: "failed SIP authentications that suspend a phone", field: func(p *Params) any { return &p.AuthTries },
		},
		Parameter{
			Name: "SS_AUTHENTICATION_FAILED_SUSPEND", Kind: ParameterTime, Unit: "s", Min: 1, Max: day, Default: "180", Vendor: "180",
			About: "how long a phone is suspended", field: func(p *Params) any { return &p.AuthSuspend },
		},
		Parameter{
			Name: "SS_REG_FAIL_BLACKLIST_COUNT", Kind: ParameterCount, Unit: "tries", Min: 1, Max: 1000, Default: "5", Vendor: "5",
			About: "failed registrations that block a source address", field: func(p *Params) any { return &p.AuthFailures },
		},
		Parameter{
			Name: "SS_REG_FAIL_BLACKLIST_TIME", Kind: ParameterTime, Unit: "s", Min: 1, Max: 365 * day, Default: "3600", Vendor: "3600",
			About: "how long such an address stays blocked", field: func(p *Params) any { return &p.AuthBlock },
		},
		Parameter{
			Name: "SS_CALLAUTH_INVALID_COUNT", Kind: ParameterCount, Unit: "calls", Min: 1, Max: 1000, Optional: true,
			Default: None, Vendor: None, About: "invalid calls that lock an account",
		},
	)
}
