package node

import (
	"net/netip"
	"slices"
	"testing"

	"tandem/fsm"
	"tandem/node/health"
)

// TestGatewaysKnowTheirAddresses: whose an address is follows from the state, the
// alternate address of checks included.
func TestGatewaysKnowTheirAddresses(t *testing.T) {
	check, err := health.New(health.Config{Probe: func(health.Peer, func(int)) {}})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateways{check: check}
	addr := func(text string) fsm.Addr {
		a, err := fsm.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	network, err := fsm.ParsePrefix("192.0.2.0/28")
	if err != nil {
		t.Fatal(err)
	}
	params := fsm.DefaultParams()
	peers := g.configure(
		[]fsm.MappingGateway{{ID: "in", Addrs: []fsm.Prefix{network}}},
		[]fsm.RoutingGateway{
			{ID: "out", Addrs: []fsm.Addr{addr("203.0.113.1:5060"), addr("203.0.113.2:5060")}, Check: addr("203.0.113.9:5080")},
			{ID: "named", Host: "carrier.example"},
		}, params)
	for _, tc := range []struct {
		gateway string
		ingress bool
		ip      string
		want    bool
	}{
		{"in", true, "192.0.2.15", true}, {"in", true, "192.0.2.16", false}, {"in", false, "192.0.2.15", false},
		{"out", false, "203.0.113.2", true}, {"out", false, "203.0.113.9", true}, {"out", true, "203.0.113.2", false},
		{"named", false, "203.0.113.2", false}, {"", true, "192.0.2.15", false},
	} {
		if got := g.belongs(tc.gateway, tc.ingress, netip.MustParseAddr(tc.ip)); got != tc.want {
			t.Errorf("%s belongs to %q: %v", tc.ip, tc.gateway, got)
		}
	}
	for _, ip := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.9"} {
		if !slices.Contains(peers, netip.PrefixFrom(netip.MustParseAddr(ip), 32)) {
			t.Errorf("the guard does not know %s", ip)
		}
	}
	if g.params.Load().TimerC != params.TimerC {
		t.Error("parameters are not taken")
	}
}
