package sip

import (
	"net/netip"
	"strconv"
	"strings"
)

// via is the top Via of a message.
type via struct {
	transport string // as written
	sentBy    string // host:port or host, without blanks
	branch    string
	params    string
	rport     bool
}

// parseVia reads "SIP/2.0/UDP host:port;params", with the blanks that RFC 3261 allows.
func parseVia(value string) (v via, ok bool) {
	head, params, _ := strings.Cut(value, ";")
	parts := strings.SplitN(head, "/", 3)
	if len(parts) != 3 || strings.TrimSpace(parts[0]) != "SIP" || strings.TrimSpace(parts[1]) != "2.0" {
		return v, false
	}
	transport, sentBy, _ := strings.Cut(strings.TrimSpace(parts[2]), " ")
	v.transport, v.params = transport, params
	if v.sentBy = strings.ToLower(strings.TrimSpace(sentBy)); strings.ContainsAny(v.sentBy, " \t") {
		v.sentBy = strings.Join(strings.Fields(v.sentBy), "") // "host : port" is legal
	}
	v.branch, _ = param(params, "branch")
	_, v.rport = param(params, "rport")
	host, port := splitHostPort(v.sentBy)
	return v, isToken(transport) && host != "" && port >= 0
}

// arrived completes a received request by its source: received and rport in the
// top Via, and where its responses go (RFC 3261 section 18.2.1, RFC 3581).
func (r *Request) arrived(src Peer) {
	r.Source, r.replyTo = src, src
	host, port := splitHostPort(r.sentBy)
	sentBy, literal := hostPort(host, port, 5060)
	top := r.vias[0]
	if r.rport {
		top = setRport(top, src.Addr.Port())
	}
	if r.rport || !literal || sentBy.Addr() != src.Addr.Addr() {
		top += ";received=" + src.Addr.Addr().WithZone("").String()
	}
	r.vias[0] = top
	if !r.rport || src.Transport.Stream() {
		// Without rport, and on TCP when the connection is gone, the response goes to the
		// port of the sent-by. Its host is never believed: an answer goes to the source,
		// or it could be aimed at anyone.
		if port == 0 {
			port = 5060
		}
		r.replyTo.Addr = netip.AddrPortFrom(src.Addr.Addr(), uint16(port))
	}
}

// setRport fills the value into the rport parameter of a Via value.
func setRport(value string, port uint16) string {
	for from := 0; ; {
		i := strings.IndexByte(value[from:], ';')
		if i < 0 {
			return value
		}
		from += i + 1
		p, _, _ := strings.Cut(value[from:], ";")
		key, _, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(key), "rport") {
			return value[:from] + "rport=" + strconv.Itoa(int(port)) + value[from+len(p):]
		}
	}
}
