package game

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/chaos"
	"tandem/cmd/tandem/local"
	"tandem/node/api/client"
)

// Result is a game day as it was: what the report shows.
type Result struct {
	Scenario   Scenario       `json:"scenario"`
	Began      time.Time      `json:"began"`
	Thresholds []Threshold    `json:"thresholds"`
	Struck     []chaos.Struck `json:"struck"`
	Calls      []chaos.Call   `json:"calls"`
	Samples    []Sample       `json:"samples"`
	Violations []string       `json:"violations,omitempty"` // in words, at most 20 a checker
}

// Threshold is one promise with its measured value.
type Threshold struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Limit string `json:"limit,omitempty"` // empty: shown, not judged
	OK    bool   `json:"ok"`
}

// Kept says whether no threshold was breached.
func (r *Result) Kept() bool {
	return !slices.ContainsFunc(r.Thresholds, func(t Threshold) bool { return !t.OK })
}

// recovery is what a cluster is given after a fault until it must answer again.
const recovery = 3 * time.Second

// judge holds what was seen against the limits.
func (m *match) judge(ctx context.Context, struck []chaos.Struck, settled error) error {
	var names []string
	for i := range m.cluster.Nodes() {
		names = append(names, m.cluster.Name(i))
	}
	m.recorder.Promise(chaos.Windows(struck, names, recovery), chaos.Limits{})
	h := m.recorder.History()
	r := &m.result
	r.Struck, r.Calls = struck, h.Calls
	slices.SortFunc(r.Calls, func(a, b chaos.Call) int { return int(a.Began - b.Began) })
	count := map[string]int{}
	for _, v := range chaos.Check(h) {
		count[v.Check]++
		r.Violations = append(r.Violations, v.String())
	}
	l := m.scenario.Limits
	answered := 0
	for _, c := range r.Calls {
		if c.Answered != 0 {
			answered++
		}
	}
	r.show("calls", fmt.Sprintf("%d placed, %d answered", len(r.Calls), answered))
	r.number("answered calls lost", count["survival"], l.Lost)
	r.number("calls failed in peace", count["liveness"], l.Failed)
	zero := 0
	r.number("orphan legs, double callees", count["orphan legs"], &zero)
	gaps := r.gaps()
	r.span("silence p50 of struck calls", percentile(gaps, 50), l.GapP50)
	r.span("silence p99 of struck calls", percentile(gaps, 99), l.GapP99)
	r.span("silence, the longest", percentile(r.allGaps(), 100), l.GapMax)
	r.span("longest time without a leader", r.leaderless(), l.Leader)
	r.span("set-up p99", percentile(r.setups(), 99), l.Setup)
	r.fact("nodes came back and calls ended", settled)
	return m.books(ctx)
}

// books compares records, money and state of all nodes.
func (m *match) books(ctx context.Context) error {
	r := &m.result
	first, err := m.cluster.CDRs(ctx, 0)
	if err != nil {
		return err
	}
	r.fact("one record per answered call", m.records(first))
	r.fact("charges to the last unit", charges(first))
	_, err = m.cluster.Balanced(ctx)
	r.fact("ledger sums to zero", err)
	check, err := m.cluster.SameState(ctx)
	r.fact(fmt.Sprintf("all nodes have the same state (index %d)", check.Index), err)
	for i := 1; i < m.cluster.Nodes(); i++ {
		other, err := m.cluster.CDRs(ctx, i)
		if err != nil {
			return err
		}
		if len(other) != len(first) {
			r.fact("all nodes have the same records", fmt.Errorf("%s has %d, %s %d", m.cluster.Name(0), len(first), m.cluster.Name(i), len(other)))
			return nil
		}
	}
	r.fact("all nodes have the same records", nil)
	return nil
}

