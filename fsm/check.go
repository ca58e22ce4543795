package fsm

import (
	"errors"
	"fmt"

	"tandem/billing"
	"tandem/fsm/number"
)

// ErrInvariant: the books or the counters of a state do not add up.
var ErrInvariant = errors.New("broken invariant")

// Check verifies what has to hold at every index: in each currency all balances
// sum up to zero; what accounts hold is the sum of their live calls' holds;
// counters of live calls are right; no account that may not owe has less than
// nothing available; and addresses are served by members. Its cost is that of the whole state: it is for tests,
// checkers and restores.
func (s *State) Check() error {
	if err := s.checkSums(); err != nil {
		return err
	}
	held := map[string]billing.Amount{}
	accounts, ingresses, egresses := map[string]uint32{}, map[string]uint32{}, map[string]uint32{}
	s.calls.each(func(_ CallID, c *Call) {
		held[c.Account] += c.Hold
		accounts[c.Account]++
		ingresses[c.Ingress]++
		egresses[c.gateway()]++
	})
	return errors.Join(s.checkAccounts(held, accounts), s.checkPurchases(), s.checkGateways(ingresses, egresses), s.checkOwners())
}

// checkOwners verifies that each address is served by a process that the members
// know, or by nobody, and that the calls of all owners are all calls.
func (s *State) checkOwners() error {
	first := ""
	owned := 0
	for _, calls := range s.ix.owned {
		owned += len(calls)
	}
	if owned != s.calls.count {
		first = fmt.Sprintf("%d calls have owners, there are %d", owned, s.calls.count)
	}
	s.addresses.each(func(ip string, a *Address) {
		m := s.members.get(a.Owner)
		if a.Owner != "" && (m == nil || m.Incarnation != a.Incarnation) {
			first = earlier(first, fmt.Sprintf("address %s is served by %s#%d, which there is not", ip, a.Owner, a.Incarnation))
		}
	})
	if first != "" {
		return fmt.Errorf("%s: %w", first, ErrInvariant)
	}
	return nil
}

func (s *State) checkAccounts(held map[string]billing.Amount, live map[string]uint32) error {
	first := ""
	s.accounts.each(func(id string, a *Account) {
		b := a.Balance
		switch {
		case b.Held != held[id]:
			first = earlier(first, fmt.Sprintf("account %s holds %s, its calls %s", id, b.Held, held[id]))
		case a.Live != live[id]:
			first = earlier(first, fmt.Sprintf("account %s counts %d calls, there are %d", id, a.Live, live[id]))
		case !b.Overdraft && b.Available() < 0:
			first = earlier(first, fmt.Sprintf("account %s has %s available", id, b.Available()))
		}
	})
	for id := range live {
		if s.accounts.get(id) == nil {
			first = earlier(first, fmt.Sprintf("a live call is charged to account %s, which is not there", id))
		}
	}
	if first != "" {
		return fmt.Errorf("%s: %w", first, ErrInvariant)
	}
	return nil
}

// checkPurchases verifies that what is held of packages is what live calls hold,
// and that none is overdrawn.
func (s *State) checkPurchases() error {
	held := map[purchaseKey]billing.Amount{}
	s.calls.each(func(_ CallID, c *Call) {
		for _, p := range c.Prepaid {
			held[purchaseKey{c.Account, p.Purchase}] += billing.AmountOf(p.Time)
		}
	})
	first := ""
	s.purchases.each(func(k purchaseKey, p *Purchase) {
		if p.Balance.Held != held[k] || p.Balance.Available() < 0 || p.Balance.Overdraft {
			first = earlier(first, fmt.Sprintf("account %s holds %s of %s of package %s, its calls %s", k.Account, p.Balance.Held, p.Balance.Funds, p.Package, held[k]))
		}
		delete(held, k)
	})
	for k := range held {
		first = earlier(first, fmt.Sprintf("a live call of account %s holds of purchase %d, which is not there", k.Account, k.ID))
	}
	if first != "" {
		return fmt.Errorf("%s: %w", first, ErrInvariant)
	}
	return nil
}

func (s *State) checkGateways(ingresses, egresses map[string]uint32) error {
	first := ""
	s.mappings.each(func(id string, g *MappingGateway) {
		if g.Live != ingresses[id] {
			first = earlier(first, fmt.Sprintf("mapping gateway %s counts %d calls, there are %d", id, g.Live, ingresses[id]))
		}
	})
	s.routings.each(func(id string, g *RoutingGateway) {
		if g.Live != egresses[id] {
			first = earlier(first, fmt.Sprintf("routing gateway %s counts %d calls, there are %d", id, g.Live, egresses[id]))
		}
	})
	s.phones.each(func(n string, p *Phone) {
		if in, out := egresses[phonePrefix+n], ingresses[phonePrefix+n]; p.LiveIn != in || p.LiveOut != out {
			first = earlier(first, fmt.Sprintf("phone %s counts %d calls to it and %d from it, there are %d and %d", n, p.LiveIn, p.LiveOut, in, out))
		}
	})
	if first != "" {
		return fmt.Errorf("%s: %w", first, ErrInvariant)
	}
	return nil
}

