package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"tandem/node/config"
	"tandem/sip"
)

// Secure is SIP over TLS and over WebSocket on every service address. The zero
// value: neither.
type Secure struct {
	TLSPort uint16 // 0: no TLS
	WebPort uint16 // 0: no WebSocket
	Web     bool   // WebSocket over TLS (wss), else in clear (ws)
	Origins []string
	// Certificate is shown on both sides of a connection, Peers are the authorities of
	// peers that show one: trunks do, phones need not. nil: nobody's is believed.
	Certificate tls.Certificate
	Peers       *x509.CertPool
}

// secure gives an endpoint its listeners besides the TCP one.
func (n *Node) secure(l *line, cfg *sip.Config) {
	s := &n.opts.SIP.Secure
	listen := func(port uint16) *streams {
		more := newStreams(n.opts.Network, netip.AddrPortFrom(l.ip, port), true)
		l.secured = append(l.secured, more)
		return more
	}
	if s.TLSPort != 0 {
		cfg.TLS = sip.TLSConfig{Listener: listen(s.TLSPort), Server: s.server(), Client: s.client}
	}
	if s.WebPort != 0 {
		cfg.WebSocket = sip.WebSocketConfig{Listener: listen(s.WebPort), Origins: s.Origins}
		if s.Web {
			cfg.WebSocket.Server = s.server()
		}
	}
}

// server is the configuration of accepted connections. A certificate that is shown
// must be good; who shows none is known by his address or his password.
func (s *Secure) server() *tls.Config {
	cfg := &tls.Config{Certificates: []tls.Certificate{s.Certificate}, MinVersion: tls.VersionTLS12}
	if s.Peers != nil {
		cfg.ClientCAs, cfg.ClientAuth = s.Peers, tls.VerifyClientCertIfGiven
	}
	return cfg
}

// client is the configuration of a connection to a peer. Names were resolved
// before: his certificate has to carry his address.
func (s *Secure) client(dest netip.AddrPort) (*tls.Config, error) {
	return &tls.Config{
		Certificates: []tls.Certificate{s.Certificate}, RootCAs: s.Peers,
		ServerName: dest.Addr().String(), MinVersion: tls.VersionTLS12,
	}, nil
}

// loadSecure reads the certificates that the configuration names.
func loadSecure(c *config.SIP) (s Secure, err error) {
	web := slices.Contains(c.Transports, "wss")
	if slices.Contains(c.Transports, "tls") {
		s.TLSPort = c.TLSPort
	}
	if web || slices.Contains(c.Transports, "ws") {
		s.WebPort, s.Web, s.Origins = c.WebPort, web, c.Origins
	}
	if s.TLSPort == 0 && !web {
		return s, nil
	}
	if s.Certificate, err = tls.LoadX509KeyPair(c.Certificate, c.Key); err != nil {
		return s, fmt.Errorf("read sip.certificate: %w", err)
	}
	if c.Peers == "" {
		return s, nil
	}
	pem, err := os.ReadFile(c.Peers)
	if err != nil {
		return s, fmt.Errorf("read sip.peers: %w", err)
	}
	s.Peers = x509.NewCertPool()
	if !s.Peers.AppendCertsFromPEM(pem) {
		return s, errors.New("read sip.peers: " + c.Peers + " holds no certificate")
	}
	return s, nil
}

// cutStreams closes the ports of a line and all that is connected.
func (l *line) cutStreams() {
	l.streams.Cut()
	for _, s := range l.secured {
		s.Cut()
	}
}

// resetStreams closes what is connected.
func (l *line) resetStreams() {
	l.streams.Reset()
	for _, s := range l.secured {
		s.Reset()
	}
}
