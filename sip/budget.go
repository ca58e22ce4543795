package sip

import "fmt"

// Default budgets, in messages a second.
const (
	DefaultSourceBudget  = 100  // of one unknown source: a phone that registers and calls needs a few
	DefaultUnknownBudget = 4000 // of all unknown sources: a tenth of a core at 20 us a message
)

// Budget bounds what is spent on messages of unknown sources (see Config.Known)
// before anything of them is looked at. What is beyond is dropped in silence and
// without an allocation, also when each packet forges another source.
type Budget struct {
	Source  int // messages a second of one address (IPv6: of one /64), and burst; 0: DefaultSourceBudget
	Unknown int // of all unknown addresses together; 0: DefaultUnknownBudget
}

func (b Budget) validate() error {
	if b.Source < 0 || b.Unknown < 0 {
		return fmt.Errorf("sip: Budget is %d and %d, must not be negative", b.Source, b.Unknown)
	}
	return nil
}
