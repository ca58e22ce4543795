package sip

import (
	"encoding/hex"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

// receive takes one message from a socket: gate, parse, refuse or hand to its
// shard. It is called by the readers; raw is theirs.
func (e *Endpoint) receive(src Peer, raw []byte) {
	if isKeepAlive(raw) {
		e.stats.KeepAlives.Add(1)
		return
	}
	if e.cfg.Gate != nil && !e.cfg.Gate(src.Addr, raw) {
		e.stats.DroppedGate.Add(1)
		return
	}
	if e.cfg.Trace != nil {
		e.cfg.Trace(false, src, raw)
	}
	m, err := parse(raw)
	if err != nil {
		e.stats.Malformed[err.reason].Add(1)
		if m.req != nil {
			e.refuse(m.req, src, err.status)
		}
		return
	}
	if m.res != nil {
		e.stats.ResponsesIn[m.res.Status/100].Add(1)
		m.res.Source = src
		e.post(m.res.CallID, event{res: m.res})
		return
	}
	e.stats.RequestsIn.add(m.req.Method)
	if status, extra := e.refusal(m.req); status != 0 {
		e.refuse(m.req, src, status, extra...)
		return
	}
	m.req.arrived(src)
	e.post(m.req.CallID, event{req: m.req})
}

func (e *Endpoint) post(callID string, ev event) {
	if !e.shard(callID).queue.push(ev, packetBound) {
		e.stats.DroppedFull.Add(1)
	}
}

// refusal says whether a request that parsed well cannot be served by this
// endpoint, whatever call control thinks (RFC 3261 section 8.2.2).
func (e *Endpoint) refusal(req *Request) (status int, extra []Header) {
	if req.Method == ACK || req.Method == CANCEL {
		return 0, nil
	}
	switch scheme, _, _ := strings.Cut(req.URI, ":"); strings.ToLower(scheme) {
	case "sip", "sips", "tel":
	default:
		return 416, nil
	}
	if _, err := ParseURI(req.URI); err != nil {
		return 400, nil
	}
	for _, tag := range splitList(req.Headers.All("Require")) {
		if !slices.Contains(e.cfg.Supported, strings.ToLower(tag)) {
			extra = append(extra, Header{"Unsupported", tag})
		}
	}
	if extra != nil {
		return 420, extra
	}
	if req.Method == INVITE && req.ToTag == "" && req.MaxForwards == 0 {
		return 483, nil // it would go on to another hop
	}
	return 0, nil
}

// refuse answers a request without a transaction: the answer to a retransmission
// is the same. A request that is too broken for an answer gets none.
func (e *Endpoint) refuse(req *Request, src Peer, status int, extra ...Header) {
	if req.Method == ACK || status == 0 {
		return
	}
	req.arrived(src)
	res := req.Response(status, "")
	res.Headers = append(res.Headers, extra...)
	if res.check() != nil {
		return
	}
	e.stats.Refused.Add(1)
	out := packet{raw: res.encode(), status: status, dest: res.dest, flow: res.flow}
	// Sent by the shard, so that the reader of one connection never waits for another.
	e.post(req.CallID, event{do: func(time.Time) { e.transmit(out, nil) }})
}

// stableTag is the To-tag of responses for which call control gives none: the same
// for each copy of a request, on any node.
func stableTag(req *Request) string {
	h := fnv.New64a()
	for _, s := range []string{req.CallID, req.FromTag, req.Branch} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// isKeepAlive reports a datagram of line ends or zeros, as clients behind NAT send.
func isKeepAlive(raw []byte) bool {
	if len(raw) > 4 {
		return false
	}
	for _, c := range raw {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
