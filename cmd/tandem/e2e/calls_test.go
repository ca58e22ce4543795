//go:build e2e

package e2e_test

import (
	"testing"
	"time"
)

// Calls through all nodes of a cluster, twenty a second: every one works, has
// one CDR with one charge and one cost, and all nodes have the same books.
func TestCalls(t *testing.T) {
	l := newLab(t, "1000", "")
	vendor := l.vendor("vendor")
	seconds := length(10, 60)
	var customers []*sipp
	for prefix, w := range map[string]struct {
		cps  int // 20 in all
		talk time.Duration
	}{"49": {7, 870 * time.Millisecond}, "44": {7, 2070 * time.Millisecond}, "1": {6, 3270 * time.Millisecond}} {
		customers = append(customers, l.customers(traffic{
			prefix: prefix, caller: "442079460000", cps: w.cps, calls: seconds * w.cps, talk: w.talk,
		})...)
	}
	phones := l.finish(customers, time.Duration(seconds+20)*time.Second)
	for _, c := range customers {
		if code := c.wait(time.Second); code != 0 {
			t.Errorf("%s ends with %d: %s", c.name, code, tail(c.errs))
		}
	}
	if want := 20 * seconds; len(phones) != want {
		t.Errorf("sipp made %d calls of %d", len(phones), want)
	}
	b := l.settled(10 * time.Second)
	vendor.stop()
	if got, want := len(b.cdrs), len(phones); got != want {
		t.Errorf("%d CDRs of %d calls", got, want)
	}
	for id, p := range phones {
		l.recorded(b, p)
		if p.done < 0 {
			t.Errorf("call %s: %+v", id, *p)
		}
	}
	l.balanced(b)
	l.sameHashes()
	t.Logf("%d calls, set up in %v at most", len(phones), slowest(phones))
}

// recorded checks that a call that a customer ended has one CDR, of as many
// seconds as he talked.
func (l *lab) recorded(b *books, p *phone) {
	l.t.Helper()
	cdrs := b.byCall[p.id]
	if len(cdrs) != 1 {
		l.t.Errorf("call %s has %d CDRs: %+v", p.id, len(cdrs), *p)
		return
	}
	c := &cdrs[0]
	if p.answer < 0 || p.bye < 0 {
		return
	}
	// The answer counts from the carrier's 200, which the caller hears of after
	// the commit.
	talked := time.Duration(p.bye-p.answer) * time.Millisecond
	if off := c.Duration.Duration() - talked; c.Answered.IsZero() || off < -slack || off > slack {
		l.t.Errorf("CDR %d says %v, the customer talked %v: %+v", c.Seq, c.Duration, talked, *c)
	}
}

// slack is what the two ends of a call may differ by: sipp reads its clock once a
// round and is late by as much when the machine is busy.
const slack = 1500 * time.Millisecond

// slowest is the longest set-up of the calls that were answered.
func slowest(phones map[string]*phone) time.Duration {
	var most time.Duration
	for _, p := range phones {
		if p.answer >= 0 {
			most = max(most, p.setUp())
		}
	}
	return most
}
