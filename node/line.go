package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"tandem/cluster"
	"tandem/cluster/outbox"
	"tandem/fsm"
	"tandem/media"
	"tandem/node/call"
	"tandem/node/guard"
	"tandem/sip"
)

// line is one service address of the node: its signalling endpoint and its
// media relay.
type line struct {
	ip       netip.Addr
	endpoint *sip.Endpoint
	relay    *media.Relay
	sockets  []interface{ Close() error } // until the endpoint runs
}

func (l *line) close() error {
	var err error
	if l.relay != nil {
		err = l.relay.Close()
	}
	for _, s := range l.sockets {
		err = errors.Join(err, s.Close())
	}
	return err
}

// openCalls makes call control and opens the service addresses. A witness has
// none.
func (n *Node) openCalls() error {
	if len(n.opts.Addresses) == 0 {
		return nil
	}
	cfg := n.opts.Outbox
	cfg.Proposer = n.cluster
	cfg.Done = n.settled
	cfg.Logger = n.log
	var err error
	if n.outbox, err = outbox.Open(cfg); err != nil {
		return err
	}
	n.calls, err = call.New(call.Config{
		Node: n.id, Key: derive(n.opts.Secret, "identifiers"),
		Proposer: n.proposer, Outbox: box{n.outbox.Put}, Records: n,
		Serving: n.Serving, Refused: n.refused,
		Backoff: n.backoff,
		Hold:    n.opts.SIP.Hold, MaxCalls: n.opts.SIP.MaxCalls, Logger: n.log,
	})
	if err != nil {
		return err
	}
	for _, a := range n.opts.Addresses {
		l := &line{ip: a.IP}
		n.lines = append(n.lines, l)
		if err := n.openLine(l, a); err != nil {
			return fmt.Errorf("service address %s: %w", a.IP, err)
		}
	}
	return nil
}

func (n *Node) openLine(l *line, a Address) (err error) {
	l.relay, err = media.New(media.Config{
		IP: a.IP, Advertise: a.Public, Ports: n.opts.Media,
		Denied: n.opts.Denied, Listen: n.opts.Network.ListenPacket, Logger: n.log,
	})
	if err != nil {
		return err
	}
	served, err := n.calls.Line(call.LineConfig{IP: a.IP, Relay: l.relay})
	if err != nil {
		return err
	}
	at := netip.AddrPortFrom(a.IP, n.opts.SIP.Port)
	packet, err := n.opts.Network.ListenPacket(at)
	if err != nil {
		return err
	}
	l.sockets = append(l.sockets, packet)
	var listener net.Listener
	if n.opts.SIP.TCP {
		if listener, err = n.opts.Network.Listen(at); err != nil {
			return err
		}
		l.sockets = append(l.sockets, listener)
	}
	public := a.Public
	if !public.IsValid() {
		public = a.IP
	}
	l.endpoint, err = sip.New(sip.Config{
		Packet: packet, Listener: listener,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return n.opts.Network.Dial(ctx, a.IP, network, addr)
		},
		Public:  net.JoinHostPort(public.String(), strconv.Itoa(int(at.Port()))),
		Handler: &admission{n: n, line: l, next: served}, Gate: n.gate, Logger: n.log,
	})
	if err != nil {
		return err
	}
	served.Serve(l.endpoint)
	return nil
}

// gate drops what comes from nobody we know, before it is parsed. Trusted
// networks pass: call control answers them. A node that starts has old records
// until it serves: it takes nothing but INVITEs, to refuse them, since it would
// say of calls that are its own that they do not exist. What it drops is repeated.
func (n *Node) gate(src netip.AddrPort, packet []byte) bool {
	if !n.Serving() && !bytes.HasPrefix(packet, []byte("INVITE ")) {
		return false
	}
	if n.guard.Known(src.Addr()) || n.guard.Trusted(src.Addr()) {
		return true
	}
	if bytes.HasPrefix(packet, []byte("INVITE ")) { // an illegal call (F163)
		n.guard.Refused(time.Now(), guard.Refusal{Source: src, Reason: fsm.EndUnknownSource, Packet: packet})
	}
	return false
}

// admission stands before call control: it takes one token of the ingress for
// each new call, so that a flood through an authorised gateway ends here and
// not in the log (ARCHITECTURE.md, rule 9).
type admission struct {
	n    *Node
	line *line
	next sip.Handler
}

// The refusals of a node by itself.
var (
	sipForbidden = refusal{403, 21}
	sipCPS       = refusal{503, 42}
)

