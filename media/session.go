package media

import (
	"net/netip"
	"time"
)

// SessionConfig describes one call to the relay.
type SessionConfig struct {
	// ID names the call in log lines.
	ID string
	// Timeout is the policy for silent peers.
	Timeout Timeout
	// Notify, if set, is told what happens to the session. It is called from
	// one goroutine of the relay, must not block, and may close the session.
	Notify func(Event)
}

// Timeout says what silence of a peer that should be sending means. While a
// call is on hold neither limit counts.
type Timeout struct {
	// Alarm raises EventSilent; 0 means 60 s, below 0 never.
	Alarm time.Duration
	// End raises EventTimeout; 0 means never. The relay itself ends nothing.
	End time.Duration
}

// EventKind says what happened.
type EventKind uint8

// The kinds of event.
const (
	EventLearned   EventKind = iota + 1 // a peer's address was locked: replicate State again
	EventSilent                         // no RTP from Side for Timeout.Alarm
	EventTimeout                        // no RTP from Side for Timeout.End
	EventAnySource                      // Side's source was believed without proof (SourceAny)
)

// Event tells the owner of a call something about its media.
type Event struct {
	Kind  EventKind
	Side  Side
	Since time.Time // last packet, or the start, for EventSilent and EventTimeout
}

// Source is the rule for whose packets are believed (per gateway: media_source).
type Source uint8

// The source rules.
const (
	// SourceAuto believes the SDP's IP when it is public or equals the
	// signalling source, else only the signalling IP; it learns the port from
	// the first packets and then locks.
	SourceAuto Source = iota
	// SourceStrict believes exactly the SDP's address and port.
	SourceStrict
	// SourceAny believes the first sender, whoever it is.
	SourceAny
)

// ParseSource reads "auto", "strict" or "any"; empty means auto.
func ParseSource(s string) (Source, error) { return SourceAuto, nil }

// Remote is what a side's SDP and its signalling say about its media.
type Remote struct {
	RTP        netip.AddrPort // from c= and m=; unspecified address: hold
	RTCP       netip.AddrPort // zero: the port above RTP
	Mux        bool           // RTCP shares RTP's port (RFC 5761), agreed by both
	Signalling netip.Addr     // where the side's SIP came from
	Source     Source
	Direction  Direction
	ClockRate  uint32 // of RTP timestamps, Hz; zero means 8000
}

// Session relays one call. Its methods may be called from any goroutine.
type Session struct{}

// Local returns the RTP address of a side as it is to be advertised in the SDP
// sent to that side. RTCP is on the port above.
func (s *Session) Local(side Side) netip.AddrPort { return netip.AddrPort{} }

// SetRemote says where a side's media is, from each new SDP of that side. An
// unchanged Remote keeps what was learned; a changed one unlocks the source. It
// returns ErrDestination when policy forbids the address, and changes nothing then.
func (s *Session) SetRemote(side Side, remote Remote) error { return nil }

// Stats returns the figures of both directions.
func (s *Session) Stats() Stats { return Stats{} }

// State returns what another node needs to carry on.
func (s *Session) State() State { return State{} }

// Close stops relaying and frees the ports. The session's last Stats stay readable.
func (s *Session) Close() error { return nil }
