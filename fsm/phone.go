package fsm

import (
	"fmt"
	"slices"
	"strings"

	"tandem/fsm/number"
)

// Phone is an endpoint that registers: it calls with its own number, after it has
// authenticated, and is called at its contacts.
type Phone struct {
	Number      string // its name, and the user part of its address of record
	User        string // whom it authenticates as; empty: Number
	Account     string // pays
	Secrets     []Secret
	LockIn      bool   // cannot be called (F241)
	LockOut     bool   // cannot call
	MaxIn       uint32 // calls at once to it, from it, and of both kinds; 0: none
	MaxOut      uint32
	MaxCalls    uint32
	MaxContacts uint8  // 0: 10
	RateTable   string // overrides the account's; empty: the account's
	Routes      []string
	DenyRoutes  bool        // Routes names those that are forbidden, not those allowed
	Rules       NumberRules // of its own calls
	Media       MediaMode
	Source      SourcePolicy
	NAT         bool
	Profile     Profile
	LiveIn      uint32
	LiveOut     uint32
	CallsTotal  uint64 // from it
}

// Secret is what checks a phone's answer to a challenge: the hash of user, realm
// and password (HA1, RFC 7616 section 3.4.2), never the password.
type Secret struct {
	Algorithm string // "MD5" or "SHA-256"
	Realm     string
	HA1       []byte
}

// Bounds of phones.
const (
	maxPhones       = 1_000_000
	maxSecrets      = 8
	defaultContacts = 10
	maxContacts     = 32 // of one phone
)

// phonePrefix makes the name of a phone as an ingress or egress of calls. No
// gateway's name has a colon.
const phonePrefix = "phone:"

// phoneNamed returns the phone that an ingress or egress of a call is, or nil.
func (s *State) phoneNamed(id string) *Phone {
	if n, ok := strings.CutPrefix(id, phonePrefix); ok {
		return s.phones.edit(n)
	}
	return nil
}

// user returns whom the phone authenticates as.
func (p *Phone) user() string {
	if p.User == "" {
		return p.Number
	}
	return p.User
}

// ingress is the phone as the one who calls.
func (p *Phone) ingress() *MappingGateway {
	return &MappingGateway{
		ID: phonePrefix + p.Number, Account: p.Account, Disabled: p.LockOut, MaxCalls: p.MaxOut, Live: p.LiveOut,
		Routes: p.Routes, DenyRoutes: p.DenyRoutes, Rules: p.Rules, RateTable: p.RateTable,
		Media: p.Media, Source: p.Source, NAT: p.NAT, Profile: p.Profile,
	}
}

// full reports that the phone has as many calls as it may.
func (p *Phone) full() bool { return p.MaxCalls > 0 && p.LiveIn+p.LiveOut >= p.MaxCalls }

// putPhone creates or replaces a phone. Its contacts stay, and without new ones its
// secrets, unless it authenticates as somebody else.
func (s *State) putPhone(p *Phone) Result {
	if r := s.checkPhone(p); r.Code != OK {
		return r
	}
	n := *p
	plans, r := s.prepare(&n.Rules, false)
	if r.Code != OK {
		return r
	}
	n.LiveIn, n.LiveOut, n.CallsTotal = 0, 0, 0
	old := s.phones.get(p.Number)
	switch {
	case old != nil:
		if len(n.Secrets) == 0 && old.user() == n.user() {
			n.Secrets = old.Secrets // nobody has to know them to change something else
		}
		n.LiveIn, n.LiveOut, n.CallsTotal = old.LiveIn, old.LiveOut, old.CallsTotal
		delete(s.ix.users, old.user())
	case s.phones.count >= maxPhones:
		return refuse(Full, fmt.Sprintf("%d phones", maxPhones))
	default: // calls of a phone that was deleted under them count again
		id := phonePrefix + p.Number
		s.calls.each(func(_ CallID, c *Call) {
			if c.Ingress == id {
				n.LiveOut++
			}
			if c.gateway() == id {
				n.LiveIn++
			}
		})
	}
	s.phones.put(n.Number, n)
	s.ix.users[n.user()] = n.Number
	s.ix.plansIn[phonePrefix+n.Number] = plans
	s.event(Event{Kind: EventConfig, ID: n.Number})
	return Result{}
}

