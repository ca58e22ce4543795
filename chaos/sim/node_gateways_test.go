package sim_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tandem/billing"
	"tandem/fsm"
	"tandem/node"
	"tandem/node/cdr"
	"tandem/node/health"
	"tandem/node/load"
)

// zone is a name server with one name.
type zone map[string]netip.Addr

func (z zone) Services(context.Context, string) ([]health.Service, time.Duration, error) {
	return nil, 0, health.ErrNoName
}

func (z zone) Hosts(_ context.Context, name string) ([]netip.Addr, time.Duration, error) {
	if a, ok := z[name]; ok {
		return []netip.Addr{a}, time.Minute, nil
	}
	return nil, 0, health.ErrNoName
}

// TestSilentGateway: a gateway that does not answer OPTIONS costs the first calls
// their four seconds, and none after that; one that has a name is found by it.
func TestSilentGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchange(t, 1, func(o *node.Options) { o.Names = zone{"carrier.example": carrier} })
		x.provision(100 * billing.Unit)
		x.do(&fsm.PutRoutingGateway{Gateway: fsm.RoutingGateway{
			ID: "silent", Account: "telco", Prefixes: []string{"86"}, Priority: -1,
			Addrs: []fsm.Addr{{IP: netip.MustParseAddr("10.0.2.77").As16(), Port: 5060}},
		}})
		x.do(&fsm.PutRoutingGateway{Gateway: fsm.RoutingGateway{ID: "out", Account: "telco", Prefixes: []string{"86"}, Host: "carrier.example"}})
		begun := time.Now()
		report := x.traffic(load.CallersConfig{CPS: 1, Calls: 150, Talk: 5 * time.Second}, nil)
		if report.Answered != 150 {
			t.Errorf("%d of 150 calls were answered: %+v", report.Answered, report)
		}
		n := x.nodes[0].running()
		rows, _, err := n.CDRs().Range(context.Background(), cdr.Span{First: 1, Last: 150}, cdr.Span{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, r := range rows {
			late := r.Started.Std().Sub(begun) > 100*time.Second // three misses at 30 s, and the dice
			switch {
			case len(r.Attempts) != 2 || r.Egress != "out":
				t.Errorf("attempts: %+v", r.Attempts)
			case r.Attempts[0].Skipped == "":
				tried++
				if late {
					t.Errorf("a call after %s was sent to a gateway that is down", r.Started.Std().Sub(begun))
				}
			case r.Attempts[0].Skipped != "down":
				t.Errorf("skipped: %q", r.Attempts[0].Skipped)
			}
		}
		if tried == 0 || len(rows) != 150 {
			t.Errorf("%d of %d calls were sent to the silent gateway", tried, len(rows))
		}
		x.finish()
	})
}
