package media

import "time"

// watchEvery is how often silence is looked for; limits are in whole seconds.
const watchEvery = time.Second

// raise notes an event for the watcher. The caller holds s.mu. A session waits
// in the list once and keeps one bit for each kind, so the list is bounded by
// the number of sessions.
func (s *Session) raise(kind EventKind, side Side) {
	if s.notify == nil {
		return
	}
	s.raised[side] |= 1 << kind
	if s.queued {
		return
	}
	s.queued = true
	s.relay.enqueue(s)
}

// tell calls Notify for what was raised.
func (s *Session) tell() {
	s.mu.Lock()
	var events []Event
	for side, bits := range s.raised {
		for kind := EventLearned; kind < eventKinds; kind++ {
			if bits&(1<<kind) == 0 {
				continue
			}
			if kind == EventDigit {
				t := &s.legs[side].tones
				for _, d := range t.taken {
					events = append(events, Event{Kind: kind, Side: Side(side), Digit: d})
				}
				t.taken = nil
				continue
			}
			e := Event{Kind: kind, Side: Side(side)}
			if kind == EventSilent || kind == EventTimeout {
				e.Since = s.relay.start.Add(s.legs[side].expected())
			}
			events = append(events, e)
		}
	}
	s.raised, s.queued = [2]uint8{}, false
	s.mu.Unlock()
	for _, e := range events {
		s.notify(e)
	}
}

// checkSilence raises an event for each limit that a side's silence has passed.
func (s *Session) checkSilence(now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.legs[A].sending() || !s.legs[B].sending() {
		return
	}
	for side := range s.legs {
		l := &s.legs[side]
		silent := now - l.expected()
		l.limit(s, EventSilent, Side(side), silent, s.policy.Alarm)
		l.limit(s, EventTimeout, Side(side), silent, s.policy.End)
	}
}

// sending reports whether the side should be sending and receiving: a call is
// on hold when either is not (RFC 3264 section 8.4).
func (l *leg) sending() bool {
	return l.known && !l.remote.held() && l.remote.Direction == SendRecv
}

// expected is when the side's silence began.
func (l *leg) expected() time.Duration { return max(l.awaited, l.flow.last) }

// limit raises an event once for each time that a silence passes its limit.
func (l *leg) limit(s *Session, kind EventKind, side Side, silent, limit time.Duration) {
	switch {
	case limit <= 0 || silent < limit:
		l.told &^= 1 << kind
	case l.told&(1<<kind) == 0:
		l.told |= 1 << kind
		s.raise(kind, side)
	}
}

// enqueue puts a session into the list of those with events and wakes the watcher.
func (r *Relay) enqueue(s *Session) {
	r.eventMu.Lock()
	r.eventful = append(r.eventful, s)
	r.eventMu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// watch tells sessions' owners of events until the relay closes.
func (r *Relay) watch() {
	defer close(r.watched)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.closing:
			return
		case <-ticker.C:
			now := r.now()
			for _, s := range r.open() {
				s.checkSilence(now)
			}
		case <-r.wake:
		}
		r.eventMu.Lock()
		eventful := r.eventful
		r.eventful = nil
		r.eventMu.Unlock()
		for _, s := range eventful {
			s.tell()
		}
	}
}
