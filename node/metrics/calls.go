package metrics

import (
	"tandem/node/call"
	"tandem/node/health"
)

// result names the counters that say what became of a call, event those of
// things that happened to calls on the way. Each counter is one of the two.
func result(c call.Counter) string {
	switch c {
	case call.Answered:
		return "answered"
	case call.Canceled:
		return "canceled"
	case call.Failed:
		return "failed"
	case call.Rejected:
		return "rejected"
	case call.NoAnswerCalls:
		return "no-answer"
	case call.RefusedState:
		return "refused"
	case call.RefusedHeld:
		return "refused-held"
	case call.RefusedLate:
		return "refused-late"
	case call.RefusedBusy:
		return "refused-busy"
	case call.RefusedServing:
		return "refused-not-serving"
	case call.RefusedMessage:
		return "refused-message"
	case call.Voided:
		return "voided"
	case call.Unanswerable:
		return "unanswerable"
	}
	return ""
}

func event(c call.Counter) string {
	switch c {
	case call.Received:
		return "received"
	case call.Placed:
		return "placed"
	case call.Ended:
		return "ended"
	case call.Tries:
		return "try"
	case call.SkippedDown:
		return "skipped-down"
	case call.Extended:
		return "extended"
	case call.ExtendRefused:
		return "extend-refused"
	case call.CutCredit:
		return "cut-credit"
	case call.CutLimit:
		return "cut-limit"
	case call.MediaTimeouts:
		return "media-timeout"
	case call.Outboxed:
		return "outboxed"
	case call.Adoptions:
		return "adopted"
	case call.Reaped:
		return "reaped"
	case call.Spared:
		return "spared"
	case call.Displaced:
		return "displaced"
	case call.Orphaned:
		return "orphaned"
	case call.Refreshes:
		return "session-refresh"
	case call.SessionTimeouts:
		return "session-timeout"
	case call.Strangers:
		return "stranger"
	case call.Glares:
		return "glare"
	case call.AckTimeouts:
		return "ack-timeout"
	case call.Strays:
		return "stray"
	case call.Dropped:
		return "dropped"
	}
	return ""
}

func (s *scrape) calls(c *call.Control) {
	s.add(CallsActive, float64(c.Live()))
	s.add(CallsHeld, float64(c.Held()))
	stats := c.Stats()
	for i := range call.Counters {
		n := float64(stats.Get(i))
		if name := result(i); name != "" {
			s.add(CallsTotal, n, name)
		} else if name := event(i); name != "" {
			s.add(CallEventsTotal, n, name)
		}
	}
}

// checks are those of gateways by OPTIONS.
func (s *scrape) checks(h *health.Checker) {
	missed := h.Stats().Misses.Load()
	s.add(GatewayChecksTotal, float64(h.Stats().Checks.Load()-min(missed, h.Stats().Checks.Load())), "answered")
	s.add(GatewayChecksTotal, float64(missed), "missed")
}
