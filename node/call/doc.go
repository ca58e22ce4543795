// Package call is the call control of the back-to-back user agent: it joins the
// two legs of a call, lets the state machine decide whether it may be placed and
// go on, and tells the outside only what has been committed.
//
// A [Control] owns a few shards. A shard is one goroutine that owns many calls;
// a call belongs to the shard that its identifier names, for life. Everything
// that concerns a call (SIP messages, timers, results of commits, media and
// cluster events) comes to its shard as an event; the call's step function
// changes the call and returns actions, and the shard executes them. Neither
// ever blocks: commits, sends and fsyncs report back by events.
//
// It never decides about money, numbers or routes (the plan of StartCall does),
// never parses SIP or SDP beyond what packages sip and media offer, and never
// ends a call that it does not own: a decision carries the call's epoch.
//
//	control, err := call.New(call.Config{Key: key, Proposer: p, Outbox: o, Records: r})
//	line, err := control.Line(call.LineConfig{IP: ip, Relay: relay})
//	endpoint, err := sip.New(sip.Config{Packet: conn, Handler: line, Permit: lease.Permit})
//	line.Serve(endpoint)
//	go control.Run(ctx)
//	go endpoint.Run(ctx)
//	control.Adopt(record, logTime)   // for each call that the state says is ours
//
// The identifiers of our legs are keyed hashes of the call (names.go), so every
// node can name the transactions of a call that it never saw, and finds the call
// of a message without a table.
package call
