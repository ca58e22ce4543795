package call

import (
	"testing"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

func TestOutcome(t *testing.T) {
	for _, tc := range []struct {
		seen   []int
		status int
		cause  uint8
		reason fsm.EndReason
	}{
		{nil, 503, 3, fsm.EndFailed},
		{[]int{503}, 503, 3, fsm.EndFailed},
		{[]int{503, 500}, 500, 41, fsm.EndFailed},
		{[]int{500, 503}, 500, 41, fsm.EndFailed},
		{[]int{408, 503}, 408, 102, fsm.EndFailed},
		{[]int{302}, 502, 38, fsm.EndFailed},
		{[]int{407, 502}, 502, 38, fsm.EndFailed},
		{[]int{504, 302}, 504, 102, fsm.EndFailed},
	} {
		var best outcome
		for _, status := range tc.seen {
			if judge(status) != tryNext {
				t.Errorf("%d stops hunting", status)
			}
			if o := (outcome{status: status, cause: causeOf(status)}); o.better(best) {
				best = o
			}
		}
		status, cause := best.forCaller()
		if status != tc.status || cause != tc.cause || best.endReason() != tc.reason {
			t.Errorf("after %v the caller gets %d;%d (%v), want %d;%d", tc.seen, status, cause, best.endReason(), tc.status, tc.cause)
		}
	}
	for status, reason := range map[int]fsm.EndReason{
		486: fsm.EndBusy, 600: fsm.EndBusy, 480: fsm.EndNoAnswer, 404: fsm.EndRejected, 603: fsm.EndRejected,
	} {
		if got := (outcome{status: status}).endReason(); judge(status) != stopHunting || got != reason {
			t.Errorf("%d ends as %v, want %v", status, got, reason)
		}
	}
}

func TestPeerHeaders(t *testing.T) {
	for value, want := range map[string]uint8{
		"Q.850;cause=17": 17,
		`SIP ;cause=200 ;text="x", q.850; cause=34`: 34,
		"Q.850;cause=999": 0,
		"SIP;cause=486":   0,
		"":                0,
	} {
		if got := peerCause(sip.Headers{{Name: "Reason", Value: value}}); got != want {
			t.Errorf("%q has cause %d, want %d", value, got, want)
		}
	}
	for value, want := range map[string]time.Duration{
		"30": 30 * time.Second, "30 (busy)": 30 * time.Second, "18;duration=3": 18 * time.Second,
		"x": 0, "": 0, "-1": 0, "99999999": maxRetryAfter,
	} {
		if got := retryAfter(sip.Headers{{Name: "Retry-After", Value: value}}); got != want {
			t.Errorf("%q is %s, want %s", value, got, want)
		}
	}
}
