package fsm

import (
	"fmt"
	"time"

	"tandem/billing"
	"tandem/fsm/number"
)

// invalid refuses a field of an administrative command.
func invalid(field, format string, args ...any) Result {
	return refuse(Invalid, clip(field+": "+fmt.Sprintf(format, args...)))
}

// putAccount creates an account, or replaces its settings and keeps its money.
func (s *State) putAccount(a *Account) Result {
	if r := s.checkAccount(a); r.Code != OK {
		return r
	}
	old := s.accounts.get(a.ID)
	if old == nil {
		if s.accounts.count >= maxAccounts {
			return refuse(Full, fmt.Sprintf("%d accounts", maxAccounts))
		}
		old = &Account{Created: s.now, Type: a.Type, Currency: a.Currency}
	}
	touched := old.Balance.Funds != 0 || old.Balance.Held != 0 || old.Live > 0
	if touched && (old.Type != a.Type || old.Currency != a.Currency) {
		return refuse(Conflict, fmt.Sprintf("account %q has money or calls: type and currency stay", a.ID))
	}
	terms, err := old.Balance.Terms(a.Balance.Credit, a.AllowDebt)
	if err != nil {
		return invalid("credit", "%v", err)
	}
	// Said before the record is replaced: old may be that very record.
	raised := terms.Available() > old.Balance.Available() || terms.Overdraft || a.MaxSpend != old.MaxSpend
	n := *a
	if n.AllowCallee, err = number.Prefixes(a.AllowCallee); err != nil {
		return invalid("allow_callee", "%v", err)
	}
	if n.BlockCallee, err = number.Prefixes(a.BlockCallee); err != nil {
		return invalid("block_callee", "%v", err)
	}
	n.Balance, n.Created, n.CallsTotal, n.Live = terms, old.Created, old.CallsTotal, old.Live
	n.Spent, n.SpentDay = old.Spent, old.SpentDay
	n.SecondWindow, n.SecondCalls = old.SecondWindow, old.SecondCalls
	s.accounts.put(a.ID, n)
	s.event(Event{Kind: EventConfig, ID: a.ID})
	if raised {
		s.funded(a.ID)
	}
	return Result{}
}

func (s *State) checkAccount(a *Account) Result {
	switch {
	case !isName(a.ID):
		return invalid("id", "%q: letters, digits and . _ - only", a.ID)
	case a.Type != Client && a.Type != Vendor:
		return invalid("type", "%d: client or vendor", a.Type)
	case !isCurrency(a.Currency):
		return invalid("currency", "%q: three capital letters (ISO 4217)", a.Currency)
	case a.Advance < 0 || a.MaxDuration < 0:
		return invalid("advance, max_duration", "negative")
	case a.MaxSpend < 0:
		return invalid("max_spend", "%s: negative", a.MaxSpend)
	}
	if a.RateTable == "" {
		return Result{}
	}
	t := s.prices.get(a.RateTable)
	if t == nil {
		return invalid("rate_table", "%q is not there", a.RateTable)
	}
	if t.Currency != a.Currency {
		return invalid("rate_table", "%q is in %s, the account in %s", a.RateTable, t.Currency, a.Currency)
	}
	return Result{}
}

// deleteAccount removes an account that nothing depends on.
func (s *State) deleteAccount(id string) Result {
	a := s.accounts.get(id)
	if a == nil {
		return refuse(NotFound, fmt.Sprintf("account %q is not there", id))
	}
	if a.Balance.Funds != 0 || a.Balance.Held != 0 {
		return refuse(Conflict, fmt.Sprintf("account %q has %s, of which %s are held", id, a.Balance.Funds, a.Balance.Held))
	}
	user := ""
	s.mappings.each(func(_ string, g *MappingGateway) {
		if g.Account == id {
			user = earlier(user, "mapping gateway "+g.ID)
		}
	})
	s.routings.each(func(_ string, g *RoutingGateway) {
		if g.Account == id {
			user = earlier(user, "routing gateway "+g.ID)
		}
	})
	s.phones.each(func(n string, p *Phone) {
		if p.Account == id {
			user = earlier(user, "phone "+n)
		}
	})
	s.calls.each(func(_ CallID, c *Call) {
		if c.Account == id || c.vendor(id) {
			user = "a live call"
		}
	})
	if user != "" {
		return refuse(Conflict, fmt.Sprintf("account %q is used by %s", id, user))
	}
	s.dropPurchases(id)
	s.accounts.remove(id)
	s.event(Event{Kind: EventConfig, ID: id})
	return Result{}
}

// earlier returns the first text in order that is not empty, so that what a
// scan in map order reports does not depend on it.
func earlier(a, b string) string {
	if a == "" || b < a {
		return b
	}
	return a
}

// vendor reports whether a candidate of the call is paid to an account.
func (c *Call) vendor(account string) bool {
	for i := range c.Candidates {
		if c.Candidates[i].Vendor == account {
			return true
		}
	}
	return false
}

// spendable returns what calls of an account may still hold today, and whether
// that is limited at all.
func (s *State) spendable(a *Account) (billing.Amount, bool) {
	free, limited := a.Balance.Available(), !a.Balance.Overdraft
	if a.MaxSpend > 0 {
		// F041 counts holds too, so that parallel calls cannot pass it together.
		left, ok := a.MaxSpend.Sub(s.spentToday(a))
		if !ok {
			left = 0
		}
		if left, ok = left.Sub(a.Balance.Held); !ok {
			left = 0
		}
		if !limited || left < free {
			free = left
		}
		limited = true
	}
	return max(free, 0), limited
}

func (s *State) spentToday(a *Account) billing.Amount {
	if a.SpentDay != s.day() {
		return 0
	}
	return a.Spent
}

// spend counts a fee towards the day's limit.
func (s *State) spend(a *Account, fee billing.Amount) {
	if day := s.day(); a.SpentDay != day {
		a.Spent, a.SpentDay = 0, day
	}
	if sum, ok := a.Spent.Add(fee); ok {
		a.Spent = sum
	}
}

// day returns the number of the day of the present log time.
func (s *State) day() int32 { return s.set.Zone.Day(s.now) }

// rateWindow is the window of a rate limit: how many calls came since its start.
type rateWindow struct {
	start Time
	calls uint32
}

// after returns the window with one more call at now.
func (w rateWindow) after(now Time, period time.Duration) rateWindow {
	if period <= 0 {
		period = time.Second
	}
	if now.Sub(w.start) >= period {
		return rateWindow{start: now, calls: 1}
	}
	w.calls++
	return w
}
