package call

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

// Line is one service address of the node as call control sees it: the signalling
// endpoint and the media relay that stand behind it. It is the endpoint's handler.
type Line struct {
	control  *Control
	ip       netip.Addr
	relay    *media.Relay
	endpoint atomic.Pointer[sip.Endpoint]
}

// LineConfig describes a service address.
type LineConfig struct {
	IP    netip.Addr
	Relay *media.Relay
}

// Line adds a service address. Serve must be called before its endpoint runs. A
// line is added before the calls on it are adopted.
func (c *Control) Line(cfg LineConfig) (*Line, error) {
	switch {
	case !cfg.IP.IsValid():
		return nil, errors.New("call: IP of the line is missing")
	case cfg.Relay == nil:
		return nil, errors.New("call: Relay of the line is missing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.lines[cfg.IP]; there {
		return nil, fmt.Errorf("call: line %s is there already", cfg.IP)
	}
	l := &Line{control: c, ip: cfg.IP, relay: cfg.Relay}
	c.lines[cfg.IP] = l
	return l, nil
}

// Remove takes a service address away. Calls that are still on it are dropped in
// silence: they have another owner, or will have.
func (c *Control) Remove(l *Line) {
	c.mu.Lock()
	if c.lines[l.ip] == l {
		delete(c.lines, l.ip)
	}
	c.mu.Unlock()
	for _, s := range c.shards {
		s.post(item{ev: lineGone{line: l}, sure: true})
	}
}

// Extensions are the option tags that call control knows: an endpoint answers 420
// to requests that demand others (RFC 3261 section 8.2.2.3).
func Extensions() []string { return []string{sip.Tag100rel, tagTimer} }

// Serve names the endpoint that the line answers through.
func (l *Line) Serve(e *sip.Endpoint) { l.endpoint.Store(e) }

// contact is our Contact URI with a user part.
func (l *Line) contact(user string, transport sip.Transport) string {
	return l.endpoint.Load().Contact(user, transport)
}

// host is the address that From headers carry.
func (l *Line) host() string {
	hostport := strings.TrimPrefix(l.endpoint.Load().Contact("", sip.UDP), "sip:@")
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// mediaNotify passes on what the relay says about a call's session.
func (l *Line) mediaNotify(id fsm.CallID) func(media.Event) {
	return func(ev media.Event) {
		l.control.shard(id).post(item{id: id, line: l, ev: mediaEvent{event: ev}, sure: ev.Kind == media.EventTimeout})
	}
}

// Request is the endpoint's: a new request, for the call that its tags name. An
// INVITE without a To-tag opens one.
func (l *Line) Request(req *sip.Request, tx *sip.ServerTx) {
	c := l.control
	if req.ToTag == "" {
		l.outside(req, tx)
		return
	}
	nm, ok := c.names.parse(req.ToTag)
	if !ok {
		c.stats.add(Strays)
		if tx != nil { // an ACK, also that to a refusal by the endpoint, gets no answer
			l.answer(tx, req.Response(481, ""))
		}
		return
	}
	ev := request{leg: nm.leg(), req: req, tx: tx}
	if !c.shard(nm.call).post(item{id: nm.call, line: l, ev: ev}) {
		c.stats.add(Dropped) // the peer repeats it
	}
}

// outside answers requests that belong to no dialog.
func (l *Line) outside(req *sip.Request, tx *sip.ServerTx) {
	switch req.Method {
	case sip.INVITE:
		l.invite(req, tx)
	case sip.OPTIONS:
		res := req.Response(200, l.endpoint.Load().NewIdentifier())
		if !l.control.serving() {
			res = req.Response(503, l.endpoint.Load().NewIdentifier())
			res.Headers.Add("Retry-After", strconv.Itoa(int(l.control.cfg.RetryAfter/time.Second)))
		}
		res.Headers.Add("Allow", sip.Allow)
		res.Headers.Add("Accept", sdpType)
		l.answer(tx, res)
	case sip.ACK:
		l.control.stats.add(Strays)
	case sip.BYE, sip.CANCEL, sip.INFO, sip.UPDATE:
		l.control.stats.add(Strays)
		l.answer(tx, req.Response(481, ""))
	default:
		res := req.Response(405, "")
		res.Headers.Add("Allow", sip.Allow)
		l.answer(tx, res)
	}
}

// invite gives a new call to its shard, unless the node is full or going away.
func (l *Line) invite(req *sip.Request, tx *sip.ServerTx) {
	c := l.control
	id := c.names.Call(req)
	refuse := func(why Counter) {
		c.stats.add(Received)
		c.stats.add(why)
		invite := req.Invite(c.names.toTag(id))
		l.answer(tx, refusalTo(&invite, 503, 0, c.cfg.RetryAfter))
		if c.cfg.Refused != nil {
			c.cfg.Refused(fsm.Refused{
				Source: fsmAddr(req.Source.Addr), Reason: fsm.EndOverload, Count: 1, Status: 503,
				Caller: callerOf(req), Callee: calleeOf(req),
			})
		}
	}
	switch {
	case !c.serving():
		refuse(RefusedServing)
	case !c.held.room(req.Source.Addr.Addr()):
		refuse(RefusedHeld)
	case !c.shard(id).post(item{id: id, line: l, ev: invite{req: req, tx: tx}, fresh: true}):
		refuse(RefusedBusy)
	}
}

// Canceled is the endpoint's: the caller gave up. The CANCEL of a re-INVITE is of
// no consequence: the INVITE gets the other leg's answer all the same.
func (l *Line) Canceled(tx *sip.ServerTx, cancel *sip.Request) {
	if cancel.ToTag != "" {
		return
	}
	c := l.control
	id := c.names.Call(cancel)
	c.shard(id).post(item{id: id, line: l, ev: canceled{cancel: cancel}, sure: true})
}

// AckTimeout is the endpoint's: a 2xx was never acknowledged. The call has its own
// clock for that, which a survivor has as well, so this is only counted.
func (l *Line) AckTimeout(*sip.ServerTx) { l.control.stats.add(AckTimeouts) }

// StrayResponse is the endpoint's: a response to no transaction here. A 2xx to an
// INVITE of ours is acknowledged for a call that is answered and ended for any other.
func (l *Line) StrayResponse(res *sip.Response) {
	c := l.control
	nm, ok := c.names.parse(res.FromTag)
	if !ok || res.CSeqMethod != sip.INVITE || res.Status/100 != 2 {
		c.stats.add(Strays)
		return
	}
	c.shard(nm.call).post(item{id: nm.call, line: l, ev: stray{res: res}})
}

func (l *Line) answer(tx *sip.ServerTx, res *sip.Response) {
	if err := tx.Respond(res); err != nil {
		l.control.log.Warn("cannot answer", "status", res.Status, "err", err)
	}
}

// byeOnly ends a dialog of which nothing is known here but its 2xx.
func (l *Line) byeOnly(res *sip.Response) {
	d, err := forkDialog(res)
	if err != nil {
		return
	}
	c, e := l.control, l.endpoint.Load()
	if c.strays.Add(1) > maxStrays {
		c.strays.Add(-1)
		c.stats.add(Dropped) // it is repeated
		return
	}
	if err := e.Send(d.Ack()); err != nil {
		c.strays.Add(-1)
		return
	}
	_, err = e.Request(d.Request(sip.BYE), sip.Options{}, func(res *sip.Response, _ error) {
		if res == nil || res.Status >= 200 {
			c.strays.Add(-1)
		}
	})
	if err != nil {
		c.strays.Add(-1)
		c.log.Warn("cannot end a stray answer", "err", err)
	}
}

// maxStrays bounds the BYEs to answers of unknown calls that are under way: many
// after a takeover, while nobody can have us send without end to a place of his.
const maxStrays = 1024

var _ sip.Handler = (*Line)(nil)
