package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tandem/cmd/tandem/local"
	"tandem/cmd/tandem/render"
	"tandem/node/api/client"
	"tandem/node/load"
)

// Verdict is what the records say about the promise.
type Verdict struct {
	Checks []Check `json:"checks"`
}

// Check is one line of a verdict.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Info bool   `json:"info,omitempty"` // nothing to be kept or broken
	Text string `json:"text"`
}

// Kept says whether every check is good.
func (v Verdict) Kept() bool {
	for _, c := range v.Checks {
		if !c.OK && !c.Info {
			return false
		}
	}
	return true
}

// Text prints a verdict.
func (v Verdict) Text(p render.Printer, unicode bool) string {
	good, bad, info := "ok    ", "FAILED", "-     "
	if unicode {
		good, bad, info = "✓", "✗", "-"
	}
	var b strings.Builder
	fmt.Fprintln(&b, p.Bold("VERDICT"))
	for _, c := range v.Checks {
		mark := p.Good(good)
		switch {
		case c.Info:
			mark = info
		case !c.OK:
			mark = p.Bad(bad)
		}
		fmt.Fprintf(&b, " %s %-16s %s\n", mark, c.Name, c.Text)
	}
	return b.String()
}

// tally is the traffic, divided by what it was doing when the node was killed.
type tally struct {
	all     []load.Outcome
	held    []load.Outcome // established on the killed node
	setting []load.Outcome // in set-up on it
	failed  []load.Outcome // of all but those in set-up
	slowest time.Duration
}

// divide finds the calls that the killed node had. A call in set-up may fail, since
// its first INVITE may be lost with the node; all others must not.
func divide(all []load.Outcome, node netip.AddrPort, f fault) tally {
	t := tally{all: all}
	for _, o := range all {
		there := o.Target == node && o.Start.Before(f.killed) && o.Finished.After(f.killed)
		switch {
		case there && o.Answered() && !o.Start.Add(o.Setup).After(f.killed):
			t.held = append(t.held, o)
		case there:
			t.setting = append(t.setting, o)
			continue
		}
		t.slowest = max(t.slowest, o.Setup)
		if broken(o) {
			t.failed = append(t.failed, o)
		}
	}
	return t
}

// broken says that a call was refused, cut, or could not be hung up.
func broken(o load.Outcome) bool { return !o.Answered() || o.Cut || o.ByeLost }

// settleTime is how long calls may take to be accounted for before the verdict is
// made without them.
const settleTime = 20 * time.Second

// judge asks all nodes what they have written down and compares it with what
// customers saw.
func judge(ctx context.Context, c *local.Cluster, t *traffic, f fault) (Verdict, error) {
	calls := divide(t.all(), c.SIP(f.node), f)
	settling, cancel := context.WithTimeout(ctx, settleTime)
	open := c.Idle(settling, 0) != nil
	cancel()
	cdrs, err := c.CDRs(ctx, 0)
	if err != nil {
		return Verdict{}, err
	}
	var v Verdict
	v.callers(calls, f)
	v.held(calls, f)
	v.records(calls, cdrs, open)
	v.charges(cdrs)
	v.ledger(ctx, c)
	if err := v.replicas(ctx, c, cdrs); err != nil {
		return v, err
	}
	return v, nil
}

func (v *Verdict) add(name string, ok bool, format string, args ...any) {
	v.Checks = append(v.Checks, Check{Name: name, OK: ok, Text: fmt.Sprintf(format, args...)})
}

// callers judges what customers saw.
func (v *Verdict) callers(t tally, f fault) {
	text := fmt.Sprintf("%d placed on all addresses all the time, %d failed", len(t.all), len(t.failed))
	if len(t.failed) > 0 {
		o := t.failed[0]
		text += fmt.Sprintf(" (the first: status %d %s, cut %v, BYE lost %v, %v after the kill)",
			o.Status, o.Reason, o.Cut, o.ByeLost, o.Start.Sub(f.killed).Round(10*time.Millisecond))
	}
	v.add("calls", len(t.failed) == 0, "%s", text)
	v.add("failover", t.slowest <= holdLimit, "%s led %v after %s was killed, the slowest answer took %v",
		f.leader, f.elected.Round(time.Millisecond), f.name, t.slowest.Round(time.Millisecond))
	done := 0
	for _, o := range t.setting {
		if !broken(o) {
			done++
		}
	}
	if len(t.setting) > 0 {
		v.note("in set-up", "%d calls were in set-up on %s when it died, %d of them completed", len(t.setting), f.name, done)
	}
}

