package fsm_test

import (
	"fmt"
	"testing"
	"time"

	"tandem/billing"
	"tandem/fsm"
)

// TestExhaustion lets fifty calls of one account talk until the money is gone,
// each owner doing what it is told: ask at Next, ask again when the account is
// funded, cut at Until. All of the money is used, none twice, and nobody asks
// all the time.
func TestExhaustion(t *testing.T) {
	for _, increment := range []int{1, 6, 60} {
		t.Run(fmt.Sprint(increment), func(t *testing.T) { exhaust(t, 50, increment) })
	}
}

func exhaust(t *testing.T, calls, increment int) {
	p := newStory(t)
	p.setUp()
	p.run(fmt.Sprintf("import std version=2 49:0.60/%d/%d", increment, increment))
	p.run("activate std version=2 rows=1")
	p.run("topup acme 60") // 100 minutes
	p.events = nil

	grants := map[int]fsm.Grant{}
	asked := 0
	grant := func(i int) {
		c, ok := p.state.Call(call(fmt.Sprint("c", i)))
		if !ok {
			delete(grants, i)
			return
		}
		grants[i], _ = p.state.Grant(c.ID)
	}
	ask := func(i int) {
		asked++
		p.run(fmt.Sprintf("extend c%d", i))
		grant(i)
	}
	for i := range calls {
		p.run(fmt.Sprintf("start c%d callee=49%03d node=n%d", i, i, i%3+1))
		p.run(fmt.Sprintf("answer c%d", i))
		grant(i)
	}
	if len(grants) != calls {
		t.Fatalf("%d of %d calls", len(grants), calls)
	}
	for step := 0; len(grants) > 0; step++ {
		if step > 100_000 {
			t.Fatalf("%d calls never end", len(grants))
		}
		for i := range calls {
			g, live := grants[i]
			switch {
			case !live:
			case p.now >= g.Until:
				p.run(fmt.Sprintf("end c%d how=decision by=server reason=credit", i))
				delete(grants, i)
			case !g.Last && p.now >= g.Next:
				ask(i)
			}
		}
		funded := false
		for _, e := range p.events {
			funded = funded || e.Kind == fsm.EventAccountFunded
		}
		p.events = nil
		for i := range calls {
			if g, live := grants[i]; funded && live && g.Last {
				ask(i)
			}
		}
		p.now = p.now.Add(100 * time.Millisecond)
	}
	a, _ := p.state.Account("acme")
	left := a.Balance.Funds
	if worst := billing.Amount(calls*increment) * 10_000; left < 0 || left >= worst {
		t.Errorf("%s are left, less than %s may be", left, worst)
	}
	var billed billing.Amount
	for _, r := range p.cdrs {
		billed += r.Fee
	}
	if billed+left != 60*billing.Unit {
		t.Errorf("billed %s, left %s of 60", billed, left)
	}
	if asked > 10*calls {
		t.Errorf("%d extensions for %d calls", asked, calls)
	}
	t.Logf("%d extensions, %s left", asked, left)
}
