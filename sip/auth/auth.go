// Package auth is digest authentication for SIP (RFC 8760, RFC 7616), as server
// and as client.
//
// A server's nonces are stateless: any process with the same key knows its own. Each
// is bound to the address that asked and to the address that was asked, so that what
// is overheard at one place is worth nothing at another, on no node. What has been
// used is remembered for as long as a nonce lives.
//
// It never sees a password of a user that it serves (it compares with HA1), never
// knows who a user is beyond that, and never answers for an unknown user in another
// way than for a wrong password.
//
//	s, err := auth.NewServer(auth.Config{Key: key, Realm: "example.net"})
//	verdict := s.Check(auth.Request{...}, secrets)
//	if verdict.Code != auth.Good { res.Headers.Add("WWW-Authenticate", ...) } // s.Challenges
package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/icholy/digest"
)

// Algorithm is a digest algorithm, as it is written in SIP.
type Algorithm string

// The algorithms that are offered, the better one first (RFC 8760 section 2.3).
const (
	SHA256 Algorithm = "SHA-256"
	MD5    Algorithm = "MD5"
)

// Bounds of authentication.
const (
	// defaultAge is how long a nonce is good: a phone that registers each minute
	// needs no challenge each time.
	defaultAge = 5 * time.Minute
	// maxUsed bounds the nonces whose counts are remembered. Beyond it the oldest
	// are forgotten, and with them all nonces of their age and above, so that
	// nothing can be played back: their users are challenged once more.
	maxUsed = 100_000
	// maxHeader is the longest Authorization that is read.
	maxHeader = 2048
	minKey    = 16
)

// Config says how a server works. Key and Realm are required.
type Config struct {
	Key   []byte // the same on all nodes
	Realm string
	Age   time.Duration    // of a nonce; 0: 5 minutes
	Now   func() time.Time // nil: time.Now
}

// Server checks digests for one service address. Its methods may be called from any
// goroutine.
type Server struct {
	cfg   Config
	since time.Time // older nonces were checked by another process, which knows their counts

	mu   sync.Mutex // guards what follows
	used map[[macSize]byte]*use
	old  []*use // by time of first use
}

// use is what is known of a nonce that was used.
type use struct {
	mac   [macSize]byte
	made  time.Time
	highs uint64 // nonce counts: bit n is highest-n
	high  uint32
}

