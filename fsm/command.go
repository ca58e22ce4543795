package fsm

import (
	"time"

	"tandem/billing"
)

// Kind names a command on the wire. Numbers are never reused.
type Kind uint8

// The commands. Calls first, then what operators do, then the cluster's own.
const (
	KindStartCall Kind = 1 + iota
	KindProgress
	KindAnswerCall
	KindExtendCall
	KindEndCall
	KindBeat
	KindRefused
	KindGatewayHealth
	KindPutAccount
	KindDeleteAccount
	KindTopUp
	KindPutMappingGateway
	KindPutRoutingGateway
	KindDeleteGateway
	KindPutRateTable
	KindDeleteRateTable
	KindImportRates
	KindActivateRates
	KindSetParameter
	KindPutBlock
	KindDeleteBlock
	KindPutNumberList
	KindDeleteNumberList
	KindPutToken
	KindDeleteToken
	KindNodeUp
	KindNodeDown
	KindRaiseFeatureLevel
	KindTick
	KindHandOver
	KindSetDrain
	KindRemoveMember
	KindUpdateLegs
	KindForgetDays
	KindPutPackage
	KindDeletePackage
	KindBuyPackage
	KindPutPhone
	KindDeletePhone
	KindPutBinding
	KindDropBinding
)

// Origin says who proposes a command, so that a retry or a duplicate changes
// nothing and returns the first answer (idempotency, per node).
type Origin struct {
	Node        NodeID
	Incarnation uint64 // grows with each start of the node's process
	Seq         uint64 // dense per incarnation, from 1
	Low         uint64 // the node's lowest Seq without an answer; older results are forgotten
}

// Command is one intent in the log.
type Command struct {
	Origin   Origin
	Age      time.Duration // monotonic time since the event that it reports, refreshed at each retry
	Deadline Time          // refused as stale when applied after this log time; 0: none
	Key      string        // administrative idempotency key, scoped by its token ("token/key"); empty for calls
	Body     Body
}

// Body is the content of a command: one of the types below.
type Body interface{ Kind() Kind }

// StartCall reports an INVITE that opens a call. Apply finds the ingress,
// checks lists, limits and money, rates the number, orders the candidates and
// holds the first slice; its Result carries the [Plan] or the refusal.
type StartCall struct {
	Call      CallID
	Source    Addr   // where the INVITE came from
	SourceVia string // "udp", "tcp" or "tls"
	Caller    string // user part of From (or PAI), as received
	Callee    string // user part of the Request-URI, as received
	SIPCallID string // for the CDR
	Invite    []byte // what is needed to answer or refuse the caller from any node; opaque
	Offer     []byte // the caller's SDP; opaque
	MediaAddr Addr   // signalled media address of the caller, for the CDR; may be zero
	Identity  Identity
	Line      string // service address that the INVITE came to, as the text of its IP
	Phone     string // number of the phone that has authenticated; empty: the source says who calls
}

// Progress reports the first 18x of a candidate.
type Progress struct {
	Call      CallID
	Epoch     Epoch
	Candidate uint8 // index into Plan.Candidates
	Status    uint16
	DialogA   []byte // early dialogs and SDP as sent and received; opaque
	DialogB   []byte
	Media     []byte    // media session state; opaque
	Attempts  []Attempt // until now; nil: unchanged
}

// AnswerCall reports a candidate's 200 (Age: since it arrived). The call is
// charged from there. At most one candidate of a call can win.
type AnswerCall struct {
	Call      CallID
	Epoch     Epoch
	Candidate uint8
	DialogA   []byte
	DialogB   []byte
	Media     []byte
	Codec     string
	PeerMedia Addr // signalled media address of the callee, for the CDR
	Attempts  []Attempt
}

// ExtendCall asks for the next slice of an answered call, and is proof of life.
type ExtendCall struct {
	Call  CallID
	Epoch Epoch
	Slice uint32 // number of the slice asked for; the first, held by StartCall, is 1
	// Dialogs and media when they changed since the last commit; nil: unchanged.
	DialogA, DialogB, Media []byte
}

