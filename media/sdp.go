package media

import (
	"net/netip"
	"time"
)

// Direction is a stream's direction attribute as its sender wrote it.
type Direction uint8

// The directions (RFC 8866 section 6.7).
const (
	SendRecv Direction = iota
	SendOnly
	RecvOnly
	Inactive
)

// Description is what the relay reads from a session description.
type Description struct {
	SessionID string // o= session id
	Version   string // o= session version: unchanged means unchanged SDP
	Media     []Media
}

// Media is one m= section.
type Media struct {
	Type      string         // "audio", "video", ...
	Proto     string         // "RTP/AVP", ...
	Formats   []string       // payload types as written
	RTP       netip.AddrPort // c= and m=; port 0: refused, unspecified address: hold
	RTCP      netip.AddrPort // a=rtcp or the port above RTP
	Mux       bool           // a=rtcp-mux
	Direction Direction
	Ptime     time.Duration // a=ptime, 0 if absent
	Codec     string        // name of the first format, as "PCMA"
	ClockRate uint32        // of the first format, Hz
	Line      int           // of the m= line, from 1
}

// Parse reads a description. Errors wrap ErrSDP and name the line.
func Parse(body []byte) (Description, error) { return Description{}, nil }

// Audio returns the stream that is relayed: the first audio stream over RTP
// that is not refused. It returns ErrNoAudio when there is none.
func (d Description) Audio() (Media, error) { return Media{}, ErrNoAudio }

// Remote returns the relayed stream as SetRemote wants it; the caller adds the
// source rule. It returns ErrNoAudio when there is none.
func (d Description) Remote(signalling netip.Addr) (Remote, error) { return Remote{}, ErrNoAudio }

// Rewriting says what replaces the sender's addresses.
type Rewriting struct {
	Local     netip.AddrPort // our RTP address towards the receiver, Session.Local
	SessionID uint64         // o=: fixed for each leg
	Version   uint64         // o=: raised by one with each change
}

// Rewrite returns the description as the other leg gets it: o=, s=, c=, the
// relayed stream's port and a=rtcp are ours, ICE lines are gone, streams that are
// not relayed get port 0 (RFC 3264 section 6), and all else is kept byte for byte.
// A c= of 0.0.0.0 (hold) stays. Errors wrap ErrSDP or are ErrNoAudio.
func Rewrite(body []byte, rw Rewriting) ([]byte, error) { return nil, ErrNoAudio }
