package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Errors of a dialog about a message of its peer.
var (
	// ErrOrder: the CSeq of an in-dialog request is not above the last one; answer 500
	// (RFC 3261 section 12.2.2).
	ErrOrder = errors.New("sip: cseq out of order")
	// ErrNoContact: a message that should make a dialog lacks a usable Contact or tag.
	ErrNoContact = errors.New("sip: no usable contact or tag")
	// ErrDialogSize: names, tags and routes of a dialog are longer than MaxDialog.
	ErrDialogSize = errors.New("sip: dialog too long to be kept")
)

// CSeqJump is how far Jump raises the local CSeq for each change of owner: more
// requests than an owner sends between two stored copies of the dialog.
const CSeqJump = 1000

// Role says on which side of the dialog's first INVITE we are.
type Role uint8

// The roles. The values are part of stored records.
const (
	UAC Role = 0 // we sent the INVITE
	UAS Role = 1 // we received it
)

// Dialog is one side of a SIP dialog as a value: comparable, copied by
// assignment, encoded with MarshalBinary, and usable on any node. It holds no
// link to a transaction, a connection or an endpoint.
type Dialog struct {
	Role      Role
	Transport Transport
	Secure    bool // the INVITE came over TLS to a sips URI (RFC 3261 section 12.1.1)
	NAT       bool // send to Peer while the remote target is a private address

	CallID    string
	LocalTag  string
	RemoteTag string
	Local     string // From or To value of our side, with its tag
	Remote    string // From or To value of the other side, with its tag

	RemoteTarget string // URI of the peer's Contact
	Contact      string // URI of our Contact
	Routes       string // route set, as one Route header value; empty: none

	LocalSeq  uint32 // CSeq of our last request
	RemoteSeq uint32 // CSeq of the peer's last request; 0: none yet
	InviteSeq uint32 // CSeq of the last INVITE that we sent, for its ACK

	LocalAddr netip.AddrPort // service address that the peer talks to
	Peer      netip.AddrPort // where its last message came from
	Conn      Conn           // the connection it came on

	SDPSent     uint64 // o= version of the last SDP sent, kept by call control
	SDPReceived uint64 // o= version of the last SDP received, kept by call control
}

// DialogKey names a dialog on our side.
type DialogKey struct{ CallID, LocalTag, RemoteTag string }

// Key returns the dialog's name.
func (d *Dialog) Key() DialogKey { return DialogKey{d.CallID, d.LocalTag, d.RemoteTag} }

// DialogKey returns the name of the dialog that a received request belongs to.
func (r *Request) DialogKey() DialogKey { return DialogKey{r.CallID, r.ToTag, r.FromTag} }

// DialogKey returns the name of the dialog that a received response belongs to.
func (r *Response) DialogKey() DialogKey { return DialogKey{r.CallID, r.FromTag, r.ToTag} }

// NewClientDialog makes the dialog of an INVITE that we sent and a 101-299
// response to it (RFC 3261 section 12.1.2). Early dialogs are made the same
// way; the one of the 2xx replaces them, since only its route set counts.
func NewClientDialog(req *Request, res *Response) (Dialog, error) {
	target, err := contactURI(res.Headers)
	if err != nil || res.ToTag == "" {
		return Dialog{}, fmt.Errorf("%w in a %d from %s", ErrNoContact, res.Status, res.Source)
	}
	routes := splitList(res.Headers.All("Record-Route"))
	for i, j := 0, len(routes)-1; i < j; i, j = i+1, j-1 {
		routes[i], routes[j] = routes[j], routes[i]
	}
	if len(routes) >= maxList {
		return Dialog{}, fmt.Errorf("%w: %d routes in a %d from %s", ErrDialogSize, len(routes), res.Status, res.Source)
	}
	contact, _ := contactURI(req.Headers)
	d := Dialog{
		Role: UAC, Transport: req.Dest.Transport,
		CallID: req.CallID, LocalTag: req.FromTag, RemoteTag: res.ToTag,
		Local: req.From, Remote: res.To,
		RemoteTarget: target, Contact: contact, Routes: strings.Join(routes, ", "),
		LocalSeq: req.CSeq, InviteSeq: req.CSeq,
		Peer: res.Source.Addr, Conn: res.Conn,
	}
	if d.size() > MaxDialog {
		return Dialog{}, fmt.Errorf("%w: %d bytes in a %d from %s", ErrDialogSize, d.size(), res.Status, res.Source)
	}
	d.own()
	return d, nil
}

// MaxDialog bounds an encoded dialog, in bytes. Real ones have a few hundred. A
// call whose dialogs cannot be stored could not be taken over, nor even answered.
const MaxDialog = 4000

// size is what the dialog takes when encoded, at most.
func (d *Dialog) size() int {
	const numbersAndLengths = 160
	return numbersAndLengths + len(d.CallID) + len(d.LocalTag) + len(d.RemoteTag) + len(d.Local) +
		len(d.Remote) + len(d.RemoteTarget) + len(d.Contact) + len(d.Routes)
}

func (d *Dialog) own() {
	own(&d.CallID, &d.LocalTag, &d.RemoteTag, &d.Local, &d.Remote, &d.RemoteTarget, &d.Contact, &d.Routes)
}

