package fsm

import (
	"time"

	"tandem/billing"
)

// startCall opens a call, or refuses it. A call that is known already, from a
// retransmission that another node saw, is answered as it was at first, with its
// present epoch.
//
// So the heir of a call that was never heard to ring goes on: it reads the plan in
// the record, or gets it by a StartCall of the same id, and runs it again. Legs
// have the same names on every node: an INVITE that is out is only repeated
// (ARCHITECTURE.md, rule 5).
func (s *State) startCall(cmd *Command, b *StartCall) Result {
	if c := s.calls.get(b.Call); c != nil {
		return Result{Code: CallExists, Plan: c.plan(), Grant: c.grant(c.Granted)}
	}
	if t := s.ended.get(b.Call); t != nil {
		if t.Code != OK {
			return Result{Code: t.Code, CDR: t.CDR}
		}
		return Result{Code: CallEnded, CDR: t.CDR, Fee: t.Fee}
	}
	if a := s.addresses.get(b.Line); a != nil && (a.Owner != cmd.Origin.Node || a.Incarnation != cmd.Origin.Incarnation) {
		// The address moved while this was under way. Its new owner gets the
		// caller's next INVITE, and must find nothing here.
		return refuse(StaleCommand, a.served())
	}
	d := s.decide(b)
	s.countAttempt(d, cmd.Origin.Node, b)
	at := s.eventTime(cmd, 0)
	if d.code != OK {
		return s.refuseCall(cmd, b, d, at)
	}
	c := s.open(cmd, b, d, at)
	return Result{Plan: c.plan(), Grant: c.grant(c.Granted)}
}

// open holds the first slice and makes the record of the call.
func (s *State) open(cmd *Command, b *StartCall, d *decision, at Time) *Call {
	a := s.accounts.edit(d.account.ID)
	held, err := a.Balance.Hold(d.slice.hold)
	if err != nil {
		panic("fsm: a slice is above what is available: " + err.Error())
	}
	a.Balance = held
	s.ix.sums.of(a.Currency).Held += d.slice.hold
	a.Live++
	a.CallsTotal++
	w := rateWindow{a.SecondWindow, a.SecondCalls}.after(s.now, time.Second)
	a.SecondWindow, a.SecondCalls = w.start, w.calls
	in := d.ingress
	if p := s.phoneNamed(in.ID); p != nil {
		p.LiveOut++
		p.CallsTotal++
	} else {
		in = s.mappings.edit(in.ID)
		in.Live++
		in.CallsTotal++
	}
	c := s.calls.put(b.Call, Call{
		ID: b.Call, Owner: cmd.Origin.Node, Incarnation: cmd.Origin.Incarnation, Epoch: 1, State: CallStarting,
		Account: a.ID, Ingress: in.ID, Source: b.Source, SourceVia: b.SourceVia,
		Caller: d.caller, Callee: d.callee, RawCaller: d.rawCaller, RawCallee: d.rawCallee, SIPCallID: b.SIPCallID,
		Candidates: d.routes, Skipped: d.skipped,
		Rate: d.price.rate, RateTable: d.price.table, RateVer: d.price.version, RatePrefix: d.price.prefix, Area: d.price.area,
		Currency: a.Currency, Hold: d.slice.hold, Slice: 1, Granted: d.slice.granted, LastGrant: d.slice.last,
		MaxLength: d.maxLength, MediaMode: in.Media, Policy: in.Source, NAT: in.NAT,
		Started: at, Alive: at, Invite: b.Invite, Offer: b.Offer, CallerMedia: b.MediaAddr,
		Owners: []Owner{{Node: cmd.Origin.Node, Epoch: 1, Since: s.now}}, Flags: d.flags, Profile: in.Profile,
		Line: b.Line,
	})
	s.holdPrepaid(c, d.slice.prepaid)
	s.enter(c)
	s.ix.add(c)
	s.watchStart(c)
	return c
}

// enter counts a call on the gateway that it is at, and leave takes it off.
func (s *State) enter(c *Call) {
	if p := s.phoneNamed(c.gateway()); p != nil {
		p.LiveIn++
	}
	if g := s.routings.edit(c.gateway()); g != nil {
		g.Live++
		g.CallsTotal++
		w := rateWindow{g.SecondWindow, g.SecondCalls}.after(s.now, g.CPSPeriod)
		g.SecondWindow, g.SecondCalls = w.start, w.calls
	}
}

func (s *State) leave(c *Call) {
	if p := s.phoneNamed(c.gateway()); p != nil && p.LiveIn > 0 {
		p.LiveIn--
	}
	if g := s.routings.edit(c.gateway()); g != nil && g.Live > 0 {
		g.Live--
	}
}

// gateway returns the egress that the call is at: the one that rings or
// answered, at first the first candidate.
func (c *Call) gateway() string { return c.candidate().Gateway }

