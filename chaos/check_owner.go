package chaos

import (
	"slices"
	"time"
)

// checkOwners: a service address has one owner at any time. Nobody sends SIP from
// an address that is granted to another node, by true time and from the moment on
// at which some node knew of it for sure; and an epoch never has two owners.
func checkOwners(h *History, bad report) {
	grants := map[string][]Grant{}
	for _, g := range h.Grants {
		for _, old := range grants[g.Subject] {
			switch {
			case old.Epoch == g.Epoch && old.Node != g.Node:
				bad("%s belongs to %s and to %s in epoch %d", g.Subject, old.Node, g.Node, g.Epoch)
			case old.Epoch > g.Epoch && old.At < g.At:
				bad("%s had epoch %d at %v and %d at %v", g.Subject, old.Epoch, old.At, g.Epoch, g.At)
			}
		}
		grants[g.Subject] = append(grants[g.Subject], g)
	}
	for _, s := range h.Speeches {
		list, ok := grants[s.Addr]
		if !ok {
			continue // not an address that moves
		}
		i := slices.IndexFunc(list, func(g Grant) bool { return g.At > s.At })
		if i < 0 {
			i = len(list)
		}
		switch {
		case i < len(list) && list[i].Node == s.Node && list[i].From <= s.At: // applied a moment ago
		case i == 0:
			bad("%v: %s says %q from %s, which nobody had yet", s.At, s.Node, s.What, s.Addr)
		case list[i-1].Node != s.Node:
			g := list[i-1]
			bad("%v: %s says %q in call %s from %s, which is %s's since %v (epoch %d)", s.At, s.Node, s.What, s.Call, s.Addr, g.Node, g.At, g.Epoch)
		}
	}
}

// checkSurvival: an answered call is never cut and its BYE is answered, whichever
// node dies, unless there was no majority for longer than money is held or a BYE
// is repeated.
func checkSurvival(h *History, bad report) {
	long := func(atLeast time.Duration) func(Window) bool {
		return func(w Window) bool { return w.Lost && w.To-w.From > atLeast }
	}
	for _, c := range h.Calls {
		end := max(c.Heard, c.Ended, c.Answered)
		if c.Answered == 0 {
			continue
		}
		if _, excused := h.within(c.Answered, end, long(heldAtLeast)); c.Cut && !excused && !h.Limits.Cuts {
			bad("call %s at %s, answered at %v, was cut at %v", c.ID, c.Node, c.Answered, end)
		}
		if _, excused := h.within(c.Answered, end, long(byeRepeated)); c.ByeLost && !excused {
			bad("call %s at %s, answered at %v: its BYE was not answered with 200 by %v", c.ID, c.Node, c.Answered, end)
		}
	}
}

const (
	heldAtLeast = 8 * time.Second  // talk time in a hold at any time (ARCHITECTURE.md, rule 3)
	byeRepeated = 32 * time.Second // RFC 3261 section 17.1.2.2: Timer F
	legLinger   = 32 * time.Second // from the caller's end to the callee's
)

// checkGaps: nobody is silent for longer than the scenario allows.
func checkGaps(h *History, bad report) {
	if h.Limits.Gap == 0 {
		return
	}
	for _, c := range h.Calls {
		_, excused := h.within(c.Answered, max(c.Heard, c.Ended), func(w Window) bool { return w.Lost })
		if c.Gap > h.Limits.Gap && !excused {
			bad("call %s at %s, %v to %v: silent for %v, want at most %v", c.ID, c.Node, c.Answered, c.Ended, c.Gap, h.Limits.Gap)
		}
	}
}

// checkLegs: no leg rings or talks when its caller is long gone, and nobody talks
// to two callees.
func checkLegs(h *History, bad report) {
	calls := map[string]Call{}
	for _, c := range h.Calls {
		if c.Callee != "" {
			calls[c.Callee] = c
		}
	}
	talking := map[string]Leg{}
	for _, l := range h.Legs {
		c, ok := calls[l.Callee]
		if !ok {
			bad("leg %s to %s began at %v: nobody called that", l.ID, l.Callee, l.Began)
			continue
		}
		gone := max(c.Heard, c.Ended)
		if l.Ended == 0 {
			bad("leg %s to %s is still there, its caller %s has been gone since %v", l.ID, l.Callee, c.ID, gone)
		} else if _, lost := h.within(gone, l.Ended, func(w Window) bool { return w.Lost }); l.Ended > gone+legLinger && !lost {
			bad("leg %s to %s ended at %v, its caller %s had been gone since %v", l.ID, l.Callee, l.Ended, c.ID, gone)
		}
		if l.Answered == 0 || c.Answered == 0 {
			continue
		}
		if other, ok := talking[l.Callee]; ok && other.Answered < l.Ended-slack && l.Answered < other.Ended-slack {
			bad("call %s has two callees: legs %s and %s", c.ID, other.ID, l.ID)
		}
		talking[l.Callee] = l
	}
}

// checkLiveness: in peace every call is answered, and peace is back when a window
// ends.
func checkLiveness(h *History, bad report) {
	if h.Windows == nil {
		return
	}
	for _, c := range h.Calls {
		if c.Answered != 0 || h.Limits.refusedInPeace(c.Status) {
			continue
		}
		if _, lost := h.within(c.Began, c.Heard, func(w Window) bool { return w.Lost }); c.Status == 0 && c.Heard > c.Began+silentAtMost && !lost {
			bad("call %s at %s, from %v on: nobody told the caller by %v what became of it", c.ID, c.Node, c.Began, c.Heard)
		}
		if _, excused := h.within(c.Began, max(c.Heard, c.Began), anyWindow); !excused {
			bad("call %s at %s failed in peace with %d, from %v to %v", c.ID, c.Node, c.Status, c.Began, c.Heard)
		}
	}
}

// silentAtMost is how long a caller may wait for a final status: Timer B, and as
// long as a takeover lasts.
const silentAtMost = 40 * time.Second

// minorityAnswers is how soon a node without a majority refuses, and how long
// after it lost it.
const minorityAnswers = time.Second

// checkMinority: where no majority is, nodes that live say so within a second.
func checkMinority(h *History, bad report) {
	for _, c := range h.Calls {
		w, ok := h.within(c.Began, c.Began, func(w Window) bool { return w.Lost && w.Alive })
		switch {
		case !ok || c.Began < w.From+minorityAnswers || c.Began+minorityAnswers > w.To:
		case c.Answered != 0 && c.Answered < w.To:
			bad("call %s was answered by %s at %v, without a majority from %v to %v", c.ID, c.Node, c.Answered, w.From, w.To)
		case c.Status != 503 || c.Heard-c.Began > minorityAnswers:
			bad("call %s at %s without a majority: %d after %v, want 503 within %v", c.ID, c.Node, c.Status, c.Heard-c.Began, minorityAnswers)
		}
	}
}
