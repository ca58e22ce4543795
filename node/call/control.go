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
	// defaultRing is how long a candidate may ring.
	defaultRing = 60 * time.Second
	// defaultFirstTry is how long a candidate may stay without a 1xx.
	defaultFirstTry = 4 * time.Second
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
	// Down says whether a gateway does not answer from here. nil: none is down.
	Down func(gateway string) bool
	// Resolve returns the addresses of a host name from a cache, without waiting.
	// nil: names are not resolved and their candidates skipped.
	Resolve func(host string) []netip.AddrPort
	// Backoff hears of a gateway's Retry-After (F110). nil: it is ignored.
	Backoff func(gateway string, d time.Duration)
	// Refused hears of the calls that this node refused by itself, to be reported
	// in batches. It must not block. nil: they are only counted.
	Refused func(r fsm.Refused)

	Hold       time.Duration // sip.hold; 0: 4 s
	Ring       time.Duration // longest ringing; 0: 60 s
	FirstTry   time.Duration // longest wait for the first 1xx; 0: 4 s
	RetryAfter time.Duration // 0: 5 s
	MaxCalls   int           // live calls of this node; 0: no limit
	Media      media.Timeout // what silence of RTP means
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
	cfg    Config
	names  names
	log    *slog.Logger
	stats  Stats
	shards []*shard
	writer *writer
	drain  atomic.Bool
	held   atomic.Int64 // INVITEs that wait for their first commit
	live   atomic.Int64 // calls in the shards
	strays atomic.Int64 // BYEs under way to answers of unknown calls

	mu    sync.Mutex // guards lines
	lines map[netip.Addr]*Line
}

// New makes a call control without calls.
func New(cfg Config) (*Control, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Hold = cmp.Or(cfg.Hold, defaultHold)
	cfg.Ring = cmp.Or(cfg.Ring, defaultRing)
	cfg.FirstTry = cmp.Or(cfg.FirstTry, defaultFirstTry)
	cfg.RetryAfter = cmp.Or(cfg.RetryAfter, defaultRetryAfter)
	cfg.Shards = cmp.Or(cfg.Shards, runtime.GOMAXPROCS(0))
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	made, err := newNames(cfg.Key)
	if err != nil {
		return nil, err
	}
	c := &Control{cfg: cfg, names: made, log: cfg.Logger, lines: map[netip.Addr]*Line{}}
	c.writer = newWriter(cfg.Outbox, c.log)
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
func (c *Control) Held() int { return int(c.held.Load()) }

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
func (c *Control) Moved(id fsm.CallID) {
	c.shard(id).post(item{id: id, ev: moved{}, sure: true})
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

// Line returns the service address ip, or nil if there is none.
func (c *Control) line(ip netip.Addr) *Line {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines[ip]
}

func (c *Control) shard(id fsm.CallID) *shard {
	return c.shards[(uint(id[0])<<8|uint(id[1]))%uint(len(c.shards))]
}

// serving says whether a new call may be taken, and why not.
func (c *Control) serving() bool {
	return !c.drain.Load() && (c.cfg.Serving == nil || c.cfg.Serving()) &&
		(c.cfg.MaxCalls == 0 || c.live.Load() < int64(c.cfg.MaxCalls))
}
