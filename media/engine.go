package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// engine moves datagrams between sockets and sessions. The plain engine serves
// every conn, the epoll engine the system's sockets; later engines fit here.
type engine interface {
	// attach sets s.link and starts to deliver what arrives on conns, which it
	// owns from then on. After an error they are still the caller's.
	attach(s *Session, conns [lanes]net.PacketConn) error
	// close ends the engine, after all links were closed.
	close() error
}

// bareEngine is an engine that serves descriptors. attachBare owns them in any case.
type bareEngine interface {
	attachBare(s *Session, fds [lanes]int32) error
}

// link is a session's sockets in an engine.
type link interface {
	// close closes the sockets, at once or shortly after.
	close() error
}

// maxReadErrors is how many reads may fail in a row before a socket is given
// up: a broken conn must not spin.
const maxReadErrors = 16

// plainEngine reads each socket in its own goroutine.
type plainEngine struct {
	now func() time.Duration
	log *slog.Logger
}

// addrPortConn is what *net.UDPConn offers to avoid an allocation per packet.
type addrPortConn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
	Close() error
}

func (e *plainEngine) attach(s *Session, conns [lanes]net.PacketConn) error {
	l := &plainLink{engine: e, session: s}
	for i, c := range conns {
		direct, ok := c.(addrPortConn)
		if !ok {
			direct = adapter{c}
		}
		l.conns[i] = direct
	}
	s.link = l
	for i := range l.conns {
		l.readers.Go(func() { l.read(lane(i)) })
	}
	return nil
}

func (e *plainEngine) close() error { return nil }

// plainLink is a session's four conns and their readers.
type plainLink struct {
	engine  *plainEngine
	session *Session
	conns   [lanes]addrPortConn
	closing atomic.Bool
	readers sync.WaitGroup
}

func (l *plainLink) close() error {
	l.closing.Store(true)
	var errs error
	for _, c := range l.conns {
		errs = errors.Join(errs, c.Close())
	}
	l.readers.Wait()
	return errs
}

// read relays what arrives on one conn until it is closed.
func (l *plainLink) read(at lane) {
	// One byte more shows what was cut off, and encryption makes packets longer.
	b := make([]byte, maxPacket+1, maxPacket+1+srtpOverhead)
	errorsInARow := 0
	for {
		n, src, err := l.conns[at].ReadFromUDPAddrPort(b)
		if err != nil && (l.closing.Load() || errors.Is(err, net.ErrClosed)) {
			return
		}
		if err != nil {
			if errorsInARow++; errorsInARow == maxReadErrors {
				l.engine.log.Warn("media socket given up", "call", l.session.id, "err", err)
				return
			}
			continue
		}
		errorsInARow = 0
		src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
		out, to, packet := l.session.route(at, b[:n], src, l.engine.now())
		if packet == nil {
			continue
		}
		if _, err := l.conns[out].WriteToUDPAddrPort(packet, to); err != nil {
			l.session.unsent(at, len(packet))
		}
	}
}

// adapter gives any net.PacketConn the methods of the packet path.
type adapter struct{ net.PacketConn }

func (a adapter) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, src, err := a.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	if udp, ok := src.(*net.UDPAddr); ok {
		return n, udp.AddrPort(), nil
	}
	addr, err := netip.ParseAddrPort(src.String())
	if err != nil {
		return n, netip.AddrPort{}, fmt.Errorf("source address: %w", err)
	}
	return n, addr, nil
}

func (a adapter) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	return a.WriteTo(b, net.UDPAddrFromAddrPort(addr))
}
