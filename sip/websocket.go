package sip

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// WebSocketConfig says how an endpoint speaks SIP over WebSocket (RFC 7118) with
// browsers; connections are only accepted. The zero value: not at all.
type WebSocketConfig struct {
	Listener net.Listener // accepts TCP connections for WebSocket; nil: none are accepted
	// Server holds the certificates for wss; nil: the listener speaks ws, in clear.
	Server *tls.Config
	// Origins lists the web pages whose scripts may connect, as browsers send it in
	// Origin: "https://phone.example.com". A client without an Origin is no browser
	// and is let in only by "*", which lets all in.
	Origins []string
	// Public is the host:port put into Contact; empty: as for TLS, with the port of Listener.
	Public string
}

func (c *WebSocketConfig) validate() error {
	switch {
	case c.Listener != nil && len(c.Origins) == 0:
		return errors.New("sip: WebSocket.Origins is empty, nobody could connect")
	case c.Public != "" && !isHostPort(c.Public):
		return fmt.Errorf("sip: WebSocket.Public is %q, must be host:port", c.Public)
	}
	return nil
}

// transport of the listener's connections.
func (c *WebSocketConfig) transport() Transport {
	if c.Server != nil {
		return WSS
	}
	return WS
}

// allows reports whether a page of this origin may connect.
func (c *WebSocketConfig) allows(origin string) bool {
	for _, o := range c.Origins {
		if o == "*" || origin != "" && strings.EqualFold(o, origin) {
			return true
		}
	}
	return false
}
