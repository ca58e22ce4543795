package call

import (
	"slices"
	"time"

	"tandem/fsm"
	"tandem/media"
)

// retireAfter is how long the relay of a call goes on here after the call has got
// another owner: packets come here until the network has learned the new place.
const retireAfter = 2 * time.Second

// maxAsking bounds the requests of unknown dialogs that wait for the cluster's
// word. Beyond it they are dropped, and repeated.
const maxAsking = 1024

// retired is the relay session of a call that has left.
type retired struct {
	id      fsm.CallID
	session *media.Session
	until   time.Time
}

// retirees are in the order of their time, since each gets the same.
type retirees []retired

// expire closes the sessions whose time is up.
func (r *retirees) expire(now time.Time) {
	n := 0
	for n < len(*r) && !(*r)[n].until.After(now) {
		(*r)[n].session.Close() //nolint:errcheck // nothing follows from it
		n++
	}
	*r = slices.Delete(*r, 0, n)
}

// close closes the session of one call at once.
func (r *retirees) close(id fsm.CallID) {
	*r = slices.DeleteFunc(*r, func(left retired) bool {
		if left.id == id {
			left.session.Close() //nolint:errcheck // nothing follows from it
		}
		return left.id == id
	})
}

// wait is how long nothing has to be closed.
func (r retirees) wait(now time.Time) time.Duration {
	if len(r) == 0 {
		return time.Hour
	}
	return max(r[0].until.Sub(now), 0)
}

// dropLine forgets the calls on a service address that is not here any more. Its
// relay ends with it.
func (s *shard) dropLine(l *Line) {
	for id, e := range s.calls {
		if e.call.line == l {
			e.call.drop()
			e.call.actions = nil
			s.forget(id, e)
		}
	}
}

// addOrphan makes the rest of a call whose legs have to be told of its end.
func (s *shard) addOrphan(ev orphaned) *entry {
	c := s.control
	o := &ev.orphan
	call, err := fromRecord(&o.Call, &s.kit, c.lineFor)
	if err != nil {
		c.log.Warn("legs of an ended call are not told", "call", idText(o.Call.ID), "err", err)
		return nil
	}
	if o.Call.State != fsm.CallAnswered && o.Told&fsm.LegA == 0 {
		if call.tx, err = call.line.endpoint.Load().Restore(call.invite); err != nil {
			c.log.Warn("caller's transaction cannot be restored", "call", idText(call.id), "err", err)
		}
	}
	c.stats.add(Orphaned)
	return s.add(call)
}

// confirm asks the cluster whether a call is unknown, or only to this replica: it
// may have been moved here a moment ago. Nothing is said meanwhile, and nothing at
// all when the cluster does not answer: the peer repeats himself.
func (s *shard) confirm(it item, ev request) {
	c := s.control
	if c.asking.Add(1) > maxAsking {
		c.asking.Add(-1)
		c.stats.add(Dropped)
		return
	}
	ev.confirmed = true
	it.ev = ev
	c.cfg.Confirm(func(ok bool) {
		c.asking.Add(-1)
		if ok {
			s.post(it)
		}
	})
}

// learned: the relay has locked a side's source, or the counters of its SRTP have
// moved on. A new owner needs a source where the SDP does not say it, and counters
// always: an index used twice gives the key away.
func (c *Call) learned(now time.Time, side media.Side) {
	c.legs[side].changed = true
	if c.session == nil {
		return
	}
	state := c.session.State()
	if state.Remote[side].Crypto.Suite == media.SuiteNone && state.Learned[side].RTP == c.legs[side].remote.RTP {
		return
	}
	c.save(now)
}

// flushLine has the calls on a line commit what has changed.
func (s *shard) flushLine(ev flush) {
	for id, e := range s.calls {
		if e.call.line == ev.line {
			s.step(id, e, ev)
		}
	}
}

// flush commits what has changed, without regard to the last time.
func (c *Call) flush(now time.Time) {
	if c.legs[media.A].changed || c.legs[media.B].changed {
		c.timers.stop(timerSave)
		c.save(now)
	}
}

// movable says that a new owner would know as much of the call as this one.
func (c *Call) movable() bool {
	switch c.phase {
	case starting, answering, ending:
		return false
	case hunting:
		t := c.current()
		return t != nil && t.rang && c.inflight == nil
	case talking:
		return c.update == nil
	}
	return true
}
