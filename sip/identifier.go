package sip

import (
	"encoding/hex"
	"fmt"
	"io"
)

// magicCookie begins the branch of every RFC 3261 transaction (section 8.1.1.7).
const magicCookie = "z9hG4bK"

// identifierBytes of randomness go into a tag, branch or Call-ID: 96 bits, well
// above the 32 that RFC 3261 section 19.3 asks for.
const identifierBytes = 12

// NewIdentifier returns a random text for use as a tag or as a Call-ID.
func (e *Endpoint) NewIdentifier() string {
	var b [identifierBytes]byte
	e.randMu.Lock()
	_, err := io.ReadFull(e.cfg.Rand, b[:])
	e.randMu.Unlock()
	if err != nil {
		panic(fmt.Sprintf("sip: the random source must not fail: %v", err))
	}
	return hex.EncodeToString(b[:])
}

// Branch makes a branch of an identifier that the caller derived, for example
// from a call and its attempt, so that any node can name the transaction.
func Branch(identifier string) string { return magicCookie + identifier }
