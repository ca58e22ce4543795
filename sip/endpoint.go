package sip

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Default timer values of RFC 3261 section 17.1.1.1 and appendix A.
const (
	DefaultT1 = 500 * time.Millisecond // round-trip estimate
	DefaultT2 = 4 * time.Second        // longest retransmission interval
	DefaultT4 = 5 * time.Second        // longest life of a message in the network
)

// DefaultShards is the number of shards when none is configured, or that of CPUs if
// there are fewer: each one more is one more goroutine to wake for a message.
const DefaultShards = 4

// DefaultIdle is how long a TCP connection may stay without a byte from the
// peer before it is closed. It is longer than the usual keep-alive of 120 s.
const DefaultIdle = 10 * time.Minute

// Errors that a client transaction reports, and that Send and Respond return.
var (
	// ErrTimeout: no (final) response came in time.
	ErrTimeout = errors.New("sip: timeout")
	// ErrTransport: the message could not be sent; the cause is wrapped.
	ErrTransport = errors.New("sip: transport")
	// ErrBusy: a queue of the endpoint is at its bound, or the endpoint has stopped.
	ErrBusy = errors.New("sip: busy")
	// ErrMessage: the message may not be sent: a field is missing, too long, or holds a control character.
	ErrMessage = errors.New("sip: bad message")
)

// Handler is call control as the endpoint sees it. Its methods are called from
// shard goroutines: one at a time for one Call-ID, in order of arrival. They
// must not block.
type Handler interface {
	// Request delivers a request that is new to its transaction, inside or outside
	// of a dialog, and the transaction to answer it with. For an ACK to a 2xx, which
	// has no transaction, tx is nil.
	Request(req *Request, tx *ServerTx)
	// Canceled tells that the INVITE of tx was cancelled before its final response.
	// The CANCEL has been answered; the handler answers the INVITE, with 487.
	Canceled(tx *ServerTx, cancel *Request)
	// AckTimeout tells that the 2xx sent on tx was repeated for 64*T1 without an
	// ACK: the session should be ended with a BYE (RFC 3261 section 13.3.1.4).
	AckTimeout(tx *ServerTx)
	// StrayResponse delivers a response that matches no transaction here: that of a
	// node whose address was taken over, or one that came too late.
	StrayResponse(res *Response)
}

// Config says what an endpoint works with. Packet, Handler and one of Public
// and a specific local address of Packet are required; the zero value of all
// else is the documented default. The endpoint closes Packet and Listener when
// Run returns.
type Config struct {
	Packet   net.PacketConn // UDP
	Listener net.Listener   // TCP; nil: only outgoing TCP connections
	TLS      TLSConfig
	// WebSocket is for browsers.
	WebSocket WebSocketConfig
	// Dial opens TCP connections, also those for TLS, from the service address; nil:
	// none are opened.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Public is the host:port put into Via and Contact; empty: the local address of Packet.
	Public  string
	Handler Handler
	Logger  *slog.Logger // nil discards
	// Gate is asked for every received message before it is parsed; false drops it
	// silently. It is called from the socket readers and must not keep b. Of a TCP
	// connection it is asked first with an empty b, when the peer connects. nil: all pass.
	Gate func(src netip.AddrPort, b []byte) bool
	// Known reports the addresses of trunks and registered phones. They are not bound
	// by Budget, and are served while new calls of others are refused. Sources of
	// answered calls and of accepted REGISTERs become known by themselves. It is called
	// from the socket readers, for each message. nil: all are known.
	Known  func(src netip.Addr) bool
	Budget Budget
	// Permit is asked before every message that leaves, with the status of a
	// response or 0 for a request; false drops it. A node that has lost its lease
	// sends nothing but 503. nil: all pass.
	Permit func(status int) bool
	// Trace is shown every message that has passed Gate, and every one that leaves. It
	// must not keep raw. nil: nobody looks.
	Trace func(sent bool, peer Peer, raw []byte)
	// Supported lists the option tags that a request may Require; others get 420.
	Supported []string
	Rand      io.Reader // source of tags, branches and Call-IDs; nil: crypto/rand

	T1, T2, T4 time.Duration // 0: the default
	Idle       time.Duration // 0: DefaultIdle
	Shards     int           // 0: DefaultShards, or fewer
}

