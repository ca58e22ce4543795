// Package outbox is a durable local queue for settlements that could not commit
// while there was no leader. What is in it is offered to the cluster until it
// commits, over restarts of the process and the machine.
//
// A settlement may reach the log twice (it committed, then the process died
// before it was removed here): the state machine's first EndCall wins.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"tandem/cluster"
	"tandem/fsm/wire"
)

const (
	// maxRecords bounds the box: more than all calls of a node ending in one
	// outage.
	maxRecords = 100_000
	// maxParallel bounds the commands that are offered at once.
	maxParallel = 64
	// offerFor is how long one offer lasts.
	offerFor = cluster.DefaultHold
	// retryAfter is the wait after an offer failed.
	retryAfter = time.Second
	maxBootID  = 64
)

// ErrFull means that the box holds maxRecords already.
var ErrFull = errors.New("outbox is full")

// Proposer is the part of a cluster that the outbox needs.
type Proposer interface {
	Propose(ctx context.Context, cmd cluster.Command) (cluster.Result, error)
}

// Record is one stored value.
type Record struct {
	ID    uint64
	Value []byte
}

// Store is the file behind a box; package store has it on bbolt.
type Store interface {
	// Append returns after the value is on the disk.
	Append(value []byte) (id uint64, err error)
	// Remove deletes records.
	Remove(ids ...uint64) error
	// Load returns all records, oldest first.
	Load() ([]Record, error)
}

// Config is what an outbox is made of.
type Config struct {
	// Store is the box's own file. The caller closes it.
	Store    Store
	Proposer Proposer
	// BootID names this boot of the machine and Boot is the time since then
	// (CLOCK_BOOTTIME): they keep ages exact over a restart of the process. Wall
	// is for ages over a restart of the machine. Nil or empty: wall clock only.
	BootID string
	Boot   func() time.Duration
	Wall   func() time.Time // nil: time.Now
	// Done hears of every result, also refusals. May be nil.
	Done   func(body []byte, r cluster.Result)
	Logger *slog.Logger // nil discards
}

// Box is an open outbox.
type Box struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{} // capacity 1: something was put in

	mu      sync.Mutex // guards what follows
	waiting []settlement
	writing int // Puts on their way to the disk
}

// settlement is one command and when its event happened.
type settlement struct {
	id    uint64
	boot  string        // boot id
	since time.Duration // of the event, since that boot
	wall  int64         // of the event, µs
	body  []byte
}

func (s *settlement) code(c *wire.Codec) {
	c.String(&s.boot, maxBootID)
	wire.Int(c, &s.since)
	c.Int(&s.wall)
	c.Bytes(&s.body, cluster.MaxCommand)
}

// Open reads what a former life left.
func Open(cfg Config) (*Box, error) {
	if cfg.Store == nil || cfg.Proposer == nil {
		return nil, errors.New("outbox: store or proposer is missing")
	}
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	if cfg.Boot == nil {
		cfg.BootID, cfg.Boot = "", func() time.Duration { return 0 }
	}
	b := &Box{cfg: cfg, log: cfg.Logger, wake: make(chan struct{}, 1)}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	records, err := cfg.Store.Load()
	if err != nil {
		return nil, fmt.Errorf("load outbox: %w", err)
	}
	for _, r := range records {
		s := settlement{id: r.ID}
		d := wire.Decoder(r.Value)
		s.code(d)
		if err := d.Finish(); err != nil {
			return nil, fmt.Errorf("outbox record %d: %w", r.ID, err)
		}
		b.waiting = append(b.waiting, s)
	}
	return b, nil
}

// Put stores a command whose event happened at since (monotonic); it returns
// after the command is on the disk.
func (b *Box) Put(body []byte, since time.Time) error {
	if len(body) > cluster.MaxCommand {
		return fmt.Errorf("settlement of %d bytes, at most %d", len(body), cluster.MaxCommand)
	}
	b.mu.Lock()
	full := len(b.waiting)+b.writing >= maxRecords
	if !full {
		b.writing++
	}
	b.mu.Unlock()
	if full {
		return ErrFull
	}
	age := max(0, time.Since(since))
	s := settlement{boot: b.cfg.BootID, since: b.cfg.Boot() - age, wall: b.cfg.Wall().Add(-age).UnixMicro(), body: body}
	w := wire.Encoder(nil)
	s.code(w)
	id, err := b.cfg.Store.Append(w.Buffer())
	s.id = id
	b.mu.Lock()
	b.writing--
	if err == nil {
		b.waiting = append(b.waiting, s)
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("store settlement: %w", err)
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return nil
}

// Len is the number of commands that wait.
func (b *Box) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

// Run offers what waits, oldest first, until ctx ends.
func (b *Box) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		var again <-chan time.Time
		if batch := b.oldest(); len(batch) > 0 {
			if b.offer(ctx, batch) {
				continue
			}
			again = time.After(retryAfter)
		}
		select {
		case <-ctx.Done():
		case <-b.wake:
		case <-again:
		}
	}
	return nil
}

// oldest returns the next commands to offer.
func (b *Box) oldest() []settlement {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.waiting[:min(len(b.waiting), maxParallel)])
}

// offer proposes a batch, removes what was answered, and says whether all was.
func (b *Box) offer(ctx context.Context, batch []settlement) bool {
	answered := make([]bool, len(batch))
	var all sync.WaitGroup
	for i, s := range batch {
		all.Go(func() { answered[i] = b.propose(ctx, s) })
	}
	all.Wait()
	var ids []uint64
	for i, s := range batch {
		if answered[i] {
			ids = append(ids, s.id)
		}
	}
	if len(ids) == 0 {
		return false
	}
	if err := b.cfg.Store.Remove(ids...); err != nil {
		b.log.Error("settlements stay in the outbox", "count", len(ids), "err", err)
		return false
	}
	b.mu.Lock()
	b.waiting = slices.DeleteFunc(b.waiting, func(s settlement) bool { return slices.Contains(ids, s.id) })
	b.mu.Unlock()
	return len(ids) == len(batch)
}

// propose offers one command and says whether it was answered.
func (b *Box) propose(ctx context.Context, s settlement) bool {
	now := time.Now()
	r, err := b.cfg.Proposer.Propose(ctx, cluster.Command{
		Lane: cluster.LaneUrgent, Body: s.body, Since: now.Add(-b.age(s)), Until: now.Add(offerFor),
	})
	if err != nil {
		b.log.Debug("settlement waits", "record", s.id, "err", err)
		return false
	}
	if b.cfg.Done != nil {
		b.cfg.Done(s.body, r)
	}
	return true
}

// age is how long ago the event happened: exactly within one boot of the
// machine, by the wall clock over several.
func (b *Box) age(s settlement) time.Duration {
	if s.boot != "" && s.boot == b.cfg.BootID {
		return max(0, b.cfg.Boot()-s.since)
	}
	return max(0, b.cfg.Wall().Sub(time.UnixMicro(s.wall)))
}
