package fsm

import "tandem/fsm/wire"

func (b *StartCall) fields(c *wire.Codec) {
	callID(c, &b.Call)
	b.Source.fields(c)
	name(c, &b.SourceVia)
	raw(c, &b.Caller)
	raw(c, &b.Callee)
	raw(c, &b.SIPCallID)
	c.Bytes(&b.Invite, MaxInvite)
	c.Bytes(&b.Offer, MaxSDP)
	b.MediaAddr.fields(c)
	b.Identity.fields(c)
	name(c, &b.Line)
	digits(c, &b.Phone)
}

func (b *Progress) fields(c *wire.Codec) {
	callID(c, &b.Call)
	wire.Uint(c, &b.Epoch)
	c.U8(&b.Candidate)
	c.U16(&b.Status)
	c.Bytes(&b.DialogA, MaxDialog)
	c.Bytes(&b.DialogB, MaxDialog)
	c.Bytes(&b.Media, MaxMedia)
	wire.Slice(c, &b.Attempts, maxAttempts, each[Attempt])
}

func (b *AnswerCall) fields(c *wire.Codec) {
	callID(c, &b.Call)
	wire.Uint(c, &b.Epoch)
	c.U8(&b.Candidate)
	c.Bytes(&b.DialogA, MaxDialog)
	c.Bytes(&b.DialogB, MaxDialog)
	c.Bytes(&b.Media, MaxMedia)
	name(c, &b.Codec)
	b.PeerMedia.fields(c)
	wire.Slice(c, &b.Attempts, maxAttempts, each[Attempt])
}

func (b *ExtendCall) fields(c *wire.Codec) {
	callID(c, &b.Call)
	wire.Uint(c, &b.Epoch)
	c.U32(&b.Slice)
	c.Bytes(&b.DialogA, MaxDialog)
	c.Bytes(&b.DialogB, MaxDialog)
	c.Bytes(&b.Media, MaxMedia)
}

func (b *EndCall) fields(c *wire.Codec) {
	callID(c, &b.Call)
	wire.Uint(c, &b.Epoch)
	wire.Enum(c, &b.How, EndVoid)
	wire.Enum(c, &b.Reason, EndRestored)
	wire.Enum(c, &b.By, ByServer)
	c.U16(&b.SIPStatus)
	c.U8(&b.Q850)
	wire.Slice(c, &b.Attempts, maxAttempts, each[Attempt])
	b.MediaA.fields(c)
	b.MediaB.fields(c)
	wire.Enum(c, &b.Told, bothLegs)
}

func (b *Beat) fields(c *wire.Codec) { wire.Slice(c, &b.Silent, maxCallIDs, callID) }

func (b *Refused) fields(c *wire.Codec) {
	b.Source.fields(c)
	wire.Enum(c, &b.Reason, EndRestored)
	c.U32(&b.Count)
	wire.Int(c, &b.First)
	wire.Int(c, &b.Last)
	raw(c, &b.Caller)
	raw(c, &b.Callee)
	c.U16(&b.Status)
}

func (b *GatewayHealth) fields(c *wire.Codec) {
	name(c, &b.Gateway)
	wire.Int(c, &b.Out)
	memo(c, &b.Reason)
}

func (b *PutAccount) fields(c *wire.Codec)    { b.Account.fields(c) }
func (b *DeleteAccount) fields(c *wire.Codec) { name(c, &b.ID) }

func (b *TopUp) fields(c *wire.Codec) {
	name(c, &b.Account)
	wire.Int(c, &b.Amount)
	c.Bool(&b.Adjust)
	memo(c, &b.Memo)
	name(c, &b.Actor)
}

func (b *PutMappingGateway) fields(c *wire.Codec) { b.Gateway.fields(c) }
func (b *PutRoutingGateway) fields(c *wire.Codec) { b.Gateway.fields(c) }

func (b *DeleteGateway) fields(c *wire.Codec) {
	name(c, &b.ID)
	c.Bool(&b.Mapping)
}

func (b *PutRateTable) fields(c *wire.Codec)    { b.Table.fields(c) }
func (b *DeleteRateTable) fields(c *wire.Codec) { name(c, &b.ID) }

func (b *ImportRates) fields(c *wire.Codec) {
	name(c, &b.Table)
	c.Uint(&b.Version)
	c.U32(&b.Chunk)
	wire.Slice(c, &b.Rows, maxRows, each[RateRow])
}

func (b *ActivateRates) fields(c *wire.Codec) {
	name(c, &b.Table)
	c.Uint(&b.Version)
	c.U32(&b.Rows)
}

func (b *SetParameter) fields(c *wire.Codec) {
	name(c, &b.Name)
	detail(c, &b.Value)
}

func (b *PutBlock) fields(c *wire.Codec) {
	b.Block.fields(c)
	wire.Int(c, &b.For)
	c.Bool(&b.Forever)
}

func (b *DeleteBlock) fields(c *wire.Codec) {
	digits(c, &b.Number)
	wire.Enum(c, &b.List, Concurrent)
	name(c, &b.Scope)
}

func (b *PutNumberList) fields(c *wire.Codec)    { b.List.fields(c) }
func (b *DeleteNumberList) fields(c *wire.Codec) { name(c, &b.Name) }
func (b *PutPackage) fields(c *wire.Codec)       { b.Package.fields(c) }
func (b *DeletePackage) fields(c *wire.Codec)    { name(c, &b.ID) }
func (b *PutToken) fields(c *wire.Codec)         { b.Token.fields(c) }
func (b *DeleteToken) fields(c *wire.Codec)      { name(c, &b.ID) }

func (b *BuyPackage) fields(c *wire.Codec) {
	name(c, &b.Account)
	name(c, &b.Package)
	memo(c, &b.Memo)
	name(c, &b.Actor)
}

func (b *NodeUp) fields(c *wire.Codec) {
	node(c, &b.Node)
	c.Uint(&b.Incarnation)
	c.U16(&b.Level)
	name(c, &b.Version)
	wire.Slice(c, &b.Addresses, maxAddrs, each[ServiceAddress])
	c.Bool(&b.Witness)
}

func (b *NodeDown) fields(c *wire.Codec) {
	node(c, &b.Node)
	c.Uint(&b.Incarnation)
	wire.Slice(c, &b.Pledges, maxMembers, each[Pledge])
	c.Bool(&b.Exited)
}

func (b *RaiseFeatureLevel) fields(c *wire.Codec) { c.U16(&b.Level) }

func (b *Tick) fields(*wire.Codec) {}
