// Package phones serves what registers: it authenticates phones, takes their
// REGISTERs into the replicated state, and says whose a call is.
//
// It decides nothing that costs money: a call of a phone that has authenticated goes
// to call control with the phone's number, and the state machine decides. It never
// tells an unknown user from a wrong password, and whoever keeps failing gets
// silence, here and, as soon as the nodes have told each other, everywhere.
package phones

import (
	"cmp"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/node/call"
	"tandem/sip"
	"tandem/sip/auth"
	"tandem/sip/registrar"
)

// Directory reads the local replica.
type Directory interface {
	View(fn func(*fsm.State))
	// LogTime is this node's estimate of log time.
	LogTime() fsm.Time
}

// Config is what the service works with. Key, Directory and Proposer are required.
type Config struct {
	Node fsm.NodeID
	// Incarnation returns that of the node, which may get a new one as it runs.
	Incarnation func() uint64
	Key         []byte // the cluster's key for nonces
	Directory   Directory
	Proposer    call.Proposer
	// Blocked hears of an address that this node has blocked, to tell the others. It
	// must not block. nil: nobody is told.
	Blocked func(source netip.Addr, d time.Duration)
	Logger  *slog.Logger // nil discards
}

// Validate reports the first key whose value cannot be used.
func (c *Config) Validate() error {
	switch {
	case c.Directory == nil:
		return errors.New("phones: Directory is missing")
	case c.Proposer == nil:
		return errors.New("phones: Proposer is missing")
	case c.Incarnation == nil:
		return errors.New("phones: Incarnation is missing")
	}
	return nil
}

// commitWait bounds the wait of a REGISTER for its commit; the phone repeats it for
// 32 s.
const commitWait = 4 * time.Second

// Service is the phones' side of a node.
type Service struct {
	cfg   Config
	log   *slog.Logger
	stats Stats
	bans  bans
}

// New makes the service of a node.
func New(cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, log: cfg.Logger, bans: newBans()}, nil
}

// Line is the service for one service address. Nonces of another time or place are
// not good here, so each line that is opened asks its phones once.
type Line struct {
	s      *Service
	ip     netip.Addr
	public netip.Addr
	digest atomic.Pointer[auth.Server]
}

// Line makes the service of a service address that is known outside as public.
func (s *Service) Line(ip, public netip.Addr) (*Line, error) {
	l := &Line{s: s, ip: ip, public: public}
	return l, l.ask(s.params().Realm)
}

// ask begins to ask for passwords of a realm.
func (l *Line) ask(realm string) error {
	d, err := auth.NewServer(auth.Config{Key: l.s.cfg.Key, Realm: realm})
	if err == nil {
		l.digest.Store(d)
	}
	return err
}

// server follows SIP_REALM.
func (l *Line) server() *auth.Server {
	d, realm := l.digest.Load(), l.s.params().Realm
	if d.Realm() != realm && l.ask(realm) == nil {
		d = l.digest.Load()
	}
	return d
}

// Silent reports whether a source is not asked for passwords any more: it has failed
// too often.
func (s *Service) Silent(source netip.Addr) bool {
	if !s.bans.blocked(source, time.Now()) {
		return false
	}
	s.stats.Silenced.Add(1)
	return true
}

// Block takes over a block that another node has made.
func (s *Service) Block(source netip.Addr, d time.Duration) {
	s.bans.block(source, time.Now().Add(d))
}

// Stats returns the live counters.
func (s *Service) Stats() *Stats { return &s.stats }

// secrets finds what checks a user's answer.
func (s *Service) secrets(user string, a auth.Algorithm) (ha1 []byte, ok bool) {
	s.cfg.Directory.View(func(st *fsm.State) {
		p, found := st.PhoneOf(user)
		realm := st.Params().Realm
		if !found {
			return
		}
		for _, k := range p.Secrets {
			if k.Algorithm == string(a) && k.Realm == realm {
				ha1, ok = k.HA1, true
			}
		}
	})
	return ha1, ok
}

// challenge are the header names of a challenge and of its answer.
type challenge struct {
	status       int
	asks, answer string
}

var (
	asServer = challenge{401, "WWW-Authenticate", "Authorization"}
	asProxy  = challenge{407, "Proxy-Authenticate", "Proxy-Authorization"}
)

