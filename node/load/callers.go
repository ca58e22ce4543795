package load

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"tandem/media"
	"tandem/sip"
)

// CallersConfig describes the load of one customer.
type CallersConfig struct {
	Listen  Listen
	Addr    netip.AddrPort   // the customer's signalling address
	Targets []netip.AddrPort // nodes, called in turn
	CPS     float64          // new calls a second
	Calls   int              // how many in all; 0: until ctx ends
	MaxLive int              // most calls at once; 0: no limit
	Talk    time.Duration    // from answer to BYE; 0: until the switch ends the call
	Drain   time.Duration    // on top of Talk, for the last calls to end by themselves; 0: 10 s
	RTP     bool
	Change  time.Duration      // between two re-INVITEs of a call: hold and back; 0: none
	Ringing time.Duration      // after which an unanswered call is cancelled; 0: never
	Caller  func(n int) string // number of the nth call; nil: made up
	Callee  func(n int) string
	// OnEnd hears of each call when it is over. It may be called from several
	// goroutines and must not block. May be nil.
	OnEnd func(Outcome)
	// Skip says that a target is not to be called now. May be nil.
	Skip func(netip.AddrPort) bool
}

// Outcome is what became of one call.
type Outcome struct {
	CallID   string
	Target   netip.AddrPort
	Caller   string
	Callee   string
	Start    time.Time     // INVITE sent
	Setup    time.Duration // to the 200; 0: not answered
	Talk     time.Duration // answer to end
	Status   int           // final status; 0: none came
	Reason   string        // Reason header of a refusal
	Cut      bool          // the switch sent the BYE
	ByeLost  bool          // our BYE was not answered with 200
	Changes  int           // re-INVITEs sent
	Refused  int           // of them
	RTP      media.StreamReport
	Finished time.Time
}

// Gap is the longest time without voice, the time since the last packet included.
func (o Outcome) Gap() time.Duration {
	if o.RTP.Received == 0 {
		return 0
	}
	return max(o.RTP.LongestGap, o.Finished.Sub(o.RTP.Last))
}

// Answered says whether the call was answered.
func (o Outcome) Answered() bool { return o.Status >= 200 && o.Status < 300 }

// Callers places calls.
type Callers struct {
	*phone
	cfg    CallersConfig
	report report
	wg     sync.WaitGroup // calls whose end is being reported
	placed atomic.Int64
}

// NewCallers opens the customer's socket.
func NewCallers(cfg CallersConfig) (*Callers, error) {
	if len(cfg.Targets) == 0 || cfg.CPS <= 0 {
		return nil, fmt.Errorf("load: want targets and calls a second above 0, have %d and %v", len(cfg.Targets), cfg.CPS)
	}
	if cfg.Caller == nil {
		cfg.Caller = func(n int) string { return fmt.Sprintf("4420%07d", n%10_000_000) }
	}
	if cfg.Callee == nil {
		cfg.Callee = func(n int) string { return fmt.Sprintf("8613%08d", n%100_000_000) }
	}
	c := &Callers{cfg: cfg}
	c.report.init()
	var err error
	c.phone, err = newPhone(cfg.Listen, cfg.Addr, c)
	return c, err
}

// drainTime is the default of CallersConfig.Drain.
const drainTime = 10 * time.Second

// Run places calls until their number is reached or ctx ends, waits for those in
// progress, and returns the report.
func (c *Callers) Run(ctx context.Context) (Report, error) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, 1)
	go func() { failed <- c.endpoint.Run(running) }()
	err := c.place(ctx, failed)
	if err == nil {
		c.drain()
	}
	c.giveUp()
	c.close()
	stop()
	if err == nil {
		err = <-failed
	}
	c.wg.Wait()
	return c.Report(), err
}

// Report returns the figures so far.
func (c *Callers) Report() Report { return c.report.snapshot(int(c.placed.Load()), c.Live()) }

