package media

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// quarantine is how long a freed port rests, so that late packets of an old
// call cannot reach a new one.
const quarantine = 2 * time.Second

// PortRange is an inclusive range of UDP ports. RTP uses its even ports, RTCP
// the odd one above each (RFC 3550 section 11). The zero value means
// 20000-39999.
type PortRange struct{ First, Last uint16 }

// ParsePortRange reads "20000-39999".
func ParsePortRange(s string) (PortRange, error) {
	low, high, found := strings.Cut(s, "-")
	first, err1 := strconv.ParseUint(low, 10, 16)
	last, err2 := strconv.ParseUint(high, 10, 16)
	if !found || err1 != nil || err2 != nil {
		return PortRange{}, fmt.Errorf("port range %q: want two ports as in 20000-39999", s)
	}
	r := PortRange{First: uint16(first), Last: uint16(last)}
	return r, r.validate()
}

// String returns the range as ParsePortRange reads it.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// pairs returns how many port pairs the range holds.
func (r PortRange) pairs() int { return (int(r.Last) + 1 - int(r.base())) / 2 }

// base returns the first even port.
func (r PortRange) base() uint32 { return (uint32(r.First) + 1) &^ 1 }

func (r PortRange) validate() error {
	if r.First < minPort {
		return fmt.Errorf("port range %s: ports below %d are not for media", r, minPort)
	}
	if r.Last < r.First || r.pairs() < 2 {
		return fmt.Errorf("port range %s: a call needs two even ports and those above them", r)
	}
	return nil
}

// The states of a pair that is not in the free list.
const (
	pairHeld    = -1
	pairResting = -2
)

// ports gives out port pairs. Every pair is free, held or resting, and never
// two of these. It is not safe for concurrent use.
type ports struct {
	base    uint32
	free    []uint16  // pair numbers, in no order
	place   []int32   // by pair: position in free, pairHeld or pairResting
	resting []resting // oldest first
	held    int
	rand    func(n int) int
}

type resting struct {
	pair  uint16
	until time.Duration
}

func newPorts(r PortRange, random func(int) int) *ports {
	if random == nil {
		random = rand.IntN
	}
	p := &ports{base: r.base(), rand: random}
	p.free = make([]uint16, r.pairs())
	p.place = make([]int32, r.pairs())
	for i := range p.free {
		p.free[i], p.place[i] = uint16(i), int32(i)
	}
	return p
}

// take returns the RTP port of a free pair, chosen at random: a predictable
// port would invite injection before a source is locked.
func (p *ports) take(now time.Duration) (uint16, error) {
	p.expire(now)
	if len(p.free) == 0 {
		return 0, ErrNoPorts
	}
	pair := p.free[p.rand(len(p.free))]
	p.hold(pair)
	return uint16(p.base + 2*uint32(pair)), nil
}

// takeExactly holds the pair of an RTP port, even if it is resting: its stored
// call is the one that used it last.
func (p *ports) takeExactly(port uint16) error {
	offset := int64(port) - int64(p.base)
	if offset < 0 || offset%2 != 0 || offset/2 >= int64(len(p.place)) {
		return fmt.Errorf("port %d: %w", port, ErrPortTaken)
	}
	pair := uint16(offset / 2)
	switch p.place[pair] {
	case pairHeld:
		return fmt.Errorf("port %d: %w", port, ErrPortTaken)
	case pairResting:
		for i := range p.resting {
			if p.resting[i].pair == pair {
				p.resting = append(p.resting[:i], p.resting[i+1:]...)
				break
			}
		}
		p.place[pair] = pairHeld
		p.held++
	default:
		p.hold(pair)
	}
	return nil
}

// release puts a held pair to rest.
func (p *ports) release(port uint16, now time.Duration) {
	pair := uint16((uint32(port) - p.base) / 2)
	if p.place[pair] != pairHeld {
		panic(fmt.Sprintf("media: invariant: port %d released but not held", port))
	}
	p.held--
	p.place[pair] = pairResting
	p.resting = append(p.resting, resting{pair: pair, until: now + quarantine})
}

// expire frees the pairs that have rested long enough.
func (p *ports) expire(now time.Duration) {
	n := 0
	for n < len(p.resting) && p.resting[n].until <= now {
		pair := p.resting[n].pair
		p.place[pair] = int32(len(p.free))
		p.free = append(p.free, pair)
		n++
	}
	if n > 0 {
		p.resting = append(p.resting[:0], p.resting[n:]...)
	}
}

// hold moves a free pair out of the free list.
func (p *ports) hold(pair uint16) {
	at, last := p.place[pair], p.free[len(p.free)-1]
	p.free[at], p.place[last] = last, at
	p.free = p.free[:len(p.free)-1]
	p.place[pair] = pairHeld
	p.held++
}
