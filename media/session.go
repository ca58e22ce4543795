package media

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// defaultAlarm is the silence that raises EventSilent unless configured.
const defaultAlarm = 60 * time.Second

// SessionConfig describes one call to the relay.
type SessionConfig struct {
	// ID names the call in log lines.
	ID string
	// Timeout is the policy for silent peers.
	Timeout Timeout
	// Notify, if set, is told what happens to the session. It is called from
	// one goroutine of the relay, must not block, and may close the session. A
	// call to it may still be under way when Close returns.
	Notify func(Event)
}

// Timeout says what silence of a peer that should be sending means. It is
// counted from the newest RTP packet or the newest SetRemote of either side,
// whichever is later, and not while the call is on hold.
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
	EventLearned   EventKind = iota // a peer's address was locked: replicate State again
	EventAnySource                  // Side's source was believed without proof (SourceAny); once a session
	EventSilent                     // no RTP from Side for Timeout.Alarm
	EventTimeout                    // no RTP from Side for Timeout.End
	EventDigit                      // Side has pressed a key, see Tones.Take
	eventKinds                      // number of kinds
)

// Event tells the owner of a call something about its media.
type Event struct {
	Kind  EventKind
	Side  Side
	Since time.Time // EventSilent and EventTimeout: newest packet, or begin of the wait
	Digit Digit     // EventDigit
}

// Remote is what a side's SDP and its signalling say about its media.
type Remote struct {
	RTP        netip.AddrPort // from c= and m=; unspecified address: hold
	RTCP       netip.AddrPort // zero: the port above RTP
	Mux        bool           // a=rtcp-mux; RTCP shares RTP's port if both sides have it
	Signalling netip.Addr     // where the side's SIP came from
	Source     Source         // whose packets to believe
	Direction  Direction      // as the side wrote it
	ClockRate  uint32         // of RTP timestamps, Hz; zero means 8000
	Crypto     Crypto         // SRTP that ends here; zero: none
	Opaque     bool           // the datagrams are no RTP (T.38 over UDPTL) and pass unread
}

// held reports whether the side asks not to be sent media by the old way of
// hold (RFC 3264 section 8.4).
func (r Remote) held() bool { return r.RTP.Addr().IsUnspecified() }

// normal returns the remote with IPv4 addresses in their short form and the
// RTCP address and clock filled in.
func (r Remote) normal() Remote {
	r.RTP = netip.AddrPortFrom(r.RTP.Addr().Unmap(), r.RTP.Port())
	r.RTCP = netip.AddrPortFrom(r.RTCP.Addr().Unmap(), r.RTCP.Port())
	r.Signalling = r.Signalling.Unmap()
	if !r.RTCP.Addr().IsValid() {
		r.RTCP = netip.AddrPortFrom(r.RTP.Addr(), r.RTP.Port()+1)
	}
	if r.ClockRate == 0 {
		r.ClockRate = defaultClock
	}
	return r
}

// sameMedia reports whether two remotes place the media alike, so that a
// learned source stays good.
func (r Remote) sameMedia(o Remote) bool {
	return r.RTP == o.RTP && r.RTCP == o.RTCP && r.Signalling == o.Signalling && r.Source == o.Source
}

// latches returns the source rules for both streams, nothing learned yet.
func (r Remote) latches() (rtp, rtcp latch) {
	rtp = newLatch(r.Source, r.RTP, r.Signalling, learnPackets)
	rule := r.Source
	if rule == SourceAny {
		rule = SourceAuto // RTCP follows RTP's source, see followRTP
	}
	rtcp = newLatch(rule, r.RTCP, r.Signalling, 1)
	if r.held() { // nobody to send to, but music on hold may come
		rtp.dest, rtp.peer, rtp.allow = netip.AddrPort{}, netip.AddrPort{}, r.Signalling
		rtcp.dest, rtcp.peer, rtcp.allow = netip.AddrPort{}, netip.AddrPort{}, r.Signalling
	}
	return rtp, rtcp
}

// lane is one of a session's four sockets: side A RTP, A RTCP, B RTP, B RTCP.
type lane uint8

const lanes = 4

func laneOf(side Side, rtcp bool) lane {
	if rtcp {
		return lane(side)<<1 | 1
	}
	return lane(side) << 1
}

func (l lane) side() Side { return Side(l >> 1) }
func (l lane) rtcp() bool { return l&1 == 1 }

// Session relays one call. Its methods may be called from any goroutine.
type Session struct {
	relay  *Relay
	id     string
	policy Timeout
	notify func(Event)
	link   link // the sockets; set before the first packet can arrive
	ending sync.Once
	err    error // of Close, written within ending

	mu        sync.Mutex // guards all below; held for no I/O
	legs      [2]leg
	anySource bool
	raised    [2]uint8 // events to be told, a bit for each kind, by side
	queued    bool     // the session is in the relay's list of such
	ended     bool     // closed: nothing is relayed any more
}

