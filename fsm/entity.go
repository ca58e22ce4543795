package fsm

import (
	"time"

	"tandem/billing"
)

// AccountType is who an account belongs to (F032).
type AccountType uint8

// The account types.
const (
	Client AccountType = 1 // pays us
	Vendor AccountType = 2 // we pay; clearing account of routing gateways
	House  AccountType = 3 // cash, revenue, cost, loss; made by the state itself
)

// Account is a customer's or vendor's account. Money fields (Balance and the
// counters) change by transfers and calls alone.
type Account struct {
	ID           string
	Name         string
	Type         AccountType
	Currency     string // ISO 4217
	Balance      billing.Balance
	Expiry       Time // F036; 0: never
	Locked       bool
	AccessIPs    []Prefix // F060, enforced when SS_ACCESS_IP_CHECK is 1; empty: any
	RateTable    string
	AllowDebt    bool           // true turns anti-overdraft off (F039)
	Advance      time.Duration  // F040: at least so much talk time must be affordable; 0: one slice
	MaxSpend     billing.Amount // per day (F041); 0: none
	MaxCalls     uint32         // concurrent (F118); 0: none
	MaxCPS       uint32         // new calls per second, cluster-wide; 0: none
	AllowCallee  []string       // prefixes (F057); empty: all
	BlockCallee  []string       // prefixes (F058)
	LowBalance   billing.Amount
	MaxDuration  time.Duration // 0: system
	Created      Time
	Spent        billing.Amount // of the day that SpentDay names
	SpentDay     int32
	Live         uint32 // live calls
	CallsTotal   uint64
	SecondWindow Time // start of the current second of the CPS counter
	SecondCalls  uint32
}

// SourcePolicy says which senders of RTP are believed (ARCHITECTURE.md, Media sources).
type SourcePolicy uint8

// The source policies.
const (
	SourceAuto SourcePolicy = iota
	SourceStrict
	SourceAny
)

// MediaMode says whether RTP passes through us (F177).
type MediaMode uint8

// The media modes.
const (
	MediaAuto MediaMode = iota
	MediaOn
	MediaOff
	MediaMustOn
)

// NumberRules are the prefix rules of a gateway (F137, F138, F121).
type NumberRules struct {
	AllowCaller []string // prefixes; empty: all
	DenyCaller  []string
	AllowCallee []string
	DenyCallee  []string
	CallerPlan  []Transform // applied in order of longest match
	CalleePlan  []Transform
	CallerWhite string // names of number lists; only these
	CallerBlack string
	CalleeWhite string
	CalleeBlack string
	Lengths     uint64 // mask of allowed callee lengths (F140); 0: all
}

// Transform is one dial plan rule: package number gives the grammar (spec 1.2.1).
type Transform struct {
	From string
	To   string
}

// MappingGateway is an ingress: who pays us (F075).
type MappingGateway struct {
	ID         string
	Account    string
	Addrs      []Prefix // signalling sources
	Port       uint16   // 0: any
	TechPrefix string   // stripped; tells gateways on one address apart
	Disabled   bool
	MaxCalls   uint32 // F094; 0: none
	MaxCPS     uint32 // per node, before the log; 0: 200
	Routes     []string
	DenyRoutes bool // Routes names those that are forbidden, not those allowed
	Rules      NumberRules
	Media      MediaMode
	Source     SourcePolicy
	NAT        bool
	RateTable  string // overrides the account's; empty: the account's
	Live       uint32
	CallsTotal uint64
	Profile    Profile
}

// PrefixMode says whether shorter prefixes are tried when the gateways of the
// longest cannot deliver (F081).
type PrefixMode uint8

// The prefix modes.
const (
	PrefixContinue PrefixMode = iota
	PrefixTerminate
)

