package fsm_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tandem/billing"
	"tandem/fsm"
)

// shows print parts of the state.
var shows = map[string]func(*story, words) string{
	"cdr": func(p *story, _ words) string {
		var b strings.Builder
		for _, r := range p.cdrs {
			b.WriteString(p.cdr(&r))
		}
		p.cdrs = nil
		return b.String()
	},
	"ledger": func(p *story, _ words) string {
		var b strings.Builder
		for _, t := range p.transfers {
			fmt.Fprintf(&b, "%d %s: %s -> %s %s %s", t.Seq, t.Kind, t.Debit, t.Credit, t.Amount, t.Currency)
			if t.Memo != "" {
				fmt.Fprintf(&b, " (%s)", t.Memo)
			}
			b.WriteString("\n")
		}
		p.transfers = nil
		return b.String()
	},
	"events": func(p *story, _ words) string {
		var b strings.Builder
		for _, e := range p.events {
			fmt.Fprintf(&b, "%s\n", eventText(&e))
		}
		p.events = nil
		return b.String()
	},
	"balance": func(p *story, w words) string {
		var b strings.Builder
		for _, id := range w.list[1:] {
			if a, ok := p.state.Account(id); ok {
				fmt.Fprintf(&b, "%s: %s, held %s, available %s, %d live\n", id, a.Balance.Funds, a.Balance.Held, a.Balance.Available(), a.Live)
				continue
			}
			for _, h := range p.state.Houses() {
				if h.Name == id {
					fmt.Fprintf(&b, "%s: %s %s\n", id, h.Amount, h.Currency)
				}
			}
		}
		return b.String()
	},
	"purchases": func(p *story, w words) string {
		var b strings.Builder
		for _, u := range p.state.Purchases(w.at(1)) {
			fmt.Fprintf(&b, "%d %s: %s left, %s of them held, until %s\n", u.ID, u.Package,
				billing.SecondsOf(u.Balance.Funds), billing.SecondsOf(u.Balance.Held), p.since(u.Until))
		}
		return cmp.Or(b.String(), "none\n")
	},
	"sums": func(p *story, _ words) string {
		var b strings.Builder
		for _, sum := range p.state.Sums() {
			fmt.Fprintf(&b, "%s: clients %s + vendors %s + house %s = %s, held %s\n", sum.Currency, sum.Clients, sum.Vendors, sum.House, sum.Total, sum.Held)
		}
		return b.String()
	},
	"calls": func(p *story, _ words) string {
		var b strings.Builder
		for _, c := range p.state.Calls(fsm.CallFilter{}, fsm.CallID{}, 0) {
			owner := string(c.Owner)
			if c.Line != "" {
				owner = c.Line + " of " + owner
			}
			fmt.Fprintf(&b, "%s: %s, %s of %s, epoch %d at %s#%d, held %s for %s\n",
				callName(c.ID), c.State, c.Caller, c.Account, c.Epoch, owner, c.Incarnation, c.Hold, c.Granted)
		}
		return b.String()
	},
	"members": func(p *story, _ words) string {
		var b strings.Builder
		for _, m := range p.state.Members() {
			fmt.Fprintf(&b, "%s: incarnation %d, up %t", m.Node, m.Incarnation, m.Up)
			if m.Draining {
				fmt.Fprintf(&b, ", drained by %q for %q", m.DrainBy, m.DrainReason)
			}
			b.WriteString("\n")
		}
		return b.String()
	},
	"days": func(p *story, _ words) string {
		var b strings.Builder
		first := fsm.DayOf(p.start)
		for _, d := range p.state.Days() {
			fmt.Fprintf(&b, "day %d: records %d to %d, transfers %d to %d\n", d.Day-first, d.First, d.Last, d.FirstTransfer, d.LastTransfer)
		}
		day, before := p.state.Horizon()
		if day != 0 {
			fmt.Fprintf(&b, "kept from day %d on, behind a record: %t\n", day-first, before != fsm.Hash{})
		}
		return b.String()
	},
	"contacts": func(p *story, w words) string {
		var b strings.Builder
		for _, c := range p.state.Bindings(w.at(1)) {
			by := "nobody"
			if n, ok := p.state.FlowOwner(c.Flow); ok {
				by = string(n)
			}
			fmt.Fprintf(&b, "%s (%s) q %d over %s by %s until %s\n", c.Contact, c.ID, c.Q, c.Flow.Via, by, p.since(c.Expires))
		}
		return b.String()
	},
	"addresses": func(p *story, _ words) string {
		var b strings.Builder
		for _, a := range p.state.Addresses() {
			fmt.Fprintf(&b, "%s (%s) of %s: epoch %d, ", a.IP, a.Move, cmp.Or(a.Home, "nobody"), a.Epoch)
			if a.Owner == "" {
				b.WriteString("served by nobody\n")
				continue
			}
			fmt.Fprintf(&b, "served by %s#%d\n", a.Owner, a.Incarnation)
		}
		return b.String()
	},
	"orphans": func(p *story, w words) string {
		var b strings.Builder
		n := fsm.NodeID(w.at(1))
		for _, o := range p.state.Orphans(n, p.incs[n]) {
			c := o.Call
			fmt.Fprintf(&b, "%s ended %s as %s, %s %d: epoch %d at %s of %s#%d", callName(c.ID), p.since(o.Ended), c.State, o.Reason, o.Status, c.Epoch, c.Line, c.Owner, c.Incarnation)
			for leg, name := range map[fsm.Legs]string{fsm.LegA: "the caller", fsm.LegB: "the callee"} {
				if o.Told&leg != 0 {
					b.WriteString(", " + name + " knows")
				}
			}
			b.WriteString("\n")
		}
		return b.String()
	},
	"blocks": func(p *story, _ words) string {
		var b strings.Builder
		for _, k := range p.state.Blocks(0, nil, 0) {
			fmt.Fprintf(&b, "%s is %s", k.Number, k.List)
			if k.Scope != "" {
				fmt.Fprintf(&b, " at %s", k.Scope)
			}
			if k.Account != "" {
				fmt.Fprintf(&b, " through %s", k.Account)
			}
			fmt.Fprintf(&b, " until %s", p.since(k.Until))
			if k.Manual {
				fmt.Fprintf(&b, ", manual %q\n", k.Memo)
				continue
			}
			fmt.Fprintf(&b, ": %d of %d within %s from %s, such as a call with %s; %d refused since\n",
				k.Count, k.Limit, k.Window, p.since(k.First), k.Sample, k.Hits)
		}
		return b.String()
	},
	"tables": func(p *story, _ words) string {
		var b strings.Builder
		for _, t := range p.state.RateTables("", 0) {
			fmt.Fprintf(&b, "%s: version %d with %d rows, before it %d\n", t.ID, t.Active, t.Rows, t.Previous)
		}
		return b.String()
	},
	"rate": func(p *story, w words) string {
		r, version, ok := p.state.LookupRate(w.at(1), w.at(2))
		if !ok {
			return "none\n"
		}
		return fmt.Sprintf("%s: %s by version %d\n", r.Prefix, r.Price, version)
	},
	"simulate": func(p *story, w words) string {
		before := p.state.Hash()
		x := p.state.Simulate(*commands["start"](p, w).(*fsm.StartCall))
		if p.state.Hash() != before {
			p.t.Error("simulation changed the state")
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s\n  by %s for %s: %s -> %s, rate %s of %s v%d, hold %s for %s\n", x.Code, x.Detail,
			x.Ingress, x.Account, x.Caller, x.Callee, x.Rate.Price, x.RateTable, x.RateVer, x.Hold, x.Talk)
		for _, c := range x.Candidates {
			fmt.Fprintf(&b, "  %s: %s -> %s at %s\n", c.Gateway, c.Caller, c.Callee, c.Cost.Price)
		}
		for _, k := range x.Skipped {
			fmt.Fprintf(&b, "  skipped %s: %s\n", k.Gateway, k.Reason)
		}
		return b.String()
	},
	// restore goes on with a state that was read from a snapshot of the present
	// one; nobody may notice.
	"restore": func(p *story, _ words) string {
		restored := copyOf(p.t, p.state)
		if restored.Hash() != p.state.Hash() {
			p.t.Error("the restored state has another hash")
		}
		p.state = restored
		return "ok\n"
	},
}

