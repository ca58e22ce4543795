package client

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wire answers requests without a network.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

func answer(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func newClient(t *testing.T, w wire) *Client {
	t.Helper()
	c, err := New(Config{Addrs: []string{"10.0.0.11:8443", "http://10.0.0.12:80/"}, Token: "tandem_a_b", HTTP: &http.Client{Transport: w}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var (
	errDial  = &net.OpError{Op: "dial", Err: errors.New("refused")}
	errReset = &net.OpError{Op: "read", Err: errors.New("reset")}
)

// A request goes on to the next node when it reached nobody. What may have
// happened goes on only if it is harmless to repeat.
func TestNextAddress(t *testing.T) {
	tests := []struct {
		name string
		err  error
		call func(*Client) error
		next bool
	}{
		{"read, refused", errDial, func(c *Client) error { _, _, err := c.Status(t.Context()); return err }, true},
		{"read, reset", errReset, func(c *Client) error { _, _, err := c.Status(t.Context()); return err }, true},
		{"put, reset", errReset, func(c *Client) error { _, _, err := c.SetParameter(t.Context(), "a", "1"); return err }, true},
		{"payment, reset", errReset, func(c *Client) error { _, err := c.TopUp(t.Context(), "a", Payment{Amount: 1}, ""); return err }, true},
		{"token, refused", errDial, func(c *Client) error { _, _, err := c.CreateToken(t.Context(), TokenSettings{}); return err }, true},
		{"token, reset", errReset, func(c *Client) error { _, _, err := c.CreateToken(t.Context(), TokenSettings{}); return err }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var hosts, keys []string
			c := newClient(t, func(r *http.Request) (*http.Response, error) {
				hosts = append(hosts, r.URL.Scheme+"://"+r.URL.Host)
				keys = append(keys, r.Header.Get(HeaderKey))
				if len(hosts) == 1 {
					return nil, tt.err
				}
				return answer(http.StatusOK, "{}"), nil
			})
			err := tt.call(c)
			var unreachable *UnreachableError
			switch {
			case tt.next && (err != nil || len(hosts) != 2 || hosts[1] != "http://10.0.0.12:80"):
				t.Errorf("asked %v, %v", hosts, err)
			case !tt.next && (!errors.As(err, &unreachable) || len(hosts) != 1 || !errors.Is(err, tt.err)):
				t.Errorf("asked %v, %v", hosts, err)
			case hosts[0] != "https://10.0.0.11:8443":
				t.Errorf("asked %s first", hosts[0])
			case tt.next && keys[0] != keys[1]:
				t.Errorf("keys %q: a retry has to carry the first one", keys)
			}
		})
	}
}

// A node that says "slow down" is asked again after as long as it says.
func TestSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := newClient(t, func(*http.Request) (*http.Response, error) {
			if asked++; asked < 3 {
				return answer(http.StatusTooManyRequests, `{"code":"rate-limited"}`, "Retry-After", "2"), nil
			}
			return answer(http.StatusOK, `{"node":"n1"}`, HeaderIndex, "7", HeaderNode, "n1"), nil
		})
		start := time.Now()
		s, r, err := c.Status(t.Context())
		if err != nil || s.Node != "n1" || r != (Receipt{Index: 7, Node: "n1"}) {
			t.Errorf("%+v, %+v, %v", s, r, err)
		}
		if d := time.Since(start); d != 4*time.Second {
			t.Errorf("took %s", d)
		}
	})
}

func TestProblems(t *testing.T) {
	c := newClient(t, func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/api/v1/status" {
			return answer(http.StatusServiceUnavailable, `{"code":"no-leader","detail":"no leader","hint":"wait"}`, "Retry-After", "2"), nil
		}
		return answer(http.StatusBadGateway, "<html>\nnginx"), nil
	})
	_, _, err := c.Status(t.Context())
	var p *Problem
	if !errors.As(err, &p) || p.Code != CodeNoLeader || p.RetryAfter != 2*time.Second || p.Status != 503 || err.Error() != "no leader" {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = c.Members(t.Context())
	if !errors.As(err, &p) || p.Code != CodeInternal || !strings.Contains(p.Detail, "<html>") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8443": "http://127.0.0.1:8443", "localhost:1": "http://localhost:1", "10.0.0.1:8443": "https://10.0.0.1:8443",
		"[::1]:8443": "http://[::1]:8443", "https://a.example/": "https://a.example",
	} {
		if got, err := baseURL(addr); err != nil || got != want {
			t.Errorf("%s: %s, %v", addr, got, err)
		}
	}
	for _, addr := range []string{"", "10.0.0.1", "ftp://a", "http://"} {
		if _, err := New(Config{Addrs: []string{addr}}); err == nil {
			t.Errorf("%q is taken for an address", addr)
		}
	}
}

func TestValues(t *testing.T) {
	type values struct {
		At  Time    `json:"at,omitzero"`
		For Seconds `json:"for,omitzero"`
	}
	for text, v := range map[string]values{
		`{}`: {},
		`{"at":"2026-11-21T10:42:07.000Z","for":90}`:       {Time{time.Date(2026, 11, 21, 10, 42, 7, 0, time.UTC)}, Seconds(90 * time.Second)},
		`{"at":"2026-11-21T10:42:07.120Z","for":-0.212}`:   {Time{time.Date(2026, 11, 21, 10, 42, 7, 120e6, time.UTC)}, Seconds(-212 * time.Millisecond)},
		`{"for":100.000001}`:                               {For: Seconds(100*time.Second + time.Microsecond)},
		`{"at":"2026-11-21T09:42:07.500Z","for":31536000}`: {Time{time.Date(2026, 11, 21, 9, 42, 7, 500e6, time.UTC)}, Seconds(365 * 24 * time.Hour)},
	} {
		got, err := json.Marshal(v)
		if err != nil || string(got) != text {
			t.Errorf("%s, %v, want %s", got, err, text)
		}
		var back values
		if err := json.Unmarshal([]byte(text), &back); err != nil || back != v {
			t.Errorf("%s reads as %+v, %v", text, back, err)
		}
	}
	var v values
	for _, bad := range []string{`{"for":"1s"}`, `{"for":1e300}`, `{"at":"yesterday"}`, `{"at":5}`} {
		if err := json.Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

func TestCredentials(t *testing.T) {
	made := NewCredential()
	back, err := ParseCredential(made.String())
	if err != nil || back != made || back.Hash() != made.Hash() {
		t.Errorf("%+v, %v", back, err)
	}
	if other := NewCredential(); other.ID == made.ID || other.Secret == made.Secret || len(other.Secret) != 2*secretBytes {
		t.Errorf("%+v after %+v", other, made)
	}
	if v := made.LogValue().String(); strings.Contains(v, made.Secret) {
		t.Error("the log shows the secret")
	}
	for _, bad := range []string{"", "tandem_", "tandem_a", "tandem_a_", "tandem__b", "other_a_b", "tandem_a_" + strings.Repeat("x", 300)} {
		if _, err := ParseCredential(bad); !errors.Is(err, ErrCredential) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
