package client

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
)

// Credential is an API token in clear: "tandem_<id>_<secret>". Only the hash of
// its secret is ever stored.
type Credential struct {
	ID     string
	Secret string
}

// ErrCredential says that a text is no API token.
var ErrCredential = errors.New("not an API token: want tandem_<id>_<secret>")

const (
	credentialPrefix = "tandem_"
	idBytes          = 5  // an id is a name, not a secret
	secretBytes      = 32 // nothing to be guessed
	maxCredential    = 256
)

// NewCredential returns a new token from the system's randomness.
func NewCredential() Credential {
	b := make([]byte, idBytes+secretBytes)
	_, _ = rand.Read(b) // never fails
	return Credential{ID: hex.EncodeToString(b[:idBytes]), Secret: hex.EncodeToString(b[idBytes:])}
}

// ParseCredential reads a token. The error never contains it.
func ParseCredential(s string) (Credential, error) {
	rest, ok := strings.CutPrefix(s, credentialPrefix)
	id, secret, found := strings.Cut(rest, "_")
	if !ok || !found || id == "" || secret == "" || len(s) > maxCredential {
		return Credential{}, ErrCredential
	}
	return Credential{ID: id, Secret: secret}, nil
}

// String returns the token as it is sent. It must not be logged.
func (c Credential) String() string { return credentialPrefix + c.ID + "_" + c.Secret }

// Hash returns the SHA-256 of the secret, which is what the cluster keeps.
func (c Credential) Hash() [32]byte { return sha256.Sum256([]byte(c.Secret)) }

// LogValue keeps the secret out of logs.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.ID) }
