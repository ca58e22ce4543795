package call

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/media"
)

// Bounds and periods that are the same everywhere.
const (
	// maxHeld is how many INVITEs may wait for their first commit on a node.
	maxHeld = 1000
	// defaultHold is how long an INVITE, an answer or an end waits for a leader.
	defaultHold = 4 * time.Second
	// defaultRetryAfter is what a refused caller is asked to wait: long enough for
	// an election, short enough not to empty a trunk.
	defaultRetryAfter = 5 * time.Second
)

// Command is one proposal of call control.
type Command struct {
	Lane  cluster.Lane
	Flow  string    // fairness within cluster.LaneStart: the ingress address
	Body  fsm.Body  //
	Since time.Time // when the event that it reports happened
	Until time.Time // when to give up
}

// Proposer commits commands. done is called exactly once, after this node's own
// replica has applied the command or at Until at the latest, from any goroutine.
// Errors are those of package cluster: ErrBusy, ErrTimeout, ErrUnsent, ErrClosed.
type Proposer interface {
	Submit(cmd Command, done func(fsm.Result, error))
}

// Outbox keeps settlements that could not commit. Put returns after the fsync;
// what it took is offered to the cluster until it commits.
type Outbox interface {
	Put(body fsm.Body, since time.Time) error
}

// Records reads the local replica.
type Records interface {
	// Call returns the record of a live call.
	Call(id fsm.CallID) (fsm.Call, bool)
	// Ended says whether a call ended a short while ago.
	Ended(id fsm.CallID) bool
	// LogTime is this node's estimate of log time.
	LogTime() fsm.Time
}

// Config is what call control works with. Key, Proposer, Outbox, Records and
// Node are required; the zero value of all else is the documented default.
type Config struct {
	Node     fsm.NodeID
	Key      []byte // the cluster's key for identifiers
	Proposer Proposer
	Outbox   Outbox
	Records  Records

	// Serving says whether the node may take new calls: it holds its lease and is
	// not draining. nil: always.
	Serving func() bool
	// Confirm asks the cluster whether the local replica is up to date, and calls
	// done from any goroutine once it is, with false when it cannot be known. nil:
	// it always is.
	Confirm func(done func(ok bool))
	// StandIn returns the own service address on which a call goes on whose address
	// cannot move (ARCHITECTURE.md, rule 16). nil, and false: there is none.
	StandIn func(ip netip.Addr) (netip.Addr, bool)
	// SpareDead says that calls without any proof of life are only counted, not
	// ended. nil: they are ended.
	SpareDead func() bool
	// Alarm hears what an operator has to look at. It must not block. nil: it is only
	// logged.
	Alarm func(kind, text string)
	// Down says whether a gateway does not answer from here. nil: none is down.
	Down func(gateway string) bool
	// PeerDown says whether one of several addresses of a gateway does not answer
	// from here. nil: none is down.
	PeerDown func(addr netip.AddrPort, via string) bool
	// Resolve returns the addresses of a host name from a cache, without waiting, in
	// the order that belongs to a seed. nil: names are not resolved and their
	// candidates skipped.
	Resolve func(host, via string, seed uint64) []netip.AddrPort
	// Belongs says whether an address is one of a gateway's, an ingress or an egress:
	// its in-dialog requests may come from there. nil: of none.
	Belongs func(gateway string, ingress bool, ip netip.Addr) bool
	// Params returns the system parameters, which must not be changed. nil: the
	// defaults.
	Params func() *fsm.Params
	// Backoff hears of a gateway's Retry-After (F110). nil: it is ignored.
	Backoff func(gateway string, d time.Duration)
	// Refused hears of the calls that this node refused by itself, to be reported
	// in batches. It must not block. nil: they are only counted.
	Refused func(r fsm.Refused)

	Hold       time.Duration // sip.hold; 0: 4 s
	Ring       time.Duration // longest ringing; 0: the parameter's
	FirstTry   time.Duration // longest wait for the first 1xx; 0: the parameter's
	RetryAfter time.Duration // 0: 5 s
	MaxCalls   int           // live calls of this node; 0: no limit
	Media      media.Timeout // what silence of RTP means; 0: the parameters'
	Shards     int           // 0: GOMAXPROCS
	Logger     *slog.Logger  // nil discards
}

// Validate reports the first key whose value cannot be used.
func (c *Config) Validate() error {
	switch {
	case c.Node == "":
		return errors.New("call: Node is missing")
	case c.Proposer == nil:
		return errors.New("call: Proposer is missing")
	case c.Outbox == nil:
		return errors.New("call: Outbox is missing")
	case c.Records == nil:
		return errors.New("call: Records is missing")
	case len(c.Key) < minKey:
		return fmt.Errorf("call: Key has %d bytes, needs at least %d", len(c.Key), minKey)
	case c.Hold < 0 || c.Ring < 0 || c.FirstTry < 0 || c.RetryAfter < 0:
		return errors.New("call: Hold, Ring, FirstTry and RetryAfter must not be negative")
	case c.MaxCalls < 0 || c.Shards < 0:
		return errors.New("call: MaxCalls and Shards must not be negative")
	}
	return nil
}

