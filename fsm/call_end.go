package fsm

import (
	"fmt"
	"strings"

	"tandem/billing"
	"tandem/chaos/plant"
)

// endCall ends a call. The first EndCall wins. A fact, a peer's BYE at a time,
// is taken from any owner there was; a decision needs the present epoch (ARCHITECTURE.md, rule 1).
func (s *State) endCall(cmd *Command, b *EndCall) Result {
	c := s.calls.get(b.Call)
	if c == nil {
		return s.endedAlready(cmd, b)
	}
	switch {
	case b.How < EndFact || b.How > EndVoid:
		return invalid("how", "%d", b.How)
	case (b.Epoch > c.Epoch || b.How != EndFact && b.Epoch != c.Epoch) && !plant.On(plant.NoEpoch):
		return refuse(StaleEpoch, fmt.Sprintf("epoch %d, owned by %s since %d", b.Epoch, c.Owner, c.Epoch))
	case b.How == EndVoid && c.Answered != 0:
		return Result{Code: LostRace}
	}
	e := ending{
		reason: b.Reason, by: b.By, status: b.SIPStatus, q850: b.Q850, attempts: b.Attempts,
		mediaA: b.MediaA, mediaB: b.MediaB, node: cmd.Origin.Node,
		at: s.eventTime(cmd, max(c.Started, c.Ringing, c.Answered)),
	}
	if b.How == EndVoid {
		e.reason, e.by = EndVoided, ByServer
	}
	if (e.reason == EndReaped || e.reason == EndRestored) && b.How == EndDecision {
		// Nobody knows when it ended: it was alive then, and is charged no further.
		e.estimated, e.at = true, max(s.alive(c), c.Started, c.Ringing, c.Answered)
	}
	if e.reason == EndHeldTooLong && b.How == EndDecision {
		// AnswerCall came after its owner had given it up, told the caller 504 and
		// released the callee: for both of them the call was never answered.
		c = s.calls.edit(c.ID)
		c.Answered = 0
	}
	e.last = c.legacy(b, &e, s.now)
	cdr, fee := s.finish(c, e)
	return Result{CDR: cdr, Fee: fee}
}

// ending is how a call ends.
type ending struct {
	at        Time
	reason    EndReason
	by        Party
	status    uint16
	q850      uint8
	attempts  []Attempt
	mediaA    MediaStats
	mediaB    MediaStats
	node      NodeID
	estimated bool
	last      *Orphan // for the tombstone
}

// finish settles a call on both sides, writes its CDR and removes it.
func (s *State) finish(c *Call, e ending) (cdr uint64, fee billing.Amount) {
	r := c.cdr(e)
	r.Seq, r.Index, r.At = s.head.CDRs+1, s.index, s.now
	a := s.accounts.edit(c.Account)
	if len(c.Owners) < 2 || !plant.On(plant.LostHold) {
		s.release(a, c.Hold)
	}
	a.Live--
	covered, _ := c.Cover().Split(r.Duration) // nothing of a call that was not answered
	s.settlePrepaid(c, covered, &r)
	if c.Answered != 0 {
		s.settle(c, a, &r)
	}
	if in := s.mappings.edit(c.Ingress); in != nil && in.Live > 0 {
		in.Live--
	}
	if p := s.phoneNamed(c.Ingress); p != nil && p.LiveOut > 0 {
		p.LiveOut--
	}
	s.leave(c)
	s.ix.remove(c)
	s.watchEnd(c, e)
	s.calls.remove(c.ID)
	t := tombstone{At: s.now, Fee: r.Fee, Last: e.last}
	if c.Answered != 0 || s.set.RecordZero && (e.by != ByServer || s.set.RecordHangUp) {
		s.write(&r)
		t.CDR = r.Seq
	}
	if c.Answered != 0 {
		final := r
		t.Final = &final
	}
	s.bury(c.ID, t)
	s.event(Event{Kind: EventCallEnded, Call: c.ID, Node: c.Owner, Reason: e.reason, Party: e.by})
	if r.Fee < c.Hold || covered < c.prepaid() {
		s.funded(c.Account)
	}
	return t.CDR, r.Fee
}

