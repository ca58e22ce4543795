package fsm

import "tandem/fsm/wire"

func (p *Phone) fields(c *wire.Codec) {
	digits(c, &p.Number)
	name(c, &p.User)
	name(c, &p.Account)
	wire.Slice(c, &p.Secrets, maxSecrets, each[Secret])
	c.Bool(&p.LockIn)
	c.Bool(&p.LockOut)
	c.U32(&p.MaxIn)
	c.U32(&p.MaxOut)
	c.U32(&p.MaxCalls)
	c.U8(&p.MaxContacts)
	name(c, &p.RateTable)
	wire.Slice(c, &p.Routes, maxRoutes, name)
	c.Bool(&p.DenyRoutes)
	p.Rules.fields(c)
	wire.Enum(c, &p.Media, MediaMustOn)
	wire.Enum(c, &p.Source, SourceAny)
	c.Bool(&p.NAT)
	p.Profile.fields(c)
	c.U32(&p.LiveIn)
	c.U32(&p.LiveOut)
	c.Uint(&p.CallsTotal)
}

func (k *Secret) fields(c *wire.Codec) {
	name(c, &k.Algorithm)
	raw(c, &k.Realm)
	c.Bytes(&k.HA1, 32)
}

func (f *Flow) fields(c *wire.Codec) {
	name(c, &f.Line)
	name(c, &f.Via)
	f.Peer.fields(c)
	node(c, &f.Node)
	c.Uint(&f.Incarnation)
	name(c, &f.ID)
}

func (t *Contact) fields(c *wire.Codec) {
	c.String(&t.URI, maxContact)
	c.String(&t.Instance, maxContact)
	c.U32(&t.RegID)
	c.U16(&t.Q)
	wire.Int(c, &t.For)
}

func (b *Binding) fields(c *wire.Codec) {
	digits(c, &b.Number)
	bindingID(c, &b.ID)
	c.String(&b.Contact, maxContact)
	wire.Slice(c, &b.Path, maxPath, raw)
	b.Flow.fields(c)
	c.U16(&b.Q)
	raw(c, &b.CallID)
	c.U32(&b.CSeq)
	raw(c, &b.UserAgent)
	wire.Int(c, &b.Since)
	wire.Int(c, &b.Renewed)
	wire.Int(c, &b.Expires)
}

func (k *bindingKey) fields(c *wire.Codec) {
	digits(c, &k.Number)
	bindingID(c, &k.ID)
}

// bindingID is a URI, or an instance with a number behind it.
func bindingID(c *wire.Codec, v *string) { c.String(v, maxContact+16) }

func (b *PutPhone) fields(c *wire.Codec)    { b.Phone.fields(c) }
func (b *DeletePhone) fields(c *wire.Codec) { digits(c, &b.Number) }

func (b *PutBinding) fields(c *wire.Codec) {
	digits(c, &b.Number)
	raw(c, &b.CallID)
	c.U32(&b.CSeq)
	b.Flow.fields(c)
	wire.Slice(c, &b.Path, maxPath, raw)
	raw(c, &b.UserAgent)
	wire.Slice(c, &b.Contacts, maxContacts, each[Contact])
}

func (b *DropBinding) fields(c *wire.Codec) {
	digits(c, &b.Number)
	bindingID(c, &b.ID)
	b.Flow.fields(c)
	raw(c, &b.CallID)
	c.U32(&b.CSeq)
	memo(c, &b.Reason)
}

// Kind returns [KindPutPhone].
func (*PutPhone) Kind() Kind { return KindPutPhone }

// Kind returns [KindDeletePhone].
func (*DeletePhone) Kind() Kind { return KindDeletePhone }

// Kind returns [KindPutBinding].
func (*PutBinding) Kind() Kind { return KindPutBinding }

// Kind returns [KindDropBinding].
func (*DropBinding) Kind() Kind { return KindDropBinding }
