package media

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/pion/srtp/v3"
)

// Suite is an SRTP crypto suite of SDES (RFC 4568 section 6.2, RFC 6188, RFC 7714).
type Suite uint8

// The suites that the relay ends or begins. SuiteNone: plain RTP, or SRTP whose
// keys pass through to the other side untouched.
const (
	SuiteNone Suite = iota
	SuiteAES128SHA80
	SuiteAES128SHA32
	SuiteAES256SHA80
	SuiteAEAD128
	SuiteAEAD256
	suites // number of suites
)

// maxKeying is the longest master key with its salt, in bytes.
const maxKeying = 46

// suiteShape is what a suite's keys and packets look like.
type suiteShape struct {
	name      string
	key, salt int // bytes
	profile   srtp.ProtectionProfile
}

// shape returns the properties of a suite; those of SuiteNone are empty.
func (s Suite) shape() suiteShape {
	switch s {
	case SuiteAES128SHA80:
		return suiteShape{"AES_CM_128_HMAC_SHA1_80", 16, 14, srtp.ProtectionProfileAes128CmHmacSha1_80}
	case SuiteAES128SHA32:
		return suiteShape{"AES_CM_128_HMAC_SHA1_32", 16, 14, srtp.ProtectionProfileAes128CmHmacSha1_32}
	case SuiteAES256SHA80:
		return suiteShape{"AES_256_CM_HMAC_SHA1_80", 32, 14, srtp.ProtectionProfileAes256CmHmacSha1_80}
	case SuiteAEAD128:
		return suiteShape{"AEAD_AES_128_GCM", 16, 12, srtp.ProtectionProfileAeadAes128Gcm}
	case SuiteAEAD256:
		return suiteShape{"AEAD_AES_256_GCM", 32, 12, srtp.ProtectionProfileAeadAes256Gcm}
	}
	return suiteShape{}
}

// String returns the suite's name in SDP; that of SuiteNone is empty.
func (s Suite) String() string { return s.shape().name }

// Keying is a master key and its salt: the first bytes, as many as the suite needs.
type Keying [maxKeying]byte

// NewKeying makes a random master key and salt.
func NewKeying(suite Suite) Keying {
	var k Keying
	rand.Read(k[:suite.length()]) // never fails
	return k
}

// length is the suite's master key and salt, in bytes.
func (s Suite) length() int {
	shape := s.shape()
	return shape.key + shape.salt
}

// Crypto are the SDES keys of one side: each direction has its own.
type Crypto struct {
	Suite  Suite
	Theirs Keying // with which the side encrypts
	Ours   Keying // with which we encrypt what goes to it
}

// Bounds of SRTP.
const (
	// srtpOverhead is the most that encryption adds to a packet: a tag of 16
	// bytes, and the index of SRTCP.
	srtpOverhead = 20
	// replayWindow is how late a packet may come and still be taken once (RFC 3711
	// section 3.3.2 asks for at least 64).
	replayWindow = 128
	// maxStrange is how many packets with an unknown SSRC may fail before the
	// context is made anew: it remembers every SSRC that it was ever shown.
	maxStrange = 256
	// indexJump keeps the SRTCP index of a new owner above all that the former one
	// can have used since the state was stored: an index used twice under one key
	// shows the sum of two packets.
	indexJump = 1 << 16
)

// Rollover is where a stream's counters are: what its packets do not carry.
type Rollover struct {
	SSRC     uint32
	ROC      uint32 // RFC 3711 section 3.3.1: how often the sequence number has wrapped
	Sequence uint16 // of the newest packet
	Index    uint32 // of SRTCP, the last one used
}

// at returns the ROC of the packet that comes next, as far as it can be known: each
// wrap is stored, so there was at most one since.
func (r Rollover) at(sequence uint16) uint32 {
	late := sequence-r.Sequence > 1<<16-maxMisorder
	switch {
	case late && sequence > r.Sequence:
		return r.ROC - 1
	case !late && sequence < r.Sequence:
		return r.ROC + 1
	}
	return r.ROC
}

// secure is SRTP with one side: what it sends is decrypted with in, what goes to it
// is encrypted with out. Its owner holds the session's lock.
type secure struct {
	crypto  Crypto
	in, out *srtp.Context
	heard   Rollover // of the newest stream from the side
	said    Rollover // of the newest stream to the side
	resumed [2]bool  // heard and said come from a stored state: the next packet shows the ROC
	strange int      // see maxStrange
}

