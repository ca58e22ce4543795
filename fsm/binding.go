package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Flow is the way to a phone: what its REGISTER came by (RFC 5626 section 3.3).
type Flow struct {
	Line string // service address
	Via  string // "udp", "tcp", "tls", "ws", "wss"
	Peer Addr   // where it came from
	// Node and Incarnation are the process that has it, and ID is its name for the
	// connection, which ends with the process. An empty ID stands for datagrams:
	// whoever serves Line reaches the phone.
	Node        NodeID
	Incarnation uint64
	ID          string
}

// Contact is one contact of a REGISTER.
type Contact struct {
	URI      string
	Instance string        // +sip.instance, with RegID (RFC 5626); empty: URI alone names it
	RegID    uint32        // reg-id
	Q        uint16        // thousandths
	For      time.Duration // until it expires; 0: it goes
}

// id names the contact among those of its phone.
func (c *Contact) id() string {
	if c.Instance != "" && c.RegID != 0 {
		return fmt.Sprintf("%s;%d", c.Instance, c.RegID)
	}
	return c.URI
}

// Binding is a contact at which a phone can be reached.
type Binding struct {
	Number    string
	ID        string // names it among those of its phone
	Contact   string // URI
	Path      []string
	Flow      Flow
	Q         uint16
	CallID    string // of the newest REGISTER
	CSeq      uint32
	UserAgent string
	Since     Time // of the first REGISTER
	Renewed   Time // of the newest
	Expires   Time
}

// bindingKey names a binding in the cluster.
type bindingKey struct{ Number, ID string }

func (k bindingKey) compare(l bindingKey) int {
	return cmp.Or(strings.Compare(k.Number, l.Number), strings.Compare(k.ID, l.ID))
}

// putBinding takes a REGISTER: all of its contacts, or none (RFC 3261 section
// 10.3). One that came by another node at the same time, or again, changes
// nothing.
func (s *State) putBinding(cmd *Command, b *PutBinding) Result {
	p := s.phones.get(b.Number)
	if p == nil {
		return refuse(NotFound, fmt.Sprintf("phone %q is not there", b.Number))
	}
	if code := s.mayRegister(p, b.Flow.Peer); code != OK {
		return refuse(code, fmt.Sprintf("phone %s of account %q", p.Number, p.Account))
	}
	if r := s.outdated(b); r.Code != OK {
		return r
	}
	s.unbindDead(b.Number)
	if r := s.admitContacts(p, b); r.Code != OK {
		return r
	}
	at := s.eventTime(cmd, 0)
	for i := range b.Contacts {
		c := &b.Contacts[i]
		k := bindingKey{b.Number, c.id()}
		if c.For <= 0 {
			s.unbind(k)
			continue
		}
		n := Binding{
			Number: b.Number, ID: k.ID, Contact: c.URI, Path: b.Path, Flow: b.Flow, Q: c.Q, CallID: b.CallID, CSeq: b.CSeq,
			UserAgent: b.UserAgent, Since: at, Renewed: at, Expires: at.Add(min(c.For, s.set.LongestBinding)),
		}
		if old := s.bindings.get(k); old != nil {
			if old.CallID == b.CallID && old.CSeq == b.CSeq {
				continue // the same REGISTER again
			}
			n.Since = old.Since
		}
		s.bind(k, n)
	}
	s.event(Event{Kind: EventBinding, ID: b.Number})
	return Result{Count: uint64(len(s.ix.bound[b.Number]))}
}

const maxBindings = 1_000_000

// mayRegister says whether a phone may register from an address: its account may
// be locked, have expired, or allow other addresses only (F060).
func (s *State) mayRegister(p *Phone, from Addr) Code {
	a := s.accounts.get(p.Account)
	switch {
	case a == nil:
		return UnknownAccount
	case a.Locked:
		return Locked
	case a.Expiry != 0 && s.head.At >= a.Expiry:
		return Expired
	case s.set.CheckAccessIP && len(a.AccessIPs) > 0 && !contains(a.AccessIPs, from):
		return WrongAddress
	}
	return OK
}

