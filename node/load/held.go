package load

import (
	"net/netip"
	"time"
)

// Gap is a silence that a live call heard.
type Gap struct {
	CallID  string
	Target  netip.AddrPort // that the caller called; zero at a carrier
	Longest time.Duration
}

// TakeGaps returns, for each live call with voice, the longest time without a
// packet since the last call of TakeGaps: what a fault in between cost.
func (p *phone) TakeGaps() []Gap {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Gap
	for id, l := range p.calls {
		if l.voice == nil {
			continue
		}
		if gap, ok := l.voice.voice.TakeGap(); ok {
			out = append(out, Gap{CallID: id, Target: l.out.Target, Longest: gap})
		}
	}
	return out
}

// answeredCalls returns at most limit calls that were answered and not hung up.
func (p *phone) answeredCalls(limit int) []*leg {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*leg
	for _, l := range p.calls {
		talks := l.out.Setup > 0 || !l.far.Answered.IsZero()
		if len(out) == limit {
			break
		}
		if talks && l.hungUp.IsZero() {
			out = append(out, l)
		}
	}
	return out
}

// Established is the number of calls that were answered and not hung up.
func (c *Callers) Established() int { return len(c.answeredCalls(-1)) }

// HangUp ends at most so many calls now, and returns how many.
func (c *Callers) HangUp(limit int) int {
	calls := c.answeredCalls(limit)
	for _, l := range calls {
		c.hangUp(l)
	}
	return len(calls)
}

// HangUp ends at most so many calls now, and returns how many.
func (c *Carrier) HangUp(limit int) int {
	calls := c.answeredCalls(limit)
	for _, l := range calls {
		c.mu.Lock()
		l.hungUp = time.Now()
		c.mu.Unlock()
		c.hangUp(l)
	}
	return len(calls)
}
