package call

import (
	"slices"

	"tandem/fsm"
	"tandem/media"
)

// turn says why hunting would go on to another gateway.
type turn uint8

const (
	onFailure turn = 1 + iota // it said that it cannot
	onBusy                    // the callee is busy
	onSilence                 // it said nothing at all
	onRinging                 // it rang too long
)

// mayGoOn reports whether hunting goes on after a try (F103-F107). How far the try
// has got counts first, then what has ended it.
func (c *Call) mayGoOn(t *try, why turn) bool {
	profile, params := &c.plan.Candidates[t.candidate].Profile, c.params()
	switch {
	case t.sdp && !profile.AfterSDP.Or(!params.StopAfterSDP), // F008
		c.heardFrom(t) && !profile.AfterRTP.Or(!params.StopAfterRTP): // F104
		return false
	}
	switch why {
	case onRinging:
		return profile.AfterRing.Or(params.SwitchUntilAnswer) // F105
	case onBusy:
		return profile.AfterBusy.Or(params.SwitchUntilAnswer) // F106
	case onSilence:
		return profile.AfterTimeout.Or(!params.StopAfterTimeout)
	}
	return !t.rang || profile.AfterRing.Or(true)
}

// heardFrom reports that RTP has come from the callee's side during a try.
func (c *Call) heardFrom(t *try) bool {
	return c.session != nil && c.session.Stats().From[media.B].Packets > t.heard
}

// verdictOn decides about a final answer of a gateway.
func verdictOn(p *fsm.Profile, status int) verdict {
	if p.ErrorCodes != "" {
		on, stop, err := fsm.ParseErrorCodes(p.ErrorCodes)
		switch {
		case err != nil: // it was checked when it was set
		case slices.Contains(on, uint16(status)):
			return tryNext
		case slices.Contains(stop, uint16(status)):
			return stopHunting
		}
	}
	return judge(status)
}

// isBusy reports the answers of a callee who is there and does not want to be
// called now.
func isBusy(status int) bool { return status == 486 || status == 600 }