// Control is the call control of a node. Its methods may be called from any
// goroutine, before and during Run.
type Control struct {
	cfg     Config
	names   names
	log     *slog.Logger
	stats   Stats
	shards  []*shard
	writer  *writer
	drain   atomic.Bool
	held    held         // INVITEs that wait for their first commit
	live    atomic.Int64 // calls in the shards
	strays  atomic.Int64 // BYEs under way to answers of unknown calls
	asking  atomic.Int64 // requests of unknown dialogs that wait for the cluster's word
	reaper  *reaper
	invites pace // of re-INVITEs to calls whose address could not move

	mu    sync.Mutex // guards lines
	lines map[netip.Addr]*Line
}

// New makes a call control without calls.
func New(cfg Config) (*Control, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Hold = cmp.Or(cfg.Hold, defaultHold)
	cfg.RetryAfter = cmp.Or(cfg.RetryAfter, defaultRetryAfter)
	cfg.Shards = cmp.Or(cfg.Shards, runtime.GOMAXPROCS(0))
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Params == nil {
		params := fsm.DefaultParams()
		cfg.Params = func() *fsm.Params { return &params }
	}
	made, err := newNames(cfg.Key)
	if err != nil {
		return nil, err
	}
	c := &Control{cfg: cfg, names: made, log: cfg.Logger, lines: map[netip.Addr]*Line{}}
	c.writer = newWriter(cfg.Outbox, c.log)
	c.reaper = newReaper(c)
	c.invites.every = time.Second / movesPerSecond
	for range cfg.Shards {
		c.shards = append(c.shards, newShard(c))
	}
	return c, nil
}

// Run serves calls until ctx ends and returns after its goroutines have. Calls
// are left as they are: their records live on in the cluster.
func (c *Control) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, s := range c.shards {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Go(func() { c.writer.run(ctx) })
	wg.Wait()
	return nil
}

// Stats returns the live counters.
func (c *Control) Stats() *Stats { return &c.stats }

// Live is the number of calls that this node serves, in whatever state.
func (c *Control) Live() int { return int(c.live.Load()) }

// Held is the number of INVITEs that wait for their first commit.
func (c *Control) Held() int { return c.held.all() }

// Drain starts or stops refusing new calls.
func (c *Control) Drain(on bool) { c.drain.Store(on) }

// Adopt takes over a call that the state says belongs to this node. at is the
// log time now. A call that is served already only learns its new epoch, so the
// caller may repeat itself.
func (c *Control) Adopt(record fsm.Call, at fsm.Time) {
	c.shard(record.ID).post(item{id: record.ID, ev: adopted{record: record, at: at}, sure: true})
}

// Ended tells that a call was ended by a command that its owner did not propose
// (fsm.EventCallEnded): what is left of it gets a BYE.
func (c *Control) Ended(id fsm.CallID, reason fsm.EndReason) {
	c.shard(id).post(item{id: id, ev: endedElsewhere{reason: reason}, sure: true})
}

// Moved tells that a call belongs to another node now: it is dropped in silence.
// Its relay goes on for a grace, until the new owner has the packets.
func (c *Control) Moved(id fsm.CallID) {
	c.shard(id).post(item{id: id, ev: moved{}, sure: true})
}

// Orphan takes over the end of a call whose owner died before both legs knew of
// it: they are told, and nothing is committed. The caller may repeat itself.
func (c *Control) Orphan(o fsm.Orphan, at fsm.Time) {
	c.shard(o.Call.ID).post(item{id: o.Call.ID, ev: orphaned{orphan: o, at: at}, sure: true})
}

// Funded tells that an account has money again: its calls may ask for more.
func (c *Control) Funded(account string) {
	for _, s := range c.shards {
		s.post(item{ev: funded{account: account}, sure: true})
	}
}

// Hangup ends a call by an operator's wish. It returns false if the mailbox of
// the call's shard is full.
func (c *Control) Hangup(id fsm.CallID) bool {
	return c.shard(id).post(item{id: id, ev: hangup{reason: fsm.EndOperator}})
}

// line returns the service address ip, or nil if it is not here or not open yet.
func (c *Control) line(ip netip.Addr) *Line {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lines[ip]; l != nil && l.endpoint.Load() != nil {
		return l
	}
	return nil
}

// lineFor returns the line on which a call of a service address is served: that
// address, or the one that stands in for it.
func (c *Control) lineFor(ip netip.Addr) *Line {
	if l := c.line(ip); l != nil || c.cfg.StandIn == nil {
		return l
	}
	if own, ok := c.cfg.StandIn(ip); ok {
		return c.line(own)
	}
	return nil
}

func (c *Control) shard(id fsm.CallID) *shard {
	return c.shards[(uint(id[0])<<8|uint(id[1]))%uint(len(c.shards))]
}

// serving says whether a new call may be taken, and why not.
func (c *Control) serving() bool {
	return !c.drain.Load() && (c.cfg.Serving == nil || c.cfg.Serving()) &&
		(c.cfg.MaxCalls == 0 || c.live.Load() < int64(c.cfg.MaxCalls))
}