// authenticate returns the phone that has sent a request. Otherwise the request has
// been answered, or deserves no answer.
func (l *Line) authenticate(req *sip.Request, tx *sip.ServerTx, how challenge) (phone fsm.Phone, ok bool) {
	s, src := l.s, req.Source.Addr.Addr().Unmap()
	server := l.server()
	v := server.Check(auth.Request{
		Method: string(req.Method), URI: req.URI, Authorization: req.Headers.All(how.answer), Source: src, Local: l.ip,
	}, s.secrets)
	if (v.Code == auth.Good || v.Code == auth.Wrong) && s.bans.suspended(src, v.User, time.Now()) {
		s.stats.Suspended.Add(1)
		l.respond(req, tx, 403)
		return phone, false
	}
	switch v.Code {
	case auth.Good:
		s.bans.good(src, v.User)
		s.cfg.Directory.View(func(st *fsm.State) { phone, ok = st.PhoneOf(v.User) })
		return phone, ok
	case auth.Unusable:
		s.stats.Unusable.Add(1)
		l.respond(req, tx, 400)
		return phone, false
	case auth.Wrong:
		s.stats.Wrong.Add(1)
		if !l.failed(src, v.User) {
			return phone, false // blocked from here on
		}
	default:
		s.stats.Challenged.Add(1)
		if !s.bans.asked(src, time.Now()) {
			s.stats.Silenced.Add(1)
			return phone, false
		}
	}
	res := req.Response(how.status, "")
	for _, value := range server.Challenges(src, l.ip, v.Code == auth.Stale) {
		res.Headers.Add(how.asks, value)
	}
	l.send(req, tx, res)
	return phone, false
}

// failed counts a wrong answer, and blocks its source when there were too many
// (F010, F011). It returns false for a source that gets no more answers.
func (l *Line) failed(src netip.Addr, user string) bool {
	s := l.s
	limits := limitsOf(s.params())
	until, blocked := s.bans.failed(src, user, time.Now(), limits)
	if !blocked {
		return true
	}
	s.stats.Blocked.Add(1)
	s.log.Warn("source blocked: too many failed authentications", "source", src, "until", until)
	if s.cfg.Blocked != nil {
		s.cfg.Blocked(src, limits.block)
	}
	return false
}

// params reads the system parameters.
func (s *Service) params() (p fsm.Params) {
	s.cfg.Directory.View(func(st *fsm.State) { p = st.Params() })
	return p
}

// limitsOf are the parameters of F010 and F011.
func limitsOf(p fsm.Params) limits {
	return limits{tries: int(p.AuthTries), suspend: p.AuthSuspend, failures: int(p.AuthFailures), block: p.AuthBlock}
}

// Caller returns the number of the phone that sends an INVITE. Otherwise the INVITE
// has been answered, or deserves no answer.
func (l *Line) Caller(req *sip.Request, tx *sip.ServerTx) (number string, ok bool) {
	phone, ok := l.authenticate(req, tx, asProxy)
	return phone.Number, ok
}

// Register serves a REGISTER.
func (l *Line) Register(req *sip.Request, tx *sip.ServerTx) {
	s := l.s
	s.stats.Registers.Add(1)
	phone, ok := l.authenticate(req, tx, asServer)
	if !ok {
		return
	}
	reg, refusal := registrar.Parse(req, registrar.Limits{
		Longest: s.params().LongestBinding, Contacts: int(phone.MaxContacts), Own: []netip.Addr{l.ip, l.public},
	})
	if refusal != nil {
		l.send(req, tx, refusal.Response(req, ""))
		return
	}
	if reg.User != phone.Number && !strings.EqualFold(reg.User, cmp.Or(phone.User, phone.Number)) {
		l.respond(req, tx, 403) // for somebody else (RFC 3261 section 10.3, step 3)
		return
	}
	body := l.command(req, &reg, phone.Number)
	if body == nil || s.unchanged(body) {
		s.stats.Refreshed.Add(1)
		l.answer(req, tx, phone.Number)
		return
	}
	now := time.Now()
	s.cfg.Proposer.Submit(call.Command{
		Lane: cluster.LaneStart, Flow: req.Source.Addr.Addr().String(), Body: body, Since: now, Until: now.Add(commitWait),
	}, func(r fsm.Result, err error) {
		switch {
		case err != nil:
			s.stats.Uncommitted.Add(1)
			res := req.Response(503, "")
			res.Headers.Add("Retry-After", "5")
			l.send(req, tx, res)
		case r.Code == fsm.OK:
			s.stats.Bound.Add(1)
			l.answer(req, tx, phone.Number)
		case r.Code == fsm.Conflict: // older than what is known (RFC 3261 section 10.3, step 7)
			l.respond(req, tx, 500)
		default:
			s.log.Info("registration refused", "phone", phone.Number, "code", r.Code, "detail", r.Detail)
			l.respond(req, tx, 403)
		}
	})
}

