package fsm

import (
	"time"

	"tandem/billing"
	"tandem/fsm/number"
)

// Params is the values of the system parameters, parsed once when one changes
// and then replaced whole. What is None is zero, unless said otherwise. The
// fields are described by the [Registry], under the names in the comments.
type Params struct {
	RecordIllegal   bool // SERVER_BILLING_RECORD_ILLEGAL_CALL
	RecordZero      bool // SERVER_BILLING_RECORD_ZERO_HOLD_TIME
	RecordHangUp    bool // SERVER_BILLING_RECORD_SERVER_HANG_UP
	SpareDead       bool // REAPER_DRY_RUN
	FeePrecision    uint32
	FeeRounding     billing.RoundingMode
	HoldPrecision   time.Duration // SERVER_BILLING_HOLD_TIME_PRECISION
	FreeTime        time.Duration // SERVER_BILLING_FREE_TIME
	Advance         time.Duration // SERVER_BILLING_PREVENT_OVERDRAFT_ADVANCE_TIME
	VerifyClearing  bool          // SERVER_VERIFY_CLEARING_CUSTOMER
	VerifyCallee    bool          // SERVER_PHONE_AS_CALLEE_MONEY_VERIFY
	StripTechPrefix bool          // SERVER_BILLING_GATEWAY_ROUTE_PREFIX
	LowBalance      billing.Amount
	Zone            Zone
	CDRDays         uint32

	MaxCallTime       time.Duration // CALL_MAX_DURATION
	LimitAccounts     bool          // SS_ENABLE_CALL_LIMIT
	MaxCalls          uint32        // SS_MAXCONCURRENTCALL
	RingTime          time.Duration
	FirstResponse     time.Duration // SS_SIP_TIMEOUT_INVITE
	TimerC            time.Duration
	SwitchLimit       uint32 // SS_GATEWAY_SWITCH_LIMIT; None is the largest number
	StopAfterRTP      bool   // SS_GATEWAY_SWITCH_STOP_AFTER_RTP_START
	SwitchUntilAnswer bool   // SS_GATEWAY_SWITCH_UNTIL_CONNECT
	StopAfterSDP      bool   // SS_SIP_STOP_SWITCH_AFTER_SDP
	StopAfterTimeout  bool   // SS_SIP_USER_AGENT_STOP_SWITCH_AFTER_INVITE_TIMEOUT
	CallerLengths     number.Lengths
	RTPTimeout        time.Duration
	RTPAlarm          time.Duration

	SessionExpires  time.Duration // SS_SIP_SESSION_TTL
	MinSE           time.Duration // SIP_SESSION_MIN_SE
	SessionSegments uint32        // SS_SIP_SESSION_UPDATE_SEGMENT
	SessionGrace    time.Duration // SS_SIP_SESSION_TIMEOUT_EARLY_HANGUP
	ProbeInterval   time.Duration // SS_SIP_NO_TIMER_REINVITE_INTERVAL
	OptionsPeriod   time.Duration // SS_SIP_OPTIONS_CHECK_PERIOD
	OptionsMisses   uint32
	ReplyUnknown    bool // SS_REPLY_UNAUTHORIZED
	TrustedNetworks []Prefix
	ResetTCP        bool          // SS_TCP_CLOSE_RESET
	Realm           string        // SIP_REALM
	LongestBinding  time.Duration // SS_ENDPOINT_EXPIRE
	ReplaceBindings bool          // SS_ENDPOINT_REGISTER_REPLACE
	AuthTries       uint32        // SS_AUTHENTICATION_MAX_RETRY
	AuthSuspend     time.Duration // SS_AUTHENTICATION_FAILED_SUSPEND
	AuthFailures    uint32        // SS_REG_FAIL_BLACKLIST_COUNT
	AuthBlock       time.Duration // SS_REG_FAIL_BLACKLIST_TIME

	CheckAccessIP    bool // SS_ACCESS_IP_CHECK
	MaliciousLimit   uint32
	MaliciousWindow  time.Duration
	MaliciousExpire  time.Duration
	ConcurrentLimit  uint32
	ConcurrentExpire time.Duration
	NoAnswerLimit    uint32
	NoAnswerWindow   time.Duration // SS_BLACK_LIST_NO_ANSWER_PERIODS
	NoAnswerExpire   time.Duration
	BlockExpire      time.Duration // SS_SIP_DYNAMIC_BLACKLIST_EXPIRE: of manual entries without an end
	CrossAccount     bool          // CENTRAL_CROSS_ACCOUNT
	LoginTries       uint32        // SS_MAX_LOGIN_FAILED
	LoginLock        time.Duration // SS_LOGIN_LOCK_TIME

	SnapshotEntries uint32
	TrailingLogs    uint32
}

// Rounding returns how fees and hold times are rounded, where a rate table does
// not say otherwise.
func (p *Params) Rounding() billing.Rounding {
	r, err := billing.NewRounding(p.HoldPrecision.Milliseconds(), int64(p.FeePrecision), p.FeeRounding)
	if err != nil {
		panic("fsm: parameters: " + err.Error()) // Parse keeps out what NewRounding refuses
	}
	return r
}
