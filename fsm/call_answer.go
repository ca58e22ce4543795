package fsm

import (
	"fmt"

	"tandem/chaos/plant"
)

// gone answers a command about a call that is not live.
func (s *State) gone(id CallID) Result {
	if t := s.ended.get(id); t != nil {
		return Result{Code: CallEnded, CDR: t.CDR, Fee: t.Fee}
	}
	return Result{Code: UnknownCall}
}

// present returns a live call for its owner, who has to know its epoch.
func (s *State) present(id CallID, epoch Epoch) (*Call, Result) {
	c := s.calls.get(id)
	if c == nil {
		return nil, s.gone(id)
	}
	if c.Epoch != epoch && !plant.On(plant.NoEpoch) {
		return nil, refuse(StaleEpoch, fmt.Sprintf("epoch %d, owned by %s since %d", epoch, c.Owner, c.Epoch))
	}
	return c, Result{}
}

// progress notes that a candidate rings.
func (s *State) progress(cmd *Command, b *Progress) Result {
	c, r := s.present(b.Call, b.Epoch)
	if c == nil {
		return r
	}
	if c.State == CallAnswered {
		return Result{Code: LostRace}
	}
	if int(b.Candidate) >= len(c.Candidates) {
		return invalid("candidate", "%d of %d", b.Candidate, len(c.Candidates))
	}
	c = s.calls.edit(b.Call)
	at := s.eventTime(cmd, c.Started)
	if c.Ringing == 0 || c.Candidate != b.Candidate {
		c.Ringing = at
	}
	s.tryCandidate(c, b.Candidate)
	c.State = CallRinging
	c.Alive = max(c.Alive, at)
	c.dialogs(b.DialogA, b.DialogB, b.Media)
	if b.Attempts != nil {
		c.Attempts = b.Attempts
	}
	return Result{Grant: c.grant(c.Granted)}
}

// tryCandidate moves a call from one candidate's gateway to another's.
func (s *State) tryCandidate(c *Call, candidate uint8) {
	if c.Candidate != candidate {
		s.leave(c)
		c.Candidate = candidate
		s.enter(c)
	}
}

// dialogs replaces what has changed. Nil is unchanged.
func (c *Call) dialogs(a, b, media []byte) {
	for _, part := range []struct {
		now *[]byte
		new []byte
	}{{&c.DialogA, a}, {&c.DialogB, b}, {&c.Media, media}} {
		if part.new != nil {
			*part.now = part.new
		}
	}
}

// updateLegs replaces what has changed in a call's legs. A line is one of the
// owner's: calls follow their address.
func (s *State) updateLegs(cmd *Command, b *UpdateLegs) Result {
	c, r := s.present(b.Call, b.Epoch)
	if c == nil {
		return r
	}
	if a := s.addresses.get(b.Line); a != nil && (a.Owner != c.Owner || a.Incarnation != c.Incarnation) {
		return refuse(Conflict, a.served())
	}
	c = s.calls.edit(b.Call)
	c.dialogs(b.DialogA, b.DialogB, b.Media)
	if b.Line != "" {
		c.Line = b.Line
	}
	if c.Flags&FlagSilent == 0 {
		c.Alive = max(c.Alive, s.eventTime(cmd, max(c.Started, c.Ringing, c.Answered)))
	}
	return Result{Grant: c.grant(min(c.Granted, longestSlice))}
}

// answerCall starts the charge. One candidate of a call can win; a cancelled
// call has no winner.
func (s *State) answerCall(cmd *Command, b *AnswerCall) Result {
	c, r := s.present(b.Call, b.Epoch)
	if c == nil {
		return r
	}
	if c.State == CallAnswered {
		if c.Candidate != b.Candidate {
			return Result{Code: LostRace}
		}
		return Result{Grant: c.grant(c.Granted)}
	}
	if int(b.Candidate) >= len(c.Candidates) {
		return invalid("candidate", "%d of %d", b.Candidate, len(c.Candidates))
	}
	c = s.calls.edit(b.Call)
	s.tryCandidate(c, b.Candidate)
	c.State = CallAnswered
	c.Answered = s.eventTime(cmd, max(c.Started, c.Ringing))
	c.Alive = max(c.Alive, c.Answered)
	c.dialogs(b.DialogA, b.DialogB, b.Media)
	c.Codec, c.CalleeMedia, c.Attempts = b.Codec, b.PeerMedia, b.Attempts
	return Result{Grant: c.grant(c.Granted)}
}

// extendCall holds the next slice. Asked for a slice that it has, a call gets
// the same answer again.
func (s *State) extendCall(cmd *Command, b *ExtendCall) Result {
	c, r := s.present(b.Call, b.Epoch)
	if c == nil {
		return r
	}
	switch {
	case c.State != CallAnswered:
		return invalid("call", "not answered yet")
	case b.Slice != c.Slice && b.Slice != c.Slice+1:
		return invalid("slice", "%d, the call has %d", b.Slice, c.Slice)
	}
	c = s.calls.edit(b.Call)
	if c.Flags&FlagSilent == 0 {
		c.Alive = max(c.Alive, s.eventTime(cmd, c.Answered))
	}
	c.dialogs(b.DialogA, b.DialogB, b.Media)
	if b.Slice == c.Slice {
		return Result{Grant: c.grant(min(c.Granted, longestSlice))}
	}
	a := s.accounts.get(c.Account)
	now := slice{granted: c.Granted, prepaid: c.prepaid(), hold: c.Hold, last: c.LastGrant}
	next, ok := now.follow(c.Rate, s.means(a, c.Callee, a.Live-1), c.MaxLength)
	if ok {
		var err error
		next, err = s.raise(c.Account, now, next)
		ok = err == nil
	}
	s.ix.remove(c)
	c.LastGrant = !ok || next.last
	s.ix.add(c)
	if !ok {
		return Result{Code: NoFunds, Grant: c.grant(0)}
	}
	c.Slice, c.Granted, c.Hold = b.Slice, next.granted, next.hold
	s.holdPrepaid(c, next.prepaid)
	return Result{Grant: c.grant(next.granted - now.granted)}
}

// raise puts the hold of the next slice in the place of the present one.
func (s *State) raise(account string, now, next slice) (slice, error) {
	a := s.accounts.edit(account)
	held, err := a.Balance.Extend(now.hold, next.hold)
	if err == nil {
		a.Balance = held
		s.ix.sums.of(a.Currency).Held += next.hold - now.hold
	}
	return next, err
}
