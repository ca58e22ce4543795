package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxOpen bounds the span of unanswered sequence numbers: the state machine
	// keeps as many results per node (ARCHITECTURE.md, rule 4).
	maxOpen = 4096
	// maxStart bounds LaneStart while there is no leader: a node holds at most
	// 1,000 INVITEs.
	maxStart = 1000
	// maxStartAge bounds LaneStart while there is a leader: 250 ms of the
	// measured throughput is what waits behind an item of that age.
	maxStartAge = 250 * time.Millisecond
	// maxUrgent bounds each of the other lanes: more than all calls of a node do
	// at once, so whoever meets it has a defect upstream.
	maxUrgent = 1 << 16
	// maxBatches bounds the batches of a node on their way.
	maxBatches = 2
	// retryPause is the longest wait after a batch was refused for want of a leader.
	// The first one is firstPause, as a new leader needs a moment; it doubles.
	retryPause = 20 * time.Millisecond
	firstPause = time.Millisecond
	// sweepEvery is how often commands whose time is up are looked for.
	sweepEvery = 50 * time.Millisecond
	// deadline is how long after its first sending a command may still apply.
	deadline = 10 * time.Second
	// batchTimeout ends a call to a leader that neither answers nor loses its
	// leadership.
	batchTimeout = 5 * time.Second
)

// op is a command of this node on its way.
type op struct {
	cmd      Command
	done     func(Result, error)
	seq      uint64 // 0 before the first sending; what follows is set with it
	life     uint64 // incarnation
	low      uint64
	deadline int64 // log time
	finished bool  // done has been called or is being called
}

// late is the error of an op whose time is up.
func (o *op) late() error {
	if o.seq == 0 {
		return ErrUnsent
	}
	return ErrTimeout
}

// crowded is the error of an op that had to make room. One that was sent before
// may still be committed.
func (o *op) crowded() error {
	if o.seq == 0 {
		return ErrBusy
	}
	return ErrTimeout
}

// outcome is what a leader says about one command of a batch.
type outcome struct {
	index uint64
	data  []byte
	retry bool // not committed, or nobody knows: send it again
	large bool // applied, and data was left out because of its size
}

// proposer collects the commands of this node, sends them to the leader in
// batches and repeats them until they are answered.
type proposer struct {
	node    string
	clock   *logClock
	replica *replica
	leader  *leaderWatch
	send    func(ctx context.Context, leader leaderInfo, batch []request) ([]outcome, error)
	check   func(body []byte) error
	log     *slog.Logger
	wake    chan struct{} // capacity 1: something changed

	mu     sync.Mutex // guards what follows; never held while done or send runs
	queue  laneQueue[*op]
	open   map[uint64]*op // sent and not answered
	landed map[*op]bool   // answered, but this replica has not applied the index yet
	life   uint64         // incarnation whose numbers follow
	low    uint64         // lowest number that may be in open
	next   uint64         // next sequence number
	flying int            // batches on their way
	pause  time.Time      // no batch leaves before
	paused leaderInfo     // to this leader
	rest   time.Duration  // how long the last such pause was
	sweep  time.Time      // when to look for commands whose time is up
	pace   pacer
	closed bool

	through time.Time // when a batch was committed last
	flowing time.Time // since when that has happened without a pause

	proposed, committed, busy, timedOut, retries atomic.Uint64
}

// request is a command of a batch as it travels to the leader.
type request struct {
	lane     Lane
	flow     string
	origin   string // node, for the hint after the commit
	envelope []byte
}

// submit queues a command.
func (p *proposer) submit(cmd Command, done func(Result, error)) *op {
	now := time.Now()
	if cmd.Since.IsZero() {
		cmd.Since = now
	}
	if cmd.Until.IsZero() {
		cmd.Until = now.Add(DefaultHold)
	}
	o := &op{cmd: cmd, done: done}
	victim, err := p.enqueue(o, now)
	if victim != nil {
		victim.done(Result{}, victim.crowded())
	}
	if err != nil {
		o.finished = true
		done(Result{}, err)
	}
	return o
}

