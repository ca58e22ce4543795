package sip

// ServerTx is the transaction of a received request: RFC 3261 section 17.2 with
// the Accepted state of RFC 6026. It repeats the last response as bytes.
type ServerTx struct {
	shard  *shard
	method Method
}

// Method returns the method of the request.
func (tx *ServerTx) Method() Method { return tx.method }

// CallID returns the Call-ID of the request.
func (tx *ServerTx) CallID() string { return "" }

// Respond sends a response: any number of provisional ones, then one final one.
// What comes after the final one is ignored. A 2xx to an INVITE is repeated until
// its ACK or the peer's BYE, else AckTimeout is called (RFC 3261 section 13.3.1.4).
// It returns ErrMessage when the response cannot be encoded and ErrBusy when the
// endpoint is at its bound; it does not block.
func (tx *ServerTx) Respond(res *Response) error { return nil }

// Restore gives the INVITE transaction of a call back to a node that adopts it, in
// state Proceeding: retransmissions and the CANCEL of the caller find it, and it is
// answered with Respond like a fresh one.
func (e *Endpoint) Restore(s InviteState) *ServerTx { return nil }
