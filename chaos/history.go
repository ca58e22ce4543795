package chaos

import (
	"sync"
	"time"

	"tandem/billing"
	"tandem/fsm"
)

// Outcome is what a client knows of an operation.
type Outcome uint8

// The outcomes. What was not answered may have happened or not.
const (
	Unknown Outcome = iota
	Done
	Refused
)

// History is what was seen from outside of a cluster in one run. Times are
// since the start of the run.
type History struct {
	Calls    []Call
	Legs     []Leg
	TopUps   []TopUp
	Speeches []Speech
	Grants   []Grant
	Answers  []Answer
	Readings []Reading
	Finals   []Final

	Windows []Window // in which less may be promised, in order of time
	Limits  Limits
}

// Call is a call as customer and carrier saw it.
type Call struct {
	ID       string // SIP Call-ID of the customer's leg
	Node     string // asked first
	Began    time.Duration
	Answered time.Duration // 200 and ACK seen; 0: never
	Ended    time.Duration // first BYE was sent; 0: its end was not seen
	Released time.Duration // the BYE was answered: it had arrived by then; 0: as Ended
	Heard    time.Duration // the customer's last word: final status or end; 0: not known
	Status   int           // final status to the customer; 0: none came
	Callee   string        // called number, if it was called once: joins the call with its legs
	Cut      bool          // the switch ended it
	ByeLost  bool          // the customer's BYE was not answered with 200
	Gap      time.Duration // longest silence between two packets of voice; 0: no voice
}

// TopUp is a payment that a client asked for.
type TopUp struct {
	Key     string // comes back as the memo of the transfer
	Account string // name in the ledger, such as client:acme
	Amount  billing.Amount
	Outcome Outcome
}

// Reading is the ledger as one node showed it at one index, in the middle of
// the run.
type Reading struct {
	At       time.Duration
	Node     string
	Index    uint64
	Hash     fsm.Hash // of the state at Index; zero: not taken
	Accounts []Account
}

// Account is the balance of one account of the ledger, the house's included.
type Account struct {
	Name     string // client:ID, vendor:ID, house:cash, ...
	Currency string
	Balance  billing.Balance
}

// Final is all that a node has after the run, when the cluster has healed and
// everything was read from it. Transfers and CDRs are complete from sequence 1.
type Final struct {
	Reading
	Transfers []fsm.Transfer
	CDRs      []fsm.CDR
}

// Recorder collects a history. Its methods may be called from any goroutine.
type Recorder struct {
	mu sync.Mutex // guards h
	h  History
}

// Call records a call when it is over.
func (r *Recorder) Call(c Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Calls = append(r.h.Calls, c)
}

// TopUp records a payment when it was answered or given up.
func (r *Recorder) TopUp(t TopUp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.TopUps = append(r.h.TopUps, t)
}

// Reading records a poll.
func (r *Recorder) Reading(p Reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Readings = append(r.h.Readings, p)
}

// Final records what a node has in the end.
func (r *Recorder) Final(f Final) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Finals = append(r.h.Finals, f)
}

// History returns what was recorded. The recorder must not be used afterwards.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.h
}
