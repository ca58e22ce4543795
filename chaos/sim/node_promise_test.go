package sim_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tandem/billing"
	"tandem/chaos"
	"tandem/cluster"
	"tandem/fsm"
	"tandem/node"
	"tandem/node/load"
)

// TestBlacklistOutlivesItsLeader: a caller who has tried too often is refused by
// every node, whatever happens to the leader that counted him, until his time is
// over, and not longer.
func TestBlacklistOutlivesItsLeader(t *testing.T) {
	const limit, expire = 10, 60 * time.Second
	faults := schedule(t, `
		10s  kill leader for 5s
		22s  power all for 3s
		40s  partition leader|n1,n2,n3 for 6s
	`)
	swarm(t, 2, func(t *testing.T, seed uint64) {
		d := newDay(t, seed, wires[0].link)
		d.provision(100 * billing.Unit)
		for name, value := range map[string]string{
			"SS_BLACK_LIST_CALLER_MALICIOUS_CALL_LIMIT":          fmt.Sprint(limit),
			"SS_BLACK_LIST_CALLER_MALICIOUS_CALL_CHECK_INTERVAL": "60",
			"SS_BLACK_LIST_CALLER_MALICIOUS_CALL_EXPIRE":         fmt.Sprint(expire.Seconds()),
		} {
			d.do(&fsm.SetParameter{Name: name, Value: value})
		}
		d.limits.Refusals = []int{403}
		d.run(faults, load.CallersConfig{
			CPS: 4, Calls: 360, Talk: 100 * time.Millisecond, Caller: func(int) string { return "442079460000" },
		})
		d.blockedFor(limit, expire)
	})
}

// blockedFor checks the answers to a caller who is blocked after so many calls for
// so long, counted from his first refusal.
func (d *day) blockedFor(limit int, expire time.Duration) {
	d.t.Helper()
	slices.SortFunc(d.outcomes, func(a, b verdict) int { return a.Start.Compare(b.Start) })
	before, after, blocked := 0, 0, time.Duration(0)
	for _, o := range d.outcomes {
		at := d.began(o)
		switch {
		case o.Status == 403 && blocked == 0:
			blocked = at
		case o.Answered() && blocked == 0:
			before++
		case o.Answered() && at < blocked+expire-time.Second:
			d.t.Errorf("blocked at %v and answered at %v", blocked, at)
		case o.Answered() && after == 0:
			after++
			if late := at - blocked - expire; late > 2*time.Second {
				d.t.Errorf("blocked at %v and not answered until %v", blocked, at)
			}
		}
	}
	if before != limit-1 || after == 0 {
		d.t.Errorf("%d calls were answered before the block, want %d; afterwards one was: %v", before, limit-1, after > 0)
	}
}

// TestMoneyRunsOutInAnElection: whatever dies while an account runs dry, it never
// has less than nothing, each call is charged for what it talked, and what is
// left is less than an increment for each call that was live then.
func TestMoneyRunsOutInAnElection(t *testing.T) {
	faults := schedule(t, `
		6s   kill leader for 5s
		15s  kill leader for 5s
		25s  power all for 2s
	`)
	const funds = billing.Amount(240_000) // 0.001 a second
	swarm(t, 4, func(t *testing.T, seed uint64) {
		d := newDay(t, seed, wires[0].link)
		d.provision(funds)
		d.limits = chaos.Limits{Refusals: []int{402}, Cuts: true}
		d.run(faults, load.CallersConfig{CPS: 2, Calls: 80, Drain: 5 * time.Minute})
		var left billing.Amount
		h := d.recorder.History()
		for _, a := range h.Finals[0].Accounts {
			if a.Name == "client:acme" {
				left = a.Balance.Funds
			}
		}
		if most := billing.Amount(1000 * len(h.Calls)); left < 0 || left > most {
			t.Errorf("%v of %v are left, want at most %v", left, funds, most)
		}
	})
}

