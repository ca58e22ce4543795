package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	phone    = netip.MustParseAddr("198.51.100.7")
	attacker = netip.MustParseAddr("198.51.100.66")
	line     = netip.MustParseAddr("203.0.113.20")
	other    = netip.MustParseAddr("203.0.113.21")
)

const (
	realm = "example.net"
	uri   = "sip:example.net"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func server(t testing.TB, c *clock) *Server {
	t.Helper()
	s, err := NewServer(Config{Key: []byte("0123456789abcdef"), Realm: realm, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start() *clock { return &clock{time.Unix(1_700_000_000, 0)} }

// users knows alice with her password.
func users(user string, a Algorithm) ([]byte, bool) {
	if user != "alice" {
		return nil, false
	}
	return HA1(user, realm, "wonder", a), true
}

// answer makes the Authorization of a client.
func answer(t testing.TB, challenges []string, user, password string, count int) []string {
	t.Helper()
	value, err := Answer(challenges, Credentials{User: user, Password: password, Realm: realm}, "REGISTER", uri, nil, count)
	if err != nil {
		t.Fatal(err)
	}
	return []string{value}
}

func request(from netip.Addr, to netip.Addr, authorization []string) Request {
	return Request{Method: "REGISTER", URI: uri, Authorization: authorization, Source: from, Local: to}
}

func TestCheck(t *testing.T) {
	for _, algorithm := range []Algorithm{SHA256, MD5} {
		t.Run(string(algorithm), func(t *testing.T) {
			c := start()
			s := server(t, c)
			challenges := s.Challenges(phone, line, false)
			if algorithm == MD5 {
				challenges = challenges[1:]
			}
			good := answer(t, challenges, "alice", "wonder", 1)
			if !strings.Contains(good[0], string(algorithm)) {
				t.Fatalf("answered %s", good[0])
			}
			for _, tt := range []struct {
				name string
				req  Request
				want Code
			}{
				{"none", request(phone, line, nil), Missing},
				{"another realm", request(phone, line, []string{strings.Replace(good[0], realm, "else", 1)}), Missing},
				{"another method", Request{Method: "INVITE", URI: uri, Authorization: good, Source: phone, Local: line}, Wrong},
				{"another URI", Request{Method: "REGISTER", URI: "sip:x", Authorization: good, Source: phone, Local: line}, Unusable},
				{"wrong password", request(phone, line, answer(t, challenges, "alice", "guess", 1)), Wrong},
				{"unknown user", request(phone, line, answer(t, challenges, "bob", "wonder", 1)), Wrong},
				{"overheard", request(attacker, line, good), Stale},
				{"on another node", request(phone, other, good), Stale},
				{"right", request(phone, line, good), Good},
				{"again", request(phone, line, good), Wrong},
				{"next count", request(phone, line, answer(t, challenges, "alice", "wonder", 2)), Good},
				{"garbage", request(phone, line, []string{"Digest ,,,="}), Unusable},
				{"basic", request(phone, line, []string{"Basic YWxpY2U6d29uZGVy"}), Unusable},
				{"long", request(phone, line, []string{"Digest x=\"" + strings.Repeat("a", maxHeader) + "\""}), Unusable},
			} {
				if got := s.Check(tt.req, users); got.Code != tt.want {
					t.Errorf("%s: %d, want %d", tt.name, got.Code, tt.want)
				}
			}
			c.at = c.at.Add(defaultAge + time.Second)
			if got := s.Check(request(phone, line, answer(t, challenges, "alice", "wonder", 3)), users); got.Code != Stale || got.User != "alice" {
				t.Errorf("an old nonce: %+v, want stale", got)
			}
		})
	}
}

// The same on the node that takes the address over: it does not know which counts
// were used, so it asks again.
func TestHeirAsksAgain(t *testing.T) {
	c := start()
	first := server(t, c)
	good := answer(t, first.Challenges(phone, line, false), "alice", "wonder", 1)
	if got := first.Check(request(phone, line, good), users); got.Code != Good {
		t.Fatalf("got %d", got.Code)
	}
	c.at = c.at.Add(time.Second)
	heir := server(t, c)
	for range 100 {
		if got := heir.Check(request(phone, line, good), users); got.Code != Stale {
			t.Fatalf("a replay on the heir: %d, want stale", got.Code)
		}
	}
}

// No count of a nonce is good twice, in whatever order counts come.
func TestCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := &use{}
		seen := map[uint32]bool{}
		for range 200 {
			n := rapid.Uint32Range(1, 300).Draw(t, "count")
			if taken := u.take(n); taken && seen[n] {
				t.Fatalf("count %d was good twice", n)
			} else if !taken && !seen[n] && u.high-n < 64 {
				t.Fatalf("count %d was refused at its first use", n)
			}
			seen[n] = true
		}
	})
}

// The memory is bounded, and what is forgotten cannot be played back.
func TestForgetting(t *testing.T) {
	c := start()
	s := server(t, c)
	var all [][]string
	for range 3 {
		c.at = c.at.Add(time.Second)
		all = append(all, answer(t, s.Challenges(phone, line, false), "alice", "wonder", 1))
	}
	for _, a := range all {
		if got := s.Check(request(phone, line, a), users); got.Code != Good {
			t.Fatalf("got %d", got.Code)
		}
	}
	for i := range maxUsed { // others fill the memory
		u := &use{made: c.at, mac: [macSize]byte{byte(i), byte(i >> 8), byte(i >> 16)}}
		s.used[u.mac], s.old = u, append(s.old, u)
	}
	for i, a := range all {
		if got := s.Check(request(phone, line, a), users); got.Code == Good {
			t.Errorf("answer %d was played back", i)
		}
	}
	if len(s.old) > maxUsed || len(s.used) > maxUsed {
		t.Errorf("%d nonces are remembered", len(s.old))
	}
}

func TestAnswer(t *testing.T) {
	challenge := func(algorithm, qop string) string {
		return fmt.Sprintf(`Digest realm="trunk", nonce="n", algorithm=%s, qop="%s"`, algorithm, qop)
	}
	ours := Credentials{User: "u", Password: "p", Realm: "trunk"}
	for _, tt := range []struct {
		name       string
		challenges []string
		want       string // algorithm; empty: none
	}{
		{"the best", []string{challenge("MD5", "auth"), challenge("SHA-256", "auth, auth-int"), challenge("SHA-512-256", "auth")}, "SHA-512-256"},
		{"what we know", []string{challenge("AKAv1-MD5", "auth"), challenge("MD5", "auth")}, "MD5"},
		{"nothing known", []string{challenge("AKAv1-MD5", "auth"), "Basic realm=x"}, ""},
		{"another realm", []string{strings.Replace(challenge("MD5", "auth"), "trunk", "victim", 1)}, ""},
		{"only auth-int", []string{challenge("MD5", "auth-int")}, ""},
		{"none", nil, ""},
	} {
		value, err := Answer(tt.challenges, ours, "INVITE", "sip:x", nil, 1)
		if tt.want == "" {
			if !errors.Is(err, ErrChallenge) {
				t.Errorf("%s: %q, %v", tt.name, value, err)
			}
			continue
		}
		if err != nil || !strings.Contains(value, "algorithm="+tt.want) || strings.Contains(value, "p\"") {
			t.Errorf("%s: %q, %v", tt.name, value, err)
		}
	}
}

// An unknown user costs the same work as a known one.
func BenchmarkCheck(b *testing.B) {
	for _, user := range []string{"alice", "nobody"} {
		b.Run(user, func(b *testing.B) {
			s := server(b, start())
			bad := request(phone, line, answer(b, s.Challenges(phone, line, false), user, "guess", 1))
			for b.Loop() {
				if s.Check(bad, users).Code != Wrong {
					b.Fatal("not refused")
				}
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	c := start()
	s := server(f, c)
	f.Add(answer(f, s.Challenges(phone, line, false), "alice", "guess", 1)[0])
	f.Add(`Digest username="a",nc=ffffffff`)
	f.Fuzz(func(t *testing.T, value string) {
		if got := s.Check(request(phone, line, []string{value}), users); got.Code == Good {
			t.Errorf("%q was good", value)
		}
	})
}
