// Package media owns the voice path: RTP and RTCP relay sessions, the ports
// they use, the rules that say whose packets are believed, and the SDP lines
// that a relay has to touch.
//
// It never parses SIP (bodies come and go as bytes), never decides what a call
// may do or cost, and never looks at a codec's payload.
//
// A node makes one [Relay] for each service address. A call is one [Session]
// with two sides, A (who called) and B (who was called), each with a local pair
// of ports. The order of work for a call is:
//
//	s, err := relay.Open(media.SessionConfig{ID: id})
//	offer, err := media.Parse(body) // what A sent
//	remote, err := offer.Remote(signalling)
//	err = s.SetRemote(media.A, remote)
//	body, err = media.Rewrite(body, media.Rewriting{Local: s.Local(media.B), SessionID: id, Version: 1})
//	...                             // the same for B's answer
//	state := s.State()              // replicate it
//	stats := s.Stats()              // the CDR's figures
//	err = s.Close()
//
// After a takeover [Relay.Reopen] makes the same session, on the same ports, on
// another node.
package media

import "errors"

// Side names one of the two parties of a session.
type Side uint8

// The two sides of a session.
const (
	A Side = 0 // the calling side
	B Side = 1 // the called side
)

// Other returns the opposite side.
func (s Side) Other() Side { return s ^ 1 }

// String returns "A" or "B".
func (s Side) String() string {
	if s == A {
		return "A"
	}
	return "B"
}

// Conditions that callers tell apart with errors.Is.
var (
	// ErrNoPorts says that every port pair is in use or in quarantine.
	ErrNoPorts = errors.New("no free media ports")
	// ErrPortTaken says that a port to be reopened is held by another session
	// or lies outside the relay's range.
	ErrPortTaken = errors.New("media port is not available")
	// ErrClosed says that the relay or session has been closed.
	ErrClosed = errors.New("media session closed")
	// ErrDestination says that media must not be sent to an address (SIP 488).
	ErrDestination = errors.New("media destination not allowed")
	// ErrSDP says that a session description is malformed (SIP 400).
	ErrSDP = errors.New("malformed sdp")
	// ErrNoAudio says that a description has no audio stream that can be
	// relayed (SIP 488).
	ErrNoAudio = errors.New("sdp has no audio stream to relay")
	// ErrState says that a stored session state cannot be decoded.
	ErrState = errors.New("malformed media state")
)
