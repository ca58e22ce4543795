// Package route chooses the routing gateways for a call and their order.
//
// An [Index] finds gateways by the prefixes of the callee, longest first. What
// changes with every call (live calls, limits) and what costs something to find
// out (number rules, blacklist, clearing rate) the state machine tells through
// [Switch] when it is asked. The result is a pure function of both: the order is
// total, ties end at the gateway's id.
//
// The package holds no state of gateways, rates no call and knows nothing of
// accounts; see [Price] for the one rule on money.
package route

import (
	"cmp"
	"fmt"
	"slices"

	"tandem/fsm/number"
)

const (
	// MaxCandidates is how many gateways a plan has at most. No caller waits for
	// a ninth.
	MaxCandidates = 8
	// MaxSkipped is how many gateways that were not chosen a selection names.
	MaxSkipped = 64
	// MaxMatched is how many gateways one selection looks at, longest prefix first.
	MaxMatched = 256
)

// Gateway is what the index knows of a routing gateway.
type Gateway struct {
	ID       string
	Prefixes []string // of callees, in normal form; "" is every callee
	// Terminate ends the search at the length of the prefix by which this
	// gateway was found (F081).
	Terminate bool
}

// Facts is the state of a gateway at the moment of a call.
type Facts struct {
	Priority int32  // smaller first (F082)
	Live     uint32 // calls now
	Lines    uint32 // most calls at once (F094); 0: no limit
	History  uint64 // calls ever
	// Skip says why the gateway is no candidate, if that is known already:
	// Absent, Disabled, NotAllowed, Out. [Select] finds LinesBusy itself.
	Skip Reason
}

// Switch answers for the gateways of one call.
type Switch interface {
	// Facts returns the state of a gateway. It is called once for each that
	// matches, and has to be cheap.
	Facts(id string) Facts
	// Refuse says why a gateway that could be chosen must not be, or [Usable]:
	// number rules, blacklist, rates. It is called in the order of choice until
	// there are enough candidates.
	Refuse(id string) Reason
}

// Candidate is a chosen gateway.
type Candidate struct {
	ID       string
	Prefix   string // by which it was found
	Priority int32
}

// Skip is a gateway that was found and not chosen.
type Skip struct {
	ID     string
	Reason Reason
}

// Index finds routing gateways by prefix. It is immutable.
type Index struct {
	gateways []Gateway
	prefixes map[string][]int32 // of gateways, ascending by id
	lengths  number.Lengths     // of prefixes; bit 0: the empty prefix
}

// NewIndex builds the index of a set of gateways. The cost is that of all
// their prefixes, so who changes many gateways builds it once, at the next
// call. Errors name the gateway: a prefix that is none, an id that is there twice.
func NewIndex(gateways []Gateway) (*Index, error) {
	x := &Index{gateways: slices.Clone(gateways), prefixes: map[string][]int32{}}
	slices.SortFunc(x.gateways, func(a, b Gateway) int { return cmp.Compare(a.ID, b.ID) })
	for i, g := range x.gateways {
		if i > 0 && x.gateways[i-1].ID == g.ID {
			return nil, fmt.Errorf("gateway %q: twice", g.ID)
		}
		prefixes, err := number.Prefixes(g.Prefixes)
		if err != nil {
			return nil, fmt.Errorf("gateway %q: %w", g.ID, err)
		}
		for _, p := range prefixes {
			x.prefixes[p] = append(x.prefixes[p], int32(i))
			x.lengths |= 1 << len(p)
		}
	}
	return x, nil
}
