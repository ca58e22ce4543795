package metrics

import (
	"time"

	"tandem/cluster"
)

// Takeover is what keeps calls alive when nodes die, as its node counts it.
type Takeover struct {
	Serving   bool          // takes calls: announced, and leased
	Leased    bool          // may speak to the outside
	LeaseLeft time.Duration // without a further answer; below 0: it has run out
	Draining  bool
	Open      int // service addresses
	Leaving   int // of others, or about to be: their relays go on for a grace

	Taken      uint64 // addresses opened
	HandedOver uint64 // addresses given to another node
	Declared   uint64 // lives of others that this node declared dead
	Fenced     uint64 // lives of its own that others declared dead
	Conflicts  uint64 // addresses that another host answered for
}

func (s *scrape) takeover(t Takeover, n cluster.Counters) {
	s.flag(Serving, t.Serving)
	s.flag(LeaseHeld, t.Leased)
	s.flag(Draining, t.Draining)
	s.add(LeaseLeftSeconds, max(t.LeaseLeft, 0).Seconds())
	s.add(Addresses, float64(t.Open), "open")
	s.add(Addresses, float64(t.Leaving), "leaving")
	for event, count := range map[string]uint64{
		"address-taken": t.Taken, "address-handed-over": t.HandedOver, "address-conflict": t.Conflicts,
		"declared-dead": t.Declared, "fenced": t.Fenced, "exit-heard": n.ExitsHeard,
		"pledge": n.PledgesGiven, "pledge-refused": n.PledgesRefused, "campaign": n.Campaigns,
		"lease-lost": n.LeaseLost,
	} {
		s.add(TakeoverEventsTotal, float64(count), event)
	}
	for result, count := range map[string]uint64{
		"sent": n.PingsSent, "answered": n.PingsAnswered, "refused": n.PingsRefused,
	} {
		s.add(LeasePingsTotal, float64(count), result)
	}
}
