package sip

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
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

const (
	maxUpgrade     = 8 << 10         // bytes of the HTTP request
	upgradeTimeout = 5 * time.Second // for all of it

	// webGUID is what RFC 6455 section 4.2.2 has appended to the client's key.
	webGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// upgrade answers the HTTP request that makes a WebSocket of the connection
// (RFC 6455 section 4.2) and returns what cuts its frames. No extension is
// accepted, so nothing is ever decompressed.
func (c *WebSocketConfig) upgrade(ctx context.Context, nc net.Conn) (messages, error) {
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := nc.SetDeadline(time.Now().Add(upgradeTimeout)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(io.LimitReader(nc, maxUpgrade))
	req, err := http.ReadRequest(in)
	if err != nil {
		return nil, fmt.Errorf("read upgrade: %w", err)
	}
	status := c.refusal(req)
	if status != http.StatusSwitchingProtocols {
		fmt.Fprintf(nc, "HTTP/1.1 %d %s\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
			status, http.StatusText(status))
		return nil, fmt.Errorf("upgrade refused with %d", status)
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + webGUID))
	if _, err := fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		return nil, fmt.Errorf("answer upgrade: %w", err)
	}
	early, err := in.Peek(in.Buffered())
	return &webFramer{buf: bytes.Clone(early)}, cmp.Or(err, nc.SetDeadline(time.Time{}))
}

// refusal returns the HTTP status of an upgrade: 101 when it is in order.
func (c *WebSocketConfig) refusal(req *http.Request) int {
	key, err := base64.StdEncoding.DecodeString(req.Header.Get("Sec-WebSocket-Key"))
	switch {
	case req.Method != http.MethodGet || !req.ProtoAtLeast(1, 1),
		!hasToken(req.Header, "Upgrade", "websocket"), !hasToken(req.Header, "Connection", "upgrade"),
		err != nil || len(key) != 16:
		return http.StatusBadRequest
	case req.Header.Get("Sec-WebSocket-Version") != "13":
		return http.StatusUpgradeRequired
	case !c.allows(req.Header.Get("Origin")):
		return http.StatusForbidden
	case !hasToken(req.Header, "Sec-WebSocket-Protocol", "sip"): // RFC 7118 section 4
		return http.StatusBadRequest
	}
	return http.StatusSwitchingProtocols
}

func hasToken(h http.Header, name, token string) bool {
	for _, value := range splitList(h.Values(name)) {
		if strings.EqualFold(value, token) {
			return true
		}
	}
	return false
}
