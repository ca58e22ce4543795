package fsm_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/fsm"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt")

// TestStories runs the transcripts of testdata: each block is commands, a line
// of dashes, and what the state machine answered. Read them first: they say what
// the package does.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runStory(t, file) })
	}
}

func runStory(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	p := newStory(t)
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		input, _, dashes := strings.Cut(block, "\n----")
		out.WriteString(input + "\n")
		if dashes {
			out.WriteString("----\n")
			for line := range strings.SplitSeq(input, "\n") {
				if line != "" && line[0] != '#' {
					out.WriteString(p.run(line))
				}
			}
		}
		out.WriteString("\n")
	}
	got := strings.TrimSpace(out.String()) + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(text) {
		t.Errorf("%s: got other answers (run with -update and look at the difference)\n%s", file, firstDifference(string(text), got))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("want %d lines, got %d", len(w), len(g))
}

// story plays a transcript: one state, and beside it one that is restored from
// a snapshot now and then and must never differ.
type story struct {
	t         *testing.T
	state     *fsm.State
	now       fsm.Time
	start     fsm.Time
	index     uint64
	seq       map[fsm.NodeID]uint64
	incs      map[fsm.NodeID]uint64
	last      fsm.Command // for retry
	cdrs      []fsm.CDR
	transfers []fsm.Transfer
	events    []fsm.Event
	tap       func(entry []byte) // sees every entry; may be nil
}

func newStory(t *testing.T) *story {
	start := fsm.Time(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	return &story{
		t: t, state: fsm.New(fsm.Config{HashKey: [16]byte{1}}), now: start, start: start,
		seq: map[fsm.NodeID]uint64{}, incs: map[fsm.NodeID]uint64{},
	}
}

// words are the arguments of a line: those in order, and those with a name.
type words struct {
	t     *testing.T
	line  string
	list  []string
	named map[string]string
}

func (p *story) parse(line string) words {
	w := words{t: p.t, line: line, named: map[string]string{}}
	for _, f := range strings.Fields(line) {
		if k, v, ok := strings.Cut(f, "="); ok && k != "" {
			w.named[k] = v
		} else {
			w.list = append(w.list, f)
		}
	}
	return w
}

func (w words) at(i int) string {
	if i >= len(w.list) {
		w.t.Fatalf("%q: too few words", w.line)
	}
	return w.list[i]
}

func (w words) has(flag string) bool {
	for _, f := range w.list {
		if f == flag {
			return true
		}
	}
	return false
}

func (w words) text(name, none string) string {
	if v, ok := w.named[name]; ok {
		return strings.ReplaceAll(v, "_", " ")
	}
	return none
}

func (w words) number(name string, none uint64) uint64 {
	v, ok := w.named[name]
	if !ok {
		return none
	}
	n, err := strconv.ParseUint(v, 10, 64)
	w.check(err)
	return n
}

func (w words) duration(name string) time.Duration {
	v, ok := w.named[name]
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(v)
	w.check(err)
	return d
}

func (w words) many(name string) []string {
	v, ok := w.named[name]
	if !ok {
		return nil
	}
	return strings.Split(v, ",")
}

func (w words) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%q: %v", w.line, err)
	}
}

// call makes the id of a call of its name.
func call(name string) (id fsm.CallID) {
	copy(id[:], name)
	return id
}

func callName(id fsm.CallID) string { return strings.TrimRight(string(id[:]), "\x00") }

// run executes a line and returns what there is to see.
func (p *story) run(line string) string {
	w := p.parse(line)
	verb := w.at(0)
	if d, ok := strings.CutPrefix(verb, "+"); ok {
		step, err := time.ParseDuration(d)
		w.check(err)
		p.now = p.now.Add(step)
		return ""
	}
	if verb == "setup" {
		return p.setUp()
	}
	if show := shows[verb]; show != nil {
		return show(p, w)
	}
	if verb == "retry" {
		return p.apply(p.last)
	}
	make := commands[verb]
	if make == nil {
		p.t.Fatalf("%q: unknown command", line)
	}
	body := make(p, w)
	node := fsm.NodeID(w.text("node", "n1"))
	cmd := fsm.Command{Body: body, Age: w.duration("age"), Key: w.text("key", "")}
	if up, ok := body.(*fsm.NodeUp); ok {
		p.incs[up.Node], p.seq[up.Node] = up.Incarnation, 0
		node = up.Node
	}
	p.seq[node]++
	cmd.Origin = fsm.Origin{
		Node: node, Incarnation: w.number("inc", p.incs[node]), Seq: w.number("seq", p.seq[node]), Low: w.number("low", 1),
	}
	if d := w.duration("deadline"); d != 0 {
		cmd.Deadline = p.now.Add(d)
	}
	return p.apply(cmd)
}

