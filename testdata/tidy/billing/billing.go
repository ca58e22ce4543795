package billing

import (
	"math/rand/v2"
	"net/netip"
	. "time"

	_ "github.com/google/go-cmp/cmp"
	_ "pgregory.net/rapid"
)

// Any uses the imports, so that only the rules complain.
func Any(a netip.Addr) (Duration, int) { return Until(Time{}), rand.Int() }
