package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// maxReadErrors in a row end the endpoint: the socket is gone, not disturbed.
const maxReadErrors = 100

// batchSize is how many datagrams one system call takes or sends. More brings
// little, since the call is then a small part of the cost of its datagrams.
const batchSize = 16

// datagramReader reads datagrams, several at once where the socket can do so.
type datagramReader interface {
	// read waits for datagrams and returns how many there are.
	read() (int, error)
	// datagram returns one of them; it is valid until the next read.
	datagram(i int) ([]byte, netip.AddrPort)
}

// datagramWriter sends datagrams. It belongs to one goroutine.
type datagramWriter interface {
	// write sends from the front of the batch and returns how many were taken; the
	// error is that of the one behind them.
	write(batch []outgoing) (int, error)
}

// readPackets is the one reader of the UDP socket.
func (e *Endpoint) readPackets(ctx context.Context) error {
	r := newReader(e.cfg.Packet)
	for failures := 0; ; {
		n, err := r.read()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			failures = 0
			for i := range n {
				raw, src := r.datagram(i)
				e.receive(arrival{peer: Peer{UDP, src}}, raw)
			}
		case errors.Is(err, net.ErrClosed) || failures >= maxReadErrors:
			return fmt.Errorf("sip: read udp %s: %w", e.cfg.Packet.LocalAddr(), err)
		default:
			failures++ // an ICMP error of some peer, or a datagram that does not fit
		}
	}
}

// newReader reads in batches from the system's sockets, and from any other conn
// one datagram at a time.
func newReader(conn net.PacketConn) datagramReader {
	if u, ok := conn.(*net.UDPConn); ok {
		if r := newBatchReader(u); r != nil {
			return r
		}
	}
	return &singleReader{conn: conn, buf: make([]byte, maxMessage)}
}

func newWriter(conn net.PacketConn) datagramWriter {
	if u, ok := conn.(*net.UDPConn); ok {
		if w := newBatchWriter(u); w != nil {
			return w
		}
	}
	return singleWriter{conn}
}

// singleReader reads one datagram at a time.
type singleReader struct {
	conn net.PacketConn
	buf  []byte
	n    int
	src  netip.AddrPort
}

func (r *singleReader) read() (int, error) {
	n, addr, err := r.conn.ReadFrom(r.buf)
	if err != nil {
		return 0, err
	}
	r.n = n
	r.src, err = addrPortOf(addr)
	return 1, err
}

func (r *singleReader) datagram(int) ([]byte, netip.AddrPort) { return r.buf[:r.n], r.src }

// singleWriter sends one datagram at a time.
type singleWriter struct{ conn net.PacketConn }

func (w singleWriter) write(batch []outgoing) (int, error) {
	for i, out := range batch {
		if err := writePacket(w.conn, out.raw, out.dest.Addr); err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

// writePacket sends one datagram; any goroutine may call it.
func writePacket(conn net.PacketConn, raw []byte, dest netip.AddrPort) error {
	var err error
	if u, ok := conn.(*net.UDPConn); ok {
		_, err = u.WriteToUDPAddrPort(raw, dest)
	} else {
		_, err = conn.WriteTo(raw, net.UDPAddrFromAddrPort(dest))
	}
	return err
}

// addrPortOf converts the address of any conn, also of an in-memory one.
func addrPortOf(addr net.Addr) (netip.AddrPort, error) {
	switch a := addr.(type) {
	case *net.UDPAddr:
		return unmap(a.AddrPort()), nil
	case *net.TCPAddr:
		return unmap(a.AddrPort()), nil
	case nil:
		return netip.AddrPort{}, errors.New("no address")
	}
	ap, err := netip.ParseAddrPort(addr.String())
	return unmap(ap), err
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