// setUp makes what most stories begin with, and forgets what came of it.
func (p *story) setUp() string {
	for line := range strings.SplitSeq(strings.TrimSpace(setup), "\n") {
		if out := p.run(line); !strings.HasPrefix(out, "ok") {
			p.t.Fatalf("%s: %s", line, out)
		}
	}
	p.events, p.cdrs, p.transfers = nil, nil, nil
	return "ok\n"
}

// apply puts a command through the encoding and into the state.
func (p *story) apply(cmd fsm.Command) string {
	p.last = cmd
	b, err := fsm.AppendCommand(nil, &cmd)
	if err != nil {
		return "not encoded: " + err.Error() + "\n"
	}
	entry := fsm.AppendEntry(nil, p.now, [][]byte{b})
	if p.tap != nil {
		p.tap(entry)
	}
	e, err := fsm.DecodeEntry(entry)
	if err != nil {
		p.t.Fatal(err)
	}
	p.index++
	out := p.state.Apply(p.index, e)
	if err := p.state.Check(); err != nil {
		p.t.Errorf("after %+v: %v", cmd.Body, err)
	}
	p.cdrs = append(p.cdrs, out.CDRs...)
	p.transfers = append(p.transfers, out.Transfers...)
	p.events = append(p.events, out.Events...)
	return p.result(&out.Results[0])
}

// since shows a log time as seconds since the story began.
func (p *story) since(t fsm.Time) string {
	if t == 0 {
		return "-"
	}
	return "+" + t.Sub(p.start).String()
}

func (p *story) result(r *fsm.Result) string {
	var b strings.Builder
	b.WriteString(r.Code.String())
	if r.Detail != "" {
		b.WriteString(": " + r.Detail)
	}
	if f := r.Code.Refusal(); f.Status != 0 && r.Code != fsm.StaleCommand {
		fmt.Fprintf(&b, " (%d, Q.850 %d, %s)", f.Status, f.Q850, f.Reason)
	}
	if r.CDR != 0 {
		fmt.Fprintf(&b, " cdr=%d", r.CDR)
	}
	if r.Fee != 0 {
		fmt.Fprintf(&b, " fee=%s", r.Fee)
	}
	if r.Count != 0 {
		fmt.Fprintf(&b, " count=%d", r.Count)
	}
	b.WriteString("\n")
	if r.Plan != nil {
		if r.Plan.Epoch > 1 {
			fmt.Fprintf(&b, "  for the owner of epoch %d\n", r.Plan.Epoch)
		}
		for i, c := range r.Plan.Candidates {
			if c.Contact != "" {
				fmt.Fprintf(&b, "  %d %s: %s -> %s over %s to %s\n", i, c.Gateway, c.Caller, c.Contact, c.Flow.Via, c.Flow.Peer)
				continue
			}
			fmt.Fprintf(&b, "  %d %s: %s -> %s by %q\n", i, c.Gateway, c.Caller, c.Callee, c.Prefix)
		}
		for _, k := range r.Plan.Skipped {
			fmt.Fprintf(&b, "  skipped %s: %s\n", k.Gateway, k.Reason)
		}
	}
	if g := r.Grant; g.Slice != 0 {
		fmt.Fprintf(&b, "  slice %d covers %s", g.Slice, g.For)
		if g.Until != 0 {
			fmt.Fprintf(&b, ", until %s", p.since(g.Until))
		}
		if g.Next != 0 {
			fmt.Fprintf(&b, ", extend at %s", p.since(g.Next))
		}
		if g.Last {
			b.WriteString(", last")
		}
		b.WriteString("\n")
	}
	return b.String()
}