// TestTopUpsThroughElections: a payment that was acknowledged is there once, one
// in doubt at most once, whoever dies while it is made.
func TestTopUpsThroughElections(t *testing.T) {
	faults := schedule(t, `
		5s   kill leader for 3s
		15s  partition leader|n1,n2,n3 for 5s
		30s  power all for 2s
	`)
	swarm(t, 2, func(t *testing.T, seed uint64) {
		d := newDay(t, seed, wires[0].link)
		d.provision(100 * billing.Unit)
		ctx, cancel := context.WithCancel(context.Background())
		var cashiers sync.WaitGroup
		for i, s := range d.nodes {
			cashiers.Go(func() { d.pay(ctx, s, i) })
		}
		d.evening = func() {
			cancel()
			cashiers.Wait()
		}
		d.run(faults, usual(40*time.Second)...)
	})
}

// pay is a cashier who enters a payment every half second, at a node of his own
// first, and again with the same key until somebody has acknowledged it.
func (d *day) pay(ctx context.Context, first *softswitch, cashier int) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("pay-%d-%d", cashier, i)
		body := &fsm.TopUp{Account: "acme", Amount: billing.Amount(1 + i), Memo: key}
		paid := chaos.TopUp{Key: key, Account: "client:acme", Amount: body.Amount}
		at := first
		for try := range 4 {
			if n := at.running(); n != nil {
				wait, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				asked := time.Since(d.start)
				r, err := n.Propose(wait, cluster.LaneStart, key, body)
				cancel()
				if err == nil && at.running() == n {
					d.recorder.Answer(chaos.Answer{Began: asked, Ended: time.Since(d.start), Node: at.Host.Name(), Again: try > 0, Result: r})
				}
				if err == nil && r.Code == fsm.OK && at.running() == n {
					paid.Outcome = chaos.Done
					break
				}
				if err == nil && r.Code != fsm.OK && r.Code != fsm.StaleCommand {
					d.t.Errorf("payment %s: code %v: %s", key, r.Code, r.Detail)
				}
			}
			at = d.nodes[(cashier+try+1)%len(d.nodes)]
		}
		d.recorder.TopUp(paid)
		time.Sleep(500 * time.Millisecond)
	}
}

// TestNodesRejoinBySnapshot: nodes that were away for longer than the log reaches
// back come to the same state and to all CDRs, also when everybody lost power.
func TestNodesRejoinBySnapshot(t *testing.T) {
	faults := schedule(t, `
		10s   kill n3 for 70s
		90s   kill leader for 60s
		160s  power all for 2s
	`)
	often := func(o *node.Options) { o.Cluster.Timing.SnapshotEntries, o.Cluster.Timing.TrailingLogs = 200, 50 }
	swarm(t, 2, func(t *testing.T, seed uint64) {
		d := newDay(t, seed, wires[0].link, often)
		d.provision(100 * billing.Unit)
		d.evening = func() {
			for _, s := range d.nodes {
				if n := s.running(); n == nil || n.Cluster().Status().Snapshot == 0 {
					t.Errorf("%s has no snapshot", s.Host.Name())
				}
			}
		}
		d.run(faults, usual(170*time.Second)...)
	})
}

// TestVoice: who dies elsewhere is not heard in a call, and a call whose node dies
// is heard again in time. Nobody reports a death here, as a guard process would:
// the survivors' pledges take 950 ms, and beside them another leader is elected.
func TestVoice(t *testing.T) {
	for who, gap := range map[string]time.Duration{
		chaos.Follower: 1200 * time.Millisecond,
		chaos.Leader:   2500 * time.Millisecond,
	} {
		t.Run(who, func(t *testing.T) {
			faults := schedule(t, "6s kill "+who+" for 2s")
			swarm(t, 1, func(t *testing.T, seed uint64) {
				d := newDay(t, seed, wires[0].link)
				d.provision(100 * billing.Unit)
				d.limits.Gap = gap
				d.run(faults, load.CallersConfig{CPS: 2, Calls: 24, Talk: 20 * time.Second, RTP: true})
				for _, o := range d.outcomes {
					if o.Answered() && o.RTP.Received == 0 {
						t.Errorf("call at %v at %s heard nothing", d.began(o), o.Target)
					}
				}
			})
		})
	}
}
