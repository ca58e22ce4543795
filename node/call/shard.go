package call

import (
	"container/heap"
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

// The bounds of a shard's mailbox. New calls are refused with 503 above the first;
// above the second, messages of calls are dropped, which their senders repeat.
// Results of commits, cluster events and timers are always taken: a call has at
// most one command under way.
const (
	maxFresh    = 2048
	maxMessages = 16384
)

// item is one event in a shard's mailbox.
type item struct {
	id    fsm.CallID
	line  *Line // that it came through; nil: none
	ev    event
	fresh bool // opens a call
	sure  bool // must not be lost
}

// shard is one goroutine and the calls that it owns.
type shard struct {
	control *Control
	kit     kit
	wake    chan struct{} // capacity 1: the mailbox is not empty

	mu   sync.Mutex // guards mail
	mail []item

	// Only the shard's goroutine touches what follows.
	calls   map[fsm.CallID]*entry
	alarms  alarms
	local   []item // events that executing an action brought about
	retired retirees
}

// entry is a call in its shard.
type entry struct {
	call *Call
	at   time.Time  // of its earliest timer
	slot int        // in the heap; -1: no timer
	held bool       // counted among those that wait for their first commit,
	from netip.Addr // as one of this source
}

func newShard(c *Control) *shard {
	return &shard{
		control: c, kit: kit{cfg: &c.cfg, names: c.names, plain: &fsm.Profile{}},
		wake: make(chan struct{}, 1), calls: map[fsm.CallID]*entry{},
	}
}

// post puts an event into the mailbox, from any goroutine. It returns false when
// the mailbox is at its bound.
func (s *shard) post(it item) bool {
	s.mu.Lock()
	n := len(s.mail)
	if !it.sure && (n >= maxMessages || it.fresh && n >= maxFresh) {
		s.mu.Unlock()
		return false
	}
	s.mail = append(s.mail, it)
	s.mu.Unlock()
	if n == 0 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// run executes events and timers until ctx ends. The media sessions that are open
// then are closed.
func (s *shard) run(ctx context.Context) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	var spare []item
	for {
		s.mu.Lock()
		mail := s.mail
		s.mail = spare[:0]
		s.mu.Unlock()
		for i := range mail {
			s.handle(mail[i])
			mail[i] = item{}
		}
		spare = mail
		s.fire(time.Now())
		s.retired.expire(time.Now())
		if len(mail) > 0 {
			continue
		}
		clock.Reset(min(s.alarms.wait(time.Now()), s.retired.wait(time.Now())))
		select {
		case <-ctx.Done():
			s.close()
			return
		case <-s.wake:
		case <-clock.C:
		}
	}
}

// close leaves the calls as the cluster's records have them.
func (s *shard) close() {
	for id, e := range s.calls {
		e.call.closeMedia()
		s.forget(id, e)
	}
}

// handle gives an event to its call, and then those that it brings about.
func (s *shard) handle(it item) {
	s.deliver(it)
	s.settle()
}

// settle delivers what executing actions has brought about.
func (s *shard) settle() {
	for len(s.local) > 0 {
		next := s.local[0]
		s.local = s.local[1:]
		s.deliver(next)
	}
}

func (s *shard) deliver(it item) {
	switch ev := it.ev.(type) {
	case funded:
		for id := range s.calls {
			s.step(id, s.calls[id], ev)
		}
		return
	case visit:
		s.visit(ev)
		return
	case lineGone:
		s.dropLine(ev.line)
		return
	case flush:
		s.flushLine(ev)
		return
	}
	e := s.calls[it.id]
	if e == nil {
		if e = s.meet(it); e == nil {
			return
		}
	}
	s.step(it.id, e, it.ev)
}

// meet makes the call of an event that is the first one here, or answers an event
// whose call is not here.
func (s *shard) meet(it item) *entry {
	switch ev := it.ev.(type) {
	case invite:
		// It may be older than the adoption of its call: it has waited in the socket.
		if rec, ok := s.control.cfg.Records.Call(it.id); ok && rec.Owner == s.control.cfg.Node {
			if e := s.addAdopted(adopted{record: rec, at: s.control.cfg.Records.LogTime()}); e != nil {
				return e
			}
		}
		return s.add(newCall(it.id, &s.kit, it.line))
	case adopted:
		return s.addAdopted(ev)
	case orphaned:
		return s.addOrphan(ev)
	case request:
		return s.unknown(it, ev)
	case response:
		if ev.res != nil && ev.res.Status/100 == 2 {
			it.line.byeOnly(ev.res)
		}
	case stray:
		if rec, ok := s.control.cfg.Records.Call(it.id); ok {
			if rec.Owner == s.control.cfg.Node {
				return s.addAdopted(adopted{record: rec, at: s.control.cfg.Records.LogTime()})
			}
			return nil // its owner will say
		}
		it.line.byeOnly(ev.res)
	}
	return nil
}

// unknown takes a request for a call that is not here: it is adopted if the state
// says that it is ours, left to its owner if there is one, and else over.
func (s *shard) unknown(it item, ev request) *entry {
	c := s.control
	rec, ok := c.cfg.Records.Call(it.id)
	switch {
	case ok && rec.Owner == c.cfg.Node:
		return s.addAdopted(adopted{record: rec, at: c.cfg.Records.LogTime()})
	case ok || ev.tx == nil:
		return nil // silence: the peer repeats it, to the owner
	case !ev.confirmed && c.cfg.Confirm != nil:
		s.confirm(it, ev)
		return nil
	case ev.req.Method == sip.BYE && c.cfg.Records.Ended(it.id):
		// His BYE ended the call before this process began; the 200 was lost with the
		// one before.
		it.line.answer(ev.tx, ev.req.Response(200, ""))
		return nil
	}
	c.stats.add(Strays)
	it.line.answer(ev.tx, ev.req.Response(481, ""))
	return nil
}

// addAdopted makes a call of its record. It is the one way into the shard besides
// an INVITE.
func (s *shard) addAdopted(ev adopted) *entry {
	s.retired.close(ev.record.ID) // the ports are needed again
	call, err := fromRecord(&ev.record, &s.kit, s.control.lineFor)
	switch {
	case errors.Is(err, errNotHere):
		s.control.log.Debug("call waits for its address", "call", idText(ev.record.ID), "err", err)
		return nil
	case err != nil:
		s.control.log.Error("call cannot be adopted", "call", idText(ev.record.ID), "err", err)
		s.control.reap(&ev.record)
		return nil
	}
	if ev.record.State != fsm.CallAnswered || call.answeredLately(ev) {
		if call.tx, err = call.line.endpoint.Load().Restore(call.invite); err != nil {
			s.control.log.Warn("caller's transaction cannot be restored", "call", idText(call.id), "err", err)
		}
	}
	e := s.add(call)
	s.control.stats.add(Adoptions)
	s.step(call.id, e, ev)
	return s.calls[call.id]
}

func (s *shard) add(call *Call) *entry {
	e := &entry{call: call, slot: -1}
	s.calls[call.id] = e
	s.control.live.Add(1)
	return e
}

// step lets an event happen to a call, executes what follows from it, and keeps
// timer, bounds and the table in line with the call.
func (s *shard) step(id fsm.CallID, e *entry, ev event) {
	now := time.Now()
	for _, a := range e.call.step(now, ev) {
		s.execute(e.call, a)
	}
	s.hold(e, e.call.phase == starting)
	if e.call.idle() {
		s.forget(id, e)
		return
	}
	_, at, on := e.call.timers.first()
	s.alarms.update(e, at, on)
}

func (s *shard) forget(id fsm.CallID, e *entry) {
	s.alarms.update(e, time.Time{}, false)
	s.hold(e, false)
	delete(s.calls, id)
	s.control.live.Add(-1)
}

// hold counts a call among those that wait for their first commit, or not.
func (s *shard) hold(e *entry, held bool) {
	switch {
	case held && !e.held:
		e.from = e.call.invite.Source.Addr.Addr()
		s.control.held.add(e.from, 1)
	case !held && e.held:
		s.control.held.add(e.from, -1)
	}
	e.held = held
}

// fire runs the timers that are due.
func (s *shard) fire(now time.Time) {
	for len(s.alarms) > 0 && !s.alarms[0].at.After(now) {
		e := s.alarms[0]
		which, at, _ := e.call.timers.first()
		if at.After(now) {
			panic("call: the heap is not in line with the timers")
		}
		e.call.timers.stop(which)
		s.step(e.call.id, e, timeUp{timer: which})
		s.settle()
	}
}

// execute does what a step wants done. Nothing in here waits.
func (s *shard) execute(call *Call, a action) {
	c, id := s.control, call.id
	switch a := a.(type) {
	case respond:
		if err := a.tx.Respond(a.res); err != nil {
			c.log.Warn("cannot answer", "call", idText(id), "status", a.res.Status, "err", err)
		}
	case send:
		if err := call.line.endpoint.Load().Send(a.req); err != nil {
			c.log.Warn("cannot send", "call", idText(id), "method", a.req.Method, "err", err)
		}
	case dial:
		s.dial(call, a)
	case cancel:
		if a.try.tx != nil {
			a.try.tx.Cancel(a.headers...)
		}
	case ask:
		s.ask(call, a)
	case submit:
		c.cfg.Proposer.Submit(a.cmd, func(r fsm.Result, err error) {
			s.post(item{id: id, ev: committed{result: r, err: err}, sure: true})
		})
	case store:
		c.writer.put(a, func(err error) { s.post(item{id: id, ev: stored{err: err}, sure: true}) })
	case retire:
		s.retired = append(s.retired, retired{id: id, session: a.session, until: time.Now().Add(retireAfter)})
	case report:
		if c.cfg.Refused != nil {
			c.cfg.Refused(a.refused)
		}
	case backoff:
		if c.cfg.Backoff != nil {
			c.cfg.Backoff(a.gateway, a.wait)
		}
	case count:
		c.stats.add(a.counter)
	case note:
		c.log.Log(context.Background(), a.level, a.text, append([]any{"call", idText(id)}, a.args...)...)
	}
}

func (s *shard) dial(call *Call, a dial) {
	id, line, t := call.id, call.line, a.try
	opts := sip.Options{FirstResponse: a.first, Restored: t.restored, Resend: a.resend}
	ended := false // of the endpoint's shard: an answer that is repeated is no news
	tx, err := line.endpoint.Load().Request(t.req, opts, func(res *sip.Response, err error) {
		final := err != nil || res.Status >= 200
		s.post(item{id: id, line: line, ev: response{try: t, res: res, err: err}, sure: final && !ended})
		ended = ended || final
	})
	if err != nil {
		s.local = append(s.local, item{id: id, line: line, ev: response{try: t, err: err}})
		return
	}
	t.tx = tx
}

func (s *shard) ask(call *Call, a ask) {
	id, line := call.id, call.line
	brought := func(res *sip.Response, err error) item {
		return item{id: id, line: line, sure: true, ev: reply{leg: a.leg, to: a.to, req: a.req, peer: a.peer, res: res, err: err}}
	}
	ended := false // as in dial
	_, err := line.endpoint.Load().Request(a.req, sip.Options{FirstResponse: a.patience}, func(res *sip.Response, err error) {
		it := brought(res, err)
		it.sure = !ended && (err != nil || res.Status >= 200)
		ended = ended || it.sure
		s.post(it)
	})
	if err != nil {
		s.local = append(s.local, brought(nil, err))
	}
}

// alarms is the shard's heap of calls by their earliest timer.
type alarms []*entry

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

// Push and Pop are heap.Interface's.
func (h *alarms) Push(x any) {
	e := x.(*entry)
	e.slot = len(*h)
	*h = append(*h, e)
}

// Pop removes the last entry.
func (h *alarms) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.slot = -1
	return e
}

// update keeps the heap in line with the earliest timer of a call.
func (h *alarms) update(e *entry, at time.Time, on bool) {
	switch {
	case on && e.slot < 0:
		e.at = at
		heap.Push(h, e)
	case on && !e.at.Equal(at):
		e.at = at
		heap.Fix(h, e.slot)
	case !on && e.slot >= 0:
		heap.Remove(h, e.slot)
	}
}

// wait is how long the shard may sleep.
func (h alarms) wait(now time.Time) time.Duration {
	if len(h) == 0 {
		return time.Hour
	}
	return max(h[0].at.Sub(now), 0)
}