// newSecure makes the contexts of a side. It returns nil for plain RTP.
func newSecure(c Crypto) (*secure, error) {
	if c.Suite == SuiteNone {
		return nil, nil
	}
	if c.Suite >= suites {
		return nil, fmt.Errorf("srtp suite %d: %w", c.Suite, ErrState)
	}
	s := &secure{crypto: c}
	var err error
	if s.in, err = c.Suite.context(c.Theirs); err != nil {
		return nil, err
	}
	s.out, err = c.Suite.context(c.Ours)
	return s, err
}

// context derives the session keys of one direction.
func (s Suite) context(k Keying) (*srtp.Context, error) {
	shape := s.shape()
	ctx, err := srtp.CreateContext(k[:shape.key], k[shape.key:shape.key+shape.salt], shape.profile,
		srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow))
	if err != nil {
		return nil, fmt.Errorf("srtp keys of %s: %w", s, err)
	}
	return ctx, nil
}

// restore takes over the counters of a former owner.
func (s *secure) restore(heard, said Rollover) {
	s.heard, s.said, s.resumed = heard, said, [2]bool{true, true}
	s.out.SetIndex(said.SSRC, said.Index+indexJump)
}

// open decrypts a packet from the side in place. It returns nil when the packet is
// not the side's or has come before; wrapped means that its ROC has changed.
func (s *secure) open(b []byte) (plain []byte, wrapped bool) {
	if len(b) < rtcpHeader {
		return nil, false
	}
	if isRTCP(b) {
		plain, err := s.in.DecryptRTCP(b, b, nil)
		s.mind(binary.BigEndian.Uint32(b[4:]), err)
		return plainOf(plain, err), false
	}
	if len(b) < rtpHeader {
		return nil, false
	}
	h := streamOf(b)
	if s.resumed[0] && h.ssrc == s.heard.SSRC {
		s.in.SetROC(h.ssrc, s.heard.at(h.sequence))
	}
	plain, err := s.in.DecryptRTP(b, b, nil)
	s.mind(h.ssrc, err)
	if err != nil {
		return nil, false
	}
	s.resumed[0] = false
	return plain, s.heard.note(h, s.in)
}

// streamOf reads what SRTP leaves in the clear.
func streamOf(b []byte) header {
	return header{sequence: binary.BigEndian.Uint16(b[2:]), ssrc: binary.BigEndian.Uint32(b[8:])}
}

// note takes the counters after a packet, and reports whether the ROC has changed.
func (r *Rollover) note(h header, ctx *srtp.Context) (wrapped bool) {
	roc, _ := ctx.ROC(h.ssrc)
	wrapped = roc != r.ROC || h.ssrc != r.SSRC
	if h.ssrc != r.SSRC {
		r.Index, _ = ctx.Index(h.ssrc)
	}
	r.SSRC, r.ROC, r.Sequence = h.ssrc, roc, h.sequence
	return wrapped
}

func plainOf(b []byte, err error) []byte {
	if err != nil {
		return nil
	}
	return b
}

// mind keeps a stranger from filling the context with SSRCs.
func (s *secure) mind(ssrc uint32, err error) {
	if err == nil || ssrc == s.heard.SSRC {
		return
	}
	if s.strange++; s.strange < maxStrange {
		return
	}
	fresh, err := s.crypto.Suite.context(s.crypto.Theirs)
	if err != nil {
		return // the same keys have made a context before
	}
	s.in, s.strange, s.resumed[0] = fresh, 0, true
}

// seal encrypts a packet to the side in place; b needs srtpOverhead spare bytes. It
// returns nil when the packet cannot be sealed; wrapped means that its ROC has changed.
func (s *secure) seal(b []byte) (sealed []byte, wrapped bool) {
	if isRTCP(b) {
		ssrc := binary.BigEndian.Uint32(b[4:])
		sealed, err := s.out.EncryptRTCP(b, b, nil)
		if index, ok := s.out.Index(ssrc); ok && ssrc == s.said.SSRC {
			s.said.Index = index
		}
		return plainOf(sealed, err), false
	}
	h := streamOf(b)
	if s.resumed[1] && h.ssrc == s.said.SSRC {
		s.out.SetROC(h.ssrc, s.said.at(h.sequence))
	}
	sealed, err := s.out.EncryptRTP(b, b, nil)
	if err != nil {
		return nil, false
	}
	s.resumed[1] = false
	return sealed, s.said.note(h, s.out)
}
