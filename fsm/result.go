package fsm

import (
	"time"

	"tandem/billing"
)

// Code is the outcome of a command. Refusals are codes: they replicate.
type Code uint8

// The outcomes. Each refusal of a call maps to one SIP status, one Q.850 cause
// and one [EndReason] (see [Code.Refusal]).
const (
	OK             Code = 0
	UnknownSource  Code = iota // no ingress has this address
	UnknownAccount             // the ingress names an account that is not there
	Locked                     // the account, the gateway
	Expired
	WrongAddress // Access IP of the account
	CallerForbidden
	CalleeForbidden
	CallerBlocked // dynamic blacklist
	CalleeBlocked
	BadNumber // letters, or no digits at all
	NoMoney
	NoRate
	NoRoute
	AccountLimit // concurrent calls
	GatewayLimit
	CallerLimit // concurrent abuse
	CPSLimit
	DailySpend
	CallExists    // another node's retransmission: the first plan is in the result
	UnknownCall   // ended long ago, or never seen
	CallEnded     // ended; Result.CDR names its record
	StaleEpoch    // the call has another owner
	StaleCommand  // below the node's window, from a fenced incarnation, or past its deadline
	LostRace      // another candidate won, or the call was cancelled
	NoFunds       // ExtendCall: nothing left; the grant stands until it ends
	NotFound      // administrative: the object is not there
	Conflict      // administrative: in use, duplicate, tie; Detail says with what
	Invalid       // administrative: Detail names field and reason
	Unsupported   // needs a higher feature level
	Full          // a bound of the state is reached; Detail says which
	KeyReused     // an idempotency key came back with another body
	CalleeOffline // the phone that is called is not registered
	CalleeBusy    // it has as many calls as it may
)

// Result is the answer to one command. Fields that do not belong to the
// command are zero.
type Result struct {
	Code   Code
	Index  uint64
	At     Time
	Detail string // for people: what was wrong, with names and numbers
	Plan   *Plan  // StartCall
	Grant  Grant  // StartCall, AnswerCall, ExtendCall
	CDR    uint64 // EndCall, refusals: sequence of the record; 0: none was written
	Fee    billing.Amount
	Count  uint64 // imports, deletions: how many
}

// Grant is the talk time that an answered call may use: from its answer until
// Until. Without an answer yet, For is what the hold covers.
type Grant struct {
	Slice uint32
	For   time.Duration // total talk time covered by the hold since the answer
	Until Time          // answer + For; 0 while unanswered
	Next  Time          // when ExtendCall is due; 0: never (Last)
	Last  bool          // takes what was left: no further ExtendCall before an AccountFunded event
}

// Plan is how to place a call: candidates in order.
type Plan struct {
	Call        CallID
	Epoch       Epoch
	Ingress     string // mapping gateway
	Account     string
	Caller      string // normalised
	Callee      string
	Candidates  []Candidate
	Skipped     []Skip
	MaxDuration time.Duration // longest call (limits of gateway, account and system)
	Media       MediaMode
	Source      SourcePolicy // of the ingress
	NAT         bool
	Profile     Profile // of the ingress
}

// Candidate is one routing gateway to try.
type Candidate struct {
	Gateway    string
	Vendor     string // clearing account
	Addrs      []Addr // alternates, in order
	Host       string // host name to resolve when Addrs is empty
	Via        string // "udp", "tcp"
	Callee     string // as sent
	Caller     string
	Prefix     string // that matched
	Cost       billing.Rate
	CostVer    uint64
	CostPrefix string // that priced it
	Priority   int32
	Ring       time.Duration // longest ringing; 0: system
	FirstTry   time.Duration // longest wait for the first 1xx; 0: system
	Source     SourcePolicy
	NAT        bool
	Limit      time.Duration // conversation limit (F115); 0: none
	// Of a phone: its contact (the Request-URI), the way to it, and the flow that it
	// registered by, which some node can use (State.FlowOwner).
	Contact string
	Path    []string
	Flow    Flow
	Media   MediaMode
	Profile Profile
}

// Skip is a gateway that was not chosen, and why.
type Skip struct {
	Gateway string
	Reason  string
}

// EventKind says what an [Event] is about.
type EventKind uint8

// The events that nodes act on.
const (
	EventCallEnded     EventKind = 1 + iota // Call, Node (owner), Reason: the owner must BYE what is left
	EventCallMoved                          // Call, Node (new owner)
	EventAccountFunded                      // ID: calls with a Last grant may ask again
	EventBlocked                            // ID: a number entered the blacklist
	EventUnblocked
	EventConfig // gateways, accounts, lists, parameters changed: refresh local views
	EventMember // NodeUp, NodeDown
	EventRates  // ID, Version: chunks are complete (build the index) or active
	// EventAddress: the service address ID has a new owner, Node; empty: nobody.
	EventAddress
	EventBinding // ID: the phone of this number has other contacts
)

// Event is a consequence of Apply that concerns what nodes serve.
type Event struct {
	Kind    EventKind
	Call    CallID
	Node    NodeID
	ID      string
	Reason  EndReason
	Party   Party
	Version uint64
}
