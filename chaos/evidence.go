package chaos

import (
	"slices"
	"time"
)

// Leg is a call as the carrier saw it: one INVITE.
type Leg struct {
	ID       string // SIP Call-ID of the carrier's leg
	Callee   string // called number
	Began    time.Duration
	Answered time.Duration // 200 sent; 0: never
	Ended    time.Duration // BYE, CANCEL or no ACK; 0: it was still there in the end
}

// Speech is one SIP message that a node sent, as a tap on the wire saw it leave.
// Time is the true one, whatever the node's clocks say.
type Speech struct {
	At   time.Duration
	Node string
	Addr string // service address that it came from
	Call string // Call-ID
	What string // start line
}

// Grant is an owner of a service address: the first node applied it after From,
// and not after At.
type Grant struct {
	From    time.Duration
	At      time.Duration
	Subject string // service address
	Node    string // empty: nobody's
	Epoch   uint64
}

// Window is a time in which less may be promised than in peace: a fault and
// what the cluster is given to recover from it.
type Window struct {
	From, To time.Duration
	// Lost says that no majority can meet in it: nobody may grant anything.
	Lost bool
	// Alive says that all nodes run in it, so that each must say what is wrong.
	Alive bool
}

// Limits are goals that a scenario sets; what is zero is not checked.
type Limits struct {
	Gap      time.Duration // silence in any call that voice was sent in
	Refusals []int         // statuses that callers get in peace, too
	Cuts     bool          // calls may be ended by the switch: their money runs out
}

// refusedInPeace says whether a status is one of the expected ones.
func (l *Limits) refusedInPeace(status int) bool { return slices.Contains(l.Refusals, status) }

// within returns the first window that touches a span of time and fits.
func (h *History) within(from, to time.Duration, fits func(Window) bool) (Window, bool) {
	for _, w := range h.Windows {
		if w.From <= to && from <= w.To && fits(w) {
			return w, true
		}
	}
	return Window{}, false
}

func anyWindow(Window) bool { return true }

// Leg records a leg when it is over, or in the end.
func (r *Recorder) Leg(l Leg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Legs = append(r.h.Legs, l)
}

// Speech records a message on the wire.
func (r *Recorder) Speech(s Speech) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Speeches = append(r.h.Speeches, s)
}

// Grant records an owner, if it is news: the first node that has applied it
// counts.
func (r *Recorder) Grant(g Grant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, old := range slices.Backward(r.h.Grants) {
		if old.Subject == g.Subject && (old.Epoch > g.Epoch || old.Epoch == g.Epoch && old.Node == g.Node) {
			return
		}
		if old.Subject == g.Subject {
			break
		}
	}
	r.h.Grants = append(r.h.Grants, g)
}

// Promise sets the windows of the run and its limits.
func (r *Recorder) Promise(windows []Window, limits Limits) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Windows, r.h.Limits = windows, limits
}