// EndKind tells a fact (accepted from any epoch, final) from a decision (needs
// the present epoch). ARCHITECTURE.md, rule 1.
type EndKind uint8

// The kinds of EndCall.
const (
	EndFact     EndKind = 1 // a peer's BYE, CANCEL or 481, Age ago
	EndDecision EndKind = 2 // credit, limit, reaper, operator, failed set-up
	EndVoid     EndKind = 3 // the plan arrived too late and was never dialled
)

// EndCall ends a call: the hold is settled and the CDR written.
type EndCall struct {
	Call      CallID
	Epoch     Epoch
	How       EndKind
	Reason    EndReason
	By        Party
	SIPStatus uint16 // final status sent to the caller of a call that was not answered
	Q850      uint8
	Attempts  []Attempt
	MediaA    MediaStats // received from A
	MediaB    MediaStats // received from B
	Told      Legs       // that are known to know, such as by a 200 to our BYE
}

// UpdateLegs reports what changed in a call without a word about money: a
// re-INVITE was answered, or the heir of an address that cannot move has invited
// both legs to its own. Nil and empty fields stay as they are.
type UpdateLegs struct {
	Call    CallID
	Epoch   Epoch
	Line    string // service address of the owner's
	DialogA []byte
	DialogB []byte
	Media   []byte
}

// Beat is a node's proof of life for its calls, every 5 s.
type Beat struct {
	Silent []CallID // calls of this node whose RTP has stopped in both directions
}

// Refused reports calls that a node refused by itself, aggregated: at most one
// a second and source once a source passes 50 a second (ARCHITECTURE.md, rule 9).
type Refused struct {
	Source Addr
	Reason EndReason
	Count  uint32
	First  time.Duration // age of the first and the last of them
	Last   time.Duration
	Caller string // sample
	Callee string
	Status uint16 // answered with; 0: silence
}

// GatewayHealth takes a routing gateway out of plans until a time (a vendor's
// Retry-After, F110), or back in (Out zero).
type GatewayHealth struct {
	Gateway string
	Out     time.Duration
	Reason  string
}

// PutAccount creates or replaces an account's settings. Money fields of the
// record are ignored: they change by TopUp and by calls alone.
type PutAccount struct{ Account Account }

// DeleteAccount removes an account that has no money, holds, calls or gateways.
type DeleteAccount struct{ ID string }

// TopUp moves money between house:cash and an account. Negative amounts deduct.
type TopUp struct {
	Account string
	Amount  billing.Amount
	Adjust  bool // an adjustment, not a payment (type of the transfer)
	Memo    string
	Actor   string // token name, for the ledger
}

// PutMappingGateway creates or replaces an ingress.
type PutMappingGateway struct{ Gateway MappingGateway }

// PutRoutingGateway creates or replaces an egress.
type PutRoutingGateway struct{ Gateway RoutingGateway }

// DeleteGateway removes a gateway; live calls keep what they copied from it.
type DeleteGateway struct {
	ID      string
	Mapping bool
}

// PutRateTable creates or changes a table's settings; rates come by ImportRates.
type PutRateTable struct{ Table RateTable }

// DeleteRateTable removes a table that no account or gateway uses.
type DeleteRateTable struct{ ID string }

// ImportRates stores one chunk of a new version of a table. Rows are sorted by
// prefix over all chunks. Nothing is used before ActivateRates.
type ImportRates struct {
	Table   string
	Version uint64
	Chunk   uint32 // from 0, dense
	Rows    []RateRow
}

// ActivateRates makes a complete version the one that new calls are priced by.
type ActivateRates struct {
	Table   string
	Version uint64
	Rows    uint32 // how many rows the version must have
}

// SetParameter changes a system parameter, by its name or an alias.
type SetParameter struct{ Name, Value string }

