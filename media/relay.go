package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// openAttempts bounds the search for ports that the system lets us bind: some
// other program may hold a few of the range.
const openAttempts = 8

// Config says where and how a relay works.
type Config struct {
	// IP is the service address that all sockets bind to.
	IP netip.Addr
	// Advertise is the address written into SDP; the zero value means IP.
	Advertise netip.Addr
	// Ports is the range that port pairs come from; zero means 20000-39999.
	Ports PortRange
	// Listen opens a UDP socket. A *net.UDPConn is served by the fast engine
	// where the system has one (the relay then takes the socket over); any
	// other conn by the plain engine.
	Listen func(netip.AddrPort) (net.PacketConn, error)
	// Open opens a non-blocking UDP socket of the system as a bare descriptor, which
	// the relay takes over: half the work of Listen, where the fast engine runs. It
	// counts when the calls of a dead node are reopened. nil: Listen.
	Open func(netip.AddrPort) (fd int, err error)
	// Denied lists prefixes that media is never sent to, such as the cluster's
	// own and management networks.
	Denied []netip.Prefix
	// Rand returns a number in [0,n) and chooses ports; nil means math/rand/v2.
	Rand func(n int) int
	// Logger receives warnings; nil discards.
	Logger *slog.Logger
}

// Validate reports the first key that makes no sense.
func (c Config) Validate() error {
	switch {
	case !c.IP.IsValid() || c.IP.IsUnspecified():
		return errors.New("ip: a service address is needed, not a wildcard")
	case c.Listen == nil:
		return errors.New("listen: needed")
	case c.Ports != PortRange{}:
		if err := c.Ports.validate(); err != nil {
			return fmt.Errorf("ports: %w", err)
		}
	}
	return nil
}

// Relay owns the ports of one service address and the sessions on them.
// Its methods may be called from any goroutine.
type Relay struct {
	cfg     Config
	start   time.Time
	closing chan struct{}
	watched chan struct{} // closed when the watcher has returned
	wake    chan struct{} // capacity 1: wakes the watcher
	plain   plainEngine
	ending  sync.Once
	err     error // of Close, written within ending

	mu       sync.Mutex // guards those below; held for no I/O
	ports    *ports
	sessions map[*Session]struct{}
	fast     engine // nil until the first system socket
	past     Totals // counters of closed sessions
	closed   bool
	opening  sync.WaitGroup // Open and Reopen under way; begun only while not closed

	eventMu  sync.Mutex // guards eventful
	eventful []*Session
}

// New starts a relay. The caller ends it with Close.
func New(cfg Config) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	if cfg.Ports == (PortRange{}) {
		cfg.Ports = PortRange{First: 20000, Last: 39999}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.IP = cfg.IP.Unmap()
	cfg.Advertise = cfg.Advertise.Unmap()
	if !cfg.Advertise.IsValid() {
		cfg.Advertise = cfg.IP
	}
	r := &Relay{
		cfg:      cfg,
		start:    time.Now(),
		closing:  make(chan struct{}),
		watched:  make(chan struct{}),
		wake:     make(chan struct{}, 1),
		ports:    newPorts(cfg.Ports, cfg.Rand),
		sessions: make(map[*Session]struct{}),
	}
	r.plain = plainEngine{now: r.now, log: cfg.Logger}
	go r.watch()
	return r, nil
}

// Open starts a session on two free port pairs. It returns ErrNoPorts when the
// range is used up and ErrClosed after Close.
func (r *Relay) Open(cfg SessionConfig) (*Session, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.opening.Done()
	var failed error
	for range openAttempts {
		ports, err := r.takePorts()
		if err != nil {
			return nil, errors.Join(err, failed)
		}
		s, err := r.begin(cfg, ports, State{})
		if err == nil {
			return s, nil
		}
		failed = err
	}
	return nil, failed
}

// Reopen starts a session on exactly the ports of a stored state and with the
// peers that it had learned: a survivor takes a call over. It ignores the
// quarantine and returns ErrPortTaken when another session holds a port. A node
// that takes an address over reopens all its calls before the first Open.
func (r *Relay) Reopen(cfg SessionConfig, state State) (*Session, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.opening.Done()
	if err := r.reservePorts(state.Port); err != nil {
		return nil, err
	}
	return r.begin(cfg, state.Port, state)
}

// Check returns ErrDestination, with the reason, when media must not be sent
// to addr. The unspecified address passes: it means hold (RFC 3264 section 8.4).
func (r *Relay) Check(addr netip.AddrPort) error { return r.checkDestination(addr) }

// Totals are a relay's figures for metrics. Counters include closed sessions.
type Totals struct {
	Sessions         int                 // open now
	PortsInUse       int                 // single ports, RTP and RTCP
	PortsQuarantined int                 // freed, but not yet to be given again
	Packets          uint64              // relayed, RTP and RTCP
	Bytes            uint64              // relayed UDP payload
	Dropped          [DropReasons]uint64 // not relayed, by DropReason
}

// Totals returns the relay's gauges and counters. The packet path keeps no
// common counter; this sums over the sessions.
func (r *Relay) Totals() Totals {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ports.expire(now)
	t := r.past
	t.Sessions = len(r.sessions)
	t.PortsInUse = 2 * r.ports.held
	t.PortsQuarantined = 2 * len(r.ports.resting)
	for s := range r.sessions {
		s.tally(&t)
	}
	return t
}