func (v *Verdict) note(name, format string, args ...any) {
	v.Checks = append(v.Checks, Check{Name: name, Info: true, OK: true, Text: fmt.Sprintf(format, args...)})
}

// gapLimit is the longest silence that a kill may make.
const gapLimit = time.Second

// held judges the calls that were established on the killed node.
func (v *Verdict) held(t tally, f fault) {
	dropped := 0
	gaps := make([]time.Duration, 0, len(t.held))
	for _, o := range t.held {
		if broken(o) {
			dropped++
		}
		gaps = append(gaps, o.RTP.LongestGap)
	}
	slices.Sort(gaps)
	if len(gaps) == 0 {
		v.note("killed node", "%s had no established call", f.name)
		return
	}
	v.add("killed node", dropped == 0, "%d established calls were on %s when it died, %d dropped", len(t.held), f.name, dropped)
	longest := gaps[len(gaps)-1]
	v.add("their voice", longest <= gapLimit, "longest silence: median %v, worst %v",
		gaps[len(gaps)/2].Round(time.Millisecond), longest.Round(time.Millisecond))
}

// holdLimit is how long an INVITE may wait: sip.hold, and the ring time.
const holdLimit = 4*time.Second + 500*time.Millisecond

// bySIP finds records by the Call-ID of the customer's side.
func bySIP(cdrs []client.CDR) map[string][]client.CDR {
	out := map[string][]client.CDR{}
	for _, r := range cdrs {
		if r.SIPCallIDA != "" && r.Amends == 0 {
			out[r.SIPCallIDA] = append(out[r.SIPCallIDA], r)
		}
	}
	return out
}

// records judges that each call has one record, and no call has two. What failed in
// set-up with the killed node may never have been a call.
func (v *Verdict) records(t tally, cdrs []client.CDR, open bool) {
	of := bySIP(cdrs)
	missing, twice, estimated := 0, 0, 0
	for _, o := range t.all {
		if len(of[o.CallID]) == 0 && o.Answered() {
			missing++
		}
	}
	for _, list := range of {
		if len(list) > 1 {
			twice++
		}
		if list[0].Estimated {
			estimated++
		}
	}
	text := fmt.Sprintf("%d records for %d calls: %d missing, %d twice, %d estimated", len(cdrs), len(t.all), missing, twice, estimated)
	if open {
		text += "; some are not over yet"
	}
	v.add("records", missing == 0 && twice == 0, "%s", text)
}

// charges judges that fees and costs are what the rates say.
func (v *Verdict) charges(cdrs []client.CDR) {
	wrong, paid := 0, 0
	var first error
	for _, r := range cdrs {
		if r.Fee > 0 {
			paid++
		}
		if err := local.Charged(r); err != nil && r.OverGrant == 0 {
			wrong++
			if first == nil {
				first = err
			}
		}
	}
	text := fmt.Sprintf("%d calls charged, each rate x duration to the last unit", paid)
	if first != nil {
		text = fmt.Sprintf("%d of %d records are charged wrongly: %v", wrong, len(cdrs), first)
	}
	v.add("charges", first == nil, "%s", text)
}

func (v *Verdict) ledger(ctx context.Context, c *local.Cluster) {
	sums, err := c.Balanced(ctx)
	if err != nil {
		v.add("ledger", false, "%v", err)
		return
	}
	var parts []string
	for _, s := range sums {
		parts = append(parts, fmt.Sprintf("%s: clients %s + vendors %s + house %s = %s", s.Currency, s.Clients, s.Vendors, s.House, s.Sum))
	}
	v.add("ledger", true, "%s", strings.Join(parts, ", "))
}

// replicas judges that all nodes have the same records and the same state.
func (v *Verdict) replicas(ctx context.Context, c *local.Cluster, cdrs []client.CDR) error {
	first, err := json.Marshal(cdrs)
	if err != nil {
		return err
	}
	same := true
	for i := range c.Nodes() {
		other, err := c.CDRs(ctx, i)
		if err != nil {
			return err
		}
		text, err := json.Marshal(other)
		if err != nil {
			return err
		}
		same = same && bytes.Equal(text, first)
	}
	v.add("same records", same, "%d records on each of %d nodes", len(cdrs), c.Nodes())
	check, err := c.SameState(ctx)
	if err != nil {
		v.add("same state", false, "%v", err)
		return nil
	}
	v.add("same state", true, "all nodes have %s… at index %d", check.Hash[:min(len(check.Hash), 12)], check.Index)
	return nil
}
