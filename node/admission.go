package node

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"

	"tandem/fsm"
	"tandem/node/guard"
	"tandem/sip"
)

// How requests begin that are told apart before they are parsed.
var (
	inviteLine   = []byte("INVITE ")
	optionsLine  = []byte("OPTIONS ")
	registerLine = []byte("REGISTER ")
)

// gate drops what this line does not take, before it is parsed: what comes from
// nobody we know, and everything but INVITEs, to refuse them, while the node may
// not speak. What it drops is repeated, and finds the owner then. Trusted networks
// pass: call control answers them.
func (l *line) gate(src netip.AddrPort, packet []byte) bool {
	n := l.host
	isInvite := bytes.HasPrefix(packet, inviteLine)
	takes := l.takes.Load()
	switch {
	case takes == takesNothing, takes == takesCalls && isInvite:
		return false
	case !n.Serving() && len(packet) > 0 && !isInvite:
		return false
	case n.guard.Known(src.Addr()) || n.guard.Trusted(src.Addr()):
		return true
	case n.phoned.Load(): // phones are anywhere
		return n.hears(src.Addr(), packet)
	}
	if isInvite { // an illegal call (F163)
		n.guard.Refused(time.Now(), guard.Refusal{Source: src, Reason: fsm.EndUnknownSource, Packet: packet})
	}
	return false
}

// hears says whether a stranger's packet may be a phone's. Scanners ask with OPTIONS
// and get nothing. A blocked source is not asked for passwords any more, but what may
// belong to a call passes: others behind its address must be able to hang up.
func (n *Node) hears(src netip.Addr, packet []byte) bool {
	switch {
	case bytes.HasPrefix(packet, optionsLine):
		return false
	case bytes.HasPrefix(packet, registerLine), bytes.HasPrefix(packet, inviteLine) && !hasToTag(packet):
		return !n.phones.Silent(src)
	}
	return true
}

// hasToTag reports whether a message that has not been parsed belongs to a dialog, as
// its To header says in either form (RFC 3261 section 7.3.3).
func hasToTag(packet []byte) bool {
	for line := range bytes.Lines(packet) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		if name = bytes.TrimRight(name, " \t"); bytes.EqualFold(name, []byte("To")) || bytes.EqualFold(name, []byte("t")) {
			return bytes.Contains(value, []byte(";tag="))
		}
	}
	return false
}

// permit says whether a message may leave from this line. What would leave before
// the address is on this host is lost, and repeated, as on the network: an error of
// the kernel would end its transaction. From an address that is being handed over
// nothing leaves, what is still unanswered is not repeated: the heir does that.
func (l *line) permit(status int) bool {
	return l.present.Load() && l.takes.Load() != takesNothing && l.host.permit(status)
}

// permit says whether a message may leave. Without a lease only a refusal does,
// since another node may be about to speak for this one (ARCHITECTURE.md, rule 17);
// and not even that to what has come while the process slept.
// Without a leader and a majority there is no 100: a caller who has it stops
// repeating his INVITE, and if this node dies now, nobody else has ever heard of it.
func (n *Node) permit(status int) bool {
	if !n.leased() {
		return status == 503 && n.awake.fresh()
	}
	return status != 100 || !n.leaderless.Load() && n.cluster.LeaseLeft() > leaseIfHeard
}

// leaseIfHeard is what is left of a lease whose holder has been answered by a
// majority within the last 200 ms, the time after which the endpoint says 100 by
// itself: who has not may have been cut off, and the call with him.
const leaseIfHeard = 600 * time.Millisecond

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

// Request implements sip.Handler.
func (a *admission) Request(req *sip.Request, tx *sip.ServerTx) {
	if req.Method == sip.INVITE && req.ToTag != "" && tx != nil && !a.n.Serving() {
		a.later(req, tx)
		return
	}
	if req.Method == sip.REGISTER && tx != nil && a.n.phoned.Load() {
		a.line.phones.Register(req, tx)
		return
	}
	if req.Method == sip.INVITE && req.ToTag == "" && tx != nil {
		now, src := time.Now(), req.Source.Addr
		switch {
		case !a.n.guard.Known(src.Addr()) && a.n.phoned.Load():
			number, ok := a.line.phones.Caller(req, tx)
			if !ok {
				return
			}
			req.User = number
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

// Canceled implements sip.Handler.
func (a *admission) Canceled(tx *sip.ServerTx, cancel *sip.Request) { a.next.Canceled(tx, cancel) }

// AckTimeout implements sip.Handler.
func (a *admission) AckTimeout(tx *sip.ServerTx) { a.next.AckTimeout(tx) }

// StrayResponse implements sip.Handler.
func (a *admission) StrayResponse(res *sip.Response) { a.next.StrayResponse(res) }

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
