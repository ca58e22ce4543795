package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// handshakeTimeout bounds a TLS handshake: who starts one and lets it hang must
// not keep a place that others need.
const handshakeTimeout = 5 * time.Second

// errPeerRefused: the peer's certificate was not accepted by TLSConfig.Verify.
var errPeerRefused = errors.New("peer is refused")

// TLSConfig says how an endpoint speaks SIP over TLS. The zero value: not at all.
// Versions below 1.2 are never spoken.
type TLSConfig struct {
	Listener net.Listener // accepts TCP connections for TLS; nil: none are accepted
	// Server holds the listener's certificates and, for mutual TLS, ClientCAs and
	// ClientAuth. Required with Listener.
	Server *tls.Config
	// Client gives the configuration of a connection that is opened: the certificate
	// that the trunk at dest wants to see, its RootCAs, and as ServerName the name
	// that its certificate must carry (RFC 5922). nil: none are opened.
	Client func(dest netip.AddrPort) (*tls.Config, error)
	// Verify is asked after the handshake of an accepted connection, for example
	// whether the name in the certificate fits the trunk at src; an error closes the
	// connection. nil: what Server demands is enough.
	Verify func(src netip.AddrPort, state tls.ConnectionState) error
	// Public is the host:port put into Via and Contact; empty: the host of
	// Config.Public with the port of Listener, else 5061.
	Public string
}

func (c *TLSConfig) validate() error {
	switch {
	case c.Listener != nil && c.Server == nil:
		return errors.New("sip: TLS.Server is missing")
	case c.Public != "" && !isHostPort(c.Public):
		return fmt.Errorf("sip: TLS.Public is %q, must be host:port", c.Public)
	}
	return nil
}

// accepted completes the handshake of an accepted connection.
func (c *TLSConfig) accepted(ctx context.Context, nc net.Conn, src netip.AddrPort) (net.Conn, error) {
	tc := tls.Server(nc, atLeast12(c.Server))
	if err := handshake(ctx, tc); err != nil {
		return nc, err
	}
	if c.Verify != nil {
		if err := c.Verify(src, tc.ConnectionState()); err != nil {
			return nc, fmt.Errorf("%w: %w", errPeerRefused, err)
		}
	}
	return tc, nil
}

// opened completes the handshake of a connection that was opened.
func (c *TLSConfig) opened(ctx context.Context, nc net.Conn, dest netip.AddrPort) (net.Conn, error) {
	cfg, err := c.Client(dest)
	if err != nil {
		return nc, fmt.Errorf("tls configuration for %s: %w", dest, err)
	}
	tc := tls.Client(nc, atLeast12(cfg))
	return tc, handshake(ctx, tc)
}

func handshake(ctx context.Context, tc *tls.Conn) error {
	ctx, stop := context.WithTimeout(ctx, handshakeTimeout)
	defer stop()
	if err := tc.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls handshake: %w", err)
	}
	return nil
}

// atLeast12 is the configuration without the versions that RFC 8996 forbids.
func atLeast12(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if cfg.MinVersion >= tls.VersionTLS12 {
		return cfg
	}
	cfg = cfg.Clone()
	cfg.MinVersion = tls.VersionTLS12
	return cfg
}

// authentic reports whether the peer of a connection showed a certificate that
// was checked.
func authentic(nc net.Conn) bool {
	tc, ok := nc.(*tls.Conn)
	return ok && len(tc.ConnectionState().VerifiedChains) > 0
}
