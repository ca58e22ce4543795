//go:build e2e

package e2e_test

import (
	"testing"
	"time"
)

// outage is the time in which a node was away, with a margin for sipp's clock.
type outage struct {
	node     int
	from, to time.Time
}

// hits says whether a call was on the node while it was away.
func (o *outage) hits(p *phone) bool {
	last := max(p.invite, p.answer, p.bye, p.done)
	if p.done < 0 {
		last = max(p.invite, p.answer) + giveUp
	}
	return p.node == o.node && p.at(p.invite).Before(o.to) && p.at(last).After(o.from)
}

// giveUp is how long sipp repeats a request without an answer, in milliseconds
// (RFC 3261 timers B and F).
const giveUp = 32_000

// kill ends a node without notice and starts it again after pause.
func (l *lab) kill(m *member, pause time.Duration) outage {
	l.t.Helper()
	o := outage{from: time.Now().Add(-margin)}
	for i := range l.nodes {
		if l.nodes[i] == m {
			o.node = i
		}
	}
	m.proc.kill()
	time.Sleep(pause)
	l.start(m)
	l.ready()
	o.to = time.Now().Add(margin)
	l.t.Logf("%s was away for %v", m.name, (o.to.Sub(o.from) - 2*margin).Round(time.Millisecond))
	return o
}

// margin is what sipp's clock may be off.
const margin = 500 * time.Millisecond

// The leader is killed twice under traffic and comes back. No call on another
// node fails, none waits longer than an INVITE may be held, and every call that
// anybody heard of is charged once.
func TestLeaderKilled(t *testing.T) {
	l := newLab(t, "1000", "")
	vendor := l.vendor("vendor")
	const cps = 20
	seconds := length(16, 60)
	begun := time.Now()
	customers := l.customers(traffic{
		prefix: "49", caller: "442079460000", cps: cps, calls: seconds * cps, talk: 1500 * time.Millisecond,
		args: []string{"-max_invite_retrans", "6", "-max_non_invite_retrans", "10"},
	})
	var outages []outage
	for i := range 2 {
		time.Sleep(time.Until(begun.Add(time.Duration(1+3*i) * time.Duration(seconds) * time.Second / 7)))
		outages = append(outages, l.kill(l.leader(), 1500*time.Millisecond))
	}
	phones := l.finish(customers, time.Duration(seconds+45)*time.Second)
	carried := vendor.calls()
	vendor.stop()
	b := l.settled(100 * time.Second)

	failed, away := 0, 0
	var held time.Duration
	for id, p := range phones {
		hit := outages[0].hits(p) || outages[1].hits(p)
		switch {
		case hit && p.done < 0:
			away++
		case !hit && p.done < 0:
			failed++
			t.Errorf("call %s on %s failed, which was there all the time: %+v", id, l.nodes[p.node].name, *p)
		case !hit:
			held = max(held, p.setUp())
		}
		if n := len(b.byCall[id]); n > 1 || n == 0 && p.answer >= 0 {
			t.Errorf("call %s has %d CDRs: %+v", id, n, *p)
		}
	}
	if held > longestHold {
		t.Errorf("a call waited %v for its answer", held)
	}
	l.carried(b, carried)
	l.balanced(b)
	l.sameHashes()
	t.Logf("%d calls: %d failed on surviving nodes, %d on killed ones; slowest set-up on surviving nodes %v",
		len(phones), failed, away, held)
}

// longestHold is the longest that an INVITE waits for a leader (sip.hold), with
// what the rest of the call's set-up takes.
const longestHold = 4*time.Second + 500*time.Millisecond

// carried checks that each call that the carrier answered is in one CDR, and was
// charged if its customer was told.
func (l *lab) carried(b *books, calls map[string]*phone) {
	l.t.Helper()
	records := map[string]int{}
	for i := range b.cdrs {
		c := &b.cdrs[i]
		if c.Amends != 0 {
			continue
		}
		records[c.SIPCallIDB]++
		if c.Answered.IsZero() && c.Fee != 0 {
			l.t.Errorf("CDR %d is charged and was not answered: %+v", c.Seq, *c)
		}
	}
	for id, p := range calls {
		if p.answer >= 0 && records[id] != 1 {
			l.t.Errorf("the carrier's call %s is in %d CDRs: %+v", id, records[id], *p)
		}
	}
}