// leg is the state of one side.
type leg struct {
	port      uint16 // local RTP port; never changes
	known     bool   // its SDP has come
	remote    Remote // newest, normal
	placed    Remote // the one that the latches were made from
	rtp, rtcp latch
	secure    *secure // nil: plain RTP
	flow      flow
	tones     tones
	awaited   time.Duration // start of the wait for its packets
	told      uint8         // silence events already raised, a bit for each kind
}

// Local returns the RTP address of a side as it is to be advertised in the SDP
// sent to that side. RTCP is on the port above.
func (s *Session) Local(side Side) netip.AddrPort {
	return netip.AddrPortFrom(s.relay.cfg.Advertise, s.legs[side].port)
}

// SetRemote says where a side's media is, from each new SDP of that side. An
// unchanged place keeps what was learned; a changed one unlocks the source. It
// returns ErrDestination when policy forbids the address, and changes nothing then.
func (s *Session) SetRemote(side Side, remote Remote) error {
	remote = remote.normal()
	rtp, rtcp := remote.latches()
	if !remote.held() {
		for _, addr := range []netip.AddrPort{rtp.dest, rtcp.dest} {
			if err := s.relay.Check(addr); err != nil {
				return fmt.Errorf("side %s: %w", side, err)
			}
		}
		if rtcp.dest.Addr().IsUnspecified() {
			return fmt.Errorf("side %s: rtcp to %s: %w", side, rtcp.dest, ErrDestination)
		}
	}
	secured, err := newSecure(remote.Crypto)
	if err != nil {
		return fmt.Errorf("side %s: %w", side, err)
	}
	now := s.relay.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.legs[side]
	if remote.Crypto != l.remote.Crypto { // the same keys keep their counters
		l.secure = secured
	}
	if !l.known || !remote.held() && !remote.sameMedia(l.placed) {
		l.rtp, l.rtcp, l.placed = rtp, rtcp, remote
	}
	l.remote, l.known = remote, true
	for i := range s.legs {
		s.legs[i].awaited, s.legs[i].told = now, 0
	}
	return nil
}

// Stats returns the figures of both directions, also after Close.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{AnySource: s.anySource}
	for side := range s.legs {
		l := &s.legs[side]
		stats.From[side] = l.flow.report(s.relay.start, max(l.remote.ClockRate, 1))
	}
	return stats
}

// tally adds the session's packets to a relay's totals.
func (s *Session) tally(t *Totals) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for side := range s.legs {
		c := &s.legs[side].flow.counts
		t.Packets += c.Relayed
		t.Bytes += c.RelayedBytes
		for why, n := range c.Dropped {
			t.Dropped[why] += n
		}
	}
}

// State returns what another node needs to carry on.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	var state State
	for side := range s.legs {
		l := &s.legs[side]
		state.Port[side] = l.port
		state.Remote[side] = l.remote
		state.Learned[side] = Learned{RTP: l.rtp.peer, RTCP: l.rtcp.peer}
		if l.secure != nil {
			state.Heard[side], state.Said[side] = l.secure.heard, l.secure.said
		}
	}
	return state
}

// restore puts a stored state into a new session.
func (s *Session) restore(state State) error {
	now := s.relay.now()
	for side, remote := range state.Remote {
		if remote == (Remote{}) {
			continue
		}
		if err := s.SetRemote(Side(side), remote); err != nil {
			return err
		}
		l := &s.legs[side]
		l.rtp.restore(state.Learned[side].RTP, now)
		l.rtcp.restore(state.Learned[side].RTCP, now)
		if l.secure != nil {
			l.secure.restore(state.Heard[side], state.Said[side])
			s.raise(EventLearned, Side(side)) // the next owner must begin above our index
		}
	}
	return nil
}

// Close stops relaying and frees the ports. Stats stay readable.
func (s *Session) Close() error {
	s.ending.Do(func() {
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		s.err = s.link.close()
		s.relay.forget(s)
	})
	return s.err
}

