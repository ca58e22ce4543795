package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
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

// tally is the traffic, divided by what happened to the node that was called.
type tally struct {
	calm, struck []load.Outcome // struck: on the killed node, in progress while it was away
	failed       []load.Outcome // of the calm ones
	slowest      time.Duration
}

// divide tells calls apart that the killed node had in progress while it was
// away.
func divide(all []load.Outcome, node netip.AddrPort, f fault) tally {
	var t tally
	back := f.restarted.Add(f.ready)
	for _, o := range all {
		if o.Target == node && o.Start.Before(back) && o.Finished.After(f.killed) {
			t.struck = append(t.struck, o)
			continue
		}
		t.calm = append(t.calm, o)
		t.slowest = max(t.slowest, o.Setup)
		if !o.Answered() || o.Cut || o.ByeLost {
			t.failed = append(t.failed, o)
		}
	}
	return t
}

// settleTime is how long calls of the killed node may take to be accounted for
// before the verdict is made without them.
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
	v.struck(calls, cdrs, f, open)
	v.records(calls, cdrs)
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

// callers judges what customers of surviving nodes saw.
func (v *Verdict) callers(t tally, f fault) {
	text := fmt.Sprintf("%d calls through nodes that lived, %d failed", len(t.calm), len(t.failed))
	if len(t.failed) > 0 {
		o := t.failed[0]
		text += fmt.Sprintf(" (the first: status %d %s, cut %v, BYE lost %v, %v after the kill)",
			o.Status, o.Reason, o.Cut, o.ByeLost, o.Start.Sub(f.killed).Round(10*time.Millisecond))
	}
	v.add("surviving nodes", len(t.failed) == 0, "%s", text)
	v.add("failover", t.slowest <= holdLimit, "%s led %v after %s was killed, the slowest answer took %v",
		f.leader, f.elected.Round(time.Millisecond), f.name, t.slowest.Round(time.Millisecond))
	var sent, lost uint64
	var gap time.Duration
	for _, o := range t.calm {
		sent, lost, gap = sent+o.RTP.Received, lost+o.RTP.Lost, max(gap, o.RTP.LongestGap)
	}
	v.Checks = append(v.Checks, Check{Name: "voice", Info: true, OK: true, Text: fmt.Sprintf(
		"%d packets heard, %d lost, longest gap %v", sent, lost, gap.Round(time.Millisecond))})
}

// holdLimit is how long an INVITE may wait: sip.hold, and the ring time.
const holdLimit = 4*time.Second + 500*time.Millisecond

// struck tells what became of the killed node's calls.
func (v *Verdict) struck(t tally, cdrs []client.CDR, f fault, open bool) {
	charged, estimated := 0, 0
	of := bySIP(cdrs)
	for _, o := range t.struck {
		for _, r := range of[o.CallID] {
			charged++
			if r.Estimated {
				estimated++
			}
		}
	}
	text := fmt.Sprintf("%d calls were on %s when it died; customers had %d calls there while it was away: %d have a record, %d of them estimated",
		f.live, f.name, len(t.struck), charged, estimated)
	if open {
		text += "; some are not over yet"
	}
	v.Checks = append(v.Checks, Check{Name: "killed node", Info: true, OK: true, Text: text})
}

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

// records judges that each call has one record, and no call has two.
func (v *Verdict) records(t tally, cdrs []client.CDR) {
	of := bySIP(cdrs)
	missing, twice := 0, 0
	for _, o := range t.calm {
		if len(of[o.CallID]) == 0 && o.Answered() {
			missing++
		}
	}
	for _, list := range of {
		if len(list) > 1 {
			twice++
		}
	}
	v.add("records", missing == 0 && twice == 0, "%d records for %d calls: %d missing, %d twice",
		len(cdrs), len(t.calm)+len(t.struck), missing, twice)
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
