package fsm

import "tandem/fsm/wire"

func (r *Result) fields(c *wire.Codec) {
	wire.Enum(c, &r.Code, CalleeBusy)
	c.Uint(&r.Index)
	wire.Int(c, &r.At)
	detail(c, &r.Detail)
	wire.Optional(c, &r.Plan, each[Plan])
	r.Grant.fields(c)
	c.Uint(&r.CDR)
	wire.Int(c, &r.Fee)
	c.Uint(&r.Count)
}

func (g *Grant) fields(c *wire.Codec) {
	c.U32(&g.Slice)
	wire.Int(c, &g.For)
	wire.Int(c, &g.Until)
	wire.Int(c, &g.Next)
	c.Bool(&g.Last)
}

func (p *Plan) fields(c *wire.Codec) {
	callID(c, &p.Call)
	wire.Uint(c, &p.Epoch)
	name(c, &p.Ingress)
	name(c, &p.Account)
	digits(c, &p.Caller)
	digits(c, &p.Callee)
	wire.Slice(c, &p.Candidates, maxCandidates, each[Candidate])
	wire.Slice(c, &p.Skipped, maxSkipped, each[Skip])
	wire.Int(c, &p.MaxDuration)
	wire.Enum(c, &p.Media, MediaMustOn)
	wire.Enum(c, &p.Source, SourceAny)
	c.Bool(&p.NAT)
	p.Profile.fields(c)
}

func (d *Candidate) fields(c *wire.Codec) {
	name(c, &d.Gateway)
	name(c, &d.Vendor)
	wire.Slice(c, &d.Addrs, maxAddrs, each[Addr])
	raw(c, &d.Host)
	name(c, &d.Via)
	raw(c, &d.Callee)
	raw(c, &d.Caller)
	digits(c, &d.Prefix)
	rate(c, &d.Cost)
	c.Uint(&d.CostVer)
	digits(c, &d.CostPrefix)
	i32(c, &d.Priority)
	wire.Int(c, &d.Ring)
	wire.Int(c, &d.FirstTry)
	wire.Enum(c, &d.Source, SourceAny)
	c.Bool(&d.NAT)
	wire.Int(c, &d.Limit)
	wire.Enum(c, &d.Media, MediaMustOn)
	d.Profile.fields(c)
	c.String(&d.Contact, maxContact)
	wire.Slice(c, &d.Path, maxPath, raw)
	d.Flow.fields(c)
}

func (s *Skip) fields(c *wire.Codec) {
	name(c, &s.Gateway)
	memo(c, &s.Reason)
}
