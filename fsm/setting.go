package fsm

import (
	"fmt"

	"tandem/fsm/number"
)

// setParameter changes a system parameter, from this command on.
func (s *State) setParameter(b *SetParameter) Result {
	key, value, err := ParseParameter(b.Name, b.Value)
	if err != nil {
		return refuse(Invalid, clip(err.Error()))
	}
	s.params.put(key, parameter{value})
	s.resolve()
	s.reindexFraud() // what is counted together may have changed
	s.event(Event{Kind: EventConfig, ID: key})
	return Result{}
}

// resolve brings the parsed parameters in line with the records.
func (s *State) resolve() {
	p, err := ParamsOf(func(yield func(string, string) bool) {
		for _, k := range s.params.keys() {
			if !yield(k, s.params.get(k).Value) {
				return
			}
		}
	})
	if err != nil {
		panic("fsm: stored parameters: " + err.Error())
	}
	s.set, s.rounding = p, p.Rounding()
}

// putList creates or replaces a list of numbers.
func (s *State) putList(l *NumberList) Result {
	if !isName(l.Name) {
		return invalid("name", "%q: letters, digits and . _ - only", l.Name)
	}
	numbers, err := number.List(l.Numbers)
	if err != nil {
		return invalid("numbers", "%v", err)
	}
	old := s.lists.get(l.Name)
	kept := 0
	if old != nil {
		kept = len(old.Numbers)
	}
	switch {
	case old == nil && s.lists.count >= maxLists:
		return refuse(Full, fmt.Sprintf("%d lists", maxLists))
	case s.ix.listed-kept+len(numbers) > maxListed:
		return refuse(Full, fmt.Sprintf("%d numbers in all lists", maxListed))
	}
	s.ix.listed += len(numbers) - kept
	s.lists.put(l.Name, NumberList{Name: l.Name, Numbers: numbers, Memo: l.Memo})
	s.event(Event{Kind: EventConfig, ID: l.Name})
	return Result{Count: uint64(len(numbers))}
}

// deleteList removes a list that no gateway uses.
func (s *State) deleteList(name string) Result {
	l := s.lists.get(name)
	if l == nil {
		return refuse(NotFound, fmt.Sprintf("list %q is not there", name))
	}
	user := ""
	uses := func(id string, r *NumberRules) {
		if r.CallerWhite == name || r.CallerBlack == name || r.CalleeWhite == name || r.CalleeBlack == name {
			user = earlier(user, id)
		}
	}
	s.mappings.each(func(id string, g *MappingGateway) { uses("mapping gateway "+id, &g.Rules) })
	s.routings.each(func(id string, g *RoutingGateway) { uses("routing gateway "+id, &g.Rules) })
	s.phones.each(func(n string, p *Phone) { uses("phone "+n, &p.Rules) })
	if user != "" {
		return refuse(Conflict, fmt.Sprintf("list %q is used by %s", name, user))
	}
	s.ix.listed -= len(l.Numbers)
	s.lists.remove(name)
	s.event(Event{Kind: EventConfig, ID: name})
	return Result{}
}

// putToken creates or replaces a token's record.
func (s *State) putToken(t *Token) Result {
	if !isName(t.ID) {
		return invalid("id", "%q: letters, digits and . _ - only", t.ID)
	}
	switch t.Role {
	case "viewer", "operator", "billing", "routing", "admin":
	default:
		return invalid("role", "%q: viewer, operator, billing, routing or admin", t.Role)
	}
	n := *t
	n.Created = s.now
	if old := s.tokens.get(t.ID); old != nil {
		n.Created = old.Created
	} else if s.tokens.count >= maxTokens {
		return refuse(Full, fmt.Sprintf("%d tokens", maxTokens))
	}
	s.tokens.put(t.ID, n)
	s.event(Event{Kind: EventConfig, ID: t.ID})
	return Result{}
}

// deleteToken revokes a token.
func (s *State) deleteToken(id string) Result {
	if !s.tokens.remove(id) {
		return refuse(NotFound, fmt.Sprintf("token %q is not there", id))
	}
	s.event(Event{Kind: EventConfig, ID: id})
	return Result{}
}
