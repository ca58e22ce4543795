package phones

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/call"
	"tandem/sip"
	"tandem/sip/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a registrar with one phone, and the state behind it.
type world struct {
	t       *testing.T
	line    *Line
	addr    netip.AddrPort
	service *Service
	blocked chan netip.Addr

	mu    sync.Mutex // the fields below
	state *fsm.State
	index uint64
	at    fsm.Time
	err   error // of consensus
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, state: fsm.New(fsm.Config{}), at: fsm.Time(1_700_000_000_000_000), blocked: make(chan netip.Addr, 10)}
	secrets := []fsm.Secret{
		{Algorithm: "SHA-256", Realm: "tandem", HA1: auth.HA1("1001", "tandem", "wonder", auth.SHA256)},
		{Algorithm: "MD5", Realm: "tandem", HA1: auth.HA1("1001", "tandem", "wonder", auth.MD5)},
	}
	w.apply(&fsm.NodeUp{Node: "n1", Incarnation: 1, Level: fsm.Level})
	w.apply(&fsm.PutAccount{Account: fsm.Account{ID: "acme", Type: fsm.Client, Currency: "USD"}})
	w.apply(&fsm.PutPhone{Phone: fsm.Phone{Number: "1001", Account: "acme", Secrets: secrets, MaxContacts: 2}})

	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	w.addr = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	w.service, err = New(Config{
		Node: "n1", Incarnation: func() uint64 { return 1 }, Key: []byte("0123456789abcdef"), Directory: w, Proposer: w,
		Blocked: func(a netip.Addr, _ time.Duration) { w.blocked <- a },
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.line, err = w.service.Line(netip.MustParseAddr("203.0.113.20"), netip.MustParseAddr("203.0.113.20")); err != nil {
		t.Fatal(err)
	}
	e, err := sip.New(sip.Config{Packet: conn, Public: w.addr.String(), Handler: w})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// Request implements sip.Handler as a node does.
func (w *world) Request(req *sip.Request, tx *sip.ServerTx) {
	if w.service.Silent(req.Source.Addr.Addr()) || tx == nil {
		return
	}
	if req.Method == sip.REGISTER {
		w.line.Register(req, tx)
		return
	}
	if number, ok := w.line.Caller(req, tx); ok {
		res := req.Response(480, "t")
		res.Headers.Add("X-Number", number)
		w.line.send(req, tx, res)
	}
}
func (*world) Canceled(*sip.ServerTx, *sip.Request) {}
func (*world) AckTimeout(*sip.ServerTx)             {}
func (*world) StrayResponse(*sip.Response)          {}

func (w *world) View(fn func(*fsm.State)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn(w.state)
}

func (w *world) LogTime() fsm.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// Submit implements call.Proposer.
func (w *world) Submit(c call.Command, done func(fsm.Result, error)) {
	w.mu.Lock()
	err := w.err
	w.mu.Unlock()
	if err != nil {
		done(fsm.Result{}, err)
		return
	}
	done(w.apply(c.Body), nil)
}

func (w *world) apply(body fsm.Body) fsm.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	out := w.state.Apply(w.index, fsm.Entry{At: w.at, Commands: []fsm.Command{{
		Origin: fsm.Origin{Node: "n1", Incarnation: 1, Seq: w.index, Low: w.index}, Body: body,
	}}})
	return out.Results[0]
}

// pass lets log time pass.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// commands is how many commands there were.
func (w *world) commands() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.index
}

// phone is a client with a socket of its own.
type phone struct {
	t              *testing.T
	conn           *net.UDPConn
	user, password string
	cseq           int
	count          int
}

func (w *world) phone(user, password string) *phone {
	w.t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(w.addr))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return &phone{t: w.t, conn: conn, user: user, password: password}
}

// answer is what a phone hears: status and headers.
type answer struct {
	status int
	header textproto.MIMEHeader
}

