package fsm

import "tandem/fsm/wire"

// fields writes one byte for a profile that says nothing: most of them, in
// every candidate of every call.
func (p *Profile) fields(c *wire.Codec) {
	set := *p != Profile{}
	if c.Bool(&set); !set {
		return
	}
	c.Bool(&p.Trusted)
	wire.Enum(c, &p.CallerFrom, CallerPreferred)
	wire.Enum(c, &p.CalleeFrom, CalleeDiversion)
	wire.Enum(c, &p.Asserted, IdentityCaller)
	wire.Enum(c, &p.Preferred, IdentityCaller)
	wire.Enum(c, &p.RemoteParty, IdentityCaller)
	wire.Enum(c, &p.Privacy, PrivacyNone)
	c.Bool(&p.Diversion)
	wire.Enum(c, &p.Reliable, SupportRequired)
	wire.Enum(c, &p.Timer, SupportRequired)
	wire.Int(c, &p.SessionExpires)
	wire.Enum(c, &p.Redirect, RedirectPass)
	wire.Int(c, &p.Progress)
	raw(c, &p.Resend)
	memo(c, &p.Causes)
	memo(c, &p.Codecs)
	wire.Enum(c, &p.DTMF, DTMFInfo)
	c.Bool(&p.NoFax)
	wire.Enum(c, &p.Interrupt, InterruptEither)
	for _, s := range []*Switch{&p.AfterRing, &p.AfterSDP, &p.AfterRTP, &p.AfterBusy, &p.AfterTimeout} {
		wire.Enum(c, s, SwitchOff)
	}
	memo(c, &p.ErrorCodes)
	wire.Enum(c, &p.SRTP, SRTPOn)
}

func (i *Identity) fields(c *wire.Codec) {
	set := *i != Identity{}
	if c.Bool(&set); !set {
		return
	}
	raw(c, &i.Display)
	raw(c, &i.RemoteParty)
	raw(c, &i.Asserted)
	raw(c, &i.Preferred)
	raw(c, &i.To)
	raw(c, &i.Diversion)
}
