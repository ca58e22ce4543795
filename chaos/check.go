package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tandem/billing"
	"tandem/fsm"
)

// Violation is a promise that a history shows to be broken.
type Violation struct {
	Check string
	Text  string
}

func (v Violation) String() string { return v.Check + ": " + v.Text }

// maxViolations bounds what one checker reports: after that many a history has
// no more to tell.
const maxViolations = 20

// Slack is how far a record may be from what was seen on the wire.
const (
	slack          = time.Second      // of a duration
	slackAnswer    = 4 * time.Second  // more: a call counts from the carrier's 200, ours waits for a commit
	slackEstimated = 10 * time.Second // more, of a call that was charged to its last proof of life
)

// checkers are all that Check runs. Each holds on a history by itself and needs
// no cluster.
var checkers = []struct {
	name string
	run  func(*History, report)
}{
	{"conservation", checkConservation},
	{"limits", checkLimits},
	{"holds", checkHolds},
	{"sequence", checkSequence},
	{"one CDR per call", checkCDRs},
	{"duration", checkDurations},
	{"charges", checkCharges},
	{"top-ups", checkTopUps},
	{"agreement", checkAgreement},
	{"one owner", checkOwners},
	{"survival", checkSurvival},
	{"media gap", checkGaps},
	{"orphan legs", checkLegs},
	{"liveness", checkLiveness},
	{"minority", checkMinority},
}

// report notes what a checker found.
type report func(format string, args ...any)

// Check holds a history against every promise and returns those that are
// broken, nothing if all is well.
func Check(h History) []Violation {
	var found []Violation
	for _, c := range checkers {
		count := 0
		c.run(&h, func(format string, args ...any) {
			if count++; count <= maxViolations {
				found = append(found, Violation{c.name, fmt.Sprintf(format, args...)})
			}
		})
		if count > maxViolations {
			found = append(found, Violation{c.name, fmt.Sprintf("and %d more", count-maxViolations)})
		}
	}
	return found
}

// readings yields all readings, those of the end included.
func (h *History) readings(yield func(*Reading) bool) {
	for i := range h.Readings {
		if !yield(&h.Readings[i]) {
			return
		}
	}
	for i := range h.Finals {
		if !yield(&h.Finals[i].Reading) {
			return
		}
	}
}

// where names a reading in a report.
func (r *Reading) where() string {
	return fmt.Sprintf("%s at index %d, %v", r.Node, r.Index, r.At)
}

// checkConservation: money is neither made nor lost. Funds sum to zero in each
// currency at every index, and in the end are what the transfers say.
func checkConservation(h *History, bad report) {
	for r := range h.readings {
		sums := map[string]billing.Amount{}
		for _, a := range r.Accounts {
			sum, ok := sums[a.Currency].Add(a.Balance.Funds)
			if !ok {
				bad("%s: the sum of %s is out of range", r.where(), a.Currency)
			}
			sums[a.Currency] = sum
		}
		for _, currency := range slices.Sorted(maps.Keys(sums)) {
			if sums[currency] != 0 {
				bad("%s: all %s funds sum to %v, want 0", r.where(), currency, sums[currency])
			}
		}
	}
	for _, f := range h.Finals {
		funds := map[Account]billing.Amount{}
		for _, t := range f.Transfers {
			funds[Account{Name: t.Debit, Currency: t.Currency}] -= t.Amount
			funds[Account{Name: t.Credit, Currency: t.Currency}] += t.Amount
		}
		for _, a := range f.Accounts {
			if want := funds[Account{Name: a.Name, Currency: a.Currency}]; a.Balance.Funds != want {
				bad("%s: %s has %v, its transfers say %v", f.Node, a.Name, a.Balance.Funds, want)
			}
		}
	}
}

// checkLimits: no account that must not overdraw ever does, holds included.
func checkLimits(h *History, bad report) {
	for r := range h.readings {
		for _, a := range r.Accounts {
			if b := a.Balance; !b.Overdraft && b.Available() < 0 {
				bad("%s: %s has %v available (funds %v, credit %v, held %v)",
					r.where(), a.Name, b.Available(), b.Funds, b.Credit, b.Held)
			}
		}
	}
}

// checkHolds: when all calls are over nothing is held.
func checkHolds(h *History, bad report) {
	for _, f := range h.Finals {
		for _, a := range f.Accounts {
			if a.Balance.Held != 0 {
				bad("%s: %s still holds %v", f.Node, a.Name, a.Balance.Held)
			}
		}
	}
}

// checkSequence: CDRs and transfers are numbered from 1 without a gap.
func checkSequence(h *History, bad report) {
	for _, f := range h.Finals {
		for i, c := range f.CDRs {
			if c.Seq != uint64(i+1) {
				bad("%s: CDR %d is at place %d", f.Node, c.Seq, i+1)
			}
		}
		for i, t := range f.Transfers {
			if t.Seq != uint64(i+1) {
				bad("%s: transfer %d is at place %d", f.Node, t.Seq, i+1)
			}
		}
	}
}

// originals returns the CDRs of a node by the customer's Call-ID. Amendments are
// left out, and refusals that a node made by itself, which have no Call-ID.
func (f *Final) originals() map[string][]fsm.CDR {
	byCall := map[string][]fsm.CDR{}
	for _, c := range f.CDRs {
		if c.Amends == 0 && c.SIPCallIDA != "" {
			byCall[c.SIPCallIDA] = append(byCall[c.SIPCallIDA], c)
		}
	}
	return byCall
}

