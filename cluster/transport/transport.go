// Package transport is the production [cluster.Network]: one TCP port with
// mutual TLS 1.3, whose ALPN name tells raft, rpc and gossip streams, the
// cluster and its generation apart, and one UDP socket for gossip (encrypted by
// memberlist's keyring).
package transport

import (
	"log/slog"
	"net"
	"time"

	"tandem/cluster/pki"
)

// Config is what a Network is made of.
type Config struct {
	Credentials pki.Credentials
	Generation  uint32
	// Stream and Datagram are bound to the same address and port. The Network
	// closes them.
	Stream   net.Listener
	Datagram net.PacketConn
	Now      func() time.Time // nil: time.Now
	Logger   *slog.Logger     // nil discards
}

// Network implements cluster.Network over TLS.
type Network struct{}

// New starts accepting. Close ends it.
func New(cfg Config) (*Network, error) { panic("unfinished") }