// command is what a REGISTER wants committed; nil for one that only asks.
func (l *Line) command(req *sip.Request, reg *registrar.Register, number string) fsm.Body {
	if reg.All {
		return &fsm.DropBinding{Number: number, CallID: reg.CallID, CSeq: reg.CSeq, Reason: "the phone's wish"}
	}
	if len(reg.Contacts) == 0 {
		return nil
	}
	body := &fsm.PutBinding{
		Number: number, CallID: reg.CallID, CSeq: reg.CSeq, Path: reg.Path, UserAgent: reg.UserAgent,
		Flow: fsm.Flow{Line: l.ip.String(), Via: strings.ToLower(req.Source.Transport.String()), Peer: addrOf(req.Source.Addr)},
	}
	if req.Source.Transport.Stream() {
		body.Flow.Node, body.Flow.Incarnation = l.s.cfg.Node, l.s.cfg.Incarnation()
		body.Flow.ID = strconv.FormatUint(uint64(req.Conn), 10)
	}
	for _, c := range reg.Contacts {
		body.Contacts = append(body.Contacts, fsm.Contact{URI: c.URI, Instance: c.Instance, RegID: c.RegID, Q: c.Q, For: c.For})
	}
	return body
}

func addrOf(a netip.AddrPort) fsm.Addr { return fsm.Addr{IP: a.Addr().As16(), Port: a.Port()} }

// unchanged reports whether a REGISTER says nothing new, and what it renews has more
// than half of its time left: phones that register each minute cost no commit each time.
func (s *Service) unchanged(body fsm.Body) bool {
	put, ok := body.(*fsm.PutBinding)
	if !ok {
		return false
	}
	at := s.cfg.Directory.LogTime()
	var known []fsm.Binding
	s.cfg.Directory.View(func(st *fsm.State) { known = st.Bindings(put.Number) })
	for i := range put.Contacts {
		c := &put.Contacts[i]
		if !same(known, put, c, at) {
			return false
		}
	}
	return true
}

// same reports whether a contact is known as it is asked for.
func same(known []fsm.Binding, put *fsm.PutBinding, c *fsm.Contact, at fsm.Time) bool {
	for i := range known {
		b := &known[i]
		if b.Contact != c.URI || b.Q != c.Q || b.Flow != put.Flow || !slices.Equal(b.Path, put.Path) || b.CallID != put.CallID {
			continue
		}
		return c.For > 0 && b.Expires.Sub(at) > c.For/2 && put.CSeq > b.CSeq
	}
	return false
}

// answer tells a phone what is known of it.
func (l *Line) answer(req *sip.Request, tx *sip.ServerTx, number string) {
	at := l.s.cfg.Directory.LogTime()
	var known []fsm.Binding
	l.s.cfg.Directory.View(func(st *fsm.State) { known = st.Bindings(number) })
	bound := make([]registrar.Bound, 0, len(known))
	for _, b := range known {
		c := registrar.Contact{URI: b.Contact, Q: b.Q, For: max(b.Expires.Sub(at), 0)}
		c.Instance, c.RegID = instanceOf(b)
		bound = append(bound, registrar.Bound{Contact: c, Path: b.Path})
	}
	l.send(req, tx, registrar.Answer(req, "", bound))
}

// instanceOf takes +sip.instance and reg-id out of a binding's name, if it has them.
func instanceOf(b fsm.Binding) (instance string, id uint32) {
	at := strings.LastIndexByte(b.ID, ';')
	if b.ID == b.Contact || at < 0 {
		return "", 0
	}
	n, err := strconv.ParseUint(b.ID[at+1:], 10, 32)
	if err != nil {
		return "", 0
	}
	return b.ID[:at], uint32(n)
}

func (l *Line) respond(req *sip.Request, tx *sip.ServerTx, status int) {
	l.send(req, tx, req.Response(status, ""))
}

func (l *Line) send(req *sip.Request, tx *sip.ServerTx, res *sip.Response) {
	if err := tx.Respond(res); err != nil {
		l.s.log.Debug("answer not sent", "to", req.Source, "status", res.Status, "err", err)
	}
}