// settle charges an answered call. The client pays no more than was held:
// what a longer call costs is the loss of the house. The vendor is owed what its
// own rate says about the whole call.
func (s *State) settle(c *Call, a *Account, r *CDR) {
	cover := c.Cover()
	cost := cover.Cost(r.Duration)
	r.Fee = min(cost, c.Hold)
	r.OverGrant = max(r.Duration-c.Granted, 0)
	r.Billed = cover.Billed(min(r.Duration, c.Granted))
	revenue := s.house(houseRevenue, c.Currency)
	charge := Transfer{
		Kind: TransferCharge, Debit: a.ledger(), Credit: houseRevenue, Amount: r.Fee,
		Currency: c.Currency, Call: c.ID, CDR: r.Seq,
	}
	var err error
	if r.ChargeSeq, err = s.transfer(charge, &a.Balance, revenue); err != nil {
		r.note("charge: " + err.Error())
		r.Fee = 0
	}
	s.spend(a, r.Fee)
	if cost > r.Fee {
		loss := Transfer{
			Kind: TransferLoss, Debit: houseLoss, Credit: houseRevenue, Amount: cost - r.Fee,
			Currency: c.Currency, Call: c.ID, CDR: r.Seq,
		}
		if _, err = s.transfer(loss, s.house(houseLoss, c.Currency), revenue); err != nil {
			r.note("loss: " + err.Error())
		}
	}
	v := s.accounts.edit(r.Vendor)
	if v == nil {
		return
	}
	r.CostCurrency = v.Currency
	r.Cost = r.CostRate.Cost(r.Duration)
	owed := Transfer{
		Kind: TransferCost, Debit: houseCost, Credit: v.ledger(), Amount: r.Cost,
		Currency: v.Currency, Call: c.ID, CDR: r.Seq,
	}
	if r.CostSeq, err = s.transfer(owed, s.house(houseCost, v.Currency), &v.Balance); err != nil {
		r.note("cost: " + err.Error())
		r.Cost = 0
	}
}

// note adds to the detail of a CDR what could not be done.
func (r *CDR) note(text string) {
	if r.Detail != "" {
		text = r.Detail + "; " + text
	}
	r.Detail = clip(text)
}

// cdr returns the record of a call that ends, without money.
func (c *Call) cdr(e ending) CDR {
	k := c.candidate()
	r := CDR{
		Call: c.ID, Mode: ModeNone, Account: c.Account, Vendor: k.Vendor, Ingress: c.Ingress, Egress: k.Gateway,
		Source: c.Source, CallerMedia: c.CallerMedia, CalleeMedia: c.CalleeMedia, SIPCallIDA: c.SIPCallID,
		RawCaller: c.RawCaller, RawCallee: c.RawCallee, Caller: c.Caller, Callee: c.Callee,
		SentCaller: k.Caller, SentCallee: k.Callee,
		Started: c.Started, Ringing: c.Ringing, Answered: c.Answered, Ended: e.at,
		EndedBy: e.by, Reason: e.reason, SIPStatus: e.status, Q850: e.q850, Codec: c.Codec,
		MediaA: e.mediaA, MediaB: e.mediaB,
		RateTable: c.RateTable, RateVersion: c.RateVer, RatePrefix: c.RatePrefix, Area: c.Area, Rate: c.Rate,
		CostPrefix: k.CostPrefix, CostVersion: k.CostVer, CostRate: k.Cost,
		Currency: c.Currency, Held: c.Hold, Estimated: e.estimated,
		Attempts: c.Attempts, Owners: c.Owners, Node: e.node,
	}
	if len(e.attempts) > 0 {
		r.Attempts = e.attempts
	}
	r.tried(k.Gateway)
	if c.Answered != 0 {
		r.Mode, r.SIPStatus = ModeMapping, 200
		if strings.HasPrefix(c.Ingress, phonePrefix) {
			r.Mode = ModePhone
		}
		r.Duration = max(r.Ended.Sub(r.Answered), 0)
	}
	return r
}

// tried takes from the last attempt at a gateway what was sent there.
func (r *CDR) tried(gateway string) {
	for i := len(r.Attempts) - 1; i >= 0; i-- {
		if t := &r.Attempts[i]; t.Gateway == gateway && t.Skipped == "" {
			r.EgressAddr, r.SIPCallIDB, r.PDD = t.Address, t.CallID, t.PDD
			return
		}
	}
	if r.Ringing != 0 {
		r.PDD = r.Ringing.Sub(r.Started)
	}
}

