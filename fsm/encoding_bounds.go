package fsm

import (
	"tandem/billing"
	"tandem/fsm/number"
	"tandem/fsm/route"
	"tandem/fsm/wire"
)

// Bounds of what a call brings from outside, for those who make commands of it:
// AppendBody refuses what is longer.
const (
	MaxRaw    = 256     // user parts as received, Call-IDs, host names, dial plan rules
	MaxSDP    = 8 << 10 // an offer
	MaxInvite = 8 << 10 // what answers the caller: mostly its Via and Record-Route headers
	MaxDialog = 4 << 10 // an encoded dialog
	MaxMedia  = 4 << 10 // a media session's state

	maxContact = 512 // a URI that a phone registers; longer than any that was seen
	maxPath    = 8   // proxies between a phone and us
)

// Bounds of what operators set and of what follows from it. Each is far above
// honest use and keeps one command from filling the log or a replica's memory.
const (
	maxName       = 64               // ids, names, currencies, codecs, versions of programs
	maxNumber     = number.MaxDigits // normalised numbers and prefixes
	maxMemo       = 256
	maxKey        = 192     // idempotency keys: token/key
	maxDetail     = 4 << 10 // texts that this package makes of such values
	maxAddrs      = 32      // of a gateway, an account or a node
	maxPrefixes   = 4096    // of a gateway or an account
	maxRules      = 1024    // of a dial plan
	maxRoutes     = 4096    // gateways that an ingress names
	maxNumbers    = 24 << 10
	maxRows       = 4096 // of one chunk of rates
	maxCallIDs    = 16 << 10
	maxMembers    = 256
	maxOwners     = 256
	maxCandidates = route.MaxCandidates
	maxSkipped    = route.MaxSkipped + route.MaxCandidates // candidates may be struck out again
	maxAttempts   = maxCandidates * maxAddrs               // tries of one call
)

// each describes an element of a list, for wire.Slice and wire.Optional.
func each[T any, P interface {
	*T
	fielder
}](c *wire.Codec, v *T) {
	P(v).fields(c)
}

func name(c *wire.Codec, v *string)   { c.String(v, maxName) }
func digits(c *wire.Codec, v *string) { c.String(v, maxNumber) }
func raw(c *wire.Codec, v *string)    { c.String(v, MaxRaw) }
func memo(c *wire.Codec, v *string)   { c.String(v, maxMemo) }
func detail(c *wire.Codec, v *string) { c.String(v, maxDetail) }

func prefixes(c *wire.Codec, v *[]string) { wire.Slice(c, v, maxPrefixes, digits) }

func callID(c *wire.Codec, v *CallID) { c.Fixed(v[:]) }

func node(c *wire.Codec, v *NodeID) { wire.Text(c, v, maxName) }

func rate(c *wire.Codec, r *billing.Rate) {
	wire.Int(c, &r.Price)
	wire.Int(c, &r.ConnectFee)
	wire.U32(c, &r.First)
	wire.U32(c, &r.Next)
	wire.U32(c, &r.Minimum)
	wire.U32(c, &r.Free)
	rounding(c, &r.Rounding)
}

func rounding(c *wire.Codec, r *billing.Rounding) {
	c.U16(&r.HoldMillis)
	c.U8(&r.Drop)
	wire.Enum(c, &r.Mode, billing.HalfEven)
}

func balance(c *wire.Codec, b *billing.Balance) {
	wire.Int(c, &b.Funds)
	wire.Int(c, &b.Credit)
	wire.Int(c, &b.Held)
	c.Bool(&b.Overdraft)
}

func (a *Addr) fields(c *wire.Codec) {
	c.Fixed(a.IP[:])
	c.U16(&a.Port)
}

func (p *Prefix) fields(c *wire.Codec) {
	c.Fixed(p.IP[:])
	c.U8(&p.Bits)
	if p.Bits > 128 {
		c.Fail("prefix of %d bits: %w", p.Bits, wire.ErrMalformed)
	}
}
