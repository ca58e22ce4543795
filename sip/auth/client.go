package auth

import (
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"

	"github.com/icholy/digest"
)

// sum hashes a text.
func sum(a Algorithm, text string) []byte {
	if a == SHA256 {
		h := sha256.Sum256([]byte(text))
		return h[:]
	}
	h := md5.Sum([]byte(text))
	return h[:]
}

// Credentials are ours towards one trunk.
type Credentials struct {
	User, Password string
	// Realm is the only one that gets an answer; empty: any. A peer that asks for
	// another one may want to use our answer elsewhere.
	Realm string
}

// ErrChallenge says that none of a peer's challenges can be answered.
var ErrChallenge = errors.New("no challenge that can be answered")

// Answer makes the value of Authorization (or Proxy-Authorization) for a request
// from the challenges of its refusal: to the best algorithm, with qop where it is
// offered. count is 1 for a nonce's first use.
func Answer(challenges []string, c Credentials, method, uri string, body []byte, count int) (string, error) {
	var best *digest.Challenge
	for _, value := range challenges {
		if len(value) > maxHeader || !digest.IsDigest(value) {
			continue
		}
		chal, err := digest.ParseChallenge(value)
		if err != nil || c.Realm != "" && chal.Realm != c.Realm {
			continue
		}
		for i, qop := range chal.QOP {
			chal.QOP[i] = strings.ToLower(strings.TrimSpace(qop))
		}
		if len(chal.QOP) > 0 && !slices.Contains(chal.QOP, "auth") { // auth-int alone covers bodies that others rewrite
			continue
		}
		if digest.CanDigest(chal) && (best == nil || strength(chal) > strength(best)) {
			best = chal
		}
	}
	if best == nil {
		return "", ErrChallenge
	}
	made, err := digest.Digest(best, digest.Options{
		Method: method, URI: uri, Username: c.User, Password: c.Password, Count: count,
	})
	if err != nil {
		return "", errors.Join(ErrChallenge, err)
	}
	return made.String(), nil
}

// strength orders algorithms.
func strength(c *digest.Challenge) int {
	switch strings.ToUpper(c.Algorithm) {
	case "SHA-512", "SHA-512-256":
		return 3
	case "SHA-256":
		return 2
	}
	return 1
}
