package fsm

import (
	"time"

	"tandem/billing"
)

// CallState is how far a call is.
type CallState uint8

// The states of a live call.
const (
	CallStarting CallState = 1 + iota // money is held; candidates are being tried
	CallRinging
	CallAnswered
)

// Call is a live call: who owns it, what it may spend, and everything that
// another node needs to take it over. A record is a value, replaced whole.
type Call struct {
	ID          CallID
	Owner       NodeID
	Incarnation uint64 // of the owner
	Epoch       Epoch
	State       CallState
	Account     string
	Ingress     string
	Source      Addr
	SourceVia   string
	Caller      string // normalised
	Callee      string
	RawCaller   string
	RawCallee   string
	SIPCallID   string
	Candidates  []Candidate
	Skipped     []Skip
	Candidate   uint8 // that rings or answered
	Rate        billing.Rate
	RateTable   string
	RateVer     uint64
	RatePrefix  string
	Area        string
	Currency    string
	Hold        billing.Amount
	Slice       uint32
	Granted     time.Duration // talk time covered by Hold
	LastGrant   bool
	MaxLength   time.Duration
	MediaMode   MediaMode    // of the plan
	Policy      SourcePolicy // of the ingress, as NAT
	NAT         bool
	Started     Time
	Ringing     Time
	Answered    Time
	Alive       Time // last proof of life (ARCHITECTURE.md, rule 12)
	Invite      []byte
	Offer       []byte
	DialogA     []byte
	DialogB     []byte
	Media       []byte
	Codec       string
	CallerMedia Addr
	CalleeMedia Addr
	Attempts    []Attempt
	Owners      []Owner
	Flags       CallFlags
	Profile     Profile   // of the ingress
	Line        string    // service address that its Contacts and SDP carry; empty: not told
	Prepaid     []Prepaid // what it holds of packages: the beginning of Granted, before Hold
}

// CallFlags are properties of a call fixed at its start.
type CallFlags uint8

// The flags of a call.
const (
	FlagEmergency CallFlags = 1 << iota // callee is on the emergency list: skips lock, money, limits, lists
	FlagWhite                           // caller or callee is white-listed: never counted by the blacklist
	FlagSilent                          // its owner's last Beat said that no RTP arrives
	FlagUncounted                       // caller takes no part in blacklist counts: anonymous, or too short
)

// Owner is one line of a call's owner history.
type Owner struct {
	Node  NodeID
	Epoch Epoch
	Since Time
}

// Party is a side of a call.
type Party uint8

// Who ended a call.
const (
	ByCaller Party = 1 + iota
	ByCallee
	ByServer
)

// EndReason is why a call ended or was refused: the CDR's end reason.
type EndReason uint8

// The end reasons. Numbers are on the wire and never reused.
const (
	EndNormal EndReason = 1 + iota
	EndCanceled
	EndBusy
	EndNoAnswer
	EndRejected // other final answers of the callee's side
	EndFailed   // no candidate could deliver
	EndCredit   // held money used up
	EndLimit    // longest call
	EndMediaTimeout
	EndOperator
	EndReaped // no proof of life (estimated)
	EndTimeout
	EndInternal
	EndUnknownSource
	EndLocked
	EndExpired
	EndWrongAddress
	EndForbidden
	EndBlocked
	EndBadNumber
	EndNoMoney
	EndNoRate
	EndNoRoute
	EndOverLimit
	EndCPS
	EndHeldTooLong
	EndVoided
	EndMalformed
	EndOverload
	EndOffline  // the phone that was called is not registered
	EndRestored // it was live in a state that a new generation began with (estimated)
)

// Attempt is one try of one candidate (a CDR field).
type Attempt struct {
	Gateway string
	Address Addr
	Callee  string
	Caller  string
	Start   time.Duration // after StartCall's event
	PDD     time.Duration // to the first 18x other than 100; 0: none came
	Status  uint16        // final answer; 0: none
	Q850    uint8
	Skipped string // "down", ...; empty: it was tried
	CallID  string // SIP Call-ID of the leg
}

// MediaStats are the figures of one direction of RTP.
type MediaStats struct {
	Packets uint64
	Bytes   uint64
	Lost    uint64
	Jitter  time.Duration
}

// BillingMode says what a CDR was billed on (spec 2.3, C12).
type BillingMode int8

// The billing modes.
const (
	ModeNone    BillingMode = -1
	ModePhone   BillingMode = 0
	ModeMapping BillingMode = 1
	ModeIllegal BillingMode = 9 // our sub-code for illegal calls (F163)
)

// CDR is the record of one call or refused attempt, written once. Times are log
// time. Amounts are in Currency (fee) and CostCurrency (cost).
type CDR struct {
	Seq          uint64 // dense over the cluster
	Index        uint64 // log index that wrote it
	Call         CallID
	Amends       uint64 // sequence of the record that this one corrects; 0: none
	Mode         BillingMode
	Account      string
	Vendor       string
	Ingress      string
	Egress       string
	Source       Addr
	EgressAddr   Addr
	CallerMedia  Addr
	CalleeMedia  Addr
	SIPCallIDA   string
	SIPCallIDB   string
	RawCaller    string
	RawCallee    string
	Caller       string
	Callee       string
	SentCaller   string
	SentCallee   string
	Started      Time
	Ringing      Time
	Answered     Time
	Ended        Time
	PDD          time.Duration
	Duration     time.Duration // answer to end
	Billed       time.Duration
	EndedBy      Party
	Reason       EndReason
	SIPStatus    uint16
	Q850         uint8
	Codec        string
	MediaA       MediaStats
	MediaB       MediaStats
	RateTable    string
	RateVersion  uint64
	RatePrefix   string
	Area         string
	Rate         billing.Rate
	CostPrefix   string
	CostVersion  uint64
	CostRate     billing.Rate
	Currency     string
	CostCurrency string
	Fee          billing.Amount
	Cost         billing.Amount
	Held         billing.Amount // at the end
	OverGrant    time.Duration  // talk time beyond the grant, not charged to the client
	Estimated    bool           // ended without a message; charged to the last proof of life
	Aggregate    uint32         // refused attempts that this record stands for; 0 and 1: one
	Attempts     []Attempt
	Owners       []Owner
	Node         NodeID // that proposed the end
	Detail       string
	ChargeSeq    uint64 // transfers; 0: none
	CostSeq      uint64
	Link         Hash      // of the chain over all records: see Chain
	At           Time      // log time of its writing, which never falls with Seq
	Prepaid      []Prepaid // what it took of packages; Fee is for the rest
}
