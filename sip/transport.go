package sip

import (
	"net/netip"
	"strings"
)

// Transport is the protocol under SIP.
type Transport uint8

// The transports of an endpoint. The values are part of stored records.
const (
	UDP Transport = 0
	TCP Transport = 1
	TLS Transport = 2
	WS  Transport = 3 // WebSocket (RFC 7118); accepted only
	WSS Transport = 4 // WebSocket over TLS; accepted only
)

// lastTransport is the highest value that a stored record may hold.
const lastTransport = WSS

// String returns the name as it stands in a Via header.
func (t Transport) String() string {
	switch t {
	case TCP:
		return "TCP"
	case TLS:
		return "TLS"
	case WS:
		return "WS"
	case WSS:
		return "WSS"
	}
	return "UDP"
}

// Stream reports whether the transport has connections: what is sent arrives or
// the connection ends, so nothing is repeated on it.
func (t Transport) Stream() bool { return t != UDP }

// ParseTransport returns the transport of that name, as it stands in a Via or in
// the transport parameter of a URI; it does not look at the case.
func ParseTransport(name string) (Transport, bool) {
	for t := UDP; t <= lastTransport; t++ {
		if strings.EqualFold(name, t.String()) {
			return t, true
		}
	}
	return UDP, false
}

// Peer is the far end of a message: its transport and address.
type Peer struct {
	Transport Transport
	Addr      netip.AddrPort
}

// String returns for example "udp:192.0.2.1:5060".
func (p Peer) String() string {
	return strings.ToLower(p.Transport.String()) + ":" + p.Addr.String()
}

// Conn names one connection of an endpoint for as long as it lives; 0 is none. An
// address may belong to another peer by the next day, or behind a NAT within the
// minute: what has to reach the peer of a dialog goes by the name of its
// connection, never by the address alone. Names are random, so that another node
// that adopts a dialog finds nothing under its name and dials the peer's Contact.
type Conn uint64
