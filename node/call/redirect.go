package call

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

// maxRedirects bounds the Contacts of redirections that one call follows.
const maxRedirects = 5

// redirection is a place that a gateway has named.
type redirection struct {
	candidate int
	addr      netip.AddrPort
	callee    string
	q         int // thousandths
}

// redirected takes a 3xx by the gateway's profile. It reports whether it has dealt
// with it; if not, the gateway has failed.
func (c *Call) redirected(now time.Time, t *try, res *sip.Response) bool {
	switch c.plan.Candidates[t.candidate].Profile.Redirect {
	case fsm.RedirectPass:
		c.count(Failed)
		c.redirects = nil
		c.contacts = res.Headers.List("Contact")
		c.fail(now, fsm.EndRejected, res.Status, 23)
		return true
	case fsm.RedirectRecurse:
		c.redirects = append(c.redirects, c.namedBy(t, res)...)
		if len(c.redirects) == 0 {
			return false
		}
		c.hunt(now)
		return true
	}
	return false
}

// namedBy reads the Contacts of a 3xx, best first. A gateway may say where it wants
// the call, and not whom: the number was rated, and another one was not.
func (c *Call) namedBy(t *try, res *sip.Response) (list []redirection) {
	candidate := &c.plan.Candidates[t.candidate]
	for _, value := range res.Headers.List("Contact") {
		a, err := sip.ParseAddress(value)
		if err != nil || digitsOf(a.URI.User) == "" || digitsOf(a.URI.User) != digitsOf(candidate.Callee) {
			continue
		}
		addr, ok := a.URI.AddrPort()
		if !ok || c.line.relay.Check(addr) != nil || c.wasTried(t.candidate, addr) {
			continue
		}
		r := redirection{candidate: int(t.candidate), addr: addr, callee: candidate.Callee, q: 1000}
		if q, ok := a.Param("q"); ok {
			n, err := strconv.ParseFloat(q, 64)
			if err != nil || n < 0 || n > 1 {
				continue
			}
			r.q = int(n * 1000)
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b redirection) int { return cmp.Compare(b.q, a.q) })
	left := max(maxRedirects-c.followed-len(c.redirects), 0)
	return list[:min(len(list), left)]
}

// wasTried reports a place where the call has been, so that two gateways cannot
// send it to and fro.
func (c *Call) wasTried(candidate uint8, addr netip.AddrPort) bool {
	for _, t := range c.tries {
		if t.req != nil && t.candidate == candidate && netAddr(t.line.Address) == addr {
			return true
		}
	}
	return slices.ContainsFunc(c.redirects, func(r redirection) bool { return r.addr == addr })
}

// followRedirect dials the best place that a gateway has named.
func (c *Call) followRedirect(now time.Time) bool {
	for len(c.redirects) > 0 {
		r := c.redirects[0]
		c.redirects = c.redirects[1:]
		number, ok := c.number(r.candidate)
		if !ok {
			return false
		}
		c.followed++
		if c.dial(now, dialing{place: place{r.candidate, number}, addr: r.addr, callee: r.callee}) {
			return true
		}
	}
	return false
}
