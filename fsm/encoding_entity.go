package fsm

import "tandem/fsm/wire"

func (a *Account) fields(c *wire.Codec) {
	name(c, &a.ID)
	name(c, &a.Name)
	wire.Enum(c, &a.Type, House)
	name(c, &a.Currency)
	balance(c, &a.Balance)
	wire.Int(c, &a.Expiry)
	c.Bool(&a.Locked)
	wire.Slice(c, &a.AccessIPs, maxAddrs, each[Prefix])
	name(c, &a.RateTable)
	c.Bool(&a.AllowDebt)
	wire.Int(c, &a.Advance)
	wire.Int(c, &a.MaxSpend)
	c.U32(&a.MaxCalls)
	c.U32(&a.MaxCPS)
	prefixes(c, &a.AllowCallee)
	prefixes(c, &a.BlockCallee)
	wire.Int(c, &a.LowBalance)
	wire.Int(c, &a.MaxDuration)
	wire.Int(c, &a.Created)
	wire.Int(c, &a.Spent)
	i32(c, &a.SpentDay)
	c.U32(&a.Live)
	c.Uint(&a.CallsTotal)
	wire.Int(c, &a.SecondWindow)
	c.U32(&a.SecondCalls)
}

func (r *NumberRules) fields(c *wire.Codec) {
	prefixes(c, &r.AllowCaller)
	prefixes(c, &r.DenyCaller)
	prefixes(c, &r.AllowCallee)
	prefixes(c, &r.DenyCallee)
	wire.Slice(c, &r.CallerPlan, maxRules, each[Transform])
	wire.Slice(c, &r.CalleePlan, maxRules, each[Transform])
	name(c, &r.CallerWhite)
	name(c, &r.CallerBlack)
	name(c, &r.CalleeWhite)
	name(c, &r.CalleeBlack)
	c.Uint(&r.Lengths)
}

func (t *Transform) fields(c *wire.Codec) {
	raw(c, &t.From)
	raw(c, &t.To)
}

func (g *MappingGateway) fields(c *wire.Codec) {
	name(c, &g.ID)
	name(c, &g.Account)
	wire.Slice(c, &g.Addrs, maxAddrs, each[Prefix])
	c.U16(&g.Port)
	digits(c, &g.TechPrefix)
	c.Bool(&g.Disabled)
	c.U32(&g.MaxCalls)
	c.U32(&g.MaxCPS)
	wire.Slice(c, &g.Routes, maxRoutes, name)
	c.Bool(&g.DenyRoutes)
	g.Rules.fields(c)
	wire.Enum(c, &g.Media, MediaMustOn)
	wire.Enum(c, &g.Source, SourceAny)
	c.Bool(&g.NAT)
	name(c, &g.RateTable)
	c.U32(&g.Live)
	c.Uint(&g.CallsTotal)
	g.Profile.fields(c)
}

func (g *RoutingGateway) fields(c *wire.Codec) {
	name(c, &g.ID)
	name(c, &g.Account)
	prefixes(c, &g.Prefixes)
	wire.Enum(c, &g.Mode, PrefixTerminate)
	i32(c, &g.Priority)
	wire.Slice(c, &g.Addrs, maxAddrs, each[Addr])
	raw(c, &g.Host)
	name(c, &g.Via)
	c.Bool(&g.Disabled)
	c.U32(&g.MaxCalls)
	c.U32(&g.MaxCPS)
	wire.Int(c, &g.CPSPeriod)
	wire.Int(c, &g.MaxDuration)
	wire.Int(c, &g.Ring)
	wire.Int(c, &g.FirstTry)
	g.Rules.fields(c)
	c.Bool(&g.Standalone)
	c.Bool(&g.CheckRate)
	wire.Int(c, &g.MinProfit)
	wire.Int(c, &g.MaxRate)
	wire.Enum(c, &g.Source, SourceAny)
	c.Bool(&g.NAT)
	c.U32(&g.Live)
	c.Uint(&g.CallsTotal)
	wire.Int(c, &g.OutUntil)
	memo(c, &g.OutReason)
	wire.Int(c, &g.SecondWindow)
	c.U32(&g.SecondCalls)
	wire.Enum(c, &g.Media, MediaMustOn)
	g.Check.fields(c)
	c.Bool(&g.NoCheck)
	g.Profile.fields(c)
}

func (t *RateTable) fields(c *wire.Codec) {
	name(c, &t.ID)
	name(c, &t.Currency)
	rounding(c, &t.Rounding)
	c.Uint(&t.Active)
	c.U32(&t.Rows)
	c.Uint(&t.Previous)
}

func (r *RateRow) fields(c *wire.Codec) {
	digits(c, &r.Prefix)
	name(c, &r.Area)
	wire.Int(c, &r.Price)
	wire.Int(c, &r.ConnectFee)
	c.U16(&r.First)
	c.U16(&r.Next)
	c.U16(&r.Minimum)
	c.U16(&r.Free)
}

func (b *Block) fields(c *wire.Codec) {
	digits(c, &b.Number)
	wire.Enum(c, &b.List, Concurrent)
	name(c, &b.Scope)
	name(c, &b.Account)
	wire.Int(c, &b.Since)
	wire.Int(c, &b.Until)
	wire.Int(c, &b.LastCall)
	node(c, &b.Node)
	c.Bool(&b.Manual)
	c.U32(&b.Limit)
	c.U32(&b.Count)
	wire.Int(c, &b.Window)
	wire.Int(c, &b.First)
	digits(c, &b.Sample)
	c.Uint(&b.Hits)
	memo(c, &b.Memo)
}

func (l *NumberList) fields(c *wire.Codec) {
	name(c, &l.Name)
	wire.Slice(c, &l.Numbers, maxNumbers, digits)
	memo(c, &l.Memo)
}

func (t *Token) fields(c *wire.Codec) {
	name(c, &t.ID)
	name(c, &t.Name)
	c.Fixed(t.Hash[:])
	name(c, &t.Role)
	wire.Int(c, &t.Expires)
	wire.Int(c, &t.Created)
}

func (t *Transfer) fields(c *wire.Codec) {
	c.Uint(&t.Seq)
	wire.Int(c, &t.At)
	c.Uint(&t.Index)
	raw(c, &t.Debit)
	raw(c, &t.Credit)
	wire.Int(c, &t.Amount)
	name(c, &t.Currency)
	wire.Enum(c, &t.Kind, TransferLapse)
	callID(c, &t.Call)
	c.Uint(&t.CDR)
	memo(c, &t.Memo)
	name(c, &t.Actor)
}

// i32 encodes a signed 32-bit integer as Codec.Int does.
func i32(c *wire.Codec, v *int32) {
	i := int64(*v)
	c.Int(&i)
	if int64(int32(i)) != i {
		c.Fail("integer %d beyond 32 bits: %w", i, wire.ErrMalformed)
		return
	}
	if c.Decoding() {
		*v = int32(i)
	}
}
