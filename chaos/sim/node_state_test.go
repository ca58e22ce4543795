package sim_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tandem/billing"
	"tandem/chaos"
	"tandem/node/load"
)

// TestKillInEachState kills the owner of a call with SIGKILL in each state that a
// call can be in: it is answered, goes on, and can be hung up. The checkers want no
// orphan leg, no double callee, one record, and the right charge besides.
func TestKillInEachState(t *testing.T) {
	for _, tc := range []struct {
		state  string
		kill   time.Duration // after the INVITE left the caller; it rings from 0.5 s to 1.5 s
		early  bool
		change time.Duration // from the answer to the re-INVITE
		talk   time.Duration
	}{
		{state: "before 100", kill: 300 * time.Microsecond},
		{state: "after 100", kill: 200 * time.Millisecond},
		{state: "ringing", kill: time.Second},
		{state: "early media", kill: time.Second, early: true},
		{state: "between 200 and ACK", kill: 1502 * time.Millisecond},
		{state: "talking", kill: 5 * time.Second},
		{state: "hold", kill: 5 * time.Second, change: 3 * time.Second},
		{state: "re-INVITE pending", kill: 4502500 * time.Microsecond, change: 3 * time.Second},
		{state: "BYE pending", kill: 6504 * time.Millisecond, talk: 5 * time.Second},
	} {
		t.Run(tc.state, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDay(t, 1, wires[0].link)
				d.provision(100 * billing.Unit)
				d.vendor = load.CarrierConfig{Think: 500 * time.Millisecond, Early: tc.early}
				talk := 20 * time.Second
				if tc.talk > 0 {
					talk = tc.talk
				}
				d.run(chaos.Schedule{{At: tc.kill, Kind: chaos.Kill, Groups: [][]string{{"n1"}}, For: 10 * time.Second}}, load.CallersConfig{
					Targets: []netip.AddrPort{at(services[0], 5060)}, CPS: 1, Calls: 1, Talk: talk, Change: tc.change,
				})
				if len(d.struck) != 1 || d.struck[0].To-d.struck[0].From < 10*time.Second {
					t.Errorf("n1 was not killed: %+v", d.struck)
				}
				for _, o := range d.outcomes {
					if got := fmt.Sprint(o.Status, o.Cut, o.ByeLost); got != "200 false false" {
						t.Errorf("status, cut and lost BYE: %s", got)
					}
				}
			})
		})
	}
}