// outdated refuses a REGISTER that is older than what is known of a contact: of
// one client (Call-ID), a higher CSeq is newer.
func (s *State) outdated(b *PutBinding) Result {
	for i := range b.Contacts {
		id := b.Contacts[i].id()
		if id == "" {
			return invalid("contacts", "an empty URI")
		}
		old := s.bindings.get(bindingKey{b.Number, id})
		if old != nil && old.CallID == b.CallID && b.CSeq < old.CSeq {
			return refuse(Conflict, fmt.Sprintf("CSeq %d of %s is below %d", b.CSeq, b.CallID, old.CSeq))
		}
	}
	return Result{}
}

// admitContacts sees to it that the contacts of a REGISTER fit. A phone that has all
// it may have loses the one that was renewed the longest time ago (F004), or is
// refused, as SS_ENDPOINT_REGISTER_REPLACE says (F005).
func (s *State) admitContacts(p *Phone, b *PutBinding) Result {
	after := map[string]bool{}
	for _, id := range s.ix.bound[p.Number] {
		after[id] = true
	}
	for i := range b.Contacts {
		if c := &b.Contacts[i]; c.For > 0 {
			after[c.id()] = true
		} else {
			delete(after, c.id())
		}
	}
	most := int(cmp.Or(p.MaxContacts, defaultContacts))
	excess := len(after) - most
	switch {
	case excess <= 0 && s.bindings.count+len(after)-len(s.ix.bound[p.Number]) > maxBindings:
		return refuse(Full, fmt.Sprintf("%d registered contacts", maxBindings))
	case excess <= 0:
		return Result{}
	case !s.set.ReplaceBindings || len(b.Contacts) > most:
		return refuse(Full, fmt.Sprintf("phone %s may have %d contacts", p.Number, most))
	}
	for i := range b.Contacts { // what is renewed stays
		delete(after, b.Contacts[i].id())
	}
	var oldest []*Binding
	for id := range after {
		oldest = append(oldest, s.bindings.get(bindingKey{p.Number, id}))
	}
	slices.SortFunc(oldest, func(x, y *Binding) int { return cmp.Or(cmp.Compare(x.Renewed, y.Renewed), cmp.Compare(x.ID, y.ID)) })
	for _, old := range oldest[:min(excess, len(oldest))] {
		s.unbind(bindingKey{p.Number, old.ID})
	}
	return Result{}
}

// dropBinding removes contacts of a phone.
func (s *State) dropBinding(b *DropBinding) Result {
	if s.phones.get(b.Number) == nil {
		return refuse(NotFound, fmt.Sprintf("phone %q is not there", b.Number))
	}
	var drop []bindingKey
	for _, id := range s.ix.bound[b.Number] {
		k := bindingKey{b.Number, id}
		old := s.bindings.get(k)
		switch {
		case b.ID != "" && b.ID != id, b.Flow != Flow{} && b.Flow != old.Flow:
			continue
		case b.CallID != "" && b.CallID == old.CallID && b.CSeq < old.CSeq:
			return refuse(Conflict, fmt.Sprintf("CSeq %d of %s is below %d", b.CSeq, b.CallID, old.CSeq))
		}
		drop = append(drop, k)
	}
	for _, k := range drop {
		s.unbind(k)
	}
	if len(drop) > 0 {
		s.event(Event{Kind: EventBinding, ID: b.Number})
	}
	return Result{Count: uint64(len(drop))}
}

// bind adds or replaces a binding.
func (s *State) bind(k bindingKey, b Binding) {
	if s.bindings.get(k) == nil {
		s.ix.bind(k)
	}
	s.bindings.put(k, b)
	s.ix.expiring.push(dueKey[bindingKey]{b.Expires, k}, struct{}{})
}

// unbind removes a binding, if it is there.
func (s *State) unbind(k bindingKey) {
	if s.bindings.remove(k) {
		s.ix.unbind(k)
	}
}

