package sip

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// magicCookie begins the branch of every RFC 3261 transaction (section 8.1.1.7).
const magicCookie = "z9hG4bK"

// identifierBytes of randomness go into a tag, branch or Call-ID: 96 bits, well
// above the 32 that RFC 3261 section 19.3 asks for.
const identifierBytes = 12

// NewIdentifier returns a random text for use as a tag or as a Call-ID.
func (e *Endpoint) NewIdentifier() string {
	var b [identifierBytes]byte
	e.random(b[:])
	return hex.EncodeToString(b[:])
}

// Branch makes a branch of an identifier that the caller derived, for example
// from a call and its attempt, so that any node can name the transaction.
func Branch(identifier string) string { return magicCookie + identifier }

// own moves texts into one string of their own. The texts of a received message
// are parts of it, and a dialog or a transaction outlives it by far.
func own(texts ...*string) {
	n := 0
	for _, s := range texts {
		n += len(*s)
	}
	var b strings.Builder
	b.Grow(n)
	for _, s := range texts {
		b.WriteString(*s)
	}
	all := b.String()
	for _, s := range texts {
		*s, all = all[:len(*s)], all[len(*s):]
	}
}

// newConn names a connection; see Conn.
func (e *Endpoint) newConn() Conn {
	var b [8]byte
	for {
		e.random(b[:])
		if id := Conn(binary.LittleEndian.Uint64(b[:])); id != 0 {
			return id
		}
	}
}

// random fills b from the source of randomness.
func (e *Endpoint) random(b []byte) {
	e.randMu.Lock()
	_, err := io.ReadFull(e.cfg.Rand, b)
	e.randMu.Unlock()
	if err != nil {
		panic(fmt.Sprintf("sip: the random source must not fail: %v", err))
	}
}
