package sim

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Member is a process as its cluster sees the network: streams of several
// protocols and datagrams at one address. P is the cluster's type for protocols,
// which keeps this package from importing the cluster whose tests run in it.
type Member[P ~string] struct {
	proc      *Process
	addr      netip.AddrPort
	protocols []P
}

// NewMember puts r on a port of its host. Each protocol has a port of its own
// behind that, in place of production's one port and TLS.
func NewMember[P ~string](r *Process, port uint16, protocols ...P) *Member[P] {
	return &Member[P]{r, netip.AddrPortFrom(r.host.addr, port), protocols}
}

// Dial connects to the member that advertises addr.
func (m *Member[P]) Dial(ctx context.Context, addr string, proto P) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	to, err = m.port(to, proto)
	if err != nil {
		return nil, err
	}
	return m.proc.Dial(ctx, to)
}

// Listen returns the listener for one protocol.
func (m *Member[P]) Listen(proto P) (net.Listener, error) {
	at, err := m.port(m.addr, proto)
	if err != nil {
		return nil, err
	}
	return m.proc.Listen(at)
}

// Packets returns the datagram socket.
func (m *Member[P]) Packets() (net.PacketConn, error) { return m.proc.ListenPacket(m.addr) }

func (m *Member[P]) port(addr netip.AddrPort, proto P) (netip.AddrPort, error) {
	i := slices.Index(m.protocols, proto)
	if i < 0 {
		return addr, fmt.Errorf("protocol %q is not of this network", proto)
	}
	return netip.AddrPortFrom(addr.Addr(), addr.Port()+1+uint16(i)), nil
}
