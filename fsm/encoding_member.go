package fsm

import "tandem/fsm/wire"

func (a *ServiceAddress) fields(c *wire.Codec) {
	name(c, &a.IP)
	name(c, &a.Public)
	name(c, &a.Move)
}

func (a *Address) fields(c *wire.Codec) {
	name(c, &a.IP)
	name(c, &a.Public)
	name(c, &a.Move)
	node(c, &a.Home)
	node(c, &a.Owner)
	c.Uint(&a.Incarnation)
	wire.Uint(c, &a.Epoch)
	wire.Int(c, &a.Since)
}

func (m *Member) fields(c *wire.Codec) {
	node(c, &m.Node)
	c.Uint(&m.Incarnation)
	c.Bool(&m.Up)
	c.Bool(&m.Witness)
	c.U16(&m.Level)
	name(c, &m.Version)
	wire.Slice(c, &m.Addresses, maxAddrs, each[ServiceAddress])
	wire.Int(c, &m.Since)
	wire.Int(c, &m.LastBeat)
	c.Uint(&m.Low)
	wire.Int(c, &m.Joined)
	c.Bool(&m.Draining)
	name(c, &m.DrainBy)
	memo(c, &m.DrainReason)
}

func (p *Pledge) fields(c *wire.Codec) {
	node(c, &p.Node)
	c.Uint(&p.Incarnation)
}

func (o *Orphan) fields(c *wire.Codec) {
	o.Call.fields(c)
	wire.Int(c, &o.Ended)
	wire.Enum(c, &o.By, ByServer)
	wire.Enum(c, &o.Reason, EndRestored)
	c.U16(&o.Status)
	c.U8(&o.Q850)
	wire.Enum(c, &o.Told, bothLegs)
}

func (b *HandOver) fields(c *wire.Codec) {
	name(c, &b.IP)
	node(c, &b.To)
}

func (b *SetDrain) fields(c *wire.Codec) {
	node(c, &b.Node)
	c.Bool(&b.On)
	name(c, &b.By)
	memo(c, &b.Reason)
}

func (b *RemoveMember) fields(c *wire.Codec) { node(c, &b.Node) }

func (b *UpdateLegs) fields(c *wire.Codec) {
	callID(c, &b.Call)
	wire.Uint(c, &b.Epoch)
	name(c, &b.Line)
	c.Bytes(&b.DialogA, MaxDialog)
	c.Bytes(&b.DialogB, MaxDialog)
	c.Bytes(&b.Media, MaxMedia)
}

func (b *ForgetDays) fields(c *wire.Codec) { i32(c, &b.Before) }

func (d *Day) fields(c *wire.Codec) {
	i32(c, &d.Day)
	c.Uint(&d.First)
	c.Uint(&d.Last)
	c.Uint(&d.FirstTransfer)
	c.Uint(&d.LastTransfer)
	c.Fixed(d.Link[:])
}

// Kind returns [KindHandOver].
func (*HandOver) Kind() Kind { return KindHandOver }

// Kind returns [KindSetDrain].
func (*SetDrain) Kind() Kind { return KindSetDrain }

// Kind returns [KindRemoveMember].
func (*RemoveMember) Kind() Kind { return KindRemoveMember }

// Kind returns [KindUpdateLegs].
func (*UpdateLegs) Kind() Kind { return KindUpdateLegs }

// Kind returns [KindForgetDays].
func (*ForgetDays) Kind() Kind { return KindForgetDays }
