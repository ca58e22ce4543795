//go:build linux && (amd64 || arm64)

package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// The epoll engine keeps no goroutine and no buffer for an idle socket: a few
// loops serve all sockets and call recvfrom and sendto directly. All four
// sockets of a session belong to one loop, so nothing can close a socket that
// another thread is about to use.
//
// Most of the price of a packet is waking a thread for it. So a loop looks at
// its sockets once a millisecond while there is traffic, and takes what has
// come together. Only when nothing has come for a while does it block; blocking
// costs more than the wait, since the scheduler has to find it another thread.
// Measured with 500 calls (50,000 packets a second) on 2 cores: 6.3 us of
// processor time for each packet and 1 ms of delay; the plain engine takes 10.9 us.

// Bounds of a loop.
const (
	maxLoops  = 4   // one serves some 150,000 packets a second
	maxEvents = 128 // sockets served between two looks at the clock
	tick      = time.Millisecond
	idleTicks = 100 // ticks without a packet before a loop blocks
)

// epollEngine spreads sessions over loops.
type epollEngine struct {
	loops []*epollLoop
	next  atomic.Uint32
}

// newFastEngine starts a loop for each two processors: the other is for the
// rest of the node.
func newFastEngine(now func() time.Duration, log *slog.Logger) (engine, error) {
	e := &epollEngine{}
	for range min(maxLoops, max(1, runtime.GOMAXPROCS(0)/2)) {
		loop, err := newEpollLoop(now, log)
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		e.loops = append(e.loops, loop)
		go loop.run()
	}
	return e, nil
}

// attach takes the file descriptors out of the runtime's own poller: it would
// be woken by each packet too.
func (e *epollEngine) attach(s *Session, conns [lanes]net.PacketConn) error {
	var fds [lanes]int32
	for i, c := range conns {
		fd, err := duplicate(c.(*net.UDPConn))
		if err != nil {
			return errors.Join(fmt.Errorf("take over %s: %w", c.LocalAddr(), err), closeDescriptors(fds[:i]))
		}
		fds[i] = fd
	}
	if err := e.attachBare(s, fds); err != nil {
		return err
	}
	for i, c := range conns {
		if err := c.Close(); err != nil {
			e.loops[0].log.Warn("close duplicated media socket", "call", s.id, "lane", i, "err", err)
		}
	}
	return nil
}

// attachBare implements bareEngine.
func (e *epollEngine) attachBare(s *Session, fds [lanes]int32) error {
	l := &epollLink{loop: e.loops[e.next.Add(1)%uint32(len(e.loops))], session: s, fds: fds}
	s.link = l
	if err := l.loop.add(l); err != nil {
		return errors.Join(err, l.close())
	}
	return nil
}

func (e *epollEngine) close() error {
	var errs error
	for _, loop := range e.loops {
		errs = errors.Join(errs, loop.close())
	}
	return errs
}

// duplicate returns a second descriptor of a conn's socket, which keeps its
// options and stays non-blocking.
func duplicate(c *net.UDPConn) (int32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd uintptr
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		fd, _, errno = syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("fcntl", errno)
	}
	return int32(fd), err
}

// epollLink is a session's four sockets in a loop.
type epollLink struct {
	loop    *epollLoop
	session *Session
	fds     [lanes]int32
}

// close takes the sockets out of the loop, which closes them within a tick: it
// may be using them just now.
func (l *epollLink) close() error {
	l.loop.mu.Lock()
	for _, fd := range l.fds {
		l.loop.sockets[fd] = socketRef{}
		l.loop.doomed = append(l.loop.doomed, fd)
	}
	l.loop.mu.Unlock()
	l.loop.wake()
	return nil
}

// epollLoop is one thread that serves the sockets given to it.
type epollLoop struct {
	now     func() time.Duration
	log     *slog.Logger
	epoll   int
	wakeR   int // a pipe that ends the wait
	wakeW   int
	stopped chan error // capacity 1: what run returned

	mu       sync.Mutex  // guards those below; held for no system call
	sockets  []socketRef // by descriptor
	doomed   []int32     // sockets of closed links, for run to close
	stopping bool

	buffer [maxPacket + srtpOverhead]byte // from here on used by run only
	src    syscall.RawSockaddrInet6       // large enough for both families
	dst4   syscall.RawSockaddrInet4
	dst6   syscall.RawSockaddrInet6
}

// socketRef finds the link and lane of a descriptor; no link: nothing to serve.
type socketRef struct {
	link *epollLink
	at   lane
}

func newEpollLoop(now func() time.Duration, log *slog.Logger) (*epollLoop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	l := &epollLoop{now: now, log: log, epoll: epoll, stopped: make(chan error, 1)}
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, errors.Join(os.NewSyscallError("pipe2", err), syscall.Close(epoll))
	}
	l.wakeR, l.wakeW = pipe[0], pipe[1]
	if err := l.watch(int32(l.wakeR)); err != nil {
		return nil, errors.Join(err, l.free())
	}
	return l, nil
}

// run serves the sockets until it is told to stop.
func (l *epollLoop) run() {
	var events [maxEvents]syscall.EpollEvent
	var refs [maxEvents]socketRef
	idle := 0
	for {
		n := l.ready(events[:], idle >= idleTicks)
		doomed, stopping := l.resolve(events[:n], refs[:n])
		now := l.now()
		for i, ref := range refs[:n] {
			if ref.link != nil {
				l.serve(ref.link, ref.at, now)
			} else if int(events[i].Fd) == l.wakeR {
				l.drain()
			}
		}
		for _, fd := range doomed {
			if err := syscall.Close(int(fd)); err != nil {
				l.log.Warn("close media socket", "err", err)
			}
		}
		if stopping {
			l.stopped <- l.free()
			return
		}
		if n > 0 {
			idle = 0
		} else {
			idle++
		}
		if n < maxEvents {
			time.Sleep(tick)
		}
	}
}

