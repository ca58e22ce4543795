package call

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
	"sync"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// names makes the identifiers of calls and legs. They are keyed hashes: every
// node with the cluster's key computes the same ones, and nobody else can. The
// node that starts a call is deliberately not part of them, since a survivor
// must be able to name the legs of a call of which it has nothing but the id
// (ARCHITECTURE.md, rule 5).
type names struct {
	macs     *sync.Pool // of hash.Hash with the key: to key one takes longer than to use it
	encoding *base32.Encoding
}

// minKey is the shortest key that is accepted, in bytes.
const minKey = 16

// newNames returns the names made with a key, which must be the same on all
// nodes and at least 16 bytes long.
func newNames(key []byte) (names, error) {
	if len(key) < minKey {
		return names{}, fmt.Errorf("call: Key has %d bytes, needs at least %d", len(key), minKey)
	}
	key = append([]byte(nil), key...)
	return names{
		macs:     &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }},
		encoding: base32.NewEncoding(alphabet).WithPadding(base32.NoPadding),
	}, nil
}

// label says what a name stands for. Labels are part of the name.
type label byte

const (
	labelCallID label = 'i' // Call-ID of leg B
	labelFrom   label = 'f' // our From-tag on leg B
	labelBranch label = 'b' // branch of leg B's INVITE
	labelTo     label = 't' // our To-tag on leg A
	labelCaller label = 'a' // user part of our Contact on leg A
	labelCallee label = 'c' // user part of our Contact on leg B
)

// macBytes of a name prove that we made it: 48 bits, to be guessed over the network
// within a call's life. The whole name has 25 bytes, which are 40 letters without a
// bit left over.
const (
	macBytes  = 6
	nameBytes = 16 + 3
)

// name is what a parsed identifier says.
type name struct {
	label     label
	call      fsm.CallID
	candidate uint8
	try       uint8
}

// leg tells which leg a name belongs to.
func (n name) leg() media.Side {
	if n.label == labelTo || n.label == labelCaller {
		return media.A
	}
	return media.B
}

// alphabet is all lower case: some peers fold the case of what they repeat.
const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

func (n names) sum(parts ...[]byte) [sha256.Size]byte {
	mac := n.macs.Get().(hash.Hash)
	defer n.macs.Put(mac)
	mac.Reset()
	var length [4]byte
	for _, p := range parts {
		binary.BigEndian.PutUint32(length[:], uint32(len(p)))
		mac.Write(length[:])
		mac.Write(p)
	}
	return [sha256.Size]byte(mac.Sum(nil))
}

// Call returns the identifier of the call that an INVITE opens. A retransmission
// gives the same one on every node, any other INVITE another one (ARCHITECTURE.md, rule 4).
func (n names) Call(req *sip.Request) fsm.CallID {
	var seq [4]byte
	binary.BigEndian.PutUint32(seq[:], req.CSeq)
	sum := n.sum([]byte("call"), req.Source.Addr.Addr().Unmap().AsSlice(),
		[]byte(req.CallID), []byte(req.FromTag), seq[:], []byte(req.Branch))
	return fsm.CallID(sum[:16])
}

// make writes a name: the call in the clear, so that any node finds it, and a
// keyed hash behind it, so that nobody makes one up.
func (n names) make(nm name) string {
	b := append(make([]byte, 0, nameBytes+macBytes), nm.call[:]...)
	b = append(b, byte(nm.label), nm.candidate, nm.try)
	sum := n.sum([]byte("name"), b)
	return n.encoding.EncodeToString(append(b, sum[:macBytes]...))
}

// parse reads a name that some node of the cluster made.
func (n names) parse(s string) (name, bool) {
	if len(s) != n.encoding.EncodedLen(nameBytes+macBytes) {
		return name{}, false
	}
	b, err := n.encoding.DecodeString(strings.ToLower(s))
	if err != nil || len(b) != nameBytes+macBytes {
		return name{}, false
	}
	body, mac := b[:nameBytes], b[nameBytes:]
	sum := n.sum([]byte("name"), body)
	if !hmac.Equal(sum[:macBytes], mac) {
		return name{}, false
	}
	return name{label: label(body[16]), call: fsm.CallID(body[:16]), candidate: body[17], try: body[18]}, true
}

// legB are the identifiers of one try of one candidate.
type legB struct{ callID, fromTag, branch, contact string }

func (n names) legB(call fsm.CallID, candidate, try uint8) legB {
	nm := name{call: call, candidate: candidate, try: try}
	of := func(l label) string { nm.label = l; return n.make(nm) }
	return legB{
		callID: of(labelCallID), fromTag: of(labelFrom),
		branch: sip.Branch(of(labelBranch)), contact: of(labelCallee),
	}
}

// toTag is our tag on leg A.
func (n names) toTag(call fsm.CallID) string { return n.make(name{label: labelTo, call: call}) }

// contactA is the user part of our Contact on leg A.
func (n names) contactA(call fsm.CallID) string { return n.make(name{label: labelCaller, call: call}) }

// session is the o= session id of what we send on a leg (RFC 8866 section 5.2:
// numeric); 53 bits, because some peers read it as a double.
func (n names) session(call fsm.CallID, leg media.Side) uint64 {
	sum := n.sum([]byte("sdp"), call[:], []byte{byte(leg)})
	return binary.BigEndian.Uint64(sum[:8]) >> 11
}

// legPrefix is the part of a name that only the call decides, in bytes: as many as
// make whole letters.
const legPrefix = 15

// LegPrefix is how the Call-IDs of all our legs of a call towards gateways begin.
func LegPrefix(id fsm.CallID) string {
	return base32.NewEncoding(alphabet).WithPadding(base32.NoPadding).EncodeToString(id[:legPrefix])
}
