// Package plant puts bugs into the product, one at a time, to see whether the
// chaos tests find them: a checker that never fails has shown nothing.
//
// A binary of the ordinary build has none of them: On is constant there and the
// compiler leaves the planted branches out. With the build tag plants the
// environment variable TANDEM_PLANT names the bug that is switched on. `make
// plants` hunts each; seeds.txt keeps the seeds that found them.
package plant

// Bug names a planted bug.
type Bug string

// The planted bugs.
const (
	EarlyAck     Bug = "early-ack"     // a payment is acknowledged before it is committed
	MissingFsync Bug = "missing-fsync" // the log acknowledges what is not on the disk yet
	DoubleApply  Bug = "double-apply"  // a repeated command is applied again
	NoFencing    Bug = "no-fencing"    // a node without a lease goes on
	StaleRead    Bug = "stale-read"    // a node reads its own copy without asking the leader
	LostHold     Bug = "lost-hold"     // a call whose owner crashed keeps its money held
	TwiceCDR     Bug = "twice-cdr"     // after a snapshot install the last CDR's number is given again
	NoEpoch      Bug = "no-epoch"      // a call's former owner may still decide
	WallClock    Bug = "wall-clock"    // log time follows the wall clock at once
	NoPledge     Bug = "no-pledge"     // a node is declared dead without a majority's pledges
)

// Bugs lists them all.
func Bugs() []Bug {
	return []Bug{EarlyAck, MissingFsync, DoubleApply, NoFencing, StaleRead, LostHold, TwiceCDR, NoEpoch, WallClock, NoPledge}
}