// NewServer makes a server.
func NewServer(cfg Config) (*Server, error) {
	if len(cfg.Key) < minKey {
		return nil, errors.New("auth: Key is too short")
	}
	if cfg.Realm == "" {
		return nil, errors.New("auth: Realm is empty")
	}
	if cfg.Age == 0 {
		cfg.Age = defaultAge
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Server{cfg: cfg, since: cfg.Now().Truncate(time.Millisecond), used: map[[macSize]byte]*use{}}, nil
}

// Realm is the server's realm.
func (s *Server) Realm() string { return s.cfg.Realm }

// Code is the outcome of a check.
type Code uint8

// The outcomes.
const (
	Good     Code = iota
	Missing       // no credentials for this realm
	Stale         // a right answer to a nonce that is no longer good: not a failure of the user
	Wrong         // unknown user, wrong password, or an answer that was given before
	Unusable      // credentials that cannot be read, or that are for another request
)

// Verdict is the result of a check.
type Verdict struct {
	Code Code
	User string // as claimed; proven if Code is Good
}

// Request is a SIP request as far as a digest covers it.
type Request struct {
	Method        string
	URI           string   // of the request line
	Authorization []string // all values of Authorization, or of Proxy-Authorization
	Source        netip.Addr
	Local         netip.Addr // service address that it came to
}

// Secrets returns HA1 (RFC 7616 section 3.4.2) of a user, and false for one that is
// unknown or has none of that algorithm.
type Secrets func(user string, algorithm Algorithm) (ha1 []byte, ok bool)

// Check judges the credentials of a request. It takes the same time for unknown
// users as for known ones.
func (s *Server) Check(r Request, secrets Secrets) Verdict {
	c, verdict := s.credentials(&r)
	if c == nil {
		return verdict
	}
	algorithm := MD5
	switch {
	case c.Algorithm == "" || strings.EqualFold(c.Algorithm, string(MD5)):
	case strings.EqualFold(c.Algorithm, string(SHA256)):
		algorithm = SHA256
	default:
		return Verdict{Unusable, c.Username}
	}
	ha1, known := secrets(c.Username, algorithm)
	if !known {
		ha1 = make([]byte, len(s.cfg.Key)) // of nobody
	}
	want, err := digest.Digest(&digest.Challenge{
		Realm: c.Realm, Nonce: c.Nonce, Algorithm: string(algorithm), QOP: qopOf(c),
	}, digest.Options{Method: r.Method, URI: c.URI, Count: c.Nc, Cnonce: c.Cnonce, A1: hex.EncodeToString(ha1), Username: c.Username})
	if err != nil {
		return Verdict{Unusable, c.Username}
	}
	right := subtle.ConstantTimeCompare([]byte(want.Response), []byte(strings.ToLower(c.Response))) == 1
	made, mac, ours := s.read(c.Nonce, r.Source, r.Local)
	switch {
	case !ours: // whoever answers has never heard the question: it says nothing of the source
		return Verdict{Stale, c.Username}
	case !known || !right:
		return Verdict{Wrong, c.Username}
	case made.Before(s.since) || s.cfg.Now().Sub(made) > s.cfg.Age:
		return Verdict{Stale, c.Username}
	}
	return Verdict{s.spend(mac, made, c), c.Username}
}

// credentials finds those for this realm and this request.
func (s *Server) credentials(r *Request) (*digest.Credentials, Verdict) {
	for _, value := range r.Authorization {
		if len(value) > maxHeader {
			return nil, Verdict{Code: Unusable}
		}
		c, err := digest.ParseCredentials(value)
		if err != nil {
			return nil, Verdict{Code: Unusable}
		}
		if c.Realm != s.cfg.Realm {
			continue
		}
		if c.URI != r.URI || c.Username == "" || c.QOP != "" && c.QOP != "auth" || c.QOP != "" && (c.Nc <= 0 || c.Cnonce == "") {
			return nil, Verdict{Unusable, c.Username}
		}
		return c, Verdict{}
	}
	return nil, Verdict{Code: Missing}
}

func qopOf(c *digest.Credentials) []string {
	if c.QOP == "" {
		return nil
	}
	return []string{c.QOP}
}

// spend notes that a nonce was used with a count. Without qop it is good once.
func (s *Server) spend(mac [macSize]byte, made time.Time, c *digest.Credentials) Code {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	u := s.used[mac]
	if u == nil {
		if made.Before(s.since) {
			return Stale // forgotten a moment ago
		}
		u = &use{mac: mac, made: made}
		s.used[mac] = u
		s.old = append(s.old, u)
	} else if c.QOP == "" {
		return Stale
	}
	if !u.take(uint32(c.Nc)) {
		return Wrong
	}
	return Good
}

// take reports whether a count was not used before. Counts may come a little out of
// order; what is too far back to be known was used.
func (u *use) take(n uint32) bool {
	const window = 64
	switch {
	case n > u.high:
		if step := n - u.high; step < window {
			u.highs = u.highs<<step | 1
		} else {
			u.highs = 1
		}
		u.high = n
		return true
	case u.high-n >= window, u.highs>>(u.high-n)&1 == 1:
		return false
	}
	u.highs |= 1 << (u.high - n)
	return true
}

// forget drops nonces that are no longer good, and above the bound the oldest.
func (s *Server) forget() {
	now := s.cfg.Now()
	drop := 0
	for drop < len(s.old) && (now.Sub(s.old[drop].made) > s.cfg.Age || len(s.old)-drop >= maxUsed) {
		u := s.old[drop]
		delete(s.used, u.mac)
		if now.Sub(u.made) <= s.cfg.Age && !u.made.Before(s.since) {
			s.since = u.made.Add(time.Millisecond)
		}
		drop++
	}
	s.old = s.old[drop:]
}

// Challenges are the values of WWW-Authenticate, the best algorithm first.
func (s *Server) Challenges(source, local netip.Addr, stale bool) []string {
	nonce := s.nonce(s.cfg.Now(), source, local)
	values := make([]string, 0, 2)
	for _, a := range []Algorithm{SHA256, MD5} {
		c := digest.Challenge{Realm: s.cfg.Realm, Nonce: nonce, Stale: stale, Algorithm: string(a), QOP: []string{"auth"}}
		values = append(values, c.String())
	}
	return values
}

// The sizes of a nonce: time in milliseconds, something random (phones behind one
// address must not share a nonce), and a keyed hash of both and of what it is bound to.
const (
	timeSize  = 8
	saltSize  = 6
	stampSize = timeSize + saltSize
	macSize   = 16
)

func (s *Server) nonce(at time.Time, source, local netip.Addr) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, stampSize+macSize), uint64(at.UnixMilli()))
	b = b[:stampSize]
	rand.Read(b[timeSize:]) // never fails
	mac := s.mac(b, source, local)
	return base64.RawURLEncoding.EncodeToString(append(b, mac[:]...))
}

// read checks that a nonce was made here for these addresses, and says when.
func (s *Server) read(nonce string, source, local netip.Addr) (made time.Time, mac [macSize]byte, ours bool) {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(b) != stampSize+macSize {
		return made, mac, false
	}
	mac = s.mac(b[:stampSize], source, local)
	made = time.UnixMilli(int64(binary.BigEndian.Uint64(b)))
	return made, mac, hmac.Equal(mac[:], b[stampSize:])
}

func (s *Server) mac(stamp []byte, source, local netip.Addr) (out [macSize]byte) {
	h := hmac.New(sha256.New, s.cfg.Key)
	h.Write(stamp)
	for _, a := range []netip.Addr{source, local} {
		ip := a.As16()
		h.Write(ip[:])
	}
	h.Write([]byte(s.cfg.Realm))
	copy(out[:], h.Sum(nil))
	return out
}

// HA1 is what a server keeps of a password.
func HA1(user, realm, password string, a Algorithm) []byte {
	return sum(a, user+":"+realm+":"+password)
}
