package cluster

import (
	"context"
	"net"
)

// Proto says what a stream carries. In production it is part of the TLS ALPN
// name, so that one port serves all three.
type Proto string

// The stream protocols.
const (
	ProtoRaft   Proto = "raft"
	ProtoRPC    Proto = "rpc"
	ProtoGossip Proto = "gossip"
)

// Network hands out connections between members that have proven to belong to
// this cluster. Production: package transport. Tests: memory.
//
// A connection may have a method Peer() string that names the certified node at
// its other end; then messages in the name of another node are refused.
type Network interface {
	// Dial connects to a member's advertised address.
	Dial(ctx context.Context, addr string, proto Proto) (net.Conn, error)
	// Listen returns the listener for one protocol. It is called once for each.
	Listen(proto Proto) (net.Listener, error)
	// Packets returns the datagram socket of gossip, bound to the same port. It is
	// called once.
	Packets() (net.PacketConn, error)
}