// place starts calls at the rate.
func (c *Callers) place(ctx context.Context, failed <-chan error) error {
	next := time.Now()
	every := time.Duration(float64(time.Second) / c.cfg.CPS)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; c.cfg.Calls == 0 || n < c.cfg.Calls; n++ {
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("load: endpoint stopped: %w", err)
		case <-timer.C:
		}
		next = next.Add(every)
		if c.cfg.MaxLive > 0 && c.Live() >= c.cfg.MaxLive {
			n--
			continue
		}
		if err := c.call(n); err != nil {
			return err
		}
	}
	return nil
}

// drain waits until no call is left or its time is over.
func (c *Callers) drain() {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for end := time.Now().Add(c.cfg.Talk + cmp.Or(c.cfg.Drain, drainTime)); c.Live() > 0 && time.Now().Before(end); <-t.C {
	}
}

// giveUp reports the calls that nobody has answered and nobody has refused: a
// caller who has heard a 100 does not repeat himself.
func (c *Callers) giveUp() {
	var waiting []string
	c.mu.Lock()
	for id, l := range c.calls {
		if l.out.Setup == 0 {
			waiting = append(waiting, id)
		}
	}
	c.mu.Unlock()
	for _, id := range waiting {
		c.end(id, func(*Outcome) {})
	}
}

// target picks the nth node that is not to be skipped.
func (c *Callers) target(n int) netip.AddrPort {
	for i := range c.cfg.Targets {
		t := c.cfg.Targets[(n+i)%len(c.cfg.Targets)]
		if c.cfg.Skip == nil || !c.cfg.Skip(t) {
			return t
		}
	}
	return c.cfg.Targets[n%len(c.cfg.Targets)]
}

// call places the nth call.
func (c *Callers) call(n int) error {
	target := c.target(n)
	l := &leg{id: c.endpoint.NewIdentifier(), out: Outcome{
		Target: target, Caller: c.cfg.Caller(n), Callee: c.cfg.Callee(n), Start: time.Now(),
	}}
	l.out.CallID = l.id
	if c.cfg.RTP {
		var err error
		if l.voice, err = openStream(c.listen, c.addr.Addr(), 0x0a000000+uint32(n)); err != nil {
			return fmt.Errorf("load: voice of call %d: %w", n, err)
		}
	}
	l.version = 1
	uri := fmt.Sprintf("sip:%s@%s", l.out.Callee, target)
	req, err := sip.NewInvite(sip.InviteSpec{
		URI: uri, Dest: peer(target), CallID: l.id, FromTag: c.endpoint.NewIdentifier(),
		Branch: sip.Branch(c.endpoint.NewIdentifier()),
		From:   fmt.Sprintf("<sip:%s@%s>", l.out.Caller, c.addr.Addr()), To: "<" + uri + ">",
		Contact: c.endpoint.Contact("caller", sip.UDP), MaxForwards: 70,
		ContentType: "application/sdp", Body: describe(c.addr.Addr(), c.mediaPort(l), l.version, both),
	})
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	c.add(l)
	c.placed.Add(1)
	tx, err := c.endpoint.Request(req, sip.Options{}, func(res *sip.Response, err error) { c.response(l, req, res, err) })
	if err == nil && c.cfg.Ringing > 0 {
		c.mu.Lock()
		l.again = time.AfterFunc(c.cfg.Ringing, func() { c.giveUpRinging(l, tx) })
		c.mu.Unlock()
	}
	return err
}

// response takes what the INVITE of a call brought.
func (c *Callers) response(l *leg, req *sip.Request, res *sip.Response, err error) {
	switch {
	case err != nil:
		c.end(l.id, func(*Outcome) {})
	case res.Status < 200:
	case res.Status >= 300:
		c.end(l.id, func(o *Outcome) { o.Status, o.Reason = res.Status, res.Headers.Get("Reason") })
	case l.out.Setup == 0:
		c.answered(l, req, res)
	default: // a repeated 200
		c.endpoint.Send(l.dialog.Ack())
	}
}

