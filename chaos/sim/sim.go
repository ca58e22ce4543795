// Package sim is a world for whole clusters inside one testing/synctest bubble:
// machines, an IP network between them and their disks, all in memory and in
// virtual time, with every fault that the chaos tests plan.
//
// It owns the [Net] with its [Host]s, links and packet trace, the [Process]es
// that run on the hosts, their [Disk]s, and the [World] that a schedule of faults
// is applied to. Faults are drawn from the seed, the flow and the number of the
// packet in its flow, never from a shared generator, so that they do not depend
// on which goroutine happens to run first; with the build that command exact
// prepares, a seed gives the same run packet by packet. The package never opens a
// real socket or file (either would stop the bubble's clock), knows nothing of
// calls, and is imported by tests only.
//
//	synctest.Test(t, func(t *testing.T) {
//		n := sim.New(sim.Config{Seed: 7})
//		defer n.Close()
//		a := n.Host("a", netip.MustParseAddr("10.0.0.1"))
//		life := a.Start() // has ListenPacket, Listen and Dial: give it to the product
//		...
//		life.Kill()
//	})
//
// Everything blocks on conditions and channels made inside the bubble, so a
// goroutine that waits for the network is durably blocked and the clock moves.
// All delivery is done by one goroutine from one heap. Every delay is at least a
// microsecond, so whatever is sent at one virtual instant is in the heap before
// any of it is delivered, in an order that only the packets decide.
//
// Three things cannot be simulated and are approximated: goroutines cannot be
// killed, so a dead node's keep running with their network closed and their disk
// swallowing writes until they notice; a frozen node's timers cannot be stopped,
// so [Process.Freeze] holds what it sends and hides what it would read; and one
// bubble has one clock, so only the clocks that a program asks a host for, the
// wall clock and the boot clock, can be wrong.
package sim

import (
	"cmp"
	"container/heap"
	"net/netip"
	"sync"
	"time"
)

// Config is the setting of a Net. The zero value is the documented default.
type Config struct {
	Seed    uint64
	Default Link          // between hosts without a link of their own; zero: 200 µs and up to 100 µs of jitter
	RTO     time.Duration // first resend of a lost stream segment, doubling; zero: 200 ms
	GiveUp  time.Duration // a segment not acknowledged for so long breaks its stream; zero: 15 min
	Queue   int           // datagrams waiting in a socket before the next is dropped; zero: 1,024
	Shared  netip.Prefix  // addresses of the loopback profile, see address.go; zero: none
	Window  int           // bytes in flight or unread per direction of a stream; zero: 256 KiB
	// Tap is called for each datagram when it leaves a host, with the true sender
	// whatever its source address says. It must not call the Net nor keep the payload.
	Tap   func(host string, src, dst netip.AddrPort, payload []byte)
	Trace func(Event) // called for each packet, one at a time and in order; must not call the Net
}

func (c Config) withDefaults() Config {
	if c.Default == (Link{}) {
		c.Default = Link{Delay: 200 * time.Microsecond, Jitter: 100 * time.Microsecond}
	}
	c.RTO = cmp.Or(c.RTO, 200*time.Millisecond)
	c.GiveUp = cmp.Or(c.GiveUp, 15*time.Minute)
	c.Queue = cmp.Or(c.Queue, 1024)
	c.Window = cmp.Or(c.Window, 256<<10)
	return c
}

// Net is the network: hosts, the links between them and the packets under way.
type Net struct {
	cfg  Config
	wake chan struct{} // capacity 1: an event before the awaited one was posted
	done chan struct{} // closed when run has returned

	mu     sync.Mutex // guards everything below and all of every Host, socket and Conn
	hosts  map[string]*Host
	order  []*Host                          // in the order in which they were made
	routes map[netip.Addr]*Host             // who answers for an address
	bound  map[netip.AddrPort][]*PacketConn // sockets at shared addresses, the newest last
	links  map[[2]*Host]Link
	events eventHeap
	flows  map[flow]uint64 // packets so far
	stats  Stats
	closed bool
}

// Stats counts packets: of streams, segments and control packets.
type Stats struct {
	Delivered int // to a socket
	Lost      int // on the way: loss, a cut, nobody there
	Overflow  int // at a full socket
}

// New makes a network and starts its delivery. It must be called inside the
// bubble, and Close before the bubble ends.
func New(cfg Config) *Net {
	n := &Net{
		cfg:    cfg.withDefaults(),
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		hosts:  map[string]*Host{},
		routes: map[netip.Addr]*Host{},
		bound:  map[netip.AddrPort][]*PacketConn{},
		links:  map[[2]*Host]Link{},
		flows:  map[flow]uint64{},
	}
	go n.run()
	return n
}

// Close takes every host down and waits for delivery to end.
func (n *Net) Close() {
	n.mu.Lock()
	n.closed = true
	for _, h := range n.hosts {
		h.down()
	}
	n.mu.Unlock()
	n.poke()
	<-n.done
}

// Stats returns the counters so far.
func (n *Net) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// run delivers what is due and sleeps until the next event.
func (n *Net) run() {
	defer close(n.done)
	const idle = time.Hour
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		wait, open := n.deliverDue(idle)
		if !open {
			return
		}
		timer.Reset(wait)
		select {
		case <-n.wake:
		case <-timer.C:
		}
	}
}

// deliverDue fires all due events and returns the time to the next one, or
// open == false when the network is closed.
func (n *Net) deliverDue(idle time.Duration) (wait time.Duration, open bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for !n.closed {
		if len(n.events) == 0 {
			return idle, true
		}
		if wait = time.Until(n.events[0].at); wait > 0 {
			return min(wait, idle), true
		}
		heap.Pop(&n.events).(*event).fire()
	}
	return 0, false
}

func (n *Net) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// flow names a sequence of packets whose faults are drawn in order.
type flow struct {
	kind     byte // flowDatagram and so on
	src, dst netip.AddrPort
}

// The kinds of flow.
const (
	flowDatagram = 'd'
	flowSegment  = 's'
	flowControl  = 'c'
	flowTimer    = 't' // resends; never on the wire
)

// event is something that will happen, under Net.mu.
type event struct {
	at     time.Time
	flow   flow
	number uint64 // in its flow
	fire   func()
}

// post schedules fire as the next event of its flow.
func (n *Net) post(at time.Time, f flow, fire func()) {
	e := &event{at, f, n.next(f), fire}
	heap.Push(&n.events, e)
	if n.events[0] == e {
		n.poke()
	}
}

// next counts the packets of a flow.
func (n *Net) next(f flow) uint64 {
	n.flows[f]++
	return n.flows[f]
}

// eventHeap orders events by time, and at one instant by what they are.
type eventHeap []*event

func (h eventHeap) Len() int      { return len(h) }
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h eventHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(
		a.at.Compare(b.at),
		a.flow.dst.Compare(b.flow.dst),
		a.flow.src.Compare(b.flow.src),
		cmp.Compare(a.flow.kind, b.flow.kind),
		cmp.Compare(a.number, b.number),
	) < 0
}

// Push implements heap.Interface.
func (h *eventHeap) Push(x any) { *h = append(*h, x.(*event)) }

// Pop implements heap.Interface.
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