// records wants one original for each answered call, as long as the caller heard.
func (m *match) records(cdrs []client.CDR) error {
	of := map[string][]client.CDR{}
	for _, c := range cdrs {
		if c.Amends == 0 && c.SIPCallIDA != "" {
			of[c.SIPCallIDA] = append(of[c.SIPCallIDA], c)
		}
	}
	for _, c := range m.result.Calls {
		list := of[c.ID]
		switch {
		case len(list) > 1:
			return fmt.Errorf("call %s has %d records", c.ID, len(list))
		case c.Answered == 0:
		case len(list) == 0:
			return fmt.Errorf("call %s was answered at %v and has no record", c.ID, c.Answered)
		case c.Ended != 0 && !list[0].Estimated && list[0].Duration.Duration() < c.Ended-c.Answered-time.Second:
			return fmt.Errorf("call %s lasted %v, its record says %v", c.ID, c.Ended-c.Answered, list[0].Duration.Duration())
		}
	}
	return nil
}

func charges(cdrs []client.CDR) error {
	for _, c := range cdrs {
		if err := local.Charged(c); err != nil && c.OverGrant == 0 {
			return err
		}
	}
	return nil
}

// gaps are the silences of calls that were up when their node was struck.
func (r *Result) gaps() (all []time.Duration) {
	for _, c := range r.Calls {
		hit := slices.ContainsFunc(r.Struck, func(s chaos.Struck) bool {
			return c.Answered != 0 && c.Answered < s.From && s.From < c.Ended &&
				slices.ContainsFunc(s.Groups, func(g []string) bool { return slices.Contains(g, c.Node) })
		})
		if hit {
			all = append(all, c.Gap)
		}
	}
	return all
}

func (r *Result) allGaps() (all []time.Duration) {
	for _, c := range r.Calls {
		all = append(all, c.Gap)
	}
	return all
}

func (r *Result) setups() (all []time.Duration) {
	for _, c := range r.Calls {
		if c.Answered != 0 {
			all = append(all, c.Answered-c.Began)
		}
	}
	return all
}

// leaderless is the longest time in which no node named a leader.
func (r *Result) leaderless() (longest time.Duration) {
	var last time.Duration
	for _, s := range r.Samples {
		if s.Leader != "" {
			longest = max(longest, s.At-last)
			last = s.At
		}
	}
	if longest < 3*sampleEvery { // as exact as the samples
		return 0
	}
	return longest
}

// percentile of values, 0 without any.
func percentile(values []time.Duration, p int) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, len(values)*p/100)]
}

func (r *Result) add(t Threshold) { r.Thresholds = append(r.Thresholds, t) }

func (r *Result) show(name, value string) { r.add(Threshold{Name: name, Value: value, OK: true}) }

func (r *Result) number(name string, value int, limit *int) {
	t := Threshold{Name: name, Value: fmt.Sprint(value), OK: true}
	if limit != nil {
		t.Limit, t.OK = fmt.Sprintf("≤ %d", *limit), value <= *limit
	}
	r.add(t)
}

func (r *Result) span(name string, value time.Duration, limit *Duration) {
	t := Threshold{Name: name, Value: value.Round(time.Millisecond).String(), OK: true}
	if limit != nil {
		t.Limit, t.OK = "≤ "+limit.String(), value <= time.Duration(*limit)
	}
	r.add(t)
}

// fact is a promise without a number; err says how it was broken.
func (r *Result) fact(name string, err error) {
	t := Threshold{Name: name, Value: "yes", Limit: "yes", OK: err == nil}
	if err != nil {
		t.Value = err.Error()
	}
	r.add(t)
}

// Text is the verdict for a terminal.
func (r *Result) Text(good, bad string) string {
	var b strings.Builder
	fmt.Fprintln(&b, "  THRESHOLDS")
	broken := 0
	for _, t := range r.Thresholds {
		mark, limit := good, ""
		if !t.OK {
			mark = bad
			broken++
		}
		if t.Limit != "" && t.Limit != "yes" {
			limit = "(" + t.Limit + ")"
		}
		fmt.Fprintf(&b, "   %s %-42s %-28s %s\n", mark, t.Name, t.Value, limit)
	}
	for _, v := range r.Violations[:min(5, len(r.Violations))] {
		fmt.Fprintf(&b, "     %s\n", v)
	}
	if broken > 0 {
		fmt.Fprintf(&b, "  FAILED %d of %d\n", broken, len(r.Thresholds))
	}
	return b.String()
}