// Accepts reports whether a request of the peer with this CSeq is in order. Gaps
// are legal, so a dialog that missed requests on a dead node goes on.
func (d *Dialog) Accepts(seq uint32) bool { return d.RemoteSeq == 0 || seq > d.RemoteSeq }

// Receive applies an in-dialog request of the peer: its CSeq, the refresh of the
// remote target by INVITE and UPDATE (RFC 3261 section 12.2.2), and its source.
// It returns ErrOrder, and changes nothing, when the CSeq is old. An ACK changes nothing.
func (d *Dialog) Receive(req *Request) error {
	if req.Method == ACK || req.Method == CANCEL {
		return nil
	}
	if !d.Accepts(req.CSeq) {
		return fmt.Errorf("%w: %d after %d", ErrOrder, req.CSeq, d.RemoteSeq)
	}
	d.RemoteSeq = req.CSeq
	d.Peer, d.Conn = req.Source.Addr, req.Conn
	if req.Method == INVITE || req.Method == UPDATE {
		d.refresh(req.Headers)
	}
	return nil
}

// Answered applies a 2xx to an INVITE or UPDATE that we sent inside the dialog:
// it refreshes the remote target (RFC 3261 section 12.2.1.2).
func (d *Dialog) Answered(res *Response) {
	if res.Status/100 != 2 || (res.CSeqMethod != INVITE && res.CSeqMethod != UPDATE) {
		return
	}
	d.refresh(res.Headers)
}

func (d *Dialog) refresh(headers Headers) {
	target, err := contactURI(headers)
	if err == nil && d.size()-len(d.RemoteTarget)+len(target) <= MaxDialog {
		d.RemoteTarget = strings.Clone(target)
	}
}

// Jump raises the local CSeq by CSeqJump for each epoch that passed since the
// dialog was stored: the requests of the former owner are then all below
// (RFC 3261 section 12.2.2 allows gaps).
func (d *Dialog) Jump(epochs uint32) { d.LocalSeq += epochs * CSeqJump }

// Request makes the next request inside the dialog and counts the CSeq up. The
// branch is random unless the caller sets one. For the ACK to a 2xx see Ack.
func (d *Dialog) Request(method Method) *Request {
	if method == ACK {
		return d.Ack()
	}
	d.LocalSeq++
	if method == INVITE {
		d.InviteSeq = d.LocalSeq
	}
	req := d.request(method, d.LocalSeq)
	if method == INVITE || method == UPDATE {
		req.Headers.Add("Contact", "<"+d.Contact+">")
	}
	return req
}

// Ack makes the ACK to a 2xx of the last INVITE that we sent
// (RFC 3261 section 13.2.2.4); Endpoint.Send sends it.
func (d *Dialog) Ack() *Request { return d.request(ACK, d.InviteSeq) }

func (d *Dialog) request(method Method, seq uint32) *Request {
	req := &Request{
		Method: method, URI: d.RemoteTarget,
		From: d.Local, FromTag: d.LocalTag, To: d.Remote, ToTag: d.RemoteTag,
		CallID: d.CallID, CSeq: seq, MaxForwards: defaultMaxForwards,
		Headers: make(Headers, 0, 4),
	}
	hop := d.RemoteTarget
	if d.Routes != "" {
		hop = d.route(req)
	}
	req.Dest = d.nextHop(hop)
	if req.Dest.Transport.Stream() {
		req.Flow, req.FlowConn = d.Peer, d.Conn
	}
	return req
}

// route puts the route set into the request and returns the URI of the next hop
// (RFC 3261 section 12.2.1.1).
func (d *Dialog) route(req *Request) (hop string) {
	routes := splitList([]string{d.Routes})
	first, err := ParseAddress(routes[0])
	if err != nil {
		return d.RemoteTarget
	}
	if first.URI.Loose() {
		req.Headers.Add("Route", d.Routes)
		return first.URI.String()
	}
	// A strict router (RFC 2543) finds itself in the Request-URI and the target at the end.
	req.URI = first.URI.String()
	req.Headers.Add("Route", strings.Join(append(routes[1:], "<"+d.RemoteTarget+">"), ", "))
	return req.URI
}

// nextHop gives the address of a URI. A name is not resolved here: the peer's
// last source address stands in for it.
func (d *Dialog) nextHop(uri string) Peer {
	dest := Peer{Transport: d.Transport, Addr: d.Peer}
	u, err := ParseURI(uri)
	if err != nil {
		return dest
	}
	addr, ok := u.AddrPort()
	if !ok || d.NAT && addr.Addr().IsPrivate() {
		return dest
	}
	switch t, named := ParseTransport(u.Transport()); {
	case u.Scheme == "sips" && dest.Transport != WSS:
		dest.Transport = TLS
	case named && t != WS && t != WSS:
		dest.Transport = t
	}
	if u.Port == 0 && dest.Transport == TLS {
		addr = netip.AddrPortFrom(addr.Addr(), 5061) // RFC 3261 section 19.1.2
	}
	dest.Addr = addr
	return dest
}