func (c *Call) candidate() *Candidate { return &c.Candidates[c.Candidate] }

// plan returns the plan that StartCall gave, for the present owner.
func (c *Call) plan() *Plan {
	return &Plan{
		Call: c.ID, Epoch: c.Epoch, Ingress: c.Ingress, Account: c.Account, Caller: c.Caller, Callee: c.Callee,
		Candidates: c.Candidates, Skipped: c.Skipped, MaxDuration: c.MaxLength,
		Media: c.MediaMode, Source: c.Policy, NAT: c.NAT, Profile: c.Profile,
	}
}

// refuseCall writes the CDR of a call that was refused (F163, F164), and
// remembers the answer for retransmissions.
func (s *State) refuseCall(cmd *Command, b *StartCall, d *decision, at Time) Result {
	if d.hit.Number != "" {
		if k := s.blocks.edit(d.hit); k != nil {
			k.Hits++
			k.LastCall, k.Node = at, cmd.Origin.Node
		}
	}
	refusal := d.code.Refusal()
	r := CDR{
		Call: b.Call, Mode: ModeNone, Source: b.Source, CallerMedia: b.MediaAddr, SIPCallIDA: b.SIPCallID,
		RawCaller: d.rawCaller, RawCallee: d.rawCallee, Caller: d.caller, Callee: d.callee, Started: at, Ended: at,
		EndedBy: ByServer, Reason: refusal.Reason, SIPStatus: refusal.Status, Q850: refusal.Q850,
		Node: cmd.Origin.Node, Detail: d.detail,
	}
	if d.ingress != nil {
		r.Ingress, r.Account = d.ingress.ID, d.ingress.Account
	}
	if d.account != nil {
		r.Currency = d.account.Currency
	}
	wanted := s.set.RecordZero
	if d.code == UnknownSource || d.code == CallerBlocked || d.code == CalleeBlocked {
		r.Mode, wanted = ModeIllegal, s.set.RecordIllegal
	}
	res := Result{Code: d.code, Detail: d.detail}
	if wanted {
		res.CDR = s.record(r)
	}
	s.bury(b.Call, tombstone{At: s.now, Code: d.code, CDR: res.CDR})
	return res
}

// record writes a CDR and returns its sequence.
func (s *State) record(r CDR) uint64 {
	r.Seq, r.Index, r.At = s.head.CDRs+1, s.index, s.now
	s.write(&r)
	return r.Seq
}

// refusedCalls records calls that a node refused by itself, in bulk (ARCHITECTURE.md, rule 9).
func (s *State) refusedCalls(cmd *Command, b *Refused) Result {
	if b.Count == 0 {
		return invalid("count", "0")
	}
	illegal := b.Reason == EndUnknownSource || b.Reason == EndBlocked
	if illegal && !s.set.RecordIllegal || !illegal && !s.set.RecordZero {
		return Result{}
	}
	first, last := max(b.First, b.Last, 0), max(min(b.First, b.Last), 0)
	r := CDR{
		Mode: ModeNone, Source: b.Source, RawCaller: b.Caller, RawCallee: b.Callee,
		Started: s.now.Add(-min(first, longestAge)), Ended: s.now.Add(-min(last, longestAge)),
		EndedBy: ByServer, Reason: b.Reason, SIPStatus: b.Status, Aggregate: b.Count, Node: cmd.Origin.Node,
	}
	if illegal {
		r.Mode = ModeIllegal
	}
	if in := s.mappings.get(s.ix.sources.find(b.Source, "")); in != nil {
		r.Ingress, r.Account = in.ID, in.Account
	}
	return Result{CDR: s.record(r), Count: uint64(b.Count)}
}

// bury leaves a tombstone. Above the bound the oldest go before their time.
func (s *State) bury(id CallID, t tombstone) {
	s.ended.put(id, t)
	s.ix.ended.push(t.At, id)
	for s.ended.count > maxEnded {
		s.exhume(s.ix.ended.pop())
	}
	if t.Last != nil {
		s.ix.orphans.push(t.At, id)
	}
	for s.ix.orphans.len() > maxOrphans {
		s.forgetOrphan(s.ix.orphans.pop())
	}
}

// exhume drops a tombstone. If it has legs to be told, it is also the next of
// those: both queues have the same order.
func (s *State) exhume(due dueKey[CallID]) {
	if s.ix.orphans.len() > 0 && s.ix.orphans.top() == due {
		s.ix.orphans.pop()
	}
	s.ended.remove(due.key)
}

// release frees what is left of an account's hold and tells who waits for it.
func (s *State) release(a *Account, held billing.Amount) {
	after, err := a.Balance.Release(held)
	if err != nil {
		panic("fsm: held " + a.Balance.Held.String() + ", released " + held.String() + ": " + err.Error())
	}
	a.Balance = after
	s.ix.sums.of(a.Currency).Held -= held
}
