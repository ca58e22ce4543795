package sim_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/billing"
	"tandem/fsm"
	"tandem/node"
	"tandem/node/cdr"
	"tandem/node/load"
)

// TestTakeover kills an owner with talking calls: they go on at another node, are
// hung up from both sides and charged exactly, and the address comes home.
func TestTakeover(t *testing.T) {
	for _, victim := range []string{"leader", "follower"} {
		t.Run(victim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newExchange(t, 3)
				x.provision(100 * billing.Unit)
				report := x.traffic(load.CallersConfig{CPS: 5, Calls: 150, Talk: 15 * time.Second, RTP: true},
					schedule(t, "12s kill "+victim+" for 10s"))
				if report.Answered < 149 || report.Cut > 0 || report.ByesLost > 0 {
					t.Errorf("of 150 calls %d were answered, %d cut, %d had no answer to their BYE: %+v",
						report.Answered, report.Cut, report.ByesLost, report)
				}
				x.eventually("all addresses are home", atHome)
				x.exact()
				x.finish()
			})
		})
	}
}

// TestDrain lets one node after the other run empty in mid-traffic: nobody notices
// more than one retransmission.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchange(t, 4)
		x.provision(100 * billing.Unit)
		var planned sync.WaitGroup
		planned.Go(func() {
			for _, s := range x.nodes {
				time.Sleep(8 * time.Second)
				n := s.running()
				var last node.DrainStep
				if err := n.Drain(t.Context(), func(step node.DrainStep) { last = step }); err != nil || !last.Done || last.At > 3*time.Second {
					t.Errorf("%s: %v, last %v", n.ID(), err, last)
				}
				if err := n.Undrain(t.Context()); err != nil {
					t.Errorf("%s: %v", n.ID(), err)
				}
			}
		})
		report := x.traffic(load.CallersConfig{CPS: 5, Calls: 150, Talk: 10 * time.Second}, nil)
		planned.Wait()
		if report.Answered != 150 || report.Cut > 0 || report.ByesLost > 0 {
			t.Errorf("of 150 calls %d were answered, %d cut, %d had no answer to their BYE: %+v",
				report.Answered, report.Cut, report.ByesLost, report)
		}
		if report.SetupMax > 3*time.Second { // the carrier rings for one
			t.Errorf("a call took %v: more than one retransmission", report.SetupMax)
		}
		x.eventually("all addresses are home", atHome)
		x.exact()
		x.finish()
	})
}

// atHome says that every service address is with the node that has it configured.
func atHome(n *node.Node) bool {
	home := true
	n.View(func(s *fsm.State) {
		for _, a := range s.Addresses() {
			home = home && a.Owner == a.Home
		}
	})
	return home
}

// exact wants no call to have been charged by estimate: nobody's BYE was lost.
func (x *exchange) exact() {
	x.t.Helper()
	n := x.nodes[0].running()
	var counts fsm.Counts
	n.View(func(s *fsm.State) { counts = s.Counts() })
	all, _, err := n.CDRs().Range(context.Background(), cdr.Span{First: 1, Last: counts.CDRs}, cdr.Span{}, 1<<20)
	if err != nil {
		x.t.Error(err)
	}
	for _, c := range all {
		if c.Estimated {
			x.t.Errorf("call %x is charged by estimate: %v", c.Call[:4], c.Reason)
		}
	}
}
