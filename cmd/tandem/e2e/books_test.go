//go:build e2e

package e2e_test

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"tandem/billing"
	"tandem/node/api/client"
)

// books are the records of a cluster whose calls are over.
type books struct {
	cdrs   []client.CDR            // oldest first
	byCall map[string][]client.CDR // by the customer's Call-ID; amendments stand beside what they amend
}

// settled waits until no call is live and all nodes have the same records.
func (l *lab) settled(limit time.Duration) *books {
	l.t.Helper()
	within(l.t, limit, "all calls are over, on all nodes", func() (bool, string) {
		var seen []uint64
		for _, m := range l.nodes {
			s, _, err := m.api.Status(l.t.Context())
			if err != nil {
				return false, fmt.Sprintf("%s: %v", m.name, err)
			}
			if s.Calls > 0 {
				return false, fmt.Sprintf("%s: %d calls live:%s", m.name, s.Calls, live(l.t, m.api))
			}
			seen = append(seen, s.CDRs)
		}
		same := slices.Min(seen) == slices.Max(seen)
		return same, fmt.Sprintf("sequences of the last CDRs: %v", seen)
	})
	b := &books{byCall: map[string][]client.CDR{}}
	query := client.CDRQuery{Page: client.Page{Limit: 1000}}
	for i, m := range l.nodes {
		rows := all(l.t, query, m.api.CDRs)
		slices.Reverse(rows)
		if i == 0 {
			b.cdrs = rows
			continue
		}
		if d := firstDifference(b.cdrs, rows); d >= 0 {
			l.t.Errorf("%s and %s differ in the CDR at place %d of %d and %d: %+v", l.nodes[0].name, m.name, d,
				len(b.cdrs), len(rows), rows[min(d, len(rows)-1)])
		}
	}
	for i := range b.cdrs {
		c := &b.cdrs[i]
		if c.Seq != uint64(i+1) {
			l.t.Errorf("CDR %d stands at place %d: a gap", c.Seq, i+1)
		}
		b.byCall[c.SIPCallIDA] = append(b.byCall[c.SIPCallIDA], *c)
	}
	return b
}

// live lists calls that are not over.
func live(t *testing.T, c *client.Client) string {
	var b strings.Builder
	calls, err := c.Calls(t.Context(), client.CallQuery{Page: client.Page{Limit: 10}})
	if err != nil {
		return err.Error()
	}
	for _, x := range calls.Items {
		fmt.Fprintf(&b, "\n  %s on %s, %s, started %v, answered %v, granted %v, epoch %d, %s", x.SIPCallID, x.Node, x.State,
			x.Started, x.Answered, x.Granted, x.Epoch, x.ID)
	}
	return b.String()
}

func firstDifference(a, b []client.CDR) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || !reflect.DeepEqual(a[i], b[i]) {
			return i
		}
	}
	return -1
}

// balanced checks the sums: every currency is at zero, nothing is held, each CDR
// is charged as its rate says, and what the ledger took is what the CDRs say.
func (l *lab) balanced(b *books) {
	l.t.Helper()
	for _, m := range l.nodes {
		sums, err := m.api.LedgerSums(l.t.Context())
		if err != nil {
			l.t.Fatal(err)
		}
		for _, s := range sums.Items {
			if s.Sum != 0 || s.Held != 0 {
				l.t.Errorf("%s: the ledger in %s sums up to %v, %v is held", m.name, s.Currency, s.Sum, s.Held)
			}
		}
	}
	open := l.transfers()
	for i := range b.cdrs {
		c := &b.cdrs[i]
		charged(l.t, c)
		claim(l.t, open, c, c.ChargeSeq, c.Fee)
		claim(l.t, open, c, c.CostSeq, c.Cost)
	}
	for seq, x := range open {
		if x.Kind != "payment" && x.Kind != "adjustment" {
			l.t.Errorf("transfer %d, %s of %v from %s to %s, belongs to no CDR", seq, x.Kind, x.Amount, x.Debit, x.Credit)
		}
	}
}

// transfers reads the ledger of all accounts.
func (l *lab) transfers() map[uint64]client.Transfer {
	l.t.Helper()
	out := map[uint64]client.Transfer{}
	for _, a := range all(l.t, client.AccountQuery{}, l.api.Accounts) {
		for _, x := range all(l.t, client.LedgerQuery{Account: a.ID, Page: client.Page{Limit: 1000}}, l.api.Ledger) {
			if _, twice := out[x.Seq]; twice {
				l.t.Errorf("transfer %d is there twice", x.Seq)
			}
			out[x.Seq] = x
		}
	}
	return out
}

