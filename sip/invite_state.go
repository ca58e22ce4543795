package sip

import (
	"fmt"
	"strings"
)

// InviteState is what is needed to answer or refuse a received INVITE, on this
// node or on another one: the route back, both ends, and our To-tag. It does not
// hold the body. It encodes with MarshalBinary.
type InviteState struct {
	URI          string   // Request-URI
	Vias         []string // Via values, top first, with received and rport filled in
	From, To     string   // verbatim; To without our tag, unless the INVITE is inside a dialog
	FromTag      string
	ToTag        string // our tag
	InDialog     bool   // the INVITE carried ToTag itself: a re-INVITE
	CallID       string
	CSeq         uint32
	Branch       string
	SentBy       string // host:port of the top Via: part of the transaction's name
	Contact      string // URI of the caller's Contact; "": none usable
	RecordRoutes []string
	MaxForwards  int
	Source       Peer // where the INVITE came from
	Conn         Conn // the connection it came on
	ReplyTo      Peer // where the responses go
}

// Invite takes the state out of a received INVITE; tag is our To-tag for all
// responses but 100.
func (r *Request) Invite(tag string) InviteState {
	contact, _ := contactURI(r.Headers)
	s := InviteState{
		URI: r.URI, Vias: r.vias, From: r.From, To: r.To, FromTag: r.FromTag, ToTag: tag,
		CallID: r.CallID, CSeq: r.CSeq, Branch: r.Branch, SentBy: r.sentBy, Contact: contact,
		RecordRoutes: r.Headers.All("Record-Route"), MaxForwards: r.MaxForwards,
		Source: r.Source, Conn: r.Conn, ReplyTo: r.replyTo,
	}
	if r.ToTag != "" {
		s.ToTag, s.InDialog = r.ToTag, true
	}
	return s
}

// request gives back as much of the INVITE as its transaction needs.
func (s *InviteState) request() *Request {
	req := &Request{
		Method: INVITE, URI: s.URI, From: s.From, FromTag: s.FromTag, To: s.To,
		CallID: s.CallID, CSeq: s.CSeq, Branch: s.Branch, MaxForwards: s.MaxForwards,
		Source: s.Source, Conn: s.Conn, vias: s.Vias, sentBy: s.SentBy, replyTo: s.ReplyTo,
	}
	if s.InDialog {
		req.ToTag = s.ToTag
	}
	for _, value := range s.RecordRoutes {
		req.Headers.Add("Record-Route", value)
	}
	return req
}

// Response makes a response to the INVITE, with our To-tag.
func (s *InviteState) Response(status int) *Response {
	tag := s.ToTag
	if status == 100 {
		tag = "" // RFC 3261 section 8.2.6.2 lets 100 go without; it makes no dialog
	}
	return s.request().Response(status, tag)
}

// Dialog makes the dialog that our 101-299 response to the INVITE creates
// (RFC 3261 section 12.1.1); contact is the URI of our Contact.
func (s *InviteState) Dialog(contact string) (Dialog, error) {
	if s.Contact == "" || s.ToTag == "" {
		return Dialog{}, fmt.Errorf("%w in an INVITE from %s", ErrNoContact, s.Source)
	}
	res := s.Response(200)
	d := Dialog{
		Role: UAS, Transport: s.Source.Transport,
		Secure: strings.HasPrefix(strings.ToLower(s.URI), "sips:"),
		CallID: s.CallID, LocalTag: s.ToTag, RemoteTag: s.FromTag,
		Local: res.To, Remote: s.From,
		RemoteTarget: s.Contact, Contact: contact,
		Routes:    strings.Join(splitList(s.RecordRoutes), ", "),
		RemoteSeq: s.CSeq,
		Peer:      s.Source.Addr,
		Conn:      s.Conn,
	}
	if d.size() > MaxDialog || strings.Count(d.Routes, ", ") >= maxList-1 {
		return Dialog{}, fmt.Errorf("%w: %d bytes in an INVITE from %s", ErrDialogSize, d.size(), s.Source)
	}
	d.own()
	return d, nil
}
