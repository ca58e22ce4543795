package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// maxEntries bounds the entries in flight: with more, batches get small and
	// cost goes up, with fewer the disks idle.
	maxEntries = 2
	// maxQueued bounds what waits at the leader. Nodes send at most two batches
	// each, so this is room for 64 nodes.
	maxQueued = 64 * maxBatches * maxEntryCommands
	// tickEvery is how long log time may stand still while something has a
	// deadline.
	tickEvery = 500 * time.Millisecond
)

// sequencer is the leader's half of a proposal: it merges the batches of all
// nodes into entries, stamps them with log time and hands them to raft. On a
// node that does not lead it refuses everything.
type sequencer struct {
	raft      *raft.Raft
	clock     *logClock
	median    func() time.Time      // of the members' wall clocks
	survey    func(context.Context) // asks the members for their clocks
	wantsTick func() bool
	hint      func(origins []string, term, index uint64)
	wake      chan struct{}

	mu      sync.Mutex // guards what follows; never held across raft
	queue   laneQueue[pending]
	leading bool
	ready   bool   // the opening entry of the term has been applied
	term    uint64 // in which this node leads
	flying  int
	pace    pacer
	last    time.Time // of the newest entry

	entries, commands atomic.Uint64
}

// pending is one command that waits for its entry.
type pending struct {
	request
	batch *batch
	place int // in batch.out
}

// batch is what a node sent; done is called when the last answer is in.
type batch struct {
	mu   sync.Mutex // guards what follows
	out  []outcome
	open int
	done func([]outcome)
}

// answer fills in one outcome.
func (b *batch) answer(place int, o outcome) {
	b.mu.Lock()
	b.out[place] = o
	b.open--
	last := b.open == 0
	b.mu.Unlock()
	if last {
		b.done(b.out)
	}
}

// add queues a batch. ErrNoLeader: this node does not lead, nothing was queued.
func (s *sequencer) add(reqs []request, done func([]outcome)) error {
	b := &batch{out: make([]outcome, len(reqs)), open: len(reqs), done: done}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leading {
		return ErrNoLeader
	}
	if s.queue.len()+len(reqs) > maxQueued {
		return ErrBusy
	}
	for i, r := range reqs {
		s.queue.push(item[pending]{value: pending{r, b, i}, lane: r.lane, flow: r.flow, size: len(r.envelope), since: now})
	}
	s.pace.arrived(len(reqs), now)
	s.poke()
	return nil
}

func (s *sequencer) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run leads when raft says so, until ctx ends.
func (s *sequencer) run(ctx context.Context) {
	var flights sync.WaitGroup
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		entry, wait := s.nextEntry(time.Now())
		if entry != nil {
			s.propose(&flights, entry)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case lead := <-s.raft.LeaderCh():
			s.resign()
			if lead {
				flights.Go(func() { s.open(ctx) })
			}
		case <-s.wake:
		case <-timer.C:
		}
	}
	s.resign()
	flights.Wait()
}

// resign refuses what waits; the nodes send it to the next leader.
func (s *sequencer) resign() {
	s.mu.Lock()
	s.leading, s.ready = false, false
	left := s.queue.removeIf(func(pending) bool { return true })
	s.mu.Unlock()
	for _, it := range left {
		it.value.batch.answer(it.value.place, outcome{retry: true})
	}
}

// open begins a term: everything of earlier terms is applied first, so that log
// time goes on from the newest entry, then an entry without commands gives the
// term its first log time and makes reads and proposals possible.
func (s *sequencer) open(ctx context.Context) {
	term := s.raft.CurrentTerm()
	if s.raft.Barrier(0).Error() != nil || ctx.Err() != nil {
		return // not the leader any more; raft tells when we are again
	}
	if _, live := s.clock.now(); !live {
		s.survey(ctx)
	}
	s.clock.start(s.median())
	at := s.clock.stamp(s.median())
	s.mu.Lock()
	s.leading, s.term, s.last = true, term, time.Now()
	s.mu.Unlock()
	f := s.raft.Apply(encodeEntry(at, nil), 0)
	if f.Error() != nil || s.raft.CurrentTerm() != term {
		s.resign()
		return
	}
	s.mu.Lock()
	s.ready = s.leading && s.term == term
	s.mu.Unlock()
	s.poke()
}

// leads says whether this node leads, has an entry of its term applied, and in
// which term.
func (s *sequencer) leads() (term uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.term, s.ready
}

// nextEntry takes the commands of the next entry (none: a tick), or says how
// long to wait.
func (s *sequencer) nextEntry(now time.Time) (entry []item[pending], wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready || s.flying >= maxEntries {
		return nil, time.Hour
	}
	n := s.queue.len()
	if n == 0 {
		idle := tickEvery - now.Sub(s.last)
		if idle > 0 {
			return nil, idle
		}
		s.last = now
		if !s.wantsTick() {
			return nil, tickEvery
		}
		s.flying++
		return []item[pending]{}, 0
	}
	if n < maxEntryCommands {
		if hold := s.pace.hold(now); hold > 0 {
			return nil, hold
		}
	}
	s.pace.left(now)
	s.flying++
	s.last = now
	return s.queue.take(maxEntryCommands), 0
}

// propose appends one entry and answers its commands when it is applied.
func (s *sequencer) propose(flights *sync.WaitGroup, entry []item[pending]) {
	envelopes := make([][]byte, len(entry))
	for i, it := range entry {
		envelopes[i] = it.value.envelope
	}
	term, _ := s.leads()
	f := s.raft.Apply(encodeEntry(s.clock.stamp(s.median()), envelopes), 0)
	s.entries.Add(1)
	s.commands.Add(uint64(len(entry)))
	flights.Go(func() {
		out, err := answerOf(f, len(entry))
		if err == nil {
			s.hint(origins(entry), term, f.Index())
		}
		s.mu.Lock()
		s.flying--
		s.mu.Unlock()
		s.poke()
		for i, it := range entry {
			it.value.batch.answer(it.value.place, out[i])
		}
	})
}

// answerOf waits for an entry and returns an outcome for each of its n commands.
// Whatever goes wrong, the commands are to be sent again: whether the entry was
// committed is for the state machine to find out by their numbers.
func answerOf(f raft.ApplyFuture, n int) ([]outcome, error) {
	out := make([]outcome, n)
	err := f.Error()
	if err == nil {
		a, ok := f.Response().(applied)
		switch {
		case !ok:
			err = errors.New("entry without a response")
		case a.err != nil:
			err = a.err
		default:
			for i, data := range a.results {
				out[i] = outcome{index: f.Index(), data: data}
				if len(data) > maxOutcome {
					out[i].data, out[i].large = nil, true
				}
			}
			return out, nil
		}
	}
	for i := range out {
		out[i].retry = true
	}
	return out, err
}

// origins names the nodes whose commands are in an entry.
func origins(entry []item[pending]) []string {
	var out []string
	for _, it := range entry {
		known := false
		for _, o := range out {
			known = known || o == it.value.origin
		}
		if !known {
			out = append(out, it.value.origin)
		}
	}
	return out
}