// endedAlready answers an EndCall for a call that is not live. A fact with an
// earlier end than the one that was charged corrects the charge (ARCHITECTURE.md, rule 1).
func (s *State) endedAlready(cmd *Command, b *EndCall) Result {
	t := s.ended.get(b.Call)
	if t != nil && b.How == EndFact && t.Final != nil {
		if at := s.eventTime(cmd, max(t.Final.Ringing, t.Final.Answered)); at < t.Final.Ended {
			s.amend(b, t.Final, at)
		}
	}
	return s.gone(b.Call)
}

// amend writes an amending CDR with an earlier end, and moves the difference
// back.
func (s *State) amend(b *EndCall, was *CDR, at Time) {
	r := *was
	r.Seq, r.Index, r.At, r.Amends = s.head.CDRs+1, s.index, s.now, was.Seq
	if was.Amends != 0 {
		r.Amends = was.Amends
	}
	r.Ended, r.EndedBy, r.Reason, r.Estimated = at, b.By, b.Reason, false
	r.Duration = at.Sub(r.Answered)
	cover := was.Cover()
	r.Billed = cover.Billed(min(r.Duration, was.Duration-was.OverGrant))
	r.OverGrant = max(was.OverGrant-(was.Duration-r.Duration), 0)
	r.ChargeSeq, r.CostSeq = 0, 0
	covered, _ := cover.Split(r.Duration)
	s.refundPrepaid(&r, covered)
	cost := cover.Cost(r.Duration)
	r.Fee = min(cost, was.Fee)
	s.refund(&r, was)
	s.recoverLoss(&r, cover.Cost(was.Duration)-was.Fee-(cost-r.Fee))
	s.reclaim(&r, was)
	s.write(&r)
	t := s.ended.edit(b.Call)
	t.Final, t.Fee = &r, r.Fee
}

// refund gives the client back what the shorter call did not cost.
func (s *State) refund(r, was *CDR) {
	a := s.accounts.edit(r.Account)
	if a == nil || a.Currency != r.Currency {
		r.Fee = was.Fee
		return
	}
	back := Transfer{
		Kind: TransferAmendment, Debit: houseRevenue, Credit: a.ledger(), Amount: was.Fee - r.Fee,
		Currency: r.Currency, Call: r.Call, CDR: r.Seq,
	}
	var err error
	if r.ChargeSeq, err = s.transfer(back, s.house(houseRevenue, r.Currency), &a.Balance); err != nil {
		r.note("refund: " + err.Error())
		r.Fee = was.Fee
		return
	}
	if a.SpentDay == s.day() {
		a.Spent = max(a.Spent-back.Amount, 0)
	}
	if back.Amount > 0 {
		s.funded(a.ID)
	}
}

// recoverLoss takes back what was booked as loss and never happened.
func (s *State) recoverLoss(r *CDR, amount billing.Amount) {
	if amount <= 0 {
		return
	}
	back := Transfer{
		Kind: TransferAmendment, Debit: houseRevenue, Credit: houseLoss, Amount: amount,
		Currency: r.Currency, Call: r.Call, CDR: r.Seq,
	}
	if _, err := s.transfer(back, s.house(houseRevenue, r.Currency), s.house(houseLoss, r.Currency)); err != nil {
		r.note("loss: " + err.Error())
	}
}

// reclaim takes from the vendor what the shorter call did not cost.
func (s *State) reclaim(r, was *CDR) {
	v := s.accounts.edit(r.Vendor)
	r.Cost = min(r.CostRate.Cost(r.Duration), was.Cost)
	if v == nil || v.Currency != r.CostCurrency {
		r.Cost = was.Cost
		return
	}
	back := Transfer{
		Kind: TransferAmendment, Debit: v.ledger(), Credit: houseCost, Amount: was.Cost - r.Cost,
		Currency: r.CostCurrency, Call: r.Call, CDR: r.Seq,
	}
	var err error
	if r.CostSeq, err = s.transfer(back, &v.Balance, s.house(houseCost, r.CostCurrency)); err != nil {
		r.note("cost: " + err.Error()) // the vendor was paid out meanwhile
		r.Cost = was.Cost
	}
}
