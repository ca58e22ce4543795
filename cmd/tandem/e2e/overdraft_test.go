//go:build e2e

package e2e_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// Fifty calls share money for exactly ten minutes (one, by default: the first to
// come may hold half of it) and talk until they are cut:
// they cost what there was, to less than a second for each, and no node ever saw
// money that was not there.
func TestAccountRunsDry(t *testing.T) {
	const calls, perSecond = 50, "0.001" // prefix 33
	funds := length("0.06", "0.6")
	l := newLab(t, funds, "")
	vendor := l.vendor("vendor")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	longest := length(time.Minute, 6*time.Minute)
	watch := l.watchFunds(ctx, "acme")
	phones := l.finish(l.customers(traffic{
		prefix: "33", caller: "442079460000", cps: calls, calls: calls, talk: longest,
	}), longest)
	b := l.settled(10 * time.Second)
	stop()
	polls := watch()
	vendor.stop()

	cut, refused := 0, 0
	for id, p := range phones {
		switch {
		case p.cut >= 0:
			cut++
		case p.status == 402:
			refused++
		default:
			t.Errorf("call %s was neither cut nor refused for money: %+v", id, *p)
		}
	}
	billed, talked := decimal.Zero, time.Duration(0)
	for i := range b.cdrs {
		billed = billed.Add(exact(b.cdrs[i].Fee.String()))
		talked += b.cdrs[i].Duration.Duration()
	}
	left := exact(funds).Sub(billed)
	if most := exact(perSecond).Mul(decimal.NewFromInt(int64(cut))); left.IsNegative() || !left.LessThan(most) {
		t.Errorf("billed %v of %v: %v is left, want less than %v and not less than nothing", billed, funds, left, most)
	}
	l.balanced(b)
	t.Logf("%d calls cut, %d refused, %v talked, %v billed of %v, funds seen %d times", cut, refused, talked, billed, funds, polls)
}

// watchFunds polls an account on every node until ctx ends, and fails the test
// when money was spent that is not there. The returned function waits for the
// end and says how often it looked.
func (l *lab) watchFunds(ctx context.Context, account string) (wait func() int) {
	var group sync.WaitGroup
	counts := make([]int, len(l.nodes))
	for i, m := range l.nodes {
		group.Go(func() {
			for ctx.Err() == nil {
				a, _, err := m.api.Account(ctx, account)
				switch {
				case ctx.Err() != nil:
					return
				case err != nil:
					l.t.Errorf("%s: account %s: %v", m.name, account, err)
					return
				case a.Available < 0:
					l.t.Errorf("%s: %v are available on account %s", m.name, a.Available, account)
				}
				counts[i]++
				time.Sleep(pollEvery)
			}
		})
	}
	return func() int {
		group.Wait()
		return counts[0] + counts[1] + counts[2]
	}
}
