package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// packet is one encoded message on its way out.
type packet struct {
	raw    []byte
	dest   Peer
	flow   flow   // of a stream: connection to prefer
	status int    // of a response; 0: a request
	method Method // of a request
}

// flow is a connection to prefer: its remote address, and its name unless that
// does not matter.
type flow struct {
	addr netip.AddrPort
	conn Conn
}

// Run serves the endpoint until ctx ends or a socket fails. It closes the sockets
// and returns after all its goroutines have.
func (e *Endpoint) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, s := range e.shards {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Go(func() { stop(e.readPackets(ctx)) })
	listeners := e.listeners()
	for transport, listener := range listeners {
		wg.Go(func() { stop(e.streams.accept(ctx, listener, transport)) })
	}
	wg.Go(func() { e.streams.run(ctx) })
	<-ctx.Done()
	e.cfg.Packet.Close()
	for _, listener := range listeners {
		listener.Close()
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// listeners are those that are configured.
func (e *Endpoint) listeners() map[Transport]net.Listener {
	all := map[Transport]net.Listener{
		TCP: e.cfg.Listener, TLS: e.cfg.TLS.Listener, e.cfg.WebSocket.transport(): e.cfg.WebSocket.Listener,
	}
	for transport, listener := range all {
		if listener == nil {
			delete(all, transport)
		}
	}
	return all
}

// dials reports whether connections of the transport are opened.
func (e *Endpoint) dials(t Transport) bool {
	return e.cfg.Dial != nil && (t == TCP || t == TLS && e.cfg.TLS.Client != nil)
}

func (e *Endpoint) permitted(status int) bool {
	if e.cfg.Permit == nil || e.cfg.Permit(status) {
		return true
	}
	e.stats.DroppedPermit.Add(1)
	return false
}

// transmit sends one message from any goroutine; those of a shard have [shard.send],
// which collects datagrams. What fails is counted, and repaired by whoever misses
// the message.
func (e *Endpoint) transmit(out packet) {
	if !e.permitted(out.status) {
		return
	}
	var err error
	if out.dest.Transport.Stream() {
		err = e.streams.send(out, nil)
	} else {
		err = writePacket(e.cfg.Packet, out.raw, out.dest.Addr)
	}
	e.sent(out, err)
}

// sent counts a message that left, or did not.
func (e *Endpoint) sent(out packet, err error) {
	if err != nil {
		e.stats.SendErrors.Add(1)
		e.log.Debug("send", "peer", out.dest, "err", err)
		return
	}
	if e.cfg.Trace != nil {
		e.cfg.Trace(true, out.dest, out.raw)
	}
	switch {
	case out.status != 0:
		e.stats.ResponsesOut[out.status/100].Add(1)
	default:
		e.stats.RequestsOut.add(out.method)
	}
}

// outgoing is a datagram in a shard's batch.
type outgoing struct {
	packet
	fail func(error) // told of the socket's error; may be nil
}

// send sends one message. A datagram leaves with the shard's batch, behind the
// event that is being handled. fail, if not nil, hears on the shard of what went
// wrong, for a stream possibly much later.
func (s *shard) send(out packet, fail func(error)) {
	if !s.e.permitted(out.status) {
		return // as if the network had lost it: the state machines go on
	}
	if !out.dest.Transport.Stream() {
		s.out = append(s.out, outgoing{out, fail})
		if len(s.out) >= batchSize {
			s.flush()
		}
		return
	}
	later := fail
	if fail != nil {
		later = func(err error) {
			// When the queue is full, the transaction's own timer ends it.
			_ = s.command(func(time.Time) { fail(err) })
		}
	}
	err := s.e.streams.send(out, later)
	s.e.sent(out, err)
	if err != nil && fail != nil {
		s.failed = append(s.failed, failure{fail, fmt.Errorf("%s: %w", out.dest, err)})
	}
}

// failure is what flush has to tell.
type failure struct {
	fail func(error)
	err  error
}

// flush sends the batch and tells of failures. It is called between events, since
// what hears of a failure may send again.
func (s *shard) flush() {
	for len(s.out) > 0 {
		batch := s.out
		n, err := s.writer.write(batch)
		for _, out := range batch[:n] {
			s.e.sent(out.packet, nil)
		}
		if err != nil && n < len(batch) {
			bad := batch[n]
			s.e.sent(bad.packet, err)
			if bad.fail != nil {
				s.failed = append(s.failed, failure{bad.fail, err})
			}
			n++
		}
		rest := copy(batch, batch[n:])
		clear(batch[rest:])
		s.out = batch[:rest]
	}
}

// tell tells of failures, in order. What is told may send, and fail, again.
func (s *shard) tell() {
	for len(s.failed) > 0 {
		f := s.failed[0]
		s.failed = s.failed[1:]
		f.fail(f.err)
		s.flush()
	}
	s.failed = nil
}

// wait sleeps for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
