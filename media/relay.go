package media

import (
	"log/slog"
	"net"
	"net/netip"
)

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
	// Denied lists prefixes that media is never sent to, such as the cluster's
	// own and management networks.
	Denied []netip.Prefix
	// Rand returns a number in [0,n) and chooses ports; nil means math/rand/v2.
	Rand func(n int) int
	// Logger receives warnings; nil discards.
	Logger *slog.Logger
}

// Relay owns the ports of one service address and the sessions on them.
// Its methods may be called from any goroutine.
type Relay struct {
	cfg Config
}

// New starts a relay. The caller ends it with Close.
func New(cfg Config) (*Relay, error) { return &Relay{cfg: cfg}, nil }

// Open starts a session on two free port pairs. It returns ErrNoPorts when the
// range is used up and ErrClosed after Close.
func (r *Relay) Open(cfg SessionConfig) (*Session, error) { return nil, ErrNoPorts }

// Reopen starts a session on exactly the ports of a stored state and with the
// peers that it had learned (design: a survivor takes a call over). It ignores
// the quarantine and returns ErrPortTaken when another session holds a port.
// A node that takes an address over reopens all its calls before the first Open.
func (r *Relay) Reopen(cfg SessionConfig, state State) (*Session, error) {
	return nil, ErrPortTaken
}

// Check returns ErrDestination, with the reason, when media must not be sent
// to addr. The unspecified address passes: it means hold (RFC 3264 section 8.4).
func (r *Relay) Check(addr netip.AddrPort) error { return nil }

// Totals returns the relay's gauges and counters.
func (r *Relay) Totals() Totals { return Totals{} }

// Close ends all sessions and waits for the relay's goroutines. It must not be
// called from a Notify function.
func (r *Relay) Close() error { return nil }

// Totals are a relay's figures for metrics. Counters include closed sessions.
type Totals struct {
	Sessions         int                 // open now
	PortsInUse       int                 // single ports, RTP and RTCP
	PortsQuarantined int                 // freed, but not yet to be given again
	Packets          uint64              // relayed, RTP and RTCP
	Bytes            uint64              // relayed UDP payload
	Dropped          [DropReasons]uint64 // not relayed, by DropReason
}

// PortRange is an inclusive range of UDP ports. RTP uses its even ports, RTCP
// the odd one above each (RFC 3550 section 11).
type PortRange struct{ First, Last uint16 }

// ParsePortRange reads "20000-39999".
func ParsePortRange(s string) (PortRange, error) { return PortRange{}, nil }
