package call

import (
	"time"

	"tandem/fsm"
	"tandem/sip"
)

// maxTries bounds the INVITEs of one call: hunting ends there, because a caller
// has gone long before.
const maxTries = 24

// maxForks bounds the early dialogs of one try (forking behind a gateway).
const maxForks = 8

// try is one INVITE to one address of one candidate.
type try struct {
	candidate uint8
	number    uint8 // of the address, within the candidate
	req       *sip.Request
	tx        *sip.ClientTx // set by the shard; nil: not sent
	restored  bool          // sent by another node
	started   time.Time
	rang      bool // a 18x came
	canceled  bool
	done      bool             // its transaction has ended
	sdp       bool             // SDP came with one
	heard     uint64           // packets of the callee's side before it
	interval  time.Duration    // least Session-Expires, from a 422; 0: ours
	forks     map[string]*fork // early dialogs by To-tag
	line      fsm.Attempt      // for the CDR
}
