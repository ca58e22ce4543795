package sim_test

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"time"

	"tandem/chaos"
	"tandem/fsm"
	"tandem/node/load"
)

// This file is what a stranger sees of an exchange: the wire, the phones, and who
// owns which address.

// at returns the node whose own service address that is.
func (x *exchange) at(addr netip.Addr) *softswitch {
	i := slices.IndexFunc(x.nodes, func(s *softswitch) bool { return s.home == addr })
	return x.nodes[i]
}

// tap notes the SIP messages that nodes send. A keep-alive is none.
func (x *exchange) tap(host string, src, dst netip.AddrPort, payload []byte) {
	if src.Port() != 5060 || !loopback.Contains(src.Addr()) || x.blind.Load() {
		return
	}
	line, rest, ok := bytes.Cut(payload, []byte("\r\n"))
	_, id, found := bytes.Cut(rest, []byte("\r\nCall-ID: "))
	if !ok || !found {
		return
	}
	id, _, _ = bytes.Cut(id, []byte("\r\n"))
	x.recorder.Speech(chaos.Speech{At: time.Since(x.start), Node: host, Addr: src.Addr().String(), Call: string(id), What: string(line)})
}

// watchEvery is how exactly it is known when an address changed hands.
const watchEvery = 5 * time.Millisecond

// watch notes who owns the service addresses.
func (x *exchange) watch(ctx context.Context) {
	seen := map[string]uint64{} // index of each node at the last look
	defer x.blind.Store(true)
	for last, now := time.Duration(0), time.Since(x.start); ctx.Err() == nil; last, now = now, time.Since(x.start) {
		for _, s := range x.nodes {
			n := s.running()
			if n == nil {
				continue
			}
			n.View(func(state *fsm.State) {
				if seen[s.Host.Name()] == state.Index() {
					return
				}
				seen[s.Host.Name()] = state.Index()
				for _, a := range state.Addresses() {
					x.recorder.Grant(chaos.Grant{From: last, At: now, Subject: a.IP, Node: string(a.Owner), Epoch: uint64(a.Epoch)})
				}
			})
		}
		time.Sleep(watchEvery)
	}
}

// ended records a call as the customer saw it.
func (x *exchange) ended(o load.Outcome) { x.record(o, false) }

// record is ended. Where messages get lost a customer does not know how long his
// call was: his 200 may have come by its second repetition.
func (x *exchange) record(o load.Outcome, lossy bool) {
	c := chaos.Call{
		ID: o.CallID, Node: o.Target.String(), Began: o.Start.Sub(x.start), Heard: time.Since(x.start),
		Status: o.Status, Callee: o.Callee, Cut: o.Cut, ByeLost: o.ByeLost, Gap: o.Gap(),
	}
	if o.Answered() {
		c.Answered = c.Began + o.Setup
	}
	if o.Answered() && !o.ByeLost && !lossy {
		c.Ended, c.Released = c.Answered+o.Talk, time.Since(x.start)
	}
	x.recorder.Call(c)
}

// leg records a call as the carrier saw it.
func (x *exchange) leg(o load.LegOutcome) {
	l := chaos.Leg{ID: o.CallID, Callee: o.Callee, Began: o.Start.Sub(x.start)}
	if !o.Answered.IsZero() {
		l.Answered = o.Answered.Sub(x.start)
	}
	if !o.Finished.IsZero() {
		l.Ended = o.Finished.Sub(x.start)
	}
	x.recorder.Leg(l)
}
