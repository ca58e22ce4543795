package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/node/address"
	"tandem/node/call"
	"tandem/node/phones"
	"tandem/sip"
)

// What a line takes from the network.
const (
	takesAll     int32 = iota
	takesCalls         // no INVITE: the address is about to be handed over
	takesNothing       // it is being handed over
)

// line is one service address that this node serves: its signalling endpoint and
// its media relay.
type line struct {
	address  fsm.Address // as of its opening
	ip       netip.Addr
	endpoint *sip.Endpoint
	relay    *media.Relay
	served   *call.Line
	phones   *phones.Line
	streams  *streams
	secured  []*streams // TLS and WebSocket
	mover    address.Mover
	handed   bool // the former owner lives
	takes    atomic.Int32
	broken   atomic.Bool // its endpoint has ended by itself
	present  atomic.Bool // the address is on this host
	host     *Node

	cancel context.CancelFunc // ends it, set by start
	unhold context.CancelFunc // ends the holding of the address
	done   chan struct{}      // closed when everything has ended
	end    func()             // ends it and waits
}

// openLine opens the sockets of a service address: all of them before the address
// comes to this host.
func (n *Node) openLine(a fsm.Address) (l *line, err error) {
	l = &line{address: a, ip: netip.MustParseAddr(a.IP), host: n, done: make(chan struct{})}
	l.handed = n.handedOver(l.ip)
	l.present.Store(a.Move == fsm.MoveBind || a.Move == fsm.MoveReinvite)
	if old := n.lines.former(l.ip); old != nil {
		old.end() // it has come back within the grace
	}
	if l.mover, err = n.movers(a.Move); err != nil {
		return nil, err
	}
	public := l.ip
	if ip, err := netip.ParseAddr(a.Public); err == nil {
		public = ip
	}
	if l.phones, err = n.phones.Line(l.ip, public); err != nil {
		return nil, err
	}
	cfg := media.Config{
		IP: l.ip, Advertise: public, Ports: n.opts.Media,
		Denied: n.opts.Denied, Listen: n.opts.Network.ListenPacket, Logger: n.log,
	}
	if system, ok := n.opts.Network.(SystemNetwork); ok {
		cfg.Open = system.Open
	}
	l.relay, err = media.New(cfg)
	if err != nil {
		return nil, err
	}
	at := netip.AddrPortFrom(l.ip, n.opts.SIP.Port)
	packet, err := n.opts.Network.ListenPacket(at)
	if err != nil {
		return nil, errors.Join(err, l.relay.Close())
	}
	if err := n.joinLine(l, packet, net.JoinHostPort(public.String(), strconv.Itoa(int(at.Port())))); err != nil {
		return nil, errors.Join(err, packet.Close(), l.relay.Close())
	}
	return l, nil
}

// joinLine puts endpoint and call control together.
func (n *Node) joinLine(l *line, packet net.PacketConn, public string) error {
	at := netip.AddrPortFrom(l.ip, n.opts.SIP.Port)
	l.streams = newStreams(n.opts.Network, at, n.opts.SIP.TCP)
	var err error
	if l.served, err = n.calls.Line(call.LineConfig{IP: l.ip, Relay: l.relay}); err != nil {
		return err
	}
	cfg := sip.Config{
		Packet: packet, Listener: l.streams, Dial: l.streams.Dial, Public: public,
		Handler: &admission{n: n, line: l, next: l.served}, Gate: l.gate, Permit: l.permit, Supported: call.Extensions(),
		Known: func(src netip.Addr) bool { return n.guard.Known(src) || n.guard.Trusted(src) },
		Trace: n.record(at), Logger: n.log,
	}
	n.secure(l, &cfg)
	if l.endpoint, err = sip.New(cfg); err != nil {
		n.calls.Remove(l.served)
		return err
	}
	l.served.Serve(l.endpoint)
	return nil
}

// start runs the line until end is called or ctx ends.
func (l *line) start(ctx context.Context) {
	ctx, l.cancel = context.WithCancel(ctx)
	holding, unhold := context.WithCancel(ctx)
	l.unhold = unhold
	l.end = sync.OnceFunc(func() {
		l.cancel()
		<-l.done
	})
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := l.endpoint.Run(ctx); err != nil {
			l.host.log.Error("alarm", "kind", "address", "text", fmt.Sprintf("%s: %v", l.ip, err))
			l.broken.Store(true)
		}
	})
	parts.Go(func() { l.hold(holding) })
	go func() {
		parts.Wait()
		if err := l.relay.Close(); err != nil {
			l.host.log.Warn("relay not closed", "ip", l.ip, "err", err)
		}
		unhold()
		close(l.done)
	}()
}

// failed says that the line's endpoint has ended by itself.
func (l *line) failed() bool { return l.broken.Load() }

// holdAgain is the pause before an address that could not be taken or held is
// tried again: another host may still have it.
const holdAgain = 100 * time.Millisecond

// hold makes this host answer for the address until ctx ends. It returns with the
// address left as it is.
func (l *line) hold(ctx context.Context) {
	warned := false
	for ctx.Err() == nil {
		err := errors.New("no lease")
		if l.host.leased() {
			if err = l.mover.Add(ctx, l.ip, l.handed); err == nil {
				warned = false
				l.present.Store(true)
				err = l.mover.Hold(ctx, l.ip)
				l.present.Store(err == nil)
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !warned {
			warned = true
			l.host.log.Warn("service address is not on this host yet", "ip", l.ip, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(holdAgain):
		}
	}
}

// leave ends the line: at once, or after the grace of an address that was handed
// over. It does not wait; done is called when it has ended.
func (l *line) leave(handed bool, done func()) {
	l.takes.Store(takesNothing)
	l.unhold()
	l.cutStreams()
	go func() {
		defer done()
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		defer cancel()
		letGo := l.mover.Remove
		if handed {
			letGo = l.mover.Yield
		}
		if err := letGo(ctx, l.ip); err != nil {
			l.host.log.Warn("service address not removed from this host", "ip", l.ip, "err", err)
		}
		if handed {
			select {
			case <-time.After(lineGrace):
			case <-l.done:
			}
		}
		l.end()
	}()
}

// leaveTime bounds how long it may take to let an address go.
const leaveTime = 10 * time.Second

// handedOver says that an address comes from an owner who lives, so that he lets
// go of it when he sees it here.
func (n *Node) handedOver(ip netip.Addr) (handed bool) {
	from := n.former[ip]
	if from == "" || from == n.id {
		return false
	}
	n.replica.View(func(s *fsm.State) {
		m, ok := s.Member(from)
		handed = ok && m.Up
	})
	return handed
}