// setup is a customer, acme, whose calls from 192.0.2.10 cost 0.01 a second, and a
// vendor, carrier, who takes 0.12 a minute for numbers in 49.
const setup = `
node n1
node n2
node n3
table std
import std 44:0.60/1/1 49:0.60/1/1
activate std rows=2
table cost
import cost 49:0.12/1/1
activate cost
account acme table=std
vendor carrier table=cost
ingress acme-in account=acme addr=192.0.2.10
egress carrier-out account=carrier prefixes=49
`

type fataler interface {
	Helper()
	Fatal(...any)
}

// copyOf returns what a replica has that installed a snapshot of the state.
func copyOf(t fataler, s *fsm.State) *fsm.State {
	t.Helper()
	view := s.Snapshot()
	defer view.Release()
	var b bytes.Buffer
	if _, err := view.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	restored, err := fsm.Restore(&b)
	if err != nil {
		t.Fatal(err)
	}
	return restored
}

func (p *story) cdr(r *fsm.CDR) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", r.Seq)
	if r.Amends != 0 {
		fmt.Fprintf(&b, " amends %d", r.Amends)
	}
	fmt.Fprintf(&b, " %s: %s -> %s by %s %d", callName(r.Call), r.Caller, r.Callee, r.Reason, r.SIPStatus)
	if r.Mode == fsm.ModeIllegal {
		b.WriteString(" illegal")
	}
	if r.Aggregate > 1 {
		fmt.Fprintf(&b, ", %d attempts from %s", r.Aggregate, r.Source)
	}
	if r.Answered != 0 {
		fmt.Fprintf(&b, ", %s %s (billed %s, rate %s) fee %s cost %s", r.EndedBy, r.Duration, r.Billed, r.Rate.Price, r.Fee, r.Cost)
	}
	for _, p := range r.Prepaid {
		fmt.Fprintf(&b, ", %s by package %s", p.Time, p.Package)
	}
	if r.OverGrant != 0 {
		fmt.Fprintf(&b, ", %s beyond the grant", r.OverGrant)
	}
	if r.Estimated {
		b.WriteString(", estimated")
	}
	if len(r.Owners) > 1 {
		var owners []string
		for _, o := range r.Owners {
			owners = append(owners, fmt.Sprintf("%s:%d", o.Node, o.Epoch))
		}
		slices.Sort(owners)
		fmt.Fprintf(&b, ", owners %s", strings.Join(owners, " "))
	}
	b.WriteString("\n")
	return b.String()
}

func eventText(e *fsm.Event) string {
	switch e.Kind {
	case fsm.EventCallEnded:
		return fmt.Sprintf("call %s of %s ended: %s", callName(e.Call), e.Node, e.Reason)
	case fsm.EventCallMoved:
		return fmt.Sprintf("call %s moved to %s", callName(e.Call), e.Node)
	case fsm.EventAccountFunded:
		return "account " + e.ID + " is funded"
	case fsm.EventBlocked:
		return "number " + e.ID + " is blocked"
	case fsm.EventUnblocked:
		return "number " + e.ID + " is unblocked"
	case fsm.EventMember:
		return "member " + string(e.Node)
	case fsm.EventAddress:
		return "address " + e.ID + " goes to " + cmp.Or(string(e.Node), "nobody")
	case fsm.EventBinding:
		return "contacts of " + e.ID
	case fsm.EventRates:
		return fmt.Sprintf("rates %s version %d", e.ID, e.Version)
	}
	return "config " + e.ID
}
