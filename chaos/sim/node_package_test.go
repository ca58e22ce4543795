package sim_test

import (
	"testing"
	"time"

	"tandem/billing"
	"tandem/chaos"
	"tandem/fsm"
	"tandem/node/load"
)

// TestPackageRunsOutInAnElection: an account without money talks from a package,
// while leaders die. No second is talked twice, none is lost, and the calls that
// find nothing left are refused or cut.
func TestPackageRunsOutInAnElection(t *testing.T) {
	faults := schedule(t, `
		6s   kill leader for 5s
		15s  kill leader for 5s
		25s  power all for 2s
	`)
	const bought = 240 * time.Second
	swarm(t, 2, func(t *testing.T, seed uint64) {
		d := newDay(t, seed, wires[0].link)
		d.provision(1) // not enough for a second
		d.do(&fsm.PutPackage{Package: fsm.Package{ID: "talk", Currency: "USD", Time: bought, Prefixes: []string{"86"}}})
		d.do(&fsm.BuyPackage{Account: "acme", Package: "talk"})
		d.limits = chaos.Limits{Refusals: []int{402}, Cuts: true}
		d.run(faults, load.CallersConfig{CPS: 2, Calls: 80, Drain: 5 * time.Minute})
		h := d.recorder.History()
		for _, f := range h.Finals {
			talked := map[fsm.CallID]time.Duration{} // by the last record of each call
			for _, r := range f.CDRs {
				talked[r.Call] = 0
				for _, p := range r.Prepaid {
					talked[r.Call] += p.Time
				}
				if r.Fee != 0 {
					t.Errorf("%s: CDR %d has fee %v", f.Node, r.Seq, r.Fee)
				}
			}
			sum, left := time.Duration(0), time.Duration(0)
			for _, d := range talked {
				sum += d
			}
			for _, a := range f.Accounts {
				if a.Name == "client:acme" && a.Currency == fsm.PackageUnit("talk") {
					left = billing.SecondsOf(a.Balance.Funds)
				}
			}
			// Each call that was live at the end may leave the second that it held.
			if sum+left != bought || left > time.Duration(len(h.Calls))*time.Second {
				t.Errorf("%s: %v were talked in %d calls and %v are left, of %v", f.Node, sum, len(h.Calls), left, bought)
			}
		}
	})
}
