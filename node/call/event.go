package call

import (
	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// event is what happens to a call: one of the types below.
type event any

// invite opens the call.
type invite struct {
	req *sip.Request
	tx  *sip.ServerTx
}

// canceled: the caller gave up before the final response.
type canceled struct{ cancel *sip.Request }

// request is a later request of one leg. tx is nil for an ACK.
type request struct {
	leg media.Side
	req *sip.Request
	tx  *sip.ServerTx
	// confirmed: the replica was up to date after the request had come.
	confirmed bool
}

// stray is a 2xx to an INVITE of ours that no transaction here sent.
type stray struct{ res *sip.Response }

// response is what an INVITE that we sent as a try brought.
type response struct {
	try *try
	res *sip.Response
	err error
}

// reply is what another request of ours brought: BYE, re-INVITE, INFO, OPTIONS.
type reply struct {
	leg  media.Side
	to   purpose
	req  *sip.Request
	peer *peer // request of the other leg that waits for it; nil: none
	res  *sip.Response
	err  error
}

// committed is the answer to the command under way.
type committed struct {
	result fsm.Result
	err    error
}

// stored: the outbox has taken the end of the call, or has not.
type stored struct{ err error }

// timeUp: a timer of the call has run out.
type timeUp struct{ timer timer }

// mediaEvent comes from the call's media session.
type mediaEvent struct{ event media.Event }

// The cluster's events.
type (
	adopted struct {
		record fsm.Call
		at     fsm.Time // log time when the event was made
	}
	endedElsewhere struct{ reason fsm.EndReason }
	orphaned       struct {
		orphan fsm.Orphan
		at     fsm.Time
	}
	moved    struct{}
	lineGone struct{ line *Line } // of all calls on it
	flush    struct{ line *Line } // of all calls on it
	funded   struct{ account string }
	hangup   struct{ reason fsm.EndReason }
)
