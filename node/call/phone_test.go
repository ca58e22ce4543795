package call

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"tandem/sip"
)

// phone is a user agent: a test calls its methods, and scripts what it does with
// the requests that come in.
type phone struct {
	*sip.Endpoint
	t    *testing.T
	addr netip.AddrPort
	sdp  string

	mu       sync.Mutex
	invite   func(req *sip.Request, tx *sip.ServerTx) // nil: the INVITE stays unanswered
	requests []*sip.Request                           // received, in order
	txs      []*sip.ServerTx
	gotten   []*sip.Response // to its INVITE
	tx       *sip.ClientTx
	out      *sip.Request
	dialog   sip.Dialog
	byes     int             // received and answered
	bye      int             // status of the answer to its own BYE
	again    []*sip.Response // to its re-INVITE or INFO
	ackBody  string
	forgets  bool // knows its dialogs no more
	hung     bool // has sent a BYE
	canceled map[string]bool
	// refreshes makes the answer to an UPDATE; nil: it stays unanswered.
	refreshes func(req *sip.Request) *sip.Response
}

func (w *world) phone(at string) *phone {
	w.t.Helper()
	p := &phone{t: w.t, addr: netip.MustParseAddrPort(at), sdp: sdp(at, 40000, 1), canceled: map[string]bool{}}
	conn, err := w.net.listen(p.addr)
	w.check(err)
	p.Endpoint, err = sip.New(sip.Config{Packet: conn, Handler: p, Shards: 1})
	w.check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		w.noError(<-done)
	})
	return p
}

func sdp(at string, port, version int) string {
	ip := netip.MustParseAddrPort(at).Addr()
	return fmt.Sprintf("v=0\r\no=- 7 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 8 101\r\n"+
		"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n", version, ip, ip, port)
}

// call sends an INVITE to the node.
func (p *phone) call(callee string, change ...func(*sip.InviteSpec)) {
	p.t.Helper()
	spec := sip.InviteSpec{
		URI: "sip:" + callee + "@" + nodeAddr, Dest: sip.Peer{Addr: netip.MustParseAddrPort(nodeAddr)},
		From: "<sip:4930123@" + p.addr.String() + ">", To: "<sip:" + callee + "@" + nodeAddr + ">",
		CallID: p.NewIdentifier(), FromTag: "caller", Branch: sip.Branch(p.NewIdentifier()),
		Contact: p.Contact("caller", sip.UDP), MaxForwards: 70, ContentType: sdpType, Body: []byte(p.sdp),
	}
	for _, f := range change {
		f(&spec)
	}
	req, err := sip.NewInvite(spec)
	if err != nil {
		p.t.Fatal(err)
	}
	p.out = req
	if p.tx, err = p.Endpoint.Request(req, sip.Options{}, p.response); err != nil {
		p.t.Fatal(err)
	}
}

func (p *phone) response(res *sip.Response, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		return
	}
	p.gotten = append(p.gotten, res)
	if res.Status/100 == 2 {
		d, err := sip.NewClientDialog(p.out, res)
		if err != nil {
			p.t.Error(err)
			return
		}
		if d.CallID == p.dialog.CallID {
			d.LocalSeq = max(d.LocalSeq, p.dialog.LocalSeq)
		}
		p.dialog = d
		ack := d.Ack()
		if p.ackBody != "" {
			ack.SetBody(sdpType, []byte(p.ackBody))
		}
		p.send(ack)
	}
}

func (p *phone) send(req *sip.Request) {
	if err := p.Endpoint.Send(req); err != nil {
		p.t.Error(err)
	}
}

// statuses returns the responses to the INVITE.
func (p *phone) statuses() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []int
	for _, res := range p.gotten {
		list = append(list, res.Status)
	}
	return list
}

func (p *phone) want(statuses ...int) {
	p.t.Helper()
	if got := p.statuses(); !slices.Equal(got, statuses) {
		p.t.Errorf("caller got %v, want %v", got, statuses)
	}
}

// final returns the last response to the INVITE.
func (p *phone) final() *sip.Response {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.gotten) == 0 {
		p.t.Fatal("no response came")
	}
	return p.gotten[len(p.gotten)-1]
}