// PutBlock adds a manual entry to the dynamic blacklist, or extends one. Its end
// is reckoned in Apply: Until of the record is ignored.
type PutBlock struct {
	Block   Block
	For     time.Duration // how long; 0: as SS_SIP_DYNAMIC_BLACKLIST_EXPIRE says
	Forever bool          // until it is deleted
}

// DeleteBlock removes an entry of the dynamic blacklist.
type DeleteBlock struct {
	Number string
	List   BlockList
	Scope  string // routing gateway id, or empty for the whole cluster
}

// PutNumberList creates or replaces a list of numbers (full match).
type PutNumberList struct{ List NumberList }

// DeleteNumberList removes a list.
type DeleteNumberList struct{ Name string }

// PutPackage creates or replaces a product: seconds of talk to buy ahead.
type PutPackage struct{ Package Package }

// DeletePackage removes a product. Who has bought it keeps what he has.
type DeletePackage struct{ ID string }

// BuyPackage charges a package's price to an account and issues its seconds.
// Result.Count is the number of the purchase.
type BuyPackage struct {
	Account string
	Package string
	Memo    string
	Actor   string
}

// PutPhone creates or replaces a phone. Its contacts and counters stay.
type PutPhone struct{ Phone Phone }

// DeletePhone removes a phone with its contacts.
type DeletePhone struct{ Number string }

// PutBinding reports a REGISTER of a phone, which has authenticated: all of its
// contacts are taken, or none. A registrar proposes it when something changes or
// half of the time has passed. Result.Count says how many contacts there are now.
type PutBinding struct {
	Number    string
	CallID    string
	CSeq      uint32
	Flow      Flow
	Path      []string
	UserAgent string
	Contacts  []Contact
}

// DropBinding removes contacts of a phone: all of them ("*", an operator), that
// of an ID, or those of a flow that has failed. Result.Count says how many.
type DropBinding struct {
	Number string
	ID     string // empty: all
	Flow   Flow   // zero: whichever it is
	CallID string // of the REGISTER that asks for it, with CSeq; empty: none does
	CSeq   uint32
	Reason string
}

// PutToken creates or replaces an API token's record (never the secret).
type PutToken struct{ Token Token }

// DeleteToken revokes a token.
type DeleteToken struct{ ID string }

// NodeUp announces a new incarnation of a node: the older one is fenced and the
// epoch of its calls and addresses is raised. It ends a drain.
type NodeUp struct {
	Node        NodeID
	Incarnation uint64
	Level       uint16 // newest feature level the binary can apply
	Version     string
	Addresses   []ServiceAddress
	Witness     bool
}

// NodeDown declares an incarnation dead and gives all that it owned to one heir.
// Too few pledges are refused.
type NodeDown struct {
	Node        NodeID
	Incarnation uint64
	Pledges     []Pledge
	Exited      bool // a guard reported the exit: proof without pledges
}

// HandOver gives a service address and the calls on it to another node. Its
// present owner proposes it (Origin), after it has stopped serving them. Of an
// address that cannot move only the calls change their owner. Result.Count says
// how many calls moved.
type HandOver struct {
	IP string
	To NodeID
}

// SetDrain lets a node run empty, or ends that: it inherits nothing while
// another node is there, and nobody hands anything over to it.
type SetDrain struct {
	Node   NodeID
	On     bool
	By     string // who asks for it
	Reason string
}

// RemoveMember forgets a node that is down and owns nothing.
type RemoveMember struct{ Node NodeID }

// ForgetDays drops the bookkeeping of days whose CDRs and transfers have been
// deleted, once no node misses any of them.
type ForgetDays struct {
	Before int32 // number of the first UTC day that is kept
}

// RaiseFeatureLevel raises the level once every member can apply it.
type RaiseFeatureLevel struct{ Level uint16 }

// Tick lets log time pass when nothing else happens.
type Tick struct{}
