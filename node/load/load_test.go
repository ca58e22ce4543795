package load_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tandem/node/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(a netip.AddrPort) (net.PacketConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
}

// free finds an address of loopback that nobody uses.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

// Callers and carrier without a switch between them: every call is answered,
// talked and hung up, and each of them heard the other.
func TestCallersAndCarrier(t *testing.T) {
	carrier, err := load.NewCarrier(load.CarrierConfig{Listen: listen, Addr: free(t), Ring: 20 * time.Millisecond, RTP: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- carrier.Run(ctx) }()

	const calls = 20
	var mu sync.Mutex
	ids := map[string]bool{}
	target := netip.MustParseAddrPort(carrier.Addr().String())
	callers, err := load.NewCallers(load.CallersConfig{
		Listen: listen, Addr: free(t), Targets: []netip.AddrPort{target},
		CPS: 50, Calls: calls, Talk: 300 * time.Millisecond, RTP: true,
		OnEnd: func(o load.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			ids[o.CallID] = true
			if !o.Answered() || o.Cut || o.ByeLost || o.RTP.Received == 0 || o.Talk < 300*time.Millisecond {
				t.Errorf("outcome %+v", o)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := callers.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if r.Placed != calls || r.Answered != calls || r.Completed != calls || r.Failed() != 0 || r.Live != 0 || len(r.Problems) > 0 {
		t.Errorf("report %+v", r)
	}
	if len(ids) != calls || carrier.Answered() != calls || carrier.Ended() != calls {
		t.Errorf("%d outcomes, carrier answered %d and ended %d, want %d each", len(ids), carrier.Answered(), carrier.Ended(), calls)
	}
	if r.SetupP50 < 20*time.Millisecond || r.SetupMax < r.SetupP99 || r.SetupP99 < r.SetupP50 {
		t.Errorf("latencies %v %v %v", r.SetupP50, r.SetupP99, r.SetupMax)
	}
}

func TestBadConfig(t *testing.T) {
	if _, err := load.NewCallers(load.CallersConfig{Listen: listen, CPS: 1}); err == nil {
		t.Error("callers without targets were made")
	}
}

// Calls that change: put on hold and back, hung up by the carrier, given up
// while they ring.
func TestCallsThatChange(t *testing.T) {
	for _, tc := range []struct {
		name    string
		carrier load.CarrierConfig
		callers load.CallersConfig
		want    func(load.Outcome) bool
		far     func(load.LegOutcome) bool
	}{
		{
			"held", load.CarrierConfig{Early: true, RTP: true},
			load.CallersConfig{Talk: 300 * time.Millisecond, Change: 50 * time.Millisecond, RTP: true},
			func(o load.Outcome) bool {
				return o.Answered() && o.Changes > 1 && o.Refused == 0 && !o.Cut && o.Gap() > 0
			},
			func(o load.LegOutcome) bool { return !o.Answered.IsZero() && !o.HungUp && o.Received > 0 },
		},
		{
			"hung up", load.CarrierConfig{Talk: func(string) time.Duration { return 50 * time.Millisecond }},
			load.CallersConfig{Talk: time.Minute},
			func(o load.Outcome) bool { return o.Answered() && o.Cut },
			func(o load.LegOutcome) bool { return o.HungUp && !o.ByeLost },
		},
		{
			"given up", load.CarrierConfig{Think: 10 * time.Millisecond, Ring: time.Minute},
			load.CallersConfig{Ringing: 100 * time.Millisecond},
			func(o load.Outcome) bool { return o.Status == 487 },
			func(o load.LegOutcome) bool { return o.Answered.IsZero() && !o.Finished.IsZero() },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.carrier.Listen, tc.carrier.Addr = listen, free(t)
			tc.carrier.OnEnd = func(o load.LegOutcome) {
				if !tc.far(o) || o.Callee != "861300000000" {
					t.Errorf("leg %+v", o)
				}
			}
			carrier, err := load.NewCarrier(tc.carrier)
			if err != nil {
				t.Fatal(err)
			}
			tc.callers.Listen, tc.callers.Addr = listen, free(t)
			tc.callers.Targets, tc.callers.CPS, tc.callers.Calls = []netip.AddrPort{carrier.Addr()}, 100, 1
			tc.callers.OnEnd = func(o load.Outcome) {
				if !tc.want(o) {
					t.Errorf("outcome %+v", o)
				}
			}
			callers, err := load.NewCallers(tc.callers)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- carrier.Run(ctx) }()
			if _, err := callers.Run(ctx); err != nil {
				t.Error(err)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