// claim takes the transfer of a CDR out of those that nobody has claimed.
func claim(t *testing.T, open map[uint64]client.Transfer, c *client.CDR, seq uint64, amount billing.Amount) {
	t.Helper()
	if seq == 0 {
		if amount != 0 {
			t.Errorf("CDR %d says %v and names no transfer", c.Seq, amount)
		}
		return
	}
	x, ok := open[seq]
	if !ok || x.CDR != c.Seq || x.Amount != amount {
		t.Errorf("CDR %d says %v by transfer %d, which is %+v (there: %v)", c.Seq, amount, seq, x, ok)
	}
	delete(open, seq)
}

// charged works out again what a CDR says, in exact decimals: whole seconds (a
// fraction from 50 ms on counts, F052), increments, price, connect fee, six
// decimals half up. What was talked beyond the grant is not charged.
func charged(t *testing.T, c *client.CDR) {
	t.Helper()
	talk := exact(millis(c.Duration - c.OverGrant))
	for _, side := range []struct {
		name   string
		rate   *client.CallRate
		talk   decimal.Decimal
		amount billing.Amount
	}{
		{"fee", c.Rate, talk, c.Fee},
		{"cost", c.CostRate, exact(millis(c.Duration)), c.Cost},
	} {
		want := decimal.Zero
		if !c.Answered.IsZero() && side.rate != nil {
			want = price(side.rate, side.talk)
		}
		if got := exact(side.amount.String()); !got.Equal(want) {
			t.Errorf("CDR %d: %s %v for %v s at %v a minute (%v/%v), want %v: %+v", c.Seq, side.name, got, side.talk,
				side.rate.Price, side.rate.First, side.rate.Next, want, *c)
		}
	}
}

// price is what a call of so many seconds costs.
func price(r *client.CallRate, talk decimal.Decimal) decimal.Decimal {
	seconds := talk.Floor()
	if talk.Sub(seconds).GreaterThanOrEqual(exact("0.05")) {
		seconds = seconds.Add(exact("1"))
	}
	if seconds.IsZero() {
		return decimal.Zero
	}
	first, next := exact(millis(r.First)), exact(millis(r.Next))
	billed := first
	if seconds.GreaterThan(first) {
		billed = first.Add(seconds.Sub(first).Div(next).Ceil().Mul(next))
	}
	fee := exact(r.Price.String()).Mul(billed).Div(exact("60")).Add(exact(r.ConnectFee.String()))
	return fee.Round(6)
}

// millis prints a duration as seconds with three decimals.
func millis(s client.Seconds) string {
	ms := s.Duration().Milliseconds()
	return fmt.Sprintf("%d.%03d", ms/1000, ms%1000)
}

func exact(s string) decimal.Decimal { return decimal.RequireFromString(s) }

// sameHashes compares the state of all nodes at the next checkpoint. Until the
// log is that long, a parameter is set to the value that it has.
func (l *lab) sameHashes() {
	l.t.Helper()
	const every, askers, parameter = 1024, 8, "SS_GATEWAY_SWITCH_LIMIT"
	status, _, err := l.api.Status(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	next := (status.Commit/every + 1) * every
	p, _, err := l.api.Parameter(l.t.Context(), parameter)
	if err != nil {
		l.t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range askers {
		wait.Go(func() {
			for range every {
				_, r, err := l.api.SetParameter(l.t.Context(), parameter, p.Value)
				if err != nil {
					l.t.Errorf("set %s: %v", parameter, err)
					return
				}
				if r.Index >= next {
					return
				}
			}
		})
	}
	wait.Wait()
	hashes := map[string]string{}
	within(l.t, 10*time.Second, "a hash at index "+strconv.FormatUint(next, 10), func() (bool, string) {
		for _, m := range l.nodes {
			checks, err := m.api.Checkpoints(l.t.Context())
			if err != nil {
				return false, err.Error()
			}
			for _, c := range checks.Items {
				if c.Index == next {
					hashes[m.name] = c.Hash
				}
			}
		}
		return len(hashes) == len(l.nodes), fmt.Sprint(hashes)
	})
	for name, h := range hashes {
		if h != hashes[l.nodes[0].name] {
			l.t.Errorf("states differ at index %d: %s %s, %s %s", next, l.nodes[0].name, hashes[l.nodes[0].name], name, h)
		}
	}
}