// send sends a request without or with credentials and waits for its answer; status
// 0 is none.
func (p *phone) send(method string, challenge []string, lines ...string) answer {
	p.t.Helper()
	p.cseq++
	const uri = "sip:tandem"
	text := fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bK%s%d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%s@tandem>;tag=f\r\nTo: <sip:1001@tandem>\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContent-Length: 0\r\n",
		method, uri, p.conn.LocalAddr(), p.user, p.cseq, p.user, p.conn.LocalAddr(), p.cseq, method)
	if challenge != nil {
		p.count++
		value, err := auth.Answer(challenge, auth.Credentials{User: p.user, Password: p.password}, method, uri, nil, p.count)
		if err != nil {
			p.t.Fatal(err)
		}
		name := "Authorization"
		if method == "INVITE" {
			name = "Proxy-Authorization"
		}
		text += name + ": " + value + "\r\n"
	}
	for _, line := range lines {
		text += line + "\r\n"
	}
	if _, err := p.conn.Write([]byte(text + "\r\n")); err != nil {
		p.t.Fatal(err)
	}
	return p.read()
}

func (p *phone) read() answer {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		p.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := p.conn.Read(b)
	if err != nil {
		return answer{}
	}
	r := textproto.NewReader(bufio.NewReader(strings.NewReader(string(b[:n]))))
	first, _ := r.ReadLine()
	header, err := r.ReadMIMEHeader()
	if err != nil {
		p.t.Fatal(err)
	}
	status, _ := strconv.Atoi(strings.Fields(first)[1])
	return answer{status, header}
}

// register asks, is challenged, and answers.
func (p *phone) register(lines ...string) answer {
	p.t.Helper()
	a := p.send("REGISTER", nil, lines...)
	if a.status != 401 {
		return a
	}
	p.count = 0
	return p.send("REGISTER", a.header.Values("Www-Authenticate"), lines...)
}

func TestRegister(t *testing.T) {
	w := newWorld(t)
	p := w.phone("1001", "wonder")
	contact := "Contact: <sip:1001@198.51.100.7:5070>;expires=600"
	a := p.register(contact)
	if a.status != 200 || a.header.Get("Contact") != "<sip:1001@198.51.100.7:5070>;expires=600" {
		t.Fatalf("got %+v", a)
	}
	var bound []fsm.Binding
	w.View(func(s *fsm.State) { bound = s.Bindings("1001") })
	if len(bound) != 1 || bound[0].Flow.Line != "203.0.113.20" || bound[0].Flow.Via != "udp" || bound[0].Flow.Peer.IsZero() {
		t.Fatalf("bindings %+v", bound)
	}

	before := w.commands()
	w.pass(100 * time.Second)
	if a := p.register(contact); a.status != 200 || a.header.Get("Contact") != "<sip:1001@198.51.100.7:5070>;expires=500" {
		t.Errorf("a refresh got %+v", a)
	}
	if w.commands() != before {
		t.Error("a refresh that says nothing new was committed")
	}
	w.pass(250 * time.Second)
	if a := p.register(contact); a.status != 200 || w.commands() != before+1 {
		t.Errorf("after half of the time: %+v, %d commands", a, w.commands()-before)
	}

	if a := p.register("Contact: *", "Expires: 0"); a.status != 200 || a.header.Get("Contact") != "" {
		t.Errorf("all go: %+v", a)
	}
	if a := p.register(); a.status != 200 || a.header.Get("Contact") != "" {
		t.Errorf("a question: %+v", a)
	}
}

func TestRegisterRefusals(t *testing.T) {
	w := newWorld(t)
	p := w.phone("1001", "wonder")
	for _, tt := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"short", []string{"Contact: <sip:a@198.51.100.7>;expires=10"}, 423},
		{"at ourselves", []string{"Contact: <sip:a@203.0.113.20>"}, 403},
		{"three of two", []string{"Contact: <sip:a@198.51.100.7>, <sip:b@198.51.100.7>, <sip:c@198.51.100.7>"}, 403},
	} {
		if a := p.register(tt.lines...); a.status != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, a.status, tt.status)
		}
	}
	w.mu.Lock()
	w.err = cluster.ErrTimeout
	w.mu.Unlock()
	if a := p.register("Contact: <sip:a@198.51.100.7>"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("without a leader: %+v", a)
	}
}

