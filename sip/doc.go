// Package sip is the signalling layer of a back-to-back user agent: transport,
// transactions, and dialogs as values.
//
// It owns one service address ([Endpoint]): the UDP socket, the connections of
// TCP, TLS and WebSocket, the parser's limits, the RFC 3261 and RFC 6026
// transaction state machines with their timers, and the retransmission of a 2xx
// until its ACK.
// Messages of one Call-ID, its timers and its transactions belong to one shard,
// a single goroutine, so a [Handler] sees the events of a call one at a time
// and in the order in which they arrived.
//
// It never knows money, media or the cluster: bodies are bytes, and whether a
// call may be answered is decided by call control, which says so with Respond.
// It resolves no names: destinations are addresses. URIs are parsed by sipgo;
// transport, transactions and dialogs are our own, since sipgo's give no order
// between the messages of a call and cannot be rebuilt on another node.
//
// # What a message passes
//
// A datagram, read with others in one system call, is first weighed: what unknown
// sources (Config.Known) send beyond Config.Budget is dropped, then what
// Config.Gate refuses. Up to there nothing is allocated. A repetition, byte for
// byte, is answered from the stored bytes of its transaction. Only then is it
// parsed, and refused with a status or in silence where RFC 3261 and RFC 4475 say
// so; no datagram costs more than 256 kB. A shard that is behind refuses new
// calls with 503, those of strangers first, and takes the rest of what belongs to
// calls. Each of these ends counts once in [Stats].
//
// On a stream a request inside a dialog goes to the connection of the dialog, by
// name ([Conn]), else to a new one to the peer's Contact: never to whoever has
// the same address now. A request over 1,300 bytes goes over TCP although its
// destination says UDP, and by UDP after all where TCP is not taken
// (RFC 3261 section 18.1.1).
//
// # A call through the endpoint
//
// Call control implements [Handler] and must not block in it: it posts the
// event to the call's own mailbox. The endpoint's methods may be called from
// any goroutine, and from inside the handler.
//
//	func (c *control) Request(req *sip.Request, tx *sip.ServerTx) {
//		switch {
//		case req.Method == sip.INVITE && req.ToTag == "":
//			a := req.Invite(tag)          // all that is needed to answer A, on any node
//			tx.Respond(a.Response(100))   // once the call is committed
//			out, err := sip.NewInvite(sip.InviteSpec{
//				URI: "sip:4420@198.51.100.7", Dest: gateway, CallID: id, FromTag: ft, Branch: branch,
//				From: "<sip:4930@203.0.113.20>", To: "<sip:4420@198.51.100.7>", Contact: c.endpoint.Contact("leg-b", sip.UDP),
//				MaxForwards: req.MaxForwards - 1, Body: offer, ContentType: "application/sdp",
//			})
//			b, err := c.endpoint.Request(out, sip.Options{FirstResponse: 4 * time.Second},
//				func(res *sip.Response, err error) {
//					switch {
//					case err != nil:             // ErrTimeout, ErrTransport: next candidate
//					case res.Status < 200:       // tx.Respond(a.Response(180))
//					case res.Status < 300:       // every 2xx, also a repeated one
//						legB, _ := sip.NewClientDialog(out, res)
//						c.endpoint.Send(legB.Ack())
//						legA, _ := a.Dialog(contactA)
//						ok := a.Response(200)    // repeated by the endpoint until A's ACK
//						ok.Headers.Add("Contact", "<"+contactA+">")
//						ok.SetBody("application/sdp", answer)
//						tx.Respond(ok)
//					default:                     // the ACK has been sent already
//					}
//				})
//		case req.Method == sip.ACK:           // tx is nil: A has our 200
//		case req.Method == sip.BYE:
//			legA.Receive(req)                 // checks the CSeq
//			c.endpoint.Request(legB.Request(sip.BYE), sip.Options{}, nil)
//			tx.Respond(req.Response(200, "")) // once the end is committed
//		}
//	}
//
// bridge_test.go holds a whole bridge of two legs that compiles.
//
// A [Dialog] and an [InviteState] encode to bytes; a node that adopts a call
// decodes them and goes on: [Endpoint.Restore] gives the server transaction
// back, Options.Restored the client transaction, and [Dialog.Jump] keeps the
// new owner's CSeq numbers above the old one's.
package sip
