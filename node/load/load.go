// Package load is a built-in SIP load: callers that place calls at a rate, and a
// carrier that answers them, both with RTP, on the product's own signalling and
// media packages.
//
// It measures from outside what users of the switch would see: set-up latency,
// refusals, answered calls that were cut, lost packets, the longest gap. It
// knows nothing about the cluster that it calls.
//
//	carrier, err := load.NewCarrier(load.CarrierConfig{Listen: listen, Addr: vendor})
//	callers, err := load.NewCallers(load.CallersConfig{Listen: listen, Addr: customer, Targets: nodes, CPS: 20, Talk: 5 * time.Second})
//	go carrier.Run(ctx)
//	report, err := callers.Run(ctx)
package load

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"tandem/media"
	"tandem/sip"
)

// Listen opens a UDP socket; port 0 takes any.
type Listen func(netip.AddrPort) (net.PacketConn, error)

// stream is the voice of one call: a socket of its own and what runs on it.
type stream struct {
	conn   net.PacketConn
	voice  *media.Stream
	cancel context.CancelFunc
	done   chan error
}

// openStream opens a socket for a call. The stream is silent until start.
func openStream(listen Listen, ip netip.Addr, ssrc uint32) (*stream, error) {
	conn, err := listen(netip.AddrPortFrom(ip, 0))
	if err != nil {
		return nil, err
	}
	return &stream{conn: conn, voice: media.NewStream(media.StreamConfig{Conn: conn, SSRC: ssrc})}, nil
}

func (s *stream) port() uint16 {
	addr, err := netip.ParseAddrPort(s.conn.LocalAddr().String())
	if err != nil {
		return 0
	}
	return addr.Port()
}

// start sends to where a description says, if it says so.
func (s *stream) start(body []byte) error {
	d, err := media.Parse(body)
	if err != nil {
		return err
	}
	audio, err := d.Audio()
	if err != nil {
		return err
	}
	s.voice.SetRemote(audio.RTP)
	if s.done != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan error, 1)
	go func() { s.done <- s.voice.Run(ctx) }()
	return nil
}

// stop ends the voice and returns its figures.
func (s *stream) stop() media.StreamReport {
	if s == nil {
		return media.StreamReport{}
	}
	if s.done != nil {
		s.cancel()
		<-s.done
	}
	s.conn.Close()
	return s.voice.Report()
}

// describe is a description of one G.711 A-law stream; each new one of a call has
// a higher version (RFC 3264 section 8).
func describe(ip netip.Addr, port uint16, version int, direction string) []byte {
	family := "IP4"
	if ip.Is6() {
		family = "IP6"
	}
	return fmt.Appendf(nil, "v=0\r\no=- 1 %[4]d IN %[1]s %[2]s\r\ns=-\r\nc=IN %[1]s %[2]s\r\nt=0 0\r\n"+
		"m=audio %[3]d RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=%[5]s\r\n", family, ip, port, version, direction)
}

// phone is the part that callers and carrier share: an endpoint and the calls by
// Call-ID.
type phone struct {
	endpoint *sip.Endpoint
	listen   Listen
	addr     netip.AddrPort

	mu    sync.Mutex // guards calls
	calls map[string]*leg
}

// leg is one call of a phone.
type leg struct {
	id      string
	voice   *stream
	timer   *time.Timer     // ring or talk time
	again   *time.Timer     // caller: the next re-INVITE
	version int             // of the last description
	tx      *sip.ServerTx   // carrier: the INVITE
	state   sip.InviteState // carrier
	dialog  sip.Dialog      // once answered
	hungUp  time.Time       // when our BYE went out
	out     Outcome         // caller
	far     LegOutcome      // carrier
}

func newPhone(listen Listen, addr netip.AddrPort, h sip.Handler) (*phone, error) {
	conn, err := listen(addr)
	if err != nil {
		return nil, err
	}
	p := &phone{listen: listen, addr: addr, calls: map[string]*leg{}}
	p.endpoint, err = sip.New(sip.Config{Packet: conn, Public: addr.String(), Handler: h})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

func (p *phone) add(l *leg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[l.id] = l
}

// take removes a call and says whether it was there: the first to end it wins.
func (p *phone) take(id string) (*leg, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.calls[id]
	delete(p.calls, id)
	return l, ok
}

func (p *phone) get(id string) *leg {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[id]
}

// Live is the number of calls in progress.
func (p *phone) Live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

func (p *phone) close() {
	p.mu.Lock()
	calls := p.calls
	p.calls = map[string]*leg{}
	p.mu.Unlock()
	for _, l := range calls {
		l.stop()
	}
}

// stop ends the timers and the voice of a call and returns its figures.
func (l *leg) stop() media.StreamReport {
	for _, t := range []*time.Timer{l.timer, l.again} {
		if t != nil {
			t.Stop()
		}
	}
	return l.voice.stop()
}

func peer(a netip.AddrPort) sip.Peer { return sip.Peer{Transport: sip.UDP, Addr: a} }

// Addr is the phone's signalling address.
func (p *phone) Addr() netip.AddrPort { return p.addr }
