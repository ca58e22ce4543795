package sim

import (
	"hash/crc32"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Link says how packets travel from one host to another, in one direction.
type Link struct {
	Delay   time.Duration // base delay one way, at least a microsecond
	Jitter  time.Duration // uniform extra delay below it
	Loss    float64       // chance that a packet is lost; a stream sends it again
	Dup     float64       // chance that a datagram arrives twice
	Reorder float64       // chance that a datagram is held back so that later ones pass
	Cut     bool          // nothing gets through
}

// reorderDelay is how long a datagram is held back: longer than the gap between
// two packets of a 20 ms media stream.
const reorderDelay = 50 * time.Millisecond

// loopback is the link from a host to itself.
const loopback = 10 * time.Microsecond

func (l Link) delay(dice *rand.Rand) time.Duration {
	d := max(l.Delay, time.Microsecond)
	if l.Jitter > 0 {
		d += time.Duration(dice.Int64N(int64(l.Jitter)))
	}
	return d
}

// hit throws the dice for a chance.
func hit(dice *rand.Rand, chance float64) bool { return chance > 0 && dice.Float64() < chance }

// dice returns a generator for the next packet of a flow. It depends only on
// the seed, the flow and how many packets the flow has had.
func (n *Net) dice(f flow) *rand.Rand {
	h := fnv.New64a()
	for _, end := range [2]netip.AddrPort{f.src, f.dst} {
		ip := end.Addr().As16()
		h.Write(ip[:])
		h.Write([]byte{byte(end.Port() >> 8), byte(end.Port())})
	}
	h.Write([]byte{f.kind})
	return rand.New(rand.NewPCG(n.cfg.Seed^h.Sum64(), n.next(f)))
}

func (n *Net) link(src, dst *Host) Link {
	if src == dst {
		return Link{Delay: loopback}
	}
	if l, ok := n.links[[2]*Host{src, dst}]; ok {
		return l
	}
	return n.cfg.Default
}

// SetLink sets the link from src to dst; the way back stays as it is.
func (n *Net) SetLink(src, dst *Host, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[[2]*Host{src, dst}] = l
}

// EditLink changes the link from src to dst.
func (n *Net) EditLink(src, dst *Host, edit func(*Link)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.edit(src, dst, edit)
}

// EditLinks changes every link between two different hosts.
func (n *Net) EditLinks(edit func(*Link)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, src := range n.hosts {
		for _, dst := range n.hosts {
			if src != dst {
				n.edit(src, dst, edit)
			}
		}
	}
}

func (n *Net) edit(src, dst *Host, edit func(*Link)) {
	l := n.link(src, dst)
	edit(&l)
	n.links[[2]*Host{src, dst}] = l
}

// Cut stops everything from src to dst, also what is under way.
func (n *Net) Cut(src, dst *Host) { n.EditLink(src, dst, func(l *Link) { l.Cut = true }) }

// Partition cuts both directions between hosts of different groups.
func (n *Net) Partition(groups ...[]*Host) {
	for i, g := range groups {
		for _, other := range append(groups[:i:i], groups[i+1:]...) {
			for _, src := range g {
				for _, dst := range other {
					n.Cut(src, dst)
				}
			}
		}
	}
}

// Heal removes every cut; delays and chances stay. Streams that lived through
// the cut go on: their segments are sent again.
func (n *Net) Heal() { n.EditLinks(func(l *Link) { l.Cut = false }) }

// transmit puts one unrepeated packet on the wire. Under way it may be delayed,
// doubled or lost; arrive runs at the host that then answers for dst.
func (n *Net) transmit(kind Kind, from *Host, src, dst netip.AddrPort, payload []byte, arrive func(*Host)) {
	if !from.holds(src.Addr()) {
		return // IP_FREEBIND lets a program bind a foreign address, but not send from it
	}
	if kind == Datagram && n.cfg.Tap != nil {
		n.cfg.Tap(from.name, src, dst, payload)
	}
	f := flow{flowControl, src, dst}
	if kind == Datagram {
		f.kind = flowDatagram
	}
	dice, l, copies := n.dice(f), n.link(from, n.home(f.kind, from, src, dst)), 1
	if kind == Datagram && hit(dice, l.Dup) {
		copies = 2
	}
	for range copies {
		lost, delay := hit(dice, l.Loss), l.delay(dice)
		if kind == Datagram && hit(dice, l.Reorder) {
			delay += reorderDelay
		}
		n.post(time.Now().Add(delay), f, func() {
			if h := n.reach(f.kind, from, src, dst); h != nil && !lost {
				n.trace(kind, src, dst, payload)
				arrive(h)
				return
			}
			n.stats.Lost++
			n.trace(Drop, src, dst, payload)
		})
	}
}

// reach returns the host that a packet for dst arrives at just now, or nil.
func (n *Net) reach(kind byte, from *Host, src, dst netip.AddrPort) *Host {
	h := n.home(kind, from, src, dst)
	if h == nil || !h.holds(dst.Addr()) || h.suspended || from.suspended || n.link(from, h).Cut {
		return nil
	}
	return h
}

// Kind says what a packet in the trace is.
type Kind string

// The kinds of packet.
const (
	Datagram Kind = "udp"
	SYN      Kind = "syn"
	SYNACK   Kind = "synack"
	Segment  Kind = "seg"
	FIN      Kind = "fin"
	RST      Kind = "rst"
	Drop     Kind = "drop" // lost on the way, or nobody there
)

// Event is one packet at its arrival.
type Event struct {
	At       time.Time
	Kind     Kind
	Src, Dst netip.AddrPort
	Len      int
	Sum      uint32 // crc32 of the payload
}

func (n *Net) trace(kind Kind, src, dst netip.AddrPort, payload []byte) {
	if n.cfg.Trace != nil {
		n.cfg.Trace(Event{time.Now(), kind, src, dst, len(payload), crc32.ChecksumIEEE(payload)})
	}
}