// route judges one datagram and says on which lane and where to send what; nothing
// when it is dropped. It is the packet path: no I/O, and no allocation without SRTP.
// b is changed in place when a side has SRTP; it needs srtpOverhead spare bytes.
func (s *Session) route(at lane, b []byte, src netip.AddrPort, now time.Duration) (out lane, to netip.AddrPort, packet []byte) {
	side := at.side()
	s.mu.Lock()
	defer s.mu.Unlock()
	from, peer := &s.legs[side], &s.legs[side.Other()]
	if s.ended {
		return 0, netip.AddrPort{}, nil
	}
	if len(b) > maxPacket {
		return from.drop(DropOversize)
	}
	if from.secure != nil {
		if b = s.unseal(from, at, b, src, now); b == nil {
			return 0, netip.AddrPort{}, nil
		}
	}
	rtcp := isRTCP(b)
	if from.remote.Opaque && peer.remote.Opaque {
		return s.routeOpaque(at, b, src, now)
	}
	var h header
	if rtcp {
		if !s.acceptRTCP(from, at, src, now) {
			return from.drop(DropSource)
		}
		from.flow.counts.RTCP++
	} else {
		var valid bool
		if h, valid = parseRTP(b); !valid || at.rtcp() {
			return from.drop(DropMalformed)
		}
		if !s.acceptRTP(from, side, src, h.ssrc, now) {
			return from.drop(DropSource)
		}
		from.flow.rtp(h, len(b), from.remote.ClockRate, now)
		taken, ended := from.tones.takeDigit(b, h, from.remote.ClockRate)
		if ended {
			s.raise(EventDigit, side)
		}
		if taken {
			return 0, netip.AddrPort{}, nil
		}
		b = peer.tones.replace(b, h, peer.remote.ClockRate)
	}
	if !peer.known || peer.remote.held() {
		return from.drop(DropNoPeer)
	}
	out, to = laneOf(side.Other(), rtcp && !(from.remote.Mux && peer.remote.Mux)), peer.rtp.target()
	if out.rtcp() {
		to = peer.rtcp.target()
	}
	if !to.IsValid() {
		return from.drop(DropNoPeer)
	}
	if peer.secure != nil {
		sealed, wrapped := peer.secure.seal(b)
		if sealed == nil {
			return from.drop(DropCrypto)
		}
		if wrapped {
			s.raise(EventLearned, side.Other())
		}
		b = sealed
	}
	from.flow.counts.Relayed++
	from.flow.counts.RelayedBytes += uint64(len(b))
	return out, to, b
}

// routeOpaque is route for a stream that is no RTP: the source rule applies, and
// nothing else is known.
func (s *Session) routeOpaque(at lane, b []byte, src netip.AddrPort, now time.Duration) (out lane, to netip.AddrPort, packet []byte) {
	side := at.side()
	from, peer := &s.legs[side], &s.legs[side.Other()]
	if at.rtcp() {
		return from.drop(DropMalformed)
	}
	if !s.acceptRTP(from, side, src, 0, now) {
		return from.drop(DropSource)
	}
	if to = peer.rtp.target(); !to.IsValid() || peer.remote.held() {
		return from.drop(DropNoPeer)
	}
	from.flow.last = now
	from.flow.counts.Relayed++
	from.flow.counts.RelayedBytes += uint64(len(b))
	return laneOf(side.Other(), false), to, b
}

// unseal decrypts a packet, before its source can be learned from it (RFC 3711
// section 3.3). A source that could not be believed costs no cryptography.
func (s *Session) unseal(from *leg, at lane, b []byte, src netip.AddrPort, now time.Duration) []byte {
	source := &from.rtp
	if at.rtcp() {
		source = &from.rtcp
	}
	if src != source.peer && !source.learnable(src.Addr(), now) {
		from.drop(DropSource)
		return nil
	}
	plain, wrapped := from.secure.open(b)
	if plain == nil {
		from.drop(DropCrypto)
		return nil
	}
	if wrapped {
		s.raise(EventLearned, at.side())
	}
	return plain
}

// acceptRTP applies the source rule and tells the owner what was learned.
func (s *Session) acceptRTP(l *leg, side Side, src netip.AddrPort, ssrc uint32, now time.Duration) bool {
	if !l.known {
		return false
	}
	switch l.rtp.accept(src, ssrc, now) {
	case refused:
		return false
	case learned:
		s.raise(EventLearned, side)
		if l.remote.Source == SourceAny {
			l.followRTP(src)
			if !s.anySource {
				s.anySource = true
				s.raise(EventAnySource, side)
			}
		}
	}
	return true
}

// followRTP points RTCP at the source that RTP was learned from.
func (l *leg) followRTP(src netip.AddrPort) {
	if l.rtcp.allow == src.Addr() {
		return
	}
	l.rtcp.allow, l.rtcp.peer = src.Addr(), netip.AddrPort{}
	l.rtcp.dest = netip.AddrPortFrom(src.Addr(), l.rtcp.dest.Port())
}

// acceptRTCP applies the source rule of the socket that the packet came in on.
func (s *Session) acceptRTCP(l *leg, at lane, src netip.AddrPort, now time.Duration) bool {
	switch {
	case !l.known:
		return false
	case !at.rtcp():
		return l.rtp.believes(src)
	}
	verdict := l.rtcp.accept(src, 0, now)
	if verdict == learned {
		s.raise(EventLearned, at.side())
	}
	return verdict != refused
}

// drop counts a packet that is not relayed.
func (l *leg) drop(why DropReason) (lane, netip.AddrPort, []byte) {
	l.flow.counts.Dropped[why]++
	return 0, netip.AddrPort{}, nil
}

// oversize counts a datagram that an engine did not read in full.
func (s *Session) oversize(at lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.legs[at.side()].drop(DropOversize)
	}
}

// unsent takes back the count of a packet that the system refused to send.
func (s *Session) unsent(at lane, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return // the figures are final
	}
	c := &s.legs[at.side()].flow.counts
	c.Relayed--
	c.RelayedBytes -= uint64(size)
	c.Dropped[DropSend]++
}
