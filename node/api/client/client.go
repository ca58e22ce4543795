// Package client is the Go side of a node's HTTP API: the objects that travel,
// and a client that sends them. The server (package api), the command line and
// tests share these types, so that what is printed is what was sent.
//
// It never decides anything, keeps no state between requests and never retries
// what could happen twice: a payment carries its idempotency key, and only a
// request that reached nobody goes on to the next address.
//
//	c, err := client.New(client.Config{Addrs: []string{"https://10.0.0.11:8443"}, Token: token})
//	account, receipt, err := c.PutAccount(ctx, "acme", client.AccountSettings{...})
//	for cdr, err := range client.Each(ctx, query, c.CDRs) { ... }
//
// A refusal of the API comes back as a [*Problem], a cluster that cannot be
// reached at all as an [*UnreachableError].
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Prefix is the path below which all resources live.
const Prefix = "/api/v1"

// The headers of the API beside the standard ones.
const (
	HeaderIndex = "X-Tandem-Index"  // log index that the answer is as of
	HeaderNode  = "X-Tandem-Node"   // node that answered
	HeaderKey   = "Idempotency-Key" // of a mutation
)

// Config says where the API is and who asks.
type Config struct {
	// Addrs are the nodes, as URLs or as host:port (then https, or http for a
	// loopback address). They are tried in order until one can be reached.
	Addrs []string
	// Token is "tandem_<id>_<secret>".
	Token string
	// HTTP sends the requests; it brings the trusted certificates. Nil:
	// [http.DefaultClient].
	HTTP *http.Client
	// Stale reads from the asked node's replica without asking the leader.
	Stale bool
	// Agent is sent as User-Agent; empty: "tandem".
	Agent string
}

// Client sends requests to the API. It is safe for concurrent use.
type Client struct {
	bases []string
	cfg   Config
}

// New returns a client. The error names the address that cannot be used.
func New(cfg Config) (*Client, error) {
	if len(cfg.Addrs) == 0 {
		return nil, errors.New("no address of a node")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	if cfg.Agent == "" {
		cfg.Agent = "tandem"
	}
	c := &Client{cfg: cfg}
	for _, a := range cfg.Addrs {
		base, err := baseURL(a)
		if err != nil {
			return nil, err
		}
		c.bases = append(c.bases, base)
	}
	return c, nil
}

// baseURL completes an address.
func baseURL(addr string) (string, error) {
	if !strings.Contains(addr, "://") {
		scheme := "https://"
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return "", fmt.Errorf("address %q: want host:port or a URL", addr)
		}
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
			scheme = "http://"
		}
		addr = scheme + addr
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("address %q: want host:port or a URL", addr)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// UnreachableError says that no node answered.
type UnreachableError struct {
	Addrs []string
	Err   error // of the last address
}

// Error names the addresses and the last one's error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no node answers at %s: %v", strings.Join(e.Addrs, ", "), e.Err)
}

// Unwrap returns the last address's error.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Receipt says where in the log a mutation took effect, or as of where a read
// was answered.
type Receipt struct {
	Index uint64 // log index
	Node  string // that answered
}

// NewKey returns a fresh idempotency key.
func NewKey() string { return rand.Text() }

// request is one call of the API.
type request struct {
	method string
	path   string // below Prefix, escaped
	query  url.Values
	key    string // Idempotency-Key, or empty
	accept string // empty: JSON
	kind   string // Content-Type of body
	body   []byte
}

// maxThrottled is how often a request that was told to slow down is repeated.
const maxThrottled = 10

// send makes a request and returns the answer's body. The request goes to the
// next address only when no connection came about, or when it may be repeated:
// reads, PUT and DELETE by their nature, others by their key.
func (c *Client) send(ctx context.Context, r request) ([]byte, Receipt, error) {
	repeatable := r.method != http.MethodPost || r.key != ""
	var last error
	for _, base := range c.bases {
		body, receipt, err := c.try(ctx, base, r)
		var problem *Problem
		if err == nil || errors.As(err, &problem) || ctx.Err() != nil {
			return body, receipt, err
		}
		last = err
		var op *net.OpError
		if !repeatable && (!errors.As(err, &op) || op.Op != "dial") {
			break
		}
	}
	return nil, Receipt{}, &UnreachableError{Addrs: c.bases, Err: last}
}

// try makes a request to one node, more slowly when it says so.
func (c *Client) try(ctx context.Context, base string, r request) ([]byte, Receipt, error) {
	for attempt := 0; ; attempt++ {
		res, err := c.do(ctx, base, r)
		if err != nil {
			return nil, Receipt{}, err
		}
		body, err := io.ReadAll(res.Body)
		err = errors.Join(err, res.Body.Close())
		if err != nil {
			return nil, Receipt{}, err
		}
		receipt := Receipt{Node: res.Header.Get(HeaderNode)}
		receipt.Index, _ = strconv.ParseUint(res.Header.Get(HeaderIndex), 10, 64)
		if res.StatusCode < http.StatusBadRequest {
			return body, receipt, nil
		}
		wait, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		if res.StatusCode != http.StatusTooManyRequests || wait == 0 || attempt == maxThrottled {
			return nil, receipt, problemOf(res, body, time.Duration(wait)*time.Second)
		}
		select {
		case <-ctx.Done():
			return nil, receipt, ctx.Err()
		case <-time.After(time.Duration(wait) * time.Second):
		}
	}
}

func (c *Client) do(ctx context.Context, base string, r request) (*http.Response, error) {
	if c.cfg.Stale && r.method == http.MethodGet {
		if r.query == nil {
			r.query = url.Values{}
		}
		r.query.Set("consistency", "stale")
	}
	target := base + Prefix + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.cfg.Agent)
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	if r.key != "" {
		req.Header.Set(HeaderKey, r.key)
	}
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
	}
	if r.accept != "" {
		req.Header.Set("Accept", r.accept+", application/problem+json")
	}
	return c.cfg.HTTP.Do(req)
}

// get reads a resource into out.
func (c *Client) get(ctx context.Context, path string, query url.Values, out any) (Receipt, error) {
	return c.exchange(ctx, request{method: http.MethodGet, path: path, query: query}, nil, out)
}

// put replaces a resource and reads it back into out.
func (c *Client) put(ctx context.Context, path string, in, out any) (Receipt, error) {
	return c.exchange(ctx, request{method: http.MethodPut, path: path}, in, out)
}

// post sends in under a key, which may be empty, and reads the answer into out.
func (c *Client) post(ctx context.Context, path, key string, in, out any) (Receipt, error) {
	return c.exchange(ctx, request{method: http.MethodPost, path: path, key: key}, in, out)
}

// remove deletes a resource.
func (c *Client) remove(ctx context.Context, path string, query url.Values, out any) (Receipt, error) {
	return c.exchange(ctx, request{method: http.MethodDelete, path: path, query: query}, nil, out)
}

func (c *Client) exchange(ctx context.Context, r request, in, out any) (Receipt, error) {
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return Receipt{}, err
		}
		r.body, r.kind = body, "application/json"
	}
	body, receipt, err := c.send(ctx, r)
	if err != nil || out == nil {
		return receipt, err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return receipt, fmt.Errorf("answer of %s %s: %w", r.method, r.path, err)
	}
	return receipt, nil
}

// Raw makes any request below [Prefix] and returns the answer as it came.
func (c *Client) Raw(ctx context.Context, method, path, key string, body []byte) ([]byte, Receipt, error) {
	r := request{method: method, path: path, key: key, body: body}
	if len(body) > 0 {
		r.kind = "application/json"
	}
	return c.send(ctx, r)
}

// path joins escaped segments.
func path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}