// Close ends all sessions and waits for the relay's goroutines. It must not be
// called from a Notify function.
func (r *Relay) Close() error {
	r.ending.Do(func() {
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		r.opening.Wait()
		close(r.closing)
		<-r.watched
		for _, s := range r.open() {
			r.err = errors.Join(r.err, s.Close())
		}
		if r.fast != nil {
			r.err = errors.Join(r.err, r.fast.close())
		}
	})
	return r.err
}

// now is the time since the relay's start, the form that sessions keep.
func (r *Relay) now() time.Duration { return time.Since(r.start) }

// open lists the open sessions.
func (r *Relay) open() []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Session, 0, len(r.sessions))
	for s := range r.sessions {
		list = append(list, s)
	}
	return list
}

// enter begins an Open or Reopen, which Close then waits for.
func (r *Relay) enter() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.opening.Add(1)
	return nil
}

// takePorts holds a pair for each side.
func (r *Relay) takePorts() (ports [2]uint16, err error) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if ports[A], err = r.ports.take(now); err != nil {
		return ports, err
	}
	if ports[B], err = r.ports.take(now); err != nil {
		r.ports.release(ports[A], now)
	}
	return ports, err
}

// reservePorts holds exactly these pairs, or none.
func (r *Relay) reservePorts(ports [2]uint16) error {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.ports.takeExactly(ports[A]); err != nil {
		return err
	}
	if err := r.ports.takeExactly(ports[B]); err != nil {
		r.ports.release(ports[A], now)
		return err
	}
	return nil
}

// begin makes the session on held ports, and releases them when it cannot.
func (r *Relay) begin(cfg SessionConfig, ports [2]uint16, state State) (*Session, error) {
	s := &Session{relay: r, id: cfg.ID, policy: cfg.Timeout, notify: cfg.Notify}
	if s.policy.Alarm == 0 {
		s.policy.Alarm = defaultAlarm
	}
	s.legs[A].port, s.legs[B].port = ports[A], ports[B]
	err := s.restore(state)
	if err == nil {
		err = r.attach(s)
	}
	if err != nil {
		r.release(ports)
		return nil, err
	}
	r.mu.Lock()
	r.sessions[s] = struct{}{}
	r.mu.Unlock()
	return s, nil
}

// address is where a lane of a session is bound.
func (r *Relay) address(s *Session, at lane) netip.AddrPort {
	port := s.legs[at.side()].port
	if at.rtcp() {
		port++
	}
	return netip.AddrPortFrom(r.cfg.IP, port)
}

// attachBare opens the session's sockets as descriptors.
func (r *Relay) attachBare(s *Session, to bareEngine) error {
	var fds [lanes]int32
	for i := range fds {
		fd, err := r.cfg.Open(r.address(s, lane(i)))
		if err != nil {
			return errors.Join(err, closeDescriptors(fds[:i]))
		}
		fds[i] = int32(fd)
	}
	return to.attachBare(s, fds)
}

// attach opens the session's sockets and hands them to an engine.
func (r *Relay) attach(s *Session) error {
	if r.cfg.Open != nil {
		if fast, ok := r.fastEngine().(bareEngine); ok {
			return r.attachBare(s, fast)
		}
	}
	var conns [lanes]net.PacketConn
	system := true
	for i := range conns {
		addr := r.address(s, lane(i))
		conn, err := r.cfg.Listen(addr)
		if err != nil {
			return errors.Join(fmt.Errorf("listen %s: %w", addr, err), closeAll(conns))
		}
		conns[i] = conn
		_, ok := conn.(*net.UDPConn)
		system = system && ok
	}
	var chosen engine = &r.plain
	if system {
		chosen = r.fastEngine()
	}
	if err := chosen.attach(s, conns); err != nil {
		return errors.Join(err, closeAll(conns))
	}
	return nil
}

// fastEngine returns the engine for system sockets, starting it when needed.
func (r *Relay) fastEngine() engine {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fast == nil {
		fast, err := newFastEngine(r.now, r.cfg.Logger)
		if err != nil {
			r.cfg.Logger.Warn("media uses the plain engine", "err", err)
			fast = &r.plain
		}
		r.fast = fast
	}
	return r.fast
}

// release puts a session's ports to rest.
func (r *Relay) release(ports [2]uint16) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ports.release(ports[A], now)
	r.ports.release(ports[B], now)
}

// forget drops an ended session, whose sockets are closed, and keeps its counts.
func (r *Relay) forget(s *Session) {
	r.mu.Lock()
	delete(r.sessions, s)
	s.tally(&r.past)
	r.mu.Unlock()
	r.release([2]uint16{s.legs[A].port, s.legs[B].port})
}

// closeAll closes the conns that were opened.
func closeAll(conns [lanes]net.PacketConn) error {
	var errs error
	for _, c := range conns {
		if c != nil {
			errs = errors.Join(errs, c.Close())
		}
	}
	return errs
}

// closeDescriptors closes the sockets that were opened.
func closeDescriptors(fds []int32) error {
	var errs error
	for _, fd := range fds {
		errs = errors.Join(errs, syscall.Close(int(fd)))
	}
	return errs
}