func (s *State) checkPhone(p *Phone) Result {
	if err := number.Valid(p.Number); err != nil || p.Number == "" {
		return invalid("number", "%q: digits are needed", p.Number)
	}
	a := s.accounts.get(p.Account)
	switch {
	case p.User != "" && !isName(p.User):
		return invalid("user", "%q: letters, digits and . _ - only", p.User)
	case a == nil:
		return invalid("account", "%q is not there", p.Account)
	case a.Type != Client:
		return invalid("account", "%q is no client", p.Account)
	case p.MaxContacts > maxContacts:
		return invalid("max_contacts", "%d, at most %d", p.MaxContacts, maxContacts)
	}
	if other, there := s.ix.users[p.user()]; there && other != p.Number {
		return refuse(Conflict, fmt.Sprintf("phone %s authenticates as %q, too", other, p.user()))
	}
	for _, k := range p.Secrets {
		switch {
		case k.Algorithm == "MD5" && len(k.HA1) == 16, k.Algorithm == "SHA-256" && len(k.HA1) == 32:
		default:
			return invalid("secrets", "%d bytes for %q: MD5 has 16, SHA-256 has 32", len(k.HA1), k.Algorithm)
		}
	}
	if p.RateTable == "" {
		return Result{}
	}
	t := s.prices.get(p.RateTable)
	switch {
	case t == nil:
		return invalid("rate_table", "%q is not there", p.RateTable)
	case t.Currency != a.Currency:
		return invalid("rate_table", "%q is in %s, account %q in %s", p.RateTable, t.Currency, a.ID, a.Currency)
	}
	return Result{}
}

// deletePhone removes a phone with its contacts. Its live calls go on.
func (s *State) deletePhone(n string) Result {
	p := s.phones.get(n)
	if p == nil {
		return refuse(NotFound, fmt.Sprintf("phone %q is not there", n))
	}
	for _, id := range slices.Clone(s.ix.bound[n]) {
		s.unbind(bindingKey{n, id})
	}
	delete(s.ix.users, p.user())
	delete(s.ix.plansIn, phonePrefix+n)
	s.phones.remove(n)
	s.event(Event{Kind: EventConfig, ID: n})
	return Result{}
}

// findPhone makes the contacts of a phone the candidates of a call to it: those
// with the highest q first, of them the newest.
func (s *State) findPhone(d *decision, p *Phone) {
	payer := s.accounts.get(p.Account)
	switch {
	case p.LockIn && d.flags&FlagEmergency == 0:
		d.refuse(CalleeForbidden, "phone %s is locked", p.Number)
		return
	case s.set.VerifyCallee && (payer == nil || payer.Locked || !payer.Balance.Overdraft && payer.Balance.Available() <= 0):
		d.refuse(CalleeOffline, "phone %s: its account %q has no money", p.Number, p.Account)
		return
	case p.MaxIn > 0 && p.LiveIn >= p.MaxIn, p.full():
		d.refuse(CalleeBusy, "phone %s: %d calls", p.Number, p.LiveIn+p.LiveOut)
		return
	}
	for _, b := range s.reachable(p.Number) {
		c := Candidate{
			Gateway: phonePrefix + p.Number, Via: b.Flow.Via, Caller: d.caller, Callee: p.Number,
			Source: p.Source, NAT: p.NAT, Media: p.Media, Profile: p.Profile,
			Contact: b.Contact, Path: b.Path, Flow: b.Flow,
		}
		if !b.Flow.Peer.IsZero() {
			c.Addrs = []Addr{b.Flow.Peer}
		}
		d.routes = append(d.routes, c)
		if len(d.routes) == maxCandidates {
			break
		}
	}
	if len(d.routes) == 0 {
		d.refuse(CalleeOffline, "phone %s is not registered", p.Number)
	}
}
