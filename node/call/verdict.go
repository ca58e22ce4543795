package call

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

// verdict says what the final response of a candidate means for the call. The
// tables of this file are pure: status in, decision out.
type verdict uint8

const (
	stopHunting verdict = iota // the callee's side has decided
	tryNext                    // this gateway cannot deliver; another may
)

// judge decides about a final response above 2xx. Hunting goes on after what says
// that this gateway, and not the callee, cannot: it does not want us (401, 403,
// 407), cannot do what another may (415, 420, 488, 606), or is broken (408, 5xx). A
// 3xx without a usable Contact is a failure too.
func judge(status int) verdict {
	switch status {
	case 401, 403, 407, 408, 415, 420, 421, 422, 488, 606:
		return tryNext
	}
	if status < 400 || status >= 500 && status < 600 {
		return tryNext
	}
	return stopHunting
}

// outcome is how a try ended: what the caller may be told.
type outcome struct {
	status int // 0: nothing was answered
	cause  uint8
}

// rank orders the outcomes of failed candidates: the most telling answer goes to
// the caller, silence and 503 last.
func rank(status int) int {
	switch {
	case status == 0:
		return 9
	case status == 503:
		return 8
	case status == 408:
		return 7
	case betweenUs(status):
		return 6
	case status >= 500 && status < 600:
		return 5
	case status < 600:
		return 1
	}
	return 0 // RFC 3261 section 16.7, step 6: a 6xx speaks for the callee everywhere
}

// betweenUs reports what a gateway says to us and what would tell the caller
// nothing: where else to go, who we are, what we can do.
func betweenUs(status int) bool {
	switch status {
	case 401, 407, 420, 421, 422:
		return true
	}
	return status < 400
}

// better reports whether o should replace best.
func (o outcome) better(best outcome) bool { return rank(o.status) < rank(best.status) }

// forCaller is what the caller is told after hunting has ended with o.
func (o outcome) forCaller() (status int, cause uint8) {
	switch {
	case o.status == 0, o.status == 503: // no candidate left
		return 503, 3
	case betweenUs(o.status):
		return 502, 38
	case o.status == 487: // nobody here has cancelled
		return 480, cmp.Or(o.cause, 31)
	}
	return o.status, o.cause
}

// endReason is the CDR's word for an unanswered call that ended with o.
func (o outcome) endReason() fsm.EndReason {
	switch {
	case o.status == 486, o.status == 600:
		return fsm.EndBusy
	case o.status == 480:
		return fsm.EndNoAnswer
	case o.status != 0 && judge(o.status) == stopHunting:
		return fsm.EndRejected
	}
	return fsm.EndFailed
}

// refusal is how the caller is told of a code of the state machine, whether it is
// a refusal of the call or a failure of the command.
func refusal(code fsm.Code) fsm.Refusal {
	if r := code.Refusal(); r.Status != 0 {
		return r
	}
	if code == fsm.CallEnded || code == fsm.LostRace {
		return fsm.Refusal{Status: 487, Reason: fsm.EndCanceled}
	}
	return fsm.Refusal{Status: 500, Q850: 41, Reason: fsm.EndInternal}
}

// causeOf gives the Q.850 cause of a SIP status (RFC 3398 section 7.2.4.1); 0: none.
func causeOf(status int) uint8 {
	switch status {
	case 402, 403, 603:
		return 21
	case 404, 604:
		return 1
	case 405:
		return 63
	case 408, 504:
		return 102
	case 410:
		return 22
	case 415, 420:
		return 79
	case 480:
		return 19
	case 482, 483:
		return 25
	case 484:
		return 28
	case 486, 600:
		return 17
	case 488, 606:
		return 88
	case 400:
		return 127
	case 500, 503:
		return 41
	case 502:
		return 38
	}
	return 0
}

// peerCause reads the Q.850 cause of a message's Reason headers; 0: none.
func peerCause(headers sip.Headers) uint8 {
	for _, value := range headers.All("Reason") {
		for reason := range strings.SplitSeq(value, ",") {
			protocol, params, _ := strings.Cut(strings.TrimSpace(reason), ";")
			if !strings.EqualFold(strings.TrimSpace(protocol), "Q.850") {
				continue
			}
			for param := range strings.SplitSeq(params, ";") {
				key, text, _ := strings.Cut(strings.TrimSpace(param), "=")
				if n, err := strconv.ParseUint(text, 10, 8); err == nil && strings.EqualFold(key, "cause") {
					return uint8(n)
				}
			}
		}
	}
	return 0
}

// maxRetryAfter bounds what a gateway may ask for.
const maxRetryAfter = time.Hour

// retryAfter reads the Retry-After of a response; 0: none.
func retryAfter(headers sip.Headers) time.Duration {
	text := strings.TrimSpace(headers.Get("Retry-After"))
	if i := strings.IndexAny(text, " ;("); i >= 0 {
		text = text[:i]
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxRetryAfter)
}
