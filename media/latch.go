package media

import (
	"fmt"
	"net/netip"
	"time"
)

// The rules of learning a source.
const (
	// learnPackets is how many RTP packets of one SSRC from one address lock it.
	learnPackets = 5
	// relearnAfter is the silence of a locked source after which another port
	// of the same IP may be learned: a NAT has given a new binding.
	relearnAfter = 2 * time.Second
	// rivalAfter is the silence after which a half-learned source gives way to
	// another. Until then the first keeps its place, so that a rival who mixes
	// in packets cannot keep it from being locked.
	rivalAfter = 200 * time.Millisecond
)

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
func ParseSource(s string) (Source, error) {
	switch s {
	case "", "auto":
		return SourceAuto, nil
	case "strict":
		return SourceStrict, nil
	case "any":
		return SourceAny, nil
	}
	return 0, fmt.Errorf("media source %q: want auto, strict or any", s)
}

// String returns the rule's name in configuration.
func (s Source) String() string {
	switch s {
	case SourceStrict:
		return "strict"
	case SourceAny:
		return "any"
	}
	return "auto"
}

// verdict is a latch's answer to a packet's source.
type verdict uint8

const (
	refused  verdict = iota // drop the packet
	believed                // relay it
	learned                 // relay it; its source is now locked
)

// latch holds the source rule of one stream (RTP or RTCP) of one side: where to
// send, whom to believe, and what has been learned.
type latch struct {
	rule  Source
	need  uint8          // packets that lock a source
	dest  netip.AddrPort // where to send until a source is locked
	allow netip.Addr     // the only IP that may be learned; SourceAny: not looked at
	peer  netip.AddrPort // the locked source; invalid: none yet
	heard time.Duration  // when peer was heard last

	candidate netip.AddrPort // the source being learned, valid while count > 0
	ssrc      uint32         // its SSRC
	count     uint8          // its packets
	seen      time.Duration  // its newest packet
}

// newLatch makes the latch for a stream that the SDP places at addr.
func newLatch(rule Source, addr netip.AddrPort, signalling netip.Addr, need uint8) latch {
	l := latch{rule: rule, need: need, dest: addr, allow: addr.Addr()}
	if rule == SourceStrict {
		l.peer = addr
		return l
	}
	if signalling.IsValid() && isPrivate(addr.Addr()) && addr.Addr() != signalling {
		l.allow = signalling
		l.dest = netip.AddrPortFrom(signalling, addr.Port())
	}
	if rule == SourceAny {
		l.allow, l.need = netip.Addr{}, 1
	}
	return l
}

// target returns where to send; invalid means nowhere.
func (l *latch) target() netip.AddrPort {
	if l.peer.IsValid() {
		return l.peer
	}
	return l.dest
}

// accept judges a valid packet and learns from it.
func (l *latch) accept(src netip.AddrPort, ssrc uint32, now time.Duration) verdict {
	if src == l.peer {
		l.heard = now
		l.count = 0
		return believed
	}
	if !l.learnable(src.Addr(), now) {
		return refused
	}
	if l.count > 0 && src != l.candidate && now-l.seen < rivalAfter {
		return refused
	}
	if l.count == 0 || src != l.candidate || ssrc != l.ssrc {
		l.candidate, l.ssrc, l.count = src, ssrc, 0
	}
	l.seen = now
	l.count++
	if l.count < l.need {
		return believed
	}
	l.peer, l.heard, l.count = src, now, 0
	return learned
}

// believes judges a packet that must not teach: RTCP on RTP's port.
func (l *latch) believes(src netip.AddrPort) bool {
	if l.peer.IsValid() {
		return src == l.peer
	}
	return src.Addr() == l.allow
}

// learnable reports whether a source at ip may be learned now.
func (l *latch) learnable(ip netip.Addr, now time.Duration) bool {
	switch {
	case l.rule == SourceStrict:
		return false
	case l.peer.IsValid():
		return ip == l.peer.Addr() && now-l.heard >= relearnAfter
	default:
		return l.rule == SourceAny || ip == l.allow
	}
}

// restore locks a source that was learned before a takeover.
func (l *latch) restore(peer netip.AddrPort, now time.Duration) {
	if peer.IsValid() {
		l.peer, l.heard, l.count = peer, now, 0
	}
}