func (c *Callers) answered(l *leg, req *sip.Request, res *sip.Response) {
	d, err := sip.NewClientDialog(req, res)
	if err != nil {
		c.end(l.id, func(o *Outcome) { o.Status, o.Reason = 0, err.Error() })
		return
	}
	c.mu.Lock()
	l.dialog = d
	l.out.Status, l.out.Setup = res.Status, time.Since(l.out.Start)
	c.mu.Unlock()
	c.endpoint.Send(l.dialog.Ack())
	c.report.answered(l.out.Setup)
	if l.voice != nil {
		if err := l.voice.start(res.Body); err != nil {
			c.report.problem(fmt.Sprintf("answer without usable sdp: %v", err))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cfg.Talk > 0 {
		l.timer = time.AfterFunc(c.cfg.Talk, func() { c.hangUp(l) })
	}
	if c.cfg.Change > 0 {
		l.again = time.AfterFunc(c.cfg.Change, func() { c.change(l) })
	}
}

// hangUp ends a call from the caller's side.
func (c *Callers) hangUp(l *leg) {
	if c.get(l.id) != l {
		return
	}
	ended := time.Now()
	c.mu.Lock()
	bye := l.dialog.Request(sip.BYE)
	l.hungUp = ended
	c.mu.Unlock()
	_, err := c.endpoint.Request(bye, sip.Options{}, func(res *sip.Response, err error) {
		if res != nil && res.Status < 200 {
			return
		}
		c.endAt(l.id, ended, func(o *Outcome) { o.ByeLost = err != nil || res.Status != 200 })
	})
	if err != nil {
		c.endAt(l.id, ended, func(o *Outcome) { o.ByeLost = true })
	}
}

func (c *Callers) end(id string, note func(*Outcome)) { c.endAt(id, time.Now(), note) }

// endAt takes a call off the list, stops its voice and reports it, once.
func (c *Callers) endAt(id string, at time.Time, note func(*Outcome)) {
	l, ok := c.take(id)
	if !ok {
		return
	}
	c.wg.Go(func() {
		rtp := l.stop()
		c.mu.Lock()
		out := l.out
		c.mu.Unlock()
		out.RTP, out.Finished = rtp, at
		if out.Setup > 0 {
			out.Talk = at.Sub(out.Start.Add(out.Setup))
		}
		note(&out)
		c.report.ended(out)
		if c.cfg.OnEnd != nil {
			c.cfg.OnEnd(out)
		}
	})
}

// Request implements sip.Handler: the switch ends or changes a call.
func (c *Callers) Request(req *sip.Request, tx *sip.ServerTx) {
	switch {
	case tx == nil:
	case req.Method == sip.BYE:
		tx.Respond(req.Response(200, ""))
		c.ended(req)
	case req.Method == sip.INVITE:
		c.reinvited(req, tx)
	case req.ToTag != "" && c.get(req.CallID) == nil: // RFC 3261 section 12.2.2
		tx.Respond(req.Response(481, ""))
	default:
		tx.Respond(req.Response(200, ""))
	}
}

// ended takes a BYE of the switch. It cut nothing when the caller had hung up
// before: the two crossed on the way.
func (c *Callers) ended(bye *sip.Request) {
	var hungUp time.Time
	if l := c.get(bye.CallID); l != nil {
		c.mu.Lock()
		hungUp = l.hungUp
		c.mu.Unlock()
	}
	if !hungUp.IsZero() {
		c.endAt(bye.CallID, hungUp, func(*Outcome) {})
		return
	}
	c.end(bye.CallID, func(o *Outcome) { o.Cut, o.Reason = true, bye.Headers.Get("Reason") })
}

// Canceled implements sip.Handler.
func (c *Callers) Canceled(*sip.ServerTx, *sip.Request) {}

// AckTimeout implements sip.Handler.
func (c *Callers) AckTimeout(*sip.ServerTx) {}

// StrayResponse implements sip.Handler.
func (c *Callers) StrayResponse(*sip.Response) {}
