package load

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"tandem/sip"
)

// CarrierConfig describes a carrier: the far end that answers.
type CarrierConfig struct {
	Listen Listen
	Addr   netip.AddrPort
	Think  time.Duration // from the INVITE to the 18x; 0: at once
	Ring   time.Duration // from the 18x to the 200; 0: at once
	Early  bool          // the 18x is a 183 with a description, and voice begins
	RTP    bool          // send and receive voice
	// Talk says when the carrier hangs up a call, after its answer; 0 and nil: never.
	Talk func(callee string) time.Duration
	// OnEnd hears of each leg when it is over. It may be called from several
	// goroutines and must not block. May be nil.
	OnEnd func(LegOutcome)
}

// LegOutcome is what became of one call at the carrier.
type LegOutcome struct {
	CallID   string
	Callee   string
	Start    time.Time
	Answered time.Time // 200 sent; zero: never
	Finished time.Time // zero: it is still there
	Received uint64    // packets of voice
	Gap      time.Duration
	HungUp   bool // by the carrier
	ByeLost  bool // the carrier's BYE was not answered with 200
}

// Carrier answers every call and waits for its BYE, or hangs up itself.
type Carrier struct {
	*phone
	cfg      CarrierConfig
	answered atomic.Uint64
	ended    atomic.Uint64
	ssrc     atomic.Uint32
	wg       sync.WaitGroup // legs whose end is being reported
}

// NewCarrier opens the carrier's socket.
func NewCarrier(cfg CarrierConfig) (*Carrier, error) {
	c := &Carrier{cfg: cfg}
	var err error
	c.phone, err = newPhone(cfg.Listen, cfg.Addr, c)
	return c, err
}

// Run answers calls until ctx ends. Legs that are still there are reported then.
func (c *Carrier) Run(ctx context.Context) error {
	err := c.endpoint.Run(ctx)
	c.mu.Lock()
	left := c.calls
	c.calls = map[string]*leg{}
	c.mu.Unlock()
	for _, l := range left {
		c.report(l, time.Time{}, func(*LegOutcome) {})
	}
	c.wg.Wait()
	return err
}

// Answered and Ended count calls.
func (c *Carrier) Answered() uint64 { return c.answered.Load() }

// Ended counts the ends of answered calls.
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
		if c.get(req.CallID) == nil {
			tx.Respond(req.Response(481, ""))
			return
		}
		tx.Respond(req.Response(200, ""))
		c.end(req.CallID, time.Now(), func(*LegOutcome) {})
	case req.ToTag != "" && c.get(req.CallID) == nil: // RFC 3261 section 12.2.2
		tx.Respond(req.Response(481, ""))
	default:
		tx.Respond(req.Response(200, ""))
	}
}

func (c *Carrier) invite(req *sip.Request, tx *sip.ServerTx) {
	state := req.Invite(c.endpoint.NewIdentifier())
	l := &leg{id: req.CallID, tx: tx, state: state, version: 1}
	l.far = LegOutcome{CallID: req.CallID, Start: time.Now(), Callee: user(req.URI)}
	if c.cfg.RTP {
		var err error
		if l.voice, err = openStream(c.listen, c.addr.Addr(), 0x0b000000+c.ssrc.Add(1)); err != nil {
			tx.Respond(state.Response(500))
			return
		}
	}
	c.add(l)
	body := req.Body
	c.after(l, c.cfg.Think, func() {
		c.alert(l, body)
		c.after(l, c.cfg.Ring, func() { c.answer(l, body) })
	})
}

// after runs the next step of a call, unless that is over by then.
func (c *Carrier) after(l *leg, d time.Duration, step func()) {
	if d == 0 {
		step()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.timer = time.AfterFunc(d, func() {
		if c.get(l.id) == l {
			step()
		}
	})
}

// alert says that the callee's phone rings.
func (c *Carrier) alert(l *leg, body []byte) {
	if !c.cfg.Early {
		l.tx.Respond(l.state.Response(180))
		return
	}
	progress := l.state.Response(183)
	progress.Headers.Add("Contact", "<"+c.endpoint.Contact("carrier", sip.UDP)+">")
	progress.SetBody("application/sdp", c.description(l, body))
	l.tx.Respond(progress)
}

func (c *Carrier) answer(l *leg, body []byte) {
	contact := c.endpoint.Contact("carrier", sip.UDP)
	ok := l.state.Response(200)
	ok.Headers.Add("Contact", "<"+contact+">")
	ok.SetBody("application/sdp", c.description(l, body))
	dialog, err := l.state.Dialog(contact)
	c.mu.Lock()
	l.far.Answered, l.dialog = time.Now(), dialog
	c.mu.Unlock()
	c.answered.Add(1)
	l.tx.Respond(ok)
	if c.cfg.Talk == nil || err != nil {
		return
	}
	if talk := c.cfg.Talk(l.far.Callee); talk > 0 {
		c.after(l, talk, func() { c.hangUp(l) })
	}
}

// hangUp ends a call from the carrier's side.
func (c *Carrier) hangUp(l *leg) {
	ended := time.Now()
	c.mu.Lock()
	bye := l.dialog.Request(sip.BYE)
	c.mu.Unlock()
	note := func(lost bool) {
		c.end(l.id, ended, func(o *LegOutcome) { o.HungUp, o.ByeLost = true, lost })
	}
	_, err := c.endpoint.Request(bye, sip.Options{}, func(res *sip.Response, err error) {
		if res == nil || res.Status >= 200 {
			note(err != nil || res.Status != 200)
		}
	})
	if err != nil {
		note(true)
	}
}

func (c *Carrier) reinvite(req *sip.Request, tx *sip.ServerTx) {
	l := c.get(req.CallID)
	if l == nil {
		tx.Respond(req.Response(481, ""))
		return
	}
	c.mu.Lock()
	err := l.dialog.Receive(req)
	l.version++
	c.mu.Unlock()
	if err != nil {
		tx.Respond(req.Response(500, ""))
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
	return describe(c.addr.Addr(), port, l.version, mirror(body))
}

// end takes a leg off the list and reports it, once.
func (c *Carrier) end(id string, at time.Time, note func(*LegOutcome)) {
	l, ok := c.take(id)
	if !ok {
		return
	}
	c.ended.Add(1)
	c.report(l, at, note)
}

func (c *Carrier) report(l *leg, at time.Time, note func(*LegOutcome)) {
	c.wg.Go(func() {
		voice := l.stop()
		c.mu.Lock()
		out := l.far
		c.mu.Unlock()
		out.Finished, out.Received, out.Gap = at, voice.Received, voice.LongestGap
		note(&out)
		if c.cfg.OnEnd != nil {
			c.cfg.OnEnd(out)
		}
	})
}

// Canceled implements sip.Handler.
func (c *Carrier) Canceled(tx *sip.ServerTx, _ *sip.Request) {
	if l := c.get(tx.CallID()); l != nil {
		tx.Respond(l.state.Response(487))
		c.end(l.id, time.Now(), func(*LegOutcome) {})
	}
}

// AckTimeout implements sip.Handler.
func (c *Carrier) AckTimeout(tx *sip.ServerTx) { c.end(tx.CallID(), time.Now(), func(*LegOutcome) {}) }

// StrayResponse implements sip.Handler.
func (c *Carrier) StrayResponse(*sip.Response) {}

// user is the user part of a SIP URI.
func user(uri string) string {
	u, err := sip.ParseURI(uri)
	if err != nil {
		return uri
	}
	return u.User
}