// Unknown users get the same answers as known ones: the same status and headers.
func TestUnknownUsersLookAlike(t *testing.T) {
	w := newWorld(t)
	shape := func(user string) (out []string) {
		p := w.phone(user, "guess")
		for _, a := range []answer{p.send("REGISTER", nil), p.register()} {
			text := strconv.Itoa(a.status)
			for name, values := range a.header {
				if name != "Via" && name != "From" && name != "To" && name != "Call-Id" && name != "Cseq" && name != "Www-Authenticate" {
					text += fmt.Sprint(name, values)
				}
			}
			out = append(out, text+strconv.Itoa(len(a.header.Values("Www-Authenticate"))))
		}
		return out
	}
	if known, unknown := shape("1001"), shape("1002"); strings.Join(known, "|") != strings.Join(unknown, "|") {
		t.Errorf("known %v, unknown %v", known, unknown)
	}
}

// Who guesses is silenced, and the others are told; the owner of the number is not
// kept out by it.
func TestGuessing(t *testing.T) {
	w := newWorld(t)
	var limits fsm.Params
	w.View(func(s *fsm.State) { limits = s.Params() })
	p := w.phone("1001", "guess")
	answers := 0
	for range 20 {
		if p.register().status == 0 {
			break
		}
		answers++
	}
	if answers >= int(limits.AuthFailures) {
		t.Errorf("%d guesses were answered, the limit is %d", answers, limits.AuthFailures)
	}
	select {
	case got := <-w.blocked:
		if got != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("%s was blocked", got)
		}
	default:
		t.Error("nobody was told of the block")
	}
	if !w.service.Silent(netip.MustParseAddr("127.0.0.1")) || w.service.Silent(netip.MustParseAddr("127.0.0.2")) {
		t.Error("the wrong source is silenced")
	}
}

func TestSuspension(t *testing.T) {
	b, src, now := newBans(), netip.MustParseAddr("192.0.2.1"), time.Unix(0, 0)
	l := limits{tries: 3, suspend: time.Minute, failures: 100, block: time.Hour}
	for range 3 {
		b.failed(src, "1001", now, l)
	}
	if !b.suspended(src, "1001", now) || b.suspended(src, "1002", now) || b.suspended(netip.MustParseAddr("192.0.2.2"), "1001", now) {
		t.Error("another user or source is suspended")
	}
	if b.suspended(src, "1001", now.Add(time.Minute)) {
		t.Error("the suspension does not end")
	}
}

func TestBansAreBounded(t *testing.T) {
	b, now := newBans(), time.Unix(0, 0)
	l := limits{tries: 3, suspend: time.Minute, failures: 5, block: time.Hour}
	for i := range 3 * maxSources {
		b.failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "1001", now, l)
	}
	if n := len(b.sources) + len(b.old); n > maxSources {
		t.Errorf("%d sources are remembered, the bound is %d", n, maxSources)
	}
	src := netip.MustParseAddr("192.0.2.1")
	for i := range 3 * maxUsers {
		b.failed(src, strconv.Itoa(i), now, limits{tries: 3, failures: 1 << 20})
	}
	if n := len(b.sources[src].tried); n > maxUsers {
		t.Errorf("%d users of a source are remembered", n)
	}
}

func TestCallersAreAsked(t *testing.T) {
	w := newWorld(t)
	p := w.phone("1001", "wonder")
	a := p.send("INVITE", nil)
	for a.status == 100 {
		a = p.read()
	}
	if a.status != 407 || len(a.header.Values("Proxy-Authenticate")) != 2 {
		t.Fatalf("got %+v", a)
	}
	a = p.send("INVITE", a.header.Values("Proxy-Authenticate"))
	for a.status == 100 || a.status == 407 { // the 407 is repeated until its ACK
		a = p.read()
	}
	if a.status != 480 || a.header.Get("X-Number") != "1001" {
		t.Errorf("got %+v", a)
	}
}
