//go:build simexact

//go:debug randseednop=0

package sim_test

import (
	"math/rand"
	"testing"
	"testing/cryptotest"
	_ "unsafe" // for go:linkname
)

// reseed makes all randomness of the process depend on the seed. It needs the
// runtime that command exact prepares.
func reseed(t *testing.T, seed uint64) {
	cryptotest.SetGlobalRandom(t, seed)
	rand.Seed(int64(seed)) // raft and memberlist use the global generator
	runtimeReseed(seed)
}

//go:linkname runtimeReseed runtime.simReseed
func runtimeReseed(seed uint64)