// verify checks of restored records what Apply checks when they come in, so
// that a snapshot that was made by nobody cannot make it panic.
func (s *State) verify() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrSnapshot))
	}
	for _, k := range s.params.keys() {
		if name, _, err := ParseParameter(k, s.params.get(k).Value); err != nil || name != k {
			bad("parameter %s", k)
		}
	}
	for _, id := range s.mappings.keys() {
		if _, r := s.prepare(&s.mappings.edit(id).Rules, false); r.Code != OK || s.mappings.get(id).ID != id {
			bad("mapping gateway %s: %s", id, r.Detail)
		}
	}
	for _, id := range s.routings.keys() {
		g := s.routings.edit(id)
		_, r := s.prepare(&g.Rules, true)
		if r.Code == OK {
			r = s.checkRouting(g)
		}
		_, err := number.Prefixes(g.Prefixes)
		if r.Code != OK || err != nil || g.ID != id {
			bad("routing gateway %s: %s", id, r.Detail)
		}
	}
	s.verifyNames(bad)
	for _, k := range s.versions.keys() {
		if err := s.verifyVersion(k); err != nil {
			errs = append(errs, err)
		}
	}
	for _, id := range s.prices.keys() {
		t := s.prices.get(id)
		if t.Active != 0 && s.versions.get(versionKey{id, t.Active}) == nil {
			bad("rate table %s: version %d is not there", id, t.Active)
		}
	}
	return errors.Join(errs...)
}

// verifyNames checks that records are what their keys say.
func (s *State) verifyNames(bad func(format string, args ...any)) {
	for _, id := range s.calls.keys() {
		c := s.calls.get(id)
		if c.ID != id || int(c.Candidate) >= len(c.Candidates) || len(c.Owners) == 0 {
			bad("call %x", id)
		}
	}
	for _, id := range s.accounts.keys() {
		if s.accounts.get(id).ID != id {
			bad("account %s", id)
		}
	}
	for _, k := range s.purchases.keys() {
		if p := s.purchases.get(k); p.Account != k.Account || p.ID != k.ID || s.accounts.get(k.Account) == nil {
			bad("purchase %d of account %s", k.ID, k.Account)
		}
	}
	for _, n := range s.phones.keys() {
		p := s.phones.edit(n)
		if _, r := s.prepare(&p.Rules, false); r.Code != OK || p.Number != n {
			bad("phone %s: %s", n, r.Detail)
		}
	}
	for _, k := range s.bindings.keys() {
		if b := s.bindings.get(k); b.Number != k.Number || b.ID != k.ID || s.phones.get(k.Number) == nil {
			bad("contact %s of phone %s", k.ID, k.Number)
		}
	}
	for _, ip := range s.addresses.keys() {
		if s.addresses.get(ip).IP != ip {
			bad("address %s", ip)
		}
	}
	for _, id := range s.ended.keys() {
		if t := s.ended.get(id); t.Left && t.Last == nil || t.Last != nil && (t.Last.Call.ID != id || int(t.Last.Call.Candidate) >= len(t.Last.Call.Candidates)) {
			bad("ended call %x", id)
		}
	}
}

// verifyVersion checks the rows of a version.
func (s *State) verifyVersion(k versionKey) error {
	v := s.versions.get(k)
	last, rows := "", uint32(0)
	for i := range min(v.Chunks, maxChunks) {
		chunk := s.chunks.get(chunkKey{k, i})
		if chunk == nil {
			return fmt.Errorf("rate table %s, version %d: chunk %d is not there: %w", k.Table, k.Version, i, ErrSnapshot)
		}
		for j := range chunk.Rows {
			if err := checkRow(&chunk.Rows[j], last, rows == 0); err != nil {
				return fmt.Errorf("rate table %s, version %d: %w: %w", k.Table, k.Version, err, ErrSnapshot)
			}
			last = chunk.Rows[j].Prefix
			rows++
		}
	}
	if rows != v.Rows {
		return fmt.Errorf("rate table %s, version %d: %d rows of %d: %w", k.Table, k.Version, rows, v.Rows, ErrSnapshot)
	}
	return nil
}