// checkCDRs: an answered call has exactly one CDR, which says so; a refused one
// at most one, which does not; and there is no CDR without a call.
func checkCDRs(h *History, bad report) {
	for _, f := range h.Finals {
		byCall := f.originals()
		for _, call := range h.Calls {
			cdrs := byCall[call.ID]
			delete(byCall, call.ID)
			switch {
			case len(cdrs) > 1:
				bad("%s: call %s has %d CDRs, the first two are %d and %d", f.Node, call.ID, len(cdrs), cdrs[0].Seq, cdrs[1].Seq)
			case call.Answered != 0 && len(cdrs) == 0:
				bad("%s: call %s was answered by %s at %v and has no CDR", f.Node, call.ID, call.Node, call.Answered)
			case call.Answered != 0 && cdrs[0].Answered == 0:
				bad("%s: CDR %d says that call %s was not answered", f.Node, cdrs[0].Seq, call.ID)
			case call.Answered == 0 && len(cdrs) == 1 && cdrs[0].Fee != 0:
				bad("%s: CDR %d charges %v for call %s, which was not answered", f.Node, cdrs[0].Seq, cdrs[0].Fee, call.ID)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(byCall)) {
			bad("%s: CDR %d is about call %q, which nobody made", f.Node, byCall[id][0].Seq, id)
		}
	}
}

// checkDurations: a CDR's duration is what the wire saw: to the first BYE that
// reached a node.
func checkDurations(h *History, bad report) {
	for _, f := range h.Finals {
		byCall := f.originals()
		for _, call := range h.Calls {
			if call.Answered == 0 || call.Ended == 0 || len(byCall[call.ID]) != 1 {
				continue
			}
			c := byCall[call.ID][0]
			least, most := call.Ended-call.Answered-slack, max(call.Ended, call.Released)-call.Answered+slack+slackAnswer
			if c.Estimated {
				least, most = 0, most+slackEstimated
			}
			if c.Duration < least || c.Duration > most {
				bad("%s: CDR %d of call %s lasts %v, want %v to %v", f.Node, c.Seq, call.ID, c.Duration, least, most)
			}
		}
	}
}

// checkCharges: each CDR charges the client and pays the vendor once, by its
// rates, and nothing else does. Talk time beyond the grant is not charged.
func checkCharges(h *History, bad report) {
	for _, f := range h.Finals {
		charged, paid := map[uint64]billing.Amount{}, map[uint64]billing.Amount{}
		for _, t := range f.Transfers {
			var sums map[uint64]billing.Amount
			switch t.Kind {
			case fsm.TransferCharge:
				sums = charged
			case fsm.TransferCost:
				sums = paid
			default:
				continue
			}
			if _, twice := sums[t.CDR]; twice {
				bad("%s: transfer %d moves money for CDR %d again", f.Node, t.Seq, t.CDR)
			}
			sums[t.CDR] += t.Amount
		}
		for _, c := range f.CDRs {
			if c.Amends == 0 {
				checkCharge(&f, c, charged[c.Seq], paid[c.Seq], bad)
			}
			delete(charged, c.Seq)
			delete(paid, c.Seq)
		}
		for _, seq := range slices.Concat(slices.Sorted(maps.Keys(charged)), slices.Sorted(maps.Keys(paid))) {
			bad("%s: money moved for CDR %d, which is not there", f.Node, seq)
		}
	}
}

func checkCharge(f *Final, c fsm.CDR, charged, paid billing.Amount, bad report) {
	if charged != c.Fee || paid != c.Cost {
		bad("%s: CDR %d has fee %v and cost %v, moved were %v and %v", f.Node, c.Seq, c.Fee, c.Cost, charged, paid)
	}
	if c.Answered == 0 {
		if c.Fee != 0 || c.Cost != 0 {
			bad("%s: CDR %d was not answered, its fee is %v and its cost %v", f.Node, c.Seq, c.Fee, c.Cost)
		}
		return
	}
	fee, cost := c.Cover().Cost(c.Duration), c.CostRate.Cost(c.Duration)
	if c.Fee > fee || c.OverGrant == 0 && c.Fee != fee {
		bad("%s: CDR %d has fee %v, %v at its rate cost %v", f.Node, c.Seq, c.Fee, c.Duration, fee)
	}
	if c.Cost != cost {
		bad("%s: CDR %d has cost %v, %v at the vendor's rate cost %v", f.Node, c.Seq, c.Cost, c.Duration, cost)
	}
	if c.Fee > c.Held {
		bad("%s: CDR %d has fee %v, held were %v", f.Node, c.Seq, c.Fee, c.Held)
	}
}

// checkTopUps: an acknowledged payment is there once, a refused one is not, and
// one in doubt is there once or not at all.
func checkTopUps(h *History, bad report) {
	for _, f := range h.Finals {
		payments := map[string][]fsm.Transfer{}
		for _, t := range f.Transfers {
			if t.Kind == fsm.TransferPayment {
				payments[t.Memo] = append(payments[t.Memo], t)
			}
		}
		for _, p := range h.TopUps {
			got := payments[p.Key]
			switch {
			case len(got) > 1:
				bad("%s: payment %s is there %d times", f.Node, p.Key, len(got))
			case len(got) == 0 && p.Outcome == Done:
				bad("%s: payment %s of %v to %s was acknowledged and is lost", f.Node, p.Key, p.Amount, p.Account)
			case len(got) == 1 && p.Outcome == Refused:
				bad("%s: payment %s was refused and is there", f.Node, p.Key)
			case len(got) == 1 && (got[0].Credit != p.Account || got[0].Amount != p.Amount):
				bad("%s: payment %s gave %v to %s, asked were %v to %s", f.Node, p.Key, got[0].Amount, got[0].Credit, p.Amount, p.Account)
			}
		}
	}
}
