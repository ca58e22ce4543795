package load

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"tandem/sip"
)

// CarrierConfig describes a carrier: the far end that answers.
type CarrierConfig struct {
	Listen Listen
	Addr   netip.AddrPort
	Ring   time.Duration // from the 180 to the 200; 0: at once
	RTP    bool          // send and receive voice
}

// Carrier answers every call and waits for its BYE.
type Carrier struct {
	*phone
	cfg      CarrierConfig
	answered atomic.Uint64
	ended    atomic.Uint64
	ssrc     atomic.Uint32
}

// NewCarrier opens the carrier's socket.
func NewCarrier(cfg CarrierConfig) (*Carrier, error) {
	c := &Carrier{cfg: cfg}
	var err error
	c.phone, err = newPhone(cfg.Listen, cfg.Addr, c)
	return c, err
}

// Run answers calls until ctx ends.
func (c *Carrier) Run(ctx context.Context) error {
	defer c.close()
	return c.endpoint.Run(ctx)
}

// Answered and Ended count calls.
func (c *Carrier) Answered() uint64 { return c.answered.Load() }

// Ended counts the BYEs of answered calls.
func (c *Carrier) Ended() uint64 { return c.ended.Load() }

// Request implements sip.Handler.
func (c *Carrier) Request(req *sip.Request, tx *sip.ServerTx) {
	switch {
	case tx == nil: // ACK
	case req.Method == sip.INVITE && req.ToTag == "":
		c.invite(req, tx)
	case req.Method == sip.INVITE:
		c.reinvite(req, tx)
	case req.Method == sip.BYE:
		l, ok := c.take(req.CallID)
		if !ok {
			tx.Respond(req.Response(481, ""))
			return
		}
		c.ended.Add(1)
		tx.Respond(req.Response(200, ""))
		go l.voice.stop()
	case req.ToTag != "" && c.get(req.CallID) == nil: // RFC 3261 section 12.2.2
		tx.Respond(req.Response(481, ""))
	default:
		tx.Respond(req.Response(200, ""))
	}
}

func (c *Carrier) invite(req *sip.Request, tx *sip.ServerTx) {
	state := req.Invite(c.endpoint.NewIdentifier())
	l := &leg{id: req.CallID, tx: tx, state: state}
	if c.cfg.RTP {
		var err error
		if l.voice, err = openStream(c.listen, c.addr.Addr(), 0x0b000000+c.ssrc.Add(1)); err != nil {
			tx.Respond(state.Response(500))
			return
		}
	}
	c.add(l)
	tx.Respond(state.Response(180))
	body := req.Body
	if c.cfg.Ring == 0 {
		c.answer(l, body)
		return
	}
	l.timer = time.AfterFunc(c.cfg.Ring, func() {
		if c.get(l.id) == l {
			c.answer(l, body)
		}
	})
}

func (c *Carrier) answer(l *leg, body []byte) {
	ok := l.state.Response(200)
	ok.Headers.Add("Contact", "<"+c.endpoint.Contact("carrier", sip.UDP)+">")
	ok.SetBody("application/sdp", c.description(l, body))
	c.answered.Add(1)
	l.tx.Respond(ok)
}

func (c *Carrier) reinvite(req *sip.Request, tx *sip.ServerTx) {
	l := c.get(req.CallID)
	if l == nil {
		tx.Respond(req.Response(481, ""))
		return
	}
	ok := req.Response(200, "")
	ok.Headers.Add("Contact", "<"+c.endpoint.Contact("carrier", sip.UDP)+">")
	ok.SetBody("application/sdp", c.description(l, req.Body))
	tx.Respond(ok)
}

// description is the carrier's side of an offer; with RTP it starts the voice.
func (c *Carrier) description(l *leg, body []byte) []byte {
	port := c.addr.Port()
	if l.voice != nil {
		port = l.voice.port()
		if len(body) > 0 && l.voice.start(body) != nil {
			port = 0 // refuses the stream: the call will show it
		}
	}
	return offer(c.addr.Addr(), port)
}

// Canceled implements sip.Handler.
func (c *Carrier) Canceled(tx *sip.ServerTx, _ *sip.Request) {
	l, ok := c.take(tx.CallID())
	if !ok {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	tx.Respond(l.state.Response(487))
	go l.voice.stop()
}

// AckTimeout implements sip.Handler.
func (c *Carrier) AckTimeout(tx *sip.ServerTx) {
	if l, ok := c.take(tx.CallID()); ok {
		go l.voice.stop()
	}
}

// StrayResponse implements sip.Handler.
func (c *Carrier) StrayResponse(*sip.Response) {}
