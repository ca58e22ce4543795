package phones

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are the counters of phones.
type Stats struct {
	Registers   atomic.Uint64 // REGISTERs
	Challenged  atomic.Uint64 // requests without a good answer to a challenge
	Wrong       atomic.Uint64 // wrong answers
	Unusable    atomic.Uint64 // answers that cannot be read
	Suspended   atomic.Uint64 // refused: too many wrong answers for the user from there
	Blocked     atomic.Uint64 // sources blocked by this node
	Silenced    atomic.Uint64 // requests that got no answer
	Bound       atomic.Uint64 // REGISTERs committed
	Refreshed   atomic.Uint64 // REGISTERs that changed nothing
	Uncommitted atomic.Uint64 // REGISTERs that found no leader
}

// limits are the parameters of F010 and F011.
type limits struct {
	tries    int // wrong answers for one user from one source
	suspend  time.Duration
	failures int // wrong answers from one source
	block    time.Duration
}

// Bounds of what is remembered. Beyond them what was seen the longest time ago is
// forgotten: a flood from everywhere makes no source better known.
const (
	maxSources = 50_000
	// askedEvery and maxAsked bound the challenges that a source lets go by without a
	// good answer: a scanner asks for many users and answers for none, while a hundred
	// phones behind one address all answer.
	askedEvery = time.Minute
	maxAsked   = 100
	maxUsers   = 64 // of one source
)

// bans remembers who failed. Its methods may be called from any goroutine.
type bans struct {
	mu      sync.Mutex // guards what follows
	sources map[netip.Addr]*source
	old     map[netip.Addr]*source // of the generation before: what is not seen again is dropped with it
}

// source is what is known of an address.
type source struct {
	wrong   int // since the last block
	until   time.Time
	asked   int // challenges without a good answer, since window
	window  time.Time
	tried   map[string]int // wrong answers by user
	suspend map[string]time.Time
}

func newBans() bans {
	return bans{sources: map[netip.Addr]*source{}, old: map[netip.Addr]*source{}}
}

// of returns an address's record. b.mu is held.
func (b *bans) of(a netip.Addr) *source {
	if s := b.sources[a]; s != nil {
		return s
	}
	s := b.old[a]
	if s == nil {
		s = &source{}
	}
	if len(b.sources) >= maxSources/2 {
		b.old, b.sources = b.sources, map[netip.Addr]*source{}
	}
	b.sources[a] = s
	return s
}

// known is of for an address that need not be remembered.
func (b *bans) known(a netip.Addr) *source {
	if s := b.sources[a]; s != nil {
		return s
	}
	return b.old[a]
}

func (b *bans) blocked(a netip.Addr, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.known(a)
	return s != nil && now.Before(s.until)
}

func (b *bans) block(a netip.Addr, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.of(a); until.After(s.until) {
		s.until = until
	}
}

// asked counts a challenge and reports whether it may be sent.
func (b *bans) asked(a netip.Addr, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.of(a)
	if now.Sub(s.window) > askedEvery {
		s.window, s.asked = now, 0
	}
	s.asked++
	return s.asked <= maxAsked
}

// good forgets the failures of a user from an address.
func (b *bans) good(a netip.Addr, user string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.known(a)
	if s == nil {
		return
	}
	s.wrong, s.asked = max(0, s.wrong-s.tried[user]), max(0, s.asked-1)
	delete(s.tried, user)
	delete(s.suspend, user)
}

// failed counts a wrong answer. blocked says that the address is blocked from now on.
func (b *bans) failed(a netip.Addr, user string, now time.Time, l limits) (until time.Time, blocked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.of(a)
	if s.tried == nil {
		s.tried, s.suspend = map[string]int{}, map[string]time.Time{}
	}
	if _, known := s.tried[user]; !known && len(s.tried) >= maxUsers {
		for other := range s.tried { // any of them makes room
			delete(s.tried, other)
			delete(s.suspend, other)
			break
		}
	}
	s.tried[user]++
	if l.tries > 0 && s.tried[user] >= l.tries {
		s.suspend[user] = now.Add(l.suspend)
		s.tried[user] = 0
	}
	s.wrong++
	if l.failures <= 0 || s.wrong < l.failures {
		return until, false
	}
	s.wrong, s.until = 0, now.Add(l.block)
	return s.until, true
}

// suspended says whether a user's answers from an address are not looked at.
func (b *bans) suspended(a netip.Addr, user string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.known(a)
	return s != nil && now.Before(s.suspend[user])
}