// Validate reports the first key whose value cannot be used.
func (c *Config) Validate() error {
	switch {
	case c.Packet == nil:
		return errors.New("sip: Packet is missing")
	case c.Handler == nil:
		return errors.New("sip: Handler is missing")
	case c.T1 < 0 || c.T2 < 0 || c.T4 < 0 || c.Idle < 0:
		return errors.New("sip: T1, T2, T4 and Idle must not be negative")
	case c.Shards < 0 || c.Shards > 1024:
		return fmt.Errorf("sip: Shards is %d, must be 0 to 1024", c.Shards)
	}
	if c.Public != "" && !isHostPort(c.Public) {
		return fmt.Errorf("sip: Public is %q, must be host:port", c.Public)
	}
	return cmp.Or(c.TLS.validate(), c.WebSocket.validate(), c.Budget.validate())
}

func isHostPort(s string) bool {
	_, _, err := net.SplitHostPort(s)
	return err == nil && clean(s)
}

// Endpoint is one service address. Create it with New, then call Run.
type Endpoint struct {
	cfg    Config
	public [lastTransport + 1]string // host:port of Via and Contact
	log    *slog.Logger
	seed   uint64 // of the hash that spreads Call-IDs over shards: peers cannot aim at one
	shards []*shard
	stats  Stats

	streams connTable
	repeats *repeats
	budgets *budgets
	friends friends
	narrow  narrow

	randMu sync.Mutex // guards cfg.Rand, which need not be safe for concurrent use
}

// New makes an endpoint; nothing is read or sent before Run.
func New(cfg Config) (*Endpoint, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.T1 = cmp.Or(cfg.T1, DefaultT1)
	cfg.T2 = cmp.Or(cfg.T2, DefaultT2)
	cfg.T4 = cmp.Or(cfg.T4, DefaultT4)
	cfg.Idle = cmp.Or(cfg.Idle, DefaultIdle)
	cfg.Shards = cmp.Or(cfg.Shards, min(DefaultShards, runtime.GOMAXPROCS(0)))
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Endpoint{
		cfg:    cfg,
		public: publics(&cfg),
		log:    cfg.Logger,
	}
	var seed [8]byte
	if _, err := io.ReadFull(cfg.Rand, seed[:]); err != nil {
		return nil, fmt.Errorf("sip: read Rand: %w", err)
	}
	e.seed = binary.LittleEndian.Uint64(seed[:])
	e.streams.init(e)
	e.repeats, e.budgets = newRepeats(), newBudgets(cfg.Budget)
	for range cfg.Shards {
		e.shards = append(e.shards, newShard(e))
	}
	return e, nil
}

// Stats returns the endpoint's live counters.
func (e *Endpoint) Stats() *Stats { return &e.stats }

// Contact returns the URI under which this endpoint is reached, with the given
// user part and over the given transport.
func (e *Endpoint) Contact(user string, transport Transport) string {
	uri := "sip:" + user + "@" + e.public[transport]
	if transport != UDP {
		uri += ";transport=" + strings.ToLower(transport.String())
	}
	return uri
}

// publics are the host:port of Via and Contact, by transport.
func publics(cfg *Config) (all [lastTransport + 1]string) {
	plain := cmp.Or(cfg.Public, cfg.Packet.LocalAddr().String())
	host, _, err := net.SplitHostPort(plain)
	if err != nil {
		host = plain
	}
	secure := cmp.Or(cfg.TLS.Public, net.JoinHostPort(host, portOf(cfg.TLS.Listener, "5061")))
	web := cmp.Or(cfg.WebSocket.Public, net.JoinHostPort(host, portOf(cfg.WebSocket.Listener, "80")))
	return [...]string{UDP: plain, TCP: plain, TLS: secure, WS: web, WSS: web}
}

// portOf is the listener's port.
func portOf(listener net.Listener, otherwise string) string {
	if listener == nil {
		return otherwise
	}
	at, err := addrPortOf(listener.Addr())
	if err != nil {
		return otherwise
	}
	return strconv.Itoa(int(at.Port()))
}
