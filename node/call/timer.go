package call

import "time"

// timer names one of the clocks of a call.
type timer uint8

const (
	timerHold     timer = iota // StartCall takes too long
	timerRing                  // the present try rings too long
	timerAnswer                // AnswerCall takes too long
	timerAck                   // the caller's ACK is missing
	timerExtend                // the next slice is due
	timerCut                   // the grant is nearly over
	timerSilence               // the grant is over: media stops, committed or not
	timerLongest               // the longest call
	timerEnd                   // EndCall takes too long
	timerSave                  // what has changed may be committed again
	timerProbe                 // an adopted call asks its legs
	timerMove                  // a displaced call invites its legs to this node
	timerC                     // nothing final has come from the present try (RFC 3261 section 16.6)
	timerReliable              // a reliable 18x is repeated
	timerSessionA              // the caller's session is refreshed, or over
	timerSessionB              // the callee's
	timerLinger                // late messages are waited for no longer
	timerCount
)

// timers holds absolute times; the zero time means that a timer is off.
type timers [timerCount]time.Time

func (t *timers) set(which timer, at time.Time) { t[which] = at }

func (t *timers) stop(which ...timer) {
	for _, w := range which {
		t[w] = time.Time{}
	}
}

// keep stops all timers but these.
func (t *timers) keep(which ...timer) {
	var kept timers
	for _, w := range which {
		kept[w] = t[w]
	}
	*t = kept
}

// first returns the earliest timer that is on.
func (t *timers) first() (which timer, at time.Time, on bool) {
	for w, v := range t {
		if !v.IsZero() && (!on || v.Before(at)) {
			which, at, on = timer(w), v, true
		}
	}
	return which, at, on
}
