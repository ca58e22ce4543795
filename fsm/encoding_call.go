package fsm

import "tandem/fsm/wire"

func (l *Call) fields(c *wire.Codec) {
	callID(c, &l.ID)
	node(c, &l.Owner)
	c.Uint(&l.Incarnation)
	wire.Uint(c, &l.Epoch)
	wire.Enum(c, &l.State, CallAnswered)
	name(c, &l.Account)
	name(c, &l.Ingress)
	l.Source.fields(c)
	name(c, &l.SourceVia)
	digits(c, &l.Caller)
	digits(c, &l.Callee)
	raw(c, &l.RawCaller)
	raw(c, &l.RawCallee)
	raw(c, &l.SIPCallID)
	wire.Slice(c, &l.Candidates, maxCandidates, each[Candidate])
	wire.Slice(c, &l.Skipped, maxSkipped, each[Skip])
	c.U8(&l.Candidate)
	rate(c, &l.Rate)
	name(c, &l.RateTable)
	c.Uint(&l.RateVer)
	digits(c, &l.RatePrefix)
	name(c, &l.Area)
	name(c, &l.Currency)
	wire.Int(c, &l.Hold)
	c.U32(&l.Slice)
	wire.Int(c, &l.Granted)
	c.Bool(&l.LastGrant)
	wire.Int(c, &l.MaxLength)
	wire.Enum(c, &l.MediaMode, MediaMustOn)
	wire.Enum(c, &l.Policy, SourceAny)
	c.Bool(&l.NAT)
	wire.Int(c, &l.Started)
	wire.Int(c, &l.Ringing)
	wire.Int(c, &l.Answered)
	wire.Int(c, &l.Alive)
	c.Bytes(&l.Invite, MaxInvite)
	c.Bytes(&l.Offer, MaxSDP)
	c.Bytes(&l.DialogA, MaxDialog)
	c.Bytes(&l.DialogB, MaxDialog)
	c.Bytes(&l.Media, MaxMedia)
	name(c, &l.Codec)
	l.CallerMedia.fields(c)
	l.CalleeMedia.fields(c)
	wire.Slice(c, &l.Attempts, maxAttempts, each[Attempt])
	wire.Slice(c, &l.Owners, maxOwners, each[Owner])
	flags := uint8(l.Flags)
	c.U8(&flags)
	if c.Decoding() {
		l.Flags = CallFlags(flags)
	}
	l.Profile.fields(c)
	name(c, &l.Line)
	wire.Slice(c, &l.Prepaid, maxPurchasesEach, each[Prepaid])
}

func (o *Owner) fields(c *wire.Codec) {
	node(c, &o.Node)
	wire.Uint(c, &o.Epoch)
	wire.Int(c, &o.Since)
}

func (a *Attempt) fields(c *wire.Codec) {
	name(c, &a.Gateway)
	a.Address.fields(c)
	raw(c, &a.Callee)
	raw(c, &a.Caller)
	wire.Int(c, &a.Start)
	wire.Int(c, &a.PDD)
	c.U16(&a.Status)
	c.U8(&a.Q850)
	memo(c, &a.Skipped)
	raw(c, &a.CallID)
}

func (m *MediaStats) fields(c *wire.Codec) {
	c.Uint(&m.Packets)
	c.Uint(&m.Bytes)
	c.Uint(&m.Lost)
	wire.Int(c, &m.Jitter)
}

func (r *CDR) fields(c *wire.Codec) {
	c.Uint(&r.Seq)
	c.Uint(&r.Index)
	callID(c, &r.Call)
	c.Uint(&r.Amends)
	mode := int64(r.Mode)
	c.Int(&mode)
	if int64(BillingMode(mode)) != mode {
		c.Fail("billing mode %d: %w", mode, wire.ErrMalformed)
	}
	if c.Decoding() { // an encoder only reads: views are encoded beside Apply
		r.Mode = BillingMode(mode)
	}
	r.parties(c)
	r.times(c)
	r.outcome(c)
	r.money(c)
	wire.Slice(c, &r.Attempts, maxAttempts, each[Attempt])
	wire.Slice(c, &r.Owners, maxOwners, each[Owner])
	node(c, &r.Node)
	detail(c, &r.Detail)
	c.Uint(&r.ChargeSeq)
	c.Uint(&r.CostSeq)
	c.Fixed(r.Link[:])
	wire.Int(c, &r.At)
	wire.Slice(c, &r.Prepaid, maxPurchasesEach, each[Prepaid])
}

func (r *CDR) parties(c *wire.Codec) {
	name(c, &r.Account)
	name(c, &r.Vendor)
	name(c, &r.Ingress)
	name(c, &r.Egress)
	r.Source.fields(c)
	r.EgressAddr.fields(c)
	r.CallerMedia.fields(c)
	r.CalleeMedia.fields(c)
	raw(c, &r.SIPCallIDA)
	raw(c, &r.SIPCallIDB)
	raw(c, &r.RawCaller)
	raw(c, &r.RawCallee)
	digits(c, &r.Caller)
	digits(c, &r.Callee)
	raw(c, &r.SentCaller)
	raw(c, &r.SentCallee)
}

func (r *CDR) times(c *wire.Codec) {
	wire.Int(c, &r.Started)
	wire.Int(c, &r.Ringing)
	wire.Int(c, &r.Answered)
	wire.Int(c, &r.Ended)
	wire.Int(c, &r.PDD)
	wire.Int(c, &r.Duration)
	wire.Int(c, &r.Billed)
}

func (r *CDR) outcome(c *wire.Codec) {
	wire.Enum(c, &r.EndedBy, ByServer)
	wire.Enum(c, &r.Reason, EndRestored)
	c.U16(&r.SIPStatus)
	c.U8(&r.Q850)
	name(c, &r.Codec)
	r.MediaA.fields(c)
	r.MediaB.fields(c)
}

func (r *CDR) money(c *wire.Codec) {
	name(c, &r.RateTable)
	c.Uint(&r.RateVersion)
	digits(c, &r.RatePrefix)
	name(c, &r.Area)
	rate(c, &r.Rate)
	digits(c, &r.CostPrefix)
	c.Uint(&r.CostVersion)
	rate(c, &r.CostRate)
	name(c, &r.Currency)
	name(c, &r.CostCurrency)
	wire.Int(c, &r.Fee)
	wire.Int(c, &r.Cost)
	wire.Int(c, &r.Held)
	wire.Int(c, &r.OverGrant)
	c.Bool(&r.Estimated)
	c.U32(&r.Aggregate)
}
