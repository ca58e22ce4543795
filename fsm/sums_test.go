package fsm_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/billing"
	"tandem/fsm"
)

// TestSums: what clients have, what vendors are owed and what the house has made
// of it is nothing, in each currency.
func TestSums(t *testing.T) {
	p := newStory(t)
	p.setUp()
	for _, line := range []string{
		"account euro currency=EUR", "topup euro 7", "topup acme 5", "start c1", "answer c1", "+60s", "end c1", "start c2", "tick",
	} {
		p.run(line)
	}
	unit := billing.Amount(1_000_000)
	want := []fsm.Sum{
		{Currency: "EUR", Clients: 7 * unit, House: -7 * unit},
		{Currency: "USD", Clients: 4_400_000, Vendors: 120_000, House: -4_520_000, Held: 2_200_000},
	}
	if diff := cmp.Diff(want, p.state.Sums()); diff != "" {
		t.Error(diff)
	}
}