// resolve finds the links of ready descriptors, and takes what is to be closed
// after them: no later batch can refer to it.
func (l *epollLoop) resolve(events []syscall.EpollEvent, refs []socketRef) (doomed []int32, stopping bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, event := range events {
		refs[i] = socketRef{}
		if int(event.Fd) < len(l.sockets) {
			refs[i] = l.sockets[event.Fd]
		}
	}
	doomed, l.doomed = l.doomed, nil
	return doomed, l.stopping
}

// ready returns how many sockets are readable, waiting for the first if told so.
func (l *epollLoop) ready(events []syscall.EpollEvent, wait bool) int {
	if wait {
		n, err := syscall.EpollWait(l.epoll, events, -1)
		if err != nil && err != syscall.EINTR {
			panic(fmt.Sprintf("media: invariant: the loop owns its epoll: %v", err))
		}
		return max(n, 0)
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.epoll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// serve relays one datagram. One is what a socket has at a time (a packet each
// 20 ms); level-triggered events bring the loop back for the rest.
func (l *epollLoop) serve(link *epollLink, at lane, now time.Duration) {
	srcLen := uint32(unsafe.Sizeof(l.src))
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(link.fds[at]),
		uintptr(unsafe.Pointer(&l.buffer[0])), maxPacket, syscall.MSG_TRUNC,
		uintptr(unsafe.Pointer(&l.src)), uintptr(unsafe.Pointer(&srcLen)))
	if errno != 0 {
		return // EAGAIN, or an ICMP error of an earlier packet, which is now read
	}
	if n > maxPacket { // MSG_TRUNC: the true length
		link.session.oversize(at)
		return
	}
	out, to, packet := link.session.route(at, l.buffer[:n], l.source(), now)
	if packet == nil {
		return
	}
	addr, addrLen := l.destination(to)
	_, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(link.fds[out]),
		uintptr(unsafe.Pointer(&packet[0])), uintptr(len(packet)), syscall.MSG_DONTWAIT, uintptr(addr), addrLen)
	if errno != 0 {
		link.session.unsent(at, len(packet))
	}
}

// source reads the address that recvfrom wrote.
func (l *epollLoop) source() netip.AddrPort {
	port := (*[2]byte)(unsafe.Pointer(&l.src.Port))
	host := netip.AddrFrom16(l.src.Addr).Unmap()
	if l.src.Family == syscall.AF_INET {
		host = netip.AddrFrom4((*syscall.RawSockaddrInet4)(unsafe.Pointer(&l.src)).Addr)
	}
	return netip.AddrPortFrom(host, uint16(port[0])<<8|uint16(port[1]))
}

// destination writes an address for sendto.
func (l *epollLoop) destination(to netip.AddrPort) (unsafe.Pointer, uintptr) {
	port := [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	if to.Addr().Is4() {
		l.dst4.Family = syscall.AF_INET
		*(*[2]byte)(unsafe.Pointer(&l.dst4.Port)) = port
		l.dst4.Addr = to.Addr().As4()
		return unsafe.Pointer(&l.dst4), unsafe.Sizeof(l.dst4)
	}
	l.dst6.Family = syscall.AF_INET6
	*(*[2]byte)(unsafe.Pointer(&l.dst6.Port)) = port
	l.dst6.Addr = to.Addr().As16()
	return unsafe.Pointer(&l.dst6), unsafe.Sizeof(l.dst6)
}

// add begins to serve a link's sockets.
func (l *epollLoop) add(link *epollLink) error {
	l.mu.Lock()
	for i, fd := range link.fds {
		for int(fd) >= len(l.sockets) {
			l.sockets = append(l.sockets, socketRef{})
		}
		l.sockets[fd] = socketRef{link: link, at: lane(i)}
	}
	l.mu.Unlock()
	for _, fd := range link.fds {
		if err := l.watch(fd); err != nil {
			return err
		}
	}
	return nil
}

// wake ends the wait of run.
func (l *epollLoop) wake() {
	_, err := syscall.Write(l.wakeW, []byte{0})
	if err != nil && err != syscall.EAGAIN { // EAGAIN: a wake-up is waiting already
		panic(fmt.Sprintf("media: invariant: the loop outlives its links: %v", err))
	}
}

// drain takes the wake-ups.
func (l *epollLoop) drain() {
	var b [64]byte
	for {
		if n, _ := syscall.Read(l.wakeR, b[:]); n < len(b) {
			return
		}
	}
}

// close ends run, whose links were all closed before.
func (l *epollLoop) close() error {
	l.mu.Lock()
	l.stopping = true
	l.mu.Unlock()
	l.wake()
	return <-l.stopped
}

// watch asks for a descriptor's readable events, level-triggered.
func (l *epollLoop) watch(fd int32) error {
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: fd}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, int(fd), &event))
}

// free closes the loop's own descriptors.
func (l *epollLoop) free() error {
	return errors.Join(syscall.Close(l.wakeR), syscall.Close(l.wakeW), syscall.Close(l.epoll))
}
