package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxReadErrors in a row end the endpoint: the socket is gone, not disturbed.
const maxReadErrors = 100

// packet is one encoded message on its way out.
type packet struct {
	raw    []byte
	dest   Peer
	flow   flow   // of a stream: connection to prefer
	status int    // of a response; 0: a request
	method Method // of a request
}

// flow is a connection to prefer: its remote address, and its name unless that
// does not matter.
type flow struct {
	addr netip.AddrPort
	conn Conn
}

// Run serves the endpoint until ctx ends or a socket fails. It closes the sockets
// and returns after all its goroutines have.
func (e *Endpoint) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, s := range e.shards {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Go(func() { stop(e.readPackets(ctx)) })
	if e.cfg.Listener != nil {
		wg.Go(func() { stop(e.tcp.accept(ctx, e.cfg.Listener)) })
	}
	wg.Go(func() { e.tcp.run(ctx) })
	<-ctx.Done()
	e.cfg.Packet.Close()
	if e.cfg.Listener != nil {
		e.cfg.Listener.Close()
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// addrPortReader and addrPortWriter are what *net.UDPConn has besides
// net.PacketConn: no address is allocated for a datagram.
type addrPortReader interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
}
type addrPortWriter interface {
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

// readPackets is the one reader of the UDP socket.
func (e *Endpoint) readPackets(ctx context.Context) error {
	buf := make([]byte, maxMessage)
	for failures := 0; ; {
		n, src, err := e.readPacket(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			failures = 0
			e.receive(Peer{UDP, src}, buf[:n])
		case errors.Is(err, net.ErrClosed) || failures >= maxReadErrors:
			return fmt.Errorf("sip: read udp %s: %w", e.cfg.Packet.LocalAddr(), err)
		default:
			failures++ // an ICMP error of some peer, or a datagram that does not fit
		}
	}
}

func (e *Endpoint) readPacket(buf []byte) (int, netip.AddrPort, error) {
	if r, ok := e.cfg.Packet.(addrPortReader); ok {
		n, src, err := r.ReadFromUDPAddrPort(buf)
		return n, unmap(src), err
	}
	n, addr, err := e.cfg.Packet.ReadFrom(buf)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	src, err := addrPortOf(addr)
	return n, src, err
}

// transmit sends one message. On UDP it returns the socket's error; on TCP it
// queues the message, and fail, if not nil, hears later of what went wrong.
func (e *Endpoint) transmit(out packet, fail func(error)) error {
	if e.cfg.Permit != nil && !e.cfg.Permit(out.status) {
		e.stats.DroppedPermit.Add(1)
		return nil // as if the network had lost it: the state machines go on
	}
	var err error
	if out.dest.Transport.Stream() {
		err = e.tcp.send(out, fail)
	} else {
		err = e.writePacket(out.raw, out.dest.Addr)
	}
	if err != nil {
		e.stats.SendErrors.Add(1)
		e.log.Debug("send", "peer", out.dest, "err", err)
		return err
	}
	if e.cfg.Trace != nil {
		e.cfg.Trace(true, out.dest, out.raw)
	}
	if out.status != 0 {
		e.stats.ResponsesOut[out.status/100].Add(1)
	} else {
		e.stats.RequestsOut.add(out.method)
	}
	return nil
}

func (e *Endpoint) writePacket(raw []byte, dest netip.AddrPort) error {
	var err error
	if w, ok := e.cfg.Packet.(addrPortWriter); ok {
		_, err = w.WriteToUDPAddrPort(raw, dest)
	} else {
		_, err = e.cfg.Packet.WriteTo(raw, net.UDPAddrFromAddrPort(dest))
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

// wait sleeps for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