func (a *admission) Request(req *sip.Request, tx *sip.ServerTx) {
	if req.Method == sip.INVITE && req.ToTag != "" && tx != nil && !a.n.Serving() {
		a.later(req, tx)
		return
	}
	if req.Method == sip.INVITE && req.ToTag == "" && tx != nil {
		now, src := time.Now(), req.Source.Addr
		switch {
		case !a.n.guard.Known(src.Addr()):
			a.refuse(now, req, tx, fsm.EndUnknownSource, sipForbidden)
			return
		case !a.n.guard.Admit(now, src.Addr()):
			a.refuse(now, req, tx, fsm.EndCPS, sipCPS)
			return
		}
	}
	a.next.Request(req, tx)
}

func (a *admission) Canceled(tx *sip.ServerTx, cancel *sip.Request) { a.next.Canceled(tx, cancel) }
func (a *admission) AckTimeout(tx *sip.ServerTx)                    { a.next.AckTimeout(tx) }
func (a *admission) StrayResponse(res *sip.Response)                { a.next.StrayResponse(res) }

// refusal is an answer that needs no log entry (ARCHITECTURE.md, Refusals).
type refusal struct{ status, cause int }

// refuse answers a call and counts it for the next report.
func (a *admission) refuse(now time.Time, req *sip.Request, tx *sip.ServerTx, why fsm.EndReason, with refusal) {
	a.n.guard.Refused(now, guard.Refusal{Source: req.Source.Addr, Reason: why, Status: uint16(with.status)})
	res := req.Response(with.status, a.line.endpoint.NewIdentifier())
	res.Headers.Add("Reason", "Q.850;cause="+strconv.Itoa(with.cause))
	if err := tx.Respond(res); err != nil {
		a.n.log.Debug("refusal not sent", "to", req.Source.Addr, "err", err)
	}
}

// later asks for a re-INVITE again (RFC 3261 section 14.2).
func (a *admission) later(req *sip.Request, tx *sip.ServerTx) {
	res := req.Response(500, "")
	res.Headers.Add("Retry-After", "5")
	if err := tx.Respond(res); err != nil {
		a.n.log.Debug("refusal not sent", "to", req.Source.Addr, "err", err)
	}
}

// refused takes what call control refused by itself into the next report.
func (n *Node) refused(r fsm.Refused) {
	n.guard.Refused(time.Now(), guard.Refusal{
		Source: addrPort(r.Source), Reason: r.Reason,
		Caller: r.Caller, Callee: r.Callee, Status: r.Status,
	})
}

// backoff commits a gateway's Retry-After (F110): one command per change.
func (n *Node) backoff(gateway string, d time.Duration) {
	body := &fsm.GatewayHealth{Gateway: gateway, Out: d, Reason: "Retry-After"}
	n.proposer.Submit(call.Command{Lane: cluster.LaneStart, Flow: adminFlow, Body: body}, func(_ fsm.Result, err error) {
		if err != nil {
			n.log.Warn("gateway back-off not committed", "gateway", gateway, "err", err)
		}
	})
}

// settled hears what became of a settlement from the outbox.
func (n *Node) settled(_ []byte, r cluster.Result) {
	res, err := fsm.DecodeResult(r.Data)
	n.log.Info("settlement from the outbox committed", "index", r.Index, "code", res.Code, "cdr", res.CDR, "err", err)
}

// Call implements call.Records.
func (n *Node) Call(id fsm.CallID) (record fsm.Call, ok bool) {
	n.replica.View(func(s *fsm.State) { record, ok = s.Call(id) })
	return record, ok
}

// Ended implements call.Records.
func (n *Node) Ended(id fsm.CallID) (ended bool) {
	n.replica.View(func(s *fsm.State) { _, ended = s.Ended(id) })
	return ended
}

// LogTime implements call.Records.
func (n *Node) LogTime() fsm.Time { return fsm.Time(n.cluster.LogTime()) }

func addrPort(a fsm.Addr) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.IP).Unmap(), a.Port)
}

const (
	// beatEvery is how often a node proves that it and its calls are alive.
	beatEvery = 5 * time.Second
	// maxSilent bounds the silent calls that one beat names.
	maxSilent = 8192
)

// beat commits the node's proof of life for its calls, but for those whose RTP
// has stopped (ARCHITECTURE.md, rule 12).
func (n *Node) beat(ctx context.Context) error {
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if !n.Serving() || n.calls.Live() == 0 {
				continue
			}
			silent, err := n.calls.Silent(ctx, beatEvery)
			if err != nil {
				continue // the node is stopping
			}
			body := &fsm.Beat{Silent: silent[:min(len(silent), maxSilent)]}
			n.proposer.Submit(call.Command{Lane: cluster.LaneExtend, Body: body}, func(fsm.Result, error) {})
		}
	}
}