// enqueue queues o unless a bound is reached. A victim is a command that had to
// make room for it; the caller tells it so.
func (p *proposer) enqueue(o *op, now time.Time) (victim *op, err error) {
	if len(o.cmd.Body) > MaxCommand || o.cmd.Lane >= lanes {
		return nil, fmt.Errorf("command of %d bytes in lane %d: at most %d bytes, lanes 0 to %d", len(o.cmd.Body), o.cmd.Lane, MaxCommand, lanes-1)
	}
	if err := p.check(o.cmd.Body); err != nil {
		return nil, fmt.Errorf("command refused: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	victim, ok := p.room(o, now)
	if !ok {
		p.busy.Add(1)
		return nil, ErrBusy
	}
	p.proposed.Add(1)
	p.queue.push(item[*op]{value: o, lane: o.cmd.Lane, flow: o.cmd.Flow, size: len(o.cmd.Body), since: now})
	p.pace.arrived(1, now)
	p.poke()
	return victim, nil
}

// room says whether there is room for o in its lane. In a full LaneStart a flow
// with few commands takes the place of the newest one of the longest flow, so
// that a flood through one ingress does not shut out the others. Called with mu
// held.
func (p *proposer) room(o *op, now time.Time) (victim *op, ok bool) {
	n := p.queue.count[o.cmd.Lane]
	if o.cmd.Lane != LaneStart {
		return nil, n < maxUrgent
	}
	if p.stale(o.cmd.Flow, now) {
		return nil, false
	}
	if n < maxStart {
		return nil, true
	}
	if victim, ok = p.queue.crowdOut(o.cmd.Flow); ok {
		p.busy.Add(1)
		victim.finished = true
		p.close(victim.seq)
	}
	return victim, ok
}

// stale says whether a flow of LaneStart has waited for too long although commands
// are being committed. While nothing is, there is no leader to speak of, and
// commands are held. Called with mu held.
func (p *proposer) stale(flow string, now time.Time) bool {
	oldest := p.queue.headOf(flow)
	if oldest.IsZero() || now.Sub(p.through) > maxStartAge {
		return false
	}
	if oldest.Before(p.flowing) {
		oldest = p.flowing
	}
	return now.Sub(oldest) > maxStartAge
}

// gotThrough notes that a batch was committed. Called with mu held.
func (p *proposer) gotThrough(now time.Time) {
	p.paused = leaderInfo{}
	if now.Sub(p.through) > maxStartAge {
		p.flowing = now
	}
	p.through = now
}

// poke wakes the loop.
func (p *proposer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// abandon forgets a command whose caller has gone.
func (p *proposer) abandon(o *op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.finished {
		return
	}
	p.timedOut.Add(1)
	o.finished = true
	delete(p.landed, o)
	p.queue.removeIf(func(x *op) bool { return x == o })
	p.close(o.seq)
}

// close releases a sequence number. Called with mu held.
func (p *proposer) close(seq uint64) {
	delete(p.open, seq)
	for p.low < p.next && p.open[p.low] == nil {
		p.low++
	}
}

// run sends batches until ctx ends and then answers what is left.
func (p *proposer) run(ctx context.Context) {
	var sending sync.WaitGroup
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		info, changed := p.leader.get()
		batch, wait := p.nextBatch(info, time.Now())
		if batch != nil {
			sending.Go(func() { p.deliver(ctx, info, changed, batch) })
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-changed:
		case <-timer.C:
		}
	}
	sending.Wait()
	p.finish()
}

// nextBatch takes the next batch, or says how long to wait for one.
func (p *proposer) nextBatch(leader leaderInfo, now time.Time) (batch []item[*op], wait time.Duration) {
	expired := p.expire(now)
	defer func() {
		for _, o := range expired {
			o.done(Result{}, o.late())
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue.len() == 0 && len(p.open) == 0 && len(p.landed) == 0 {
		return nil, time.Hour
	}
	room := min(maxEntryCommands, maxOpen-int(p.next-p.low))
	if leader.id == "" || p.queue.len() == 0 || p.flying >= maxBatches || room <= 0 {
		return nil, sweepEvery
	}
	var hold time.Duration
	if leader == p.paused {
		hold = p.pause.Sub(now)
	}
	if p.queue.len() < maxEntryCommands {
		hold = max(hold, p.pace.hold(now))
	}
	if hold > 0 {
		return nil, hold
	}
	logNow, live := p.clock.now()
	if !live { // a deadline needs log time: the first ping of a peer brings it
		return nil, sweepEvery
	}
	p.pace.left(now)
	p.flying++
	batch = p.queue.take(room)
	for _, it := range batch {
		if o := it.value; o.seq == 0 {
			o.seq, o.life, o.low, o.deadline = p.next, p.life, p.low, logNow+deadline.Microseconds()
			p.open[o.seq] = o
			p.next++
		}
	}
	return batch, 0
}

// expire takes out the commands whose time is up, at most every sweepEvery.
func (p *proposer) expire(now time.Time) []*op {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.sweep) {
		return nil
	}
	p.sweep = now.Add(sweepEvery)
	out := p.drain(func(o *op) bool { return now.After(o.cmd.Until) })
	p.timedOut.Add(uint64(len(out)))
	return out
}

// drain takes out the commands that satisfy gone, wherever they are, and marks
// them finished: the caller calls done. Called with mu held.
func (p *proposer) drain(gone func(*op) bool) []*op {
	var out []*op
	end := func(o *op) {
		if !o.finished {
			o.finished = true
			out = append(out, o)
		}
	}
	for _, it := range p.queue.removeIf(gone) {
		end(it.value)
		p.close(it.value.seq)
	}
	for _, o := range p.open {
		if gone(o) {
			end(o)
			p.close(o.seq)
		}
	}
	for o := range p.landed {
		if gone(o) {
			end(o)
			delete(p.landed, o)
		}
	}
	return out
}

// deliver sends a batch and deals with the answers.
func (p *proposer) deliver(ctx context.Context, leader leaderInfo, changed <-chan struct{}, batch []item[*op]) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	ctx, stop := whileLeads(ctx, changed)
	defer stop()
	out, err := p.send(ctx, leader, p.requests(batch))
	if err == nil && len(out) != len(batch) {
		err = fmt.Errorf("%d answers to %d commands", len(out), len(batch))
	}
	if err != nil {
		p.log.Debug("batch not committed", "leader", leader.id, "commands", len(batch), "err", err)
		out = nil
	}
	p.settle(leader, batch, out)
}

// requests encodes a batch. A retry differs in nothing but the ages.
func (p *proposer) requests(batch []item[*op]) []request {
	now := time.Now()
	out := make([]request, len(batch))
	for i, it := range batch {
		o := it.value
		out[i] = request{lane: it.lane, flow: it.flow, origin: p.node, envelope: encodeEnvelope(Envelope{
			Node: p.node, Incarnation: o.life, Seq: o.seq, Low: o.low,
			Age: max(0, now.Sub(o.cmd.Since)), Deadline: o.deadline, Body: o.cmd.Body,
		})}
	}
	return out
}

// settle answers what was committed and queues the rest again.
func (p *proposer) settle(leader leaderInfo, batch []item[*op], out []outcome) {
	var again []item[*op]
	now := time.Now()
	p.mu.Lock()
	p.flying--
	for i, it := range batch {
		o := it.value
		switch {
		case o.finished:
		case out == nil || out[i].retry:
			again = append(again, it)
		default:
			p.close(o.seq)
			p.landed[o] = true
			p.gotThrough(now)
		}
	}
	if len(again) > 0 {
		p.retries.Add(uint64(len(again)))
		if p.rest = min(2*p.rest, retryPause); leader != p.paused {
			p.rest = firstPause
		}
		p.pause, p.paused = now.Add(p.rest), leader
		p.queue.unshift(again)
	}
	p.mu.Unlock()
	p.poke()
	for i, it := range batch {
		if out != nil && !out[i].retry {
			r := Result{Index: out[i].index, Data: out[i].data}
			var err error
			if out[i].large {
				err = ErrTooLarge
			}
			p.replica.when(r.Index, func() { p.land(it.value, r, err) })
		}
	}
}

// land hands a result over once this replica has applied its index.
func (p *proposer) land(o *op, r Result, err error) {
	p.mu.Lock()
	due := p.landed[o]
	delete(p.landed, o)
	if due {
		o.finished = true
	}
	p.mu.Unlock()
	if due {
		p.committed.Add(1)
		o.done(r, err)
	}
}

// renew begins the numbering of a new life. What the old one has sent is not
// repeated: the state machine refuses it, or has applied it already.
func (p *proposer) renew(incarnation uint64) {
	p.mu.Lock()
	sent := p.drain(func(o *op) bool { return o.seq > 0 })
	p.life, p.low, p.next = incarnation, 1, 1
	p.timedOut.Add(uint64(len(sent)))
	p.mu.Unlock()
	for _, o := range sent {
		o.done(Result{}, o.late())
	}
}

// finish answers everything that is left with ErrClosed.
func (p *proposer) finish() {
	p.mu.Lock()
	p.closed = true
	left := p.drain(func(*op) bool { return true })
	p.mu.Unlock()
	for _, o := range left {
		o.done(Result{}, ErrClosed)
	}
}
