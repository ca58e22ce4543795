//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"tandem/billing"
	"tandem/node/api/client"
)

// All nodes lose power under load. Whatever was acknowledged is there after they
// have come back; the calls that are gone cost what they talked as far as
// anybody knows, and their money is free again.
func TestPowerCut(t *testing.T) {
	l := newLab(t, "1000", "")
	vendor := l.vendor("vendor")
	seconds := length(8, 30)
	short := l.customers(traffic{prefix: "49", caller: "442079460000", cps: 15, calls: 15 * 2 * seconds, talk: 800 * time.Millisecond})
	long := l.customers(traffic{prefix: "33", caller: "442079460000", cps: 3, calls: 3 * seconds, talk: 10 * time.Minute})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	paid := l.payAlong(ctx)
	time.Sleep(time.Duration(seconds) * time.Second)

	cut := time.Now()
	for _, m := range l.nodes {
		go m.proc.kill()
	}
	for _, m := range l.nodes {
		<-m.proc.over
	}
	stop()
	acknowledged := paid()
	phones := map[string]*phone{}
	for _, s := range append(append([]*sipp{}, short...), long...) {
		s.stop()
		for id, p := range s.calls() {
			phones[id] = p
		}
	}
	vendor.stop()

	for _, m := range l.nodes {
		l.start(m)
	}
	l.ready()
	l.paid(acknowledged)
	b := l.settled(100 * time.Second)
	released := time.Since(cut)
	done, estimated := 0, 0
	for id, p := range phones {
		cdrs := b.byCall[id]
		switch {
		case p.done >= 0: // its 200 to the BYE came after the commit
			done++
			if len(cdrs) != 1 || cdrs[0].Fee == 0 || cdrs[0].Estimated {
				t.Errorf("call %s was over and has the CDRs %+v", id, cdrs)
			}
		case p.answer >= 0:
			if len(cdrs) != 1 {
				t.Errorf("call %s was up and has %d CDRs", id, len(cdrs))
				continue
			}
			estimated++
			l.estimated(&cdrs[0], cut)
		}
	}
	if done == 0 || estimated == 0 {
		t.Errorf("%d calls were over, %d were up", done, estimated)
	}
	l.balanced(b)
	l.sameHashes()
	t.Logf("%d calls over before the cut, %d estimated, %d payments acknowledged, all money free %v after the cut",
		done, estimated, len(acknowledged), released.Round(time.Second))
}

// estimated checks the CDR of a call that was up when the power went: charged to
// its last proof of life, which is not later than the cut.
func (l *lab) estimated(c *client.CDR, cut time.Time) {
	l.t.Helper()
	talked := c.Answered.Add(c.Duration.Duration())
	switch {
	case !c.Estimated:
		// Its BYE was committed and its 200 was not sent: a call like others.
		if c.Reason != "normal" {
			l.t.Errorf("CDR %d is not estimated: %+v", c.Seq, *c)
		}
	case talked.After(cut.Add(slack)):
		l.t.Errorf("CDR %d is charged up to %v, %v after the cut", c.Seq, talked, talked.Sub(cut))
	case talked.Before(cut.Add(-proofEvery)) && c.Duration > 0:
		l.t.Errorf("CDR %d is charged up to %v only, %v before the cut", c.Seq, talked, cut.Sub(talked))
	}
}

// proofEvery is how often a node proves its calls alive (ARCHITECTURE.md, rule 12: 5 s), twice,
// and room for a busy machine.
const proofEvery = 11 * time.Second

// payment is one that the test wants made.
type payment struct {
	key    string
	amount billing.Amount
}

// payAlong pays small amounts, each under its own key, until ctx ends. The
// returned function gives those that were acknowledged; then each of them is
// asked for again.
func (l *lab) payAlong(ctx context.Context) func() []payment {
	var group sync.WaitGroup
	var mu sync.Mutex
	var acknowledged []payment
	for i, m := range l.nodes {
		group.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				p := payment{key: fmt.Sprintf("power-%d-%d", i, n), amount: billing.Amount(n)}
				posted, err := m.api.TopUp(ctx, "acme", client.Payment{Amount: p.amount, Memo: p.key}, p.key)
				if err == nil && posted.Amount == p.amount {
					mu.Lock()
					acknowledged = append(acknowledged, p)
					mu.Unlock()
				}
				time.Sleep(pollEvery)
			}
		})
	}
	return func() []payment {
		group.Wait()
		return acknowledged
	}
}

// paid asks for each payment again, which must not pay twice, and finds it in
// the ledger once.
func (l *lab) paid(payments []payment) {
	l.t.Helper()
	for _, p := range payments {
		posted, err := l.api.TopUp(l.t.Context(), "acme", client.Payment{Amount: p.amount, Memo: p.key}, p.key)
		if err != nil || posted.Amount != p.amount {
			l.t.Errorf("payment %s of %v asked for again: %+v %v", p.key, p.amount, posted, err)
		}
	}
	found := map[string]int{}
	for _, x := range l.transfers() {
		found[x.Memo]++
	}
	for _, p := range payments {
		if found[p.key] != 1 {
			l.t.Errorf("payment %s is %d times in the ledger", p.key, found[p.key])
		}
	}
}