// RoutingGateway is an egress: who we pay (F076).
//
// MaxCalls bounds what plans send there. A call counts (Live) where its plan
// begins, and once it has hunted on, where it rings or was answered. Calls that
// hunt on to a gateway at one time may so pass its limit: a place held for each
// of them at each of their gateways would refuse others that could be carried.
type RoutingGateway struct {
	ID           string
	Account      string // clearing account; its rate table is our cost
	Prefixes     []string
	Mode         PrefixMode
	Priority     int32 // smaller first (F082)
	Addrs        []Addr
	Host         string // name, resolved by nodes, when Addrs is empty
	Via          string // "udp" (default) or "tcp"
	Disabled     bool
	MaxCalls     uint32 // F094
	MaxCPS       uint32 // F116
	CPSPeriod    time.Duration
	MaxDuration  time.Duration // F115
	Ring         time.Duration
	FirstTry     time.Duration
	Rules        NumberRules
	Standalone   bool // blacklist scope of this gateway alone (F149)
	CheckRate    bool // skip without a clearing rate (F090)
	MinProfit    billing.Price
	MaxRate      billing.Price // F092; 0: none
	Source       SourcePolicy
	NAT          bool
	Live         uint32
	CallsTotal   uint64
	OutUntil     Time // Retry-After (F110)
	OutReason    string
	SecondWindow Time
	SecondCalls  uint32
	Media        MediaMode // of its leg (F177)
	Check        Addr      // where OPTIONS go instead of Addrs (F109); zero: there
	NoCheck      bool      // it is never checked
	Profile      Profile
}

// RateTable is a price list; versions hold the rates.
type RateTable struct {
	ID       string
	Currency string
	Rounding billing.Rounding
	Active   uint64 // version; 0: none yet
	Rows     uint32 // of the active version
	Previous uint64 // for one-step rollback
}

// RateRow is one line of a rate table.
type RateRow struct {
	Prefix     string
	Area       string
	Price      billing.Price
	ConnectFee billing.Amount
	First      uint16 // seconds
	Next       uint16
	Minimum    uint16
	Free       uint16
}

// BlockList names the list of a dynamic blacklist entry.
type BlockList uint8

// The dynamic lists (F146-F148); manual entries belong to one of these too.
const (
	Malicious  BlockList = 1 // caller; too many attempts in a window
	NoAnswer   BlockList = 2 // callee; consecutive unanswered calls
	Concurrent BlockList = 3 // caller; too many calls at once
)

// Block is one entry of the dynamic blacklist, with its evidence.
type Block struct {
	Number   string
	List     BlockList
	Scope    string // routing gateway, or empty: everywhere
	Account  string // ingress account whose traffic tripped it; empty: all accounts
	Since    Time
	Until    Time // 0: until deleted
	LastCall Time
	Node     NodeID // that saw the last call
	Manual   bool
	Limit    uint32        // evidence: Count reached Limit within Window
	Count    uint32        //
	Window   time.Duration //
	First    Time          // first and last event of the window
	Sample   string        // an example of the other party
	Hits     uint64        // calls refused by this entry
	Memo     string
}

// NumberList is a named list of numbers, full match (F134). The names
// "whitelist" (above every blacklist, F135) and "emergency" are the system's.
type NumberList struct {
	Name    string
	Numbers []string // sorted
	Memo    string
}

// Token is an API token's record; the secret itself is never stored.
type Token struct {
	ID      string
	Name    string
	Hash    [32]byte // SHA-256 of the secret
	Role    string   // viewer, operator, billing, routing, admin
	Expires Time
	Created Time
}

// Transfer is one movement of money between two ledger accounts
// (client:ID, vendor:ID, house:cash, house:revenue, house:cost, house:loss).
type Transfer struct {
	Seq      uint64 // dense over the cluster
	At       Time
	Index    uint64
	Debit    string // pays
	Credit   string // receives
	Amount   billing.Amount
	Currency string
	Kind     TransferKind
	Call     CallID
	CDR      uint64
	Memo     string
	Actor    string
}

// TransferKind says why money moved.
type TransferKind uint8

// The kinds of transfers.
const (
	TransferPayment TransferKind = 1 + iota
	TransferAdjustment
	TransferCharge // client -> revenue
	TransferCost   // cost -> vendor
	TransferLoss
	TransferAmendment // an earlier fact arrived after the first EndCall
	TransferUse       // seconds of a package that a call has talked
	TransferPackage   // its price, and the issue of its seconds
	TransferLapse     // seconds that were not used in time
)
