package local_test

import (
	"strings"
	"testing"
	"time"

	"tandem/billing"
	"tandem/cmd/tandem/local"
	"tandem/node/api/client"
)

// A charge is right to the last unit or it is wrong.
func TestCharged(t *testing.T) {
	price := billing.Price(14_500_000) // 0.0145 a minute
	good := client.CDR{
		Seq: 7, Duration: client.Seconds(63_020 * time.Millisecond), Fee: 15_225, Cost: 2_000 + 11_760,
		Rate:     &client.CallRate{Price: price, First: client.Seconds(time.Second), Next: client.Seconds(time.Second)},
		CostRate: &client.CallRate{Price: 11_200_000, ConnectFee: 2_000, First: client.Seconds(time.Second)},
	}
	if err := local.Charged(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*client.CDR){
		"fee is 0.015226":          func(r *client.CDR) { r.Fee++ },
		"cost is 0.013759":         func(r *client.CDR) { r.Cost-- },
		"fee is 0.015225 for 1m2s": func(r *client.CDR) { r.Duration = client.Seconds(62 * time.Second) },
		"want 0.00":                func(r *client.CDR) { r.Rate = nil },
	} {
		r := good
		spoil(&r)
		if err := local.Charged(r); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