// Request records what comes in; BYE and OPTIONS are answered at once.
func (p *phone) Request(req *sip.Request, tx *sip.ServerTx) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, req)
	p.txs = append(p.txs, tx)
	switch {
	case p.forgets && tx != nil, req.ToTag != "" && req.Method == sip.OPTIONS && (p.hung || p.byes > 0):
		p.reply(tx, req.Response(481, ""))
		return
	}
	switch req.Method {
	case sip.INVITE:
		if p.invite != nil {
			p.invite(req, tx)
		}
	case sip.BYE:
		p.byes++
		p.reply(tx, req.Response(200, ""))
	case sip.OPTIONS, sip.INFO, sip.PRACK:
		p.reply(tx, req.Response(200, ""))
	case sip.UPDATE:
		if p.refreshes != nil {
			p.reply(tx, p.refreshes(req))
		}
	}
}

func (p *phone) reply(tx *sip.ServerTx, res *sip.Response) {
	if err := tx.Respond(res); err != nil {
		p.t.Error(err)
	}
}

// Canceled answers the INVITE.
func (p *phone) Canceled(tx *sip.ServerTx, cancel *sip.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, cancel)
	p.txs = append(p.txs, nil)
	p.canceled[cancel.CallID] = true
	for _, req := range p.requests {
		if req.Method == sip.INVITE && req.CallID == cancel.CallID {
			p.reply(tx, p.state(req).response(487))
		}
	}
}

func (p *phone) AckTimeout(*sip.ServerTx)    {}
func (p *phone) StrayResponse(*sip.Response) {}

type callee struct {
	sip.InviteState
	p *phone
}

func (p *phone) state(req *sip.Request) callee { return callee{req.Invite("callee"), p} }

func (c callee) response(status int) *sip.Response {
	res := c.Response(status)
	if status < 300 {
		res.Headers.Add("Contact", "<"+c.p.Contact("callee", sip.UDP)+">")
		res.Headers.Add("Allow", sip.Allow)
	}
	return res
}

// last returns the newest request of a method, and its transaction.
func (p *phone) last(m sip.Method) (*sip.Request, *sip.ServerTx) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.requests) - 1; i >= 0; i-- {
		if p.requests[i].Method == m {
			return p.requests[i], p.txs[i]
		}
	}
	p.t.Fatalf("%s got no %s", p.addr, m)
	return nil, nil
}

// count returns how many requests of a method came in.
func (p *phone) count(m sip.Method) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, req := range p.requests {
		if req.Method == m {
			n++
		}
	}
	return n
}

// says answers the newest INVITE; 18x and 2xx with SDP when withSDP.
func (p *phone) says(status int, withSDP bool, change ...func(*sip.Response)) {
	p.t.Helper()
	req, tx := p.last(sip.INVITE)
	res := p.state(req).response(status)
	if withSDP {
		res.SetBody(sdpType, []byte(p.sdp))
	}
	for _, f := range change {
		f(res)
	}
	p.reply(tx, res)
	if status/100 == 2 && req.ToTag == "" {
		state := req.Invite("callee")
		d, err := state.Dialog(p.Contact("callee", sip.UDP))
		if err != nil {
			p.t.Fatal(err)
		}
		p.mu.Lock()
		p.dialog = d
		p.mu.Unlock()
	}
}

// sendBye hangs up.
func (p *phone) sendBye() {
	p.t.Helper()
	p.mu.Lock()
	req := p.dialog.Request(sip.BYE)
	p.mu.Unlock()
	if _, err := p.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.bye = 408; err == nil {
			p.bye = res.Status
		}
	}); err != nil {
		p.t.Fatal(err)
	}
}

// hangUp sends a BYE, or none when there is nothing to end.
func (p *phone) hangUp() {
	p.t.Helper()
	p.mu.Lock()
	nothing := p.dialog.CallID == "" || p.byes > 0 || p.hung
	p.hung = p.hung || !nothing
	p.mu.Unlock()
	if !nothing {
		p.sendBye()
	}
}

// inDialog reports that the phone has a dialog that has not ended.
func (p *phone) inDialog() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialog.CallID != "" && p.byes == 0 && !p.hung
}

func (p *phone) byeStatus() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bye
}

// asks sends a request inside the dialog, with SDP if there is any.
func (p *phone) asks(m sip.Method, body string) {
	p.t.Helper()
	p.mu.Lock()
	req := p.dialog.Request(m)
	p.mu.Unlock()
	if body != "" {
		req.SetBody(sdpType, []byte(body))
	}
	_, err := p.Endpoint.Request(req, sip.Options{}, func(res *sip.Response, err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err == nil && res.Status >= 200 {
			p.again = append(p.again, res)
			if m == sip.INVITE && res.Status < 300 {
				p.send(p.dialog.Ack())
			}
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *phone) answers() []*sip.Response {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.again)
}
