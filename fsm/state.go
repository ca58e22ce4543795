package fsm

import (
	"tandem/billing"
	"tandem/fsm/fraud"
	"tandem/fsm/route"
)

// Bounds of the state. Each refuses with [Full], or lets the oldest go.
const (
	maxAccounts      = 2_000_000
	maxGateways      = 20_000
	maxRateTables    = 10_000
	maxRateRows      = 20_000_000 // over all tables and versions, about 2 GB
	maxLists         = 10_000
	maxListed        = 5_000_000 // numbers in all lists
	maxBlocks        = 200_000
	maxTokens        = 10_000
	maxLiveCalls     = 200_000 // about 0.5 GB with dialogs and SDP
	maxResults       = 4_096   // of one node: as many commands may be in flight
	maxEnded         = 100_000 // tombstones; above it the oldest go early
	maxOrphans       = 16_384  // ended calls whose legs may have to be told; above it the oldest go early
	maxKeys          = 10_000  // administrative keys of one token
	maxVersions      = 4       // of one rate table: active, previous, two to come
	expiriesPerEntry = 256     // clearing away never delays an entry for long
	mergesPerEntry   = 512     // records that come back from an overlay
)

// Config is what a state machine has to know before its first entry.
type Config struct {
	// HashKey keys the record hashes. It is the same on all replicas and secret
	// from callers; a restored state has the key of its snapshot.
	HashKey [16]byte
}

// State is the replicated state machine. It belongs to one goroutine at a time;
// a [View] of it may be read by others.
type State struct {
	head  header
	index uint64
	now   Time // of the entry that is being applied
	out   Applied

	accounts  *table[string, Account]
	houses    *table[houseKey, billing.Balance]
	mappings  *table[string, MappingGateway]
	routings  *table[string, RoutingGateway]
	prices    *table[string, RateTable]
	versions  *table[versionKey, rateVersion]
	chunks    *table[chunkKey, rateChunk]
	lists     *table[string, NumberList]
	blocks    *table[fraud.Key, Block]
	windows   *table[fraud.Key, fraud.Window]
	params    *table[string, parameter]
	tokens    *table[string, Token]
	members   *table[NodeID, Member]
	calls     *table[CallID, Call]
	ended     *table[CallID, tombstone]
	results   *table[resultKey, Result]
	keys      *table[string, adminResult]
	addresses *table[string, Address]
	packages  *table[string, Package]
	purchases *table[purchaseKey, Purchase]
	days      *table[int32, Day]
	phones    *table[string, Phone]
	bindings  *table[bindingKey, Binding]
	tables    []shelf // all of them, in order of their kinds

	ix          indexes
	set         Params // as params has them
	rounding    billing.Rounding
	decision    decision // scratch, as what follows
	selection   route.Selection
	routing     routing
	views       []*View // not released yet
	checkpoints []Checkpoint
	hasher      hasher
}

// header is the one record that is not in a table.
type header struct {
	HashKey   [16]byte
	At        Time // of the last entry
	Level     uint16
	CDRs      uint64 // sequence of the last one
	Transfers uint64
	Link      Hash  // of the last CDR
	Horizon   int32 // first UTC day whose rows are kept
	Forgotten Hash  // link of the last CDR before that
}

// shelf is a table without its types.
type shelf interface {
	freeze() frozenTable
	thaw()
	recycle()
	merge(steps int) int
	books
}

// books is what a table does for the state's hash and for snapshots.
type books interface {
	rehash(*hasher)
	total(*hasher) sum128
	load(payload []byte) error
	number() recordKind
}

// houseKey names an account of the house: "house:cash" and so on, in a
// currency.
type houseKey struct{ Name, Currency string }

// The house's accounts.
const (
	houseCash    = "house:cash"
	houseRevenue = "house:revenue"
	houseCost    = "house:cost"
	houseLoss    = "house:loss"
	houseIssued  = "house:issued" // owes the seconds of packages that accounts have
	houseUsed    = "house:used"   // has those that were talked
)

// resultKey names a command of a node's present incarnation.
type resultKey struct {
	Node NodeID
	Seq  uint64
}

// parameter is a system parameter that is not at its default.
type parameter struct{ Value string }

// adminResult remembers what an administrative key was used for.
type adminResult struct {
	At     Time
	Body   Hash // of the encoded body
	Result Result
}

// tombstone remembers a call that ended or was refused, so that a late or
// repeated command about it changes nothing.
type tombstone struct {
	At    Time // of its end in the log
	Code  Code // of StartCall: OK, or its refusal
	CDR   uint64
	Fee   billing.Amount
	Final *CDR    // of an answered call, as amended last: a late fact may correct it; never changed
	Last  *Orphan // what telling its legs takes; nil: they know, or nothing was dialled; never changed
	Left  bool    // its owner has died since: Last names the heir
}

// New returns an empty state.
func New(cfg Config) *State {
	s := &State{head: header{HashKey: cfg.HashKey, Level: 1}}
	s.hasher = newHasher(cfg.HashKey)
	s.build()
	s.reindex()
	return s
}

// At returns the log time of the last entry.
func (s *State) At() Time { return s.head.At }

// Index returns the index of the last entry.
func (s *State) Index() uint64 { return s.index }

// Level returns the feature level in force.
func (s *State) Level() uint16 { return s.head.Level }

// Apply applies one committed entry and returns what came of it. It is a pure
// function of the state, the index and the entry. The entry and what it refers
// to belong to the state from then on.
func (s *State) Apply(index uint64, e Entry) Applied {
	s.tidy()
	s.index = index
	s.now = max(min(e.At, latestTime), s.head.At)
	s.head.At = s.now
	s.out = Applied{Index: index, At: s.now, Results: make([]Result, 0, len(e.Commands))}
	if n := endings(e.Commands); n > 1 {
		s.out.CDRs, s.out.Events = make([]CDR, 0, n), make([]Event, 0, n)
	}
	s.expire()
	for i := range e.Commands {
		s.out.Results = append(s.out.Results, s.command(&e.Commands[i]))
	}
	if index%checkpointEvery == 0 {
		s.checkpoint()
	}
	out := s.out
	s.out = Applied{}
	return out
}

// endings counts the commands that will write a CDR: they are large, and a slice
// of them that has to grow is copied again and again.
func endings(commands []Command) (n int) {
	for i := range commands {
		if _, ok := commands[i].Body.(*EndCall); ok {
			n++
		}
	}
	return n
}

// latestTime is the end of the year 9999: sums of log times and durations stay
// far from the ends of their type.
const latestTime Time = 253_402_300_799_999_999

// tidy sees which views were released, and merges some of what they kept apart.
func (s *State) tidy() {
	for _, t := range s.tables {
		t.recycle()
	}
	if len(s.views) > 0 {
		live := s.views[:0]
		for _, v := range s.views {
			if !v.isReleased() {
				live = append(live, v)
			}
		}
		clear(s.views[len(live):])
		s.views = live
		if len(live) > 0 {
			return
		}
		for _, t := range s.tables {
			t.thaw()
		}
	}
	steps := mergesPerEntry
	for _, t := range s.tables {
		steps = t.merge(steps)
	}
}

// event adds a consequence that nodes act on.
func (s *State) event(e Event) { s.out.Events = append(s.out.Events, e) }

// refuse is a result without effects.
func refuse(c Code, detail string) Result { return Result{Code: c, Detail: detail} }
