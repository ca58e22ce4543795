package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Network opens the sockets of service addresses. The system's is
// [SystemNetwork]; a simulator brings its own.
type Network interface {
	ListenPacket(addr netip.AddrPort) (net.PacketConn, error)
	Listen(addr netip.AddrPort) (net.Listener, error)
	// Dial connects from a service address, so that the peer sees the address it
	// knows.
	Dial(ctx context.Context, from netip.Addr, network, addr string) (net.Conn, error)
	// Free says whether no process of this machine has a UDP socket at addr.
	Free(addr netip.AddrPort) bool
}

// receiveBuffer holds what arrives while the reader waits for a CPU: with the
// kernel's default of 208 kB one stall becomes a storm of retransmissions.
const receiveBuffer = 4 << 20

// dialTimeout bounds a connection attempt to a peer that is silent.
const dialTimeout = 4 * time.Second

// SystemNetwork is the operating system's network.
type SystemNetwork struct{}

// ListenPacket opens a UDP socket. It may bind an address that the host does not
// have yet (takeover opens sockets before it adds the address), and beside the
// socket of a frozen process: the newest bind gets all packets.
func (SystemNetwork) ListenPacket(addr netip.AddrPort) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: controlUDP}
	conn, err := lc.ListenPacket(context.Background(), "udp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("open udp %s: %w", addr, err)
	}
	return conn, nil
}

// Open opens a UDP socket like ListenPacket, as a bare descriptor.
func (SystemNetwork) Open(addr netip.AddrPort) (int, error) {
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if ip := addr.Addr().Unmap(); ip.Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("open udp %s: %w", addr, err)
	}
	if err = setUDP(fd); err == nil {
		err = unix.Bind(fd, to)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("open udp %s: %w", addr, err), unix.Close(fd))
	}
	return fd, nil
}

// Listen opens a TCP listener.
func (SystemNetwork) Listen(addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{Control: controlFreeBind}
	l, err := lc.Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("open tcp %s: %w", addr, err)
	}
	return l, nil
}

// Dial connects to a peer.
func (SystemNetwork) Dial(ctx context.Context, from netip.Addr, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		Timeout: dialTimeout, Control: controlFreeBind,
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)),
	}
	return d.DialContext(ctx, network, addr)
}

// Free binds the address without SO_REUSEADDR: the kernel knows whether anybody
// else has it, be he stopped or not.
func (SystemNetwork) Free(addr netip.AddrPort) bool {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func controlUDP(_, _ string, c syscall.RawConn) error { return control(c, setUDP) }

func setUDP(fd int) error {
	if err := setFreeBind(fd); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	// The kernel caps it at net.core.rmem_max; with the privilege it does not.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
}

func controlFreeBind(_, _ string, c syscall.RawConn) error {
	return control(c, setFreeBind)
}

func setFreeBind(fd int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
}

func control(c syscall.RawConn, set func(fd int) error) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = set(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}