// unbindDead removes what cannot be reached any more: connections of processes
// that are gone, and what has expired.
func (s *State) unbindDead(n string) {
	for _, id := range slices.Clone(s.ix.bound[n]) {
		k := bindingKey{n, id}
		if b := s.bindings.get(k); b.Expires <= s.now || b.Flow.ID != "" && s.flowOwner(&b.Flow) == "" {
			s.unbind(k)
		}
	}
}

// expireBindings removes bindings that were not renewed.
func (s *State) expireBindings() {
	expireFrom(&s.ix.expiring, s.now, func(due dueKey[bindingKey]) bool {
		b := s.bindings.get(due.key)
		if b == nil || b.Expires != due.at {
			return false
		}
		s.unbind(due.key)
		s.event(Event{Kind: EventBinding, ID: due.key.Number})
		return true
	})
}

// flowOwner returns the node that can use a flow, or "".
func (s *State) flowOwner(f *Flow) NodeID {
	n, incarnation := f.Node, f.Incarnation
	if a := s.addresses.get(f.Line); a != nil && f.ID == "" {
		n, incarnation = a.Owner, a.Incarnation
	}
	if m := s.members.get(n); m != nil && m.Up && m.Incarnation == incarnation {
		return n
	}
	return ""
}

// reachable returns the bindings at which a phone can be called now, best first.
func (s *State) reachable(n string) []*Binding {
	var out []*Binding
	for _, id := range s.ix.bound[n] {
		if b := s.bindings.get(bindingKey{n, id}); s.head.At < b.Expires && s.flowOwner(&b.Flow) != "" {
			out = append(out, b)
		}
	}
	slices.SortStableFunc(out, func(x, y *Binding) int { return cmp.Or(cmp.Compare(y.Q, x.Q), cmp.Compare(y.Renewed, x.Renewed)) })
	return out
}

// bind enters a binding of a phone, unbind takes it out.
func (x *indexes) bind(k bindingKey) {
	i, _ := slices.BinarySearch(x.bound[k.Number], k.ID)
	x.bound[k.Number] = slices.Insert(x.bound[k.Number], i, k.ID)
}

func (x *indexes) unbind(k bindingKey) {
	if i, ok := slices.BinarySearch(x.bound[k.Number], k.ID); ok {
		x.bound[k.Number] = slices.Delete(x.bound[k.Number], i, i+1)
	}
	if len(x.bound[k.Number]) == 0 {
		delete(x.bound, k.Number)
	}
}

// Phone returns a phone by its number.
func (s *State) Phone(n string) (Phone, bool) { return one(s.phones, n) }

// PhoneOf returns the phone that authenticates as a user.
func (s *State) PhoneOf(user string) (Phone, bool) { return one(s.phones, s.ix.users[user]) }

// Phones returns at most limit phones behind a number, by number.
func (s *State) Phones(after string, limit int) []Phone { return list(s.phones, after, limit) }

// MayRegister says whether a phone may register from an address; NotFound: there is
// no such phone. Apply asks the same of what it takes.
func (s *State) MayRegister(n string, from Addr) Code {
	if p := s.phones.get(n); p != nil {
		return s.mayRegister(p, from)
	}
	return NotFound
}

// Bindings returns all contacts of a phone that have not expired, best first:
// those that can be reached now, then the others.
func (s *State) Bindings(n string) []Binding {
	var out []Binding
	there := map[string]bool{}
	for _, b := range s.reachable(n) {
		there[b.ID] = true
		out = append(out, *b)
	}
	for _, id := range s.ix.bound[n] {
		if b := s.bindings.get(bindingKey{n, id}); !there[id] && s.head.At < b.Expires {
			out = append(out, *b)
		}
	}
	return out
}

// FlowOwner returns the node that can use a flow now, and false when none can.
func (s *State) FlowOwner(f Flow) (NodeID, bool) {
	n := s.flowOwner(&f)
	return n, n != ""
}
