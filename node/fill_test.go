package node

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/node/cdr"
)

// lagging is a node that has all of the log but only some of the rows, as after a
// snapshot install, and the rows that its peers have.
func lagging(t *testing.T, has ...uint64) (*Node, []fsm.CDR) {
	t.Helper()
	full := testReplica(t)
	apply(t, full, 1, &fsm.NodeUp{Node: "n1", Incarnation: 1, Level: fsm.Level})
	for i := range uint64(8) { // each refusal of a stranger is a row
		apply(t, full, 2+i, &fsm.Refused{Reason: fsm.EndUnknownSource, Count: 1, Status: 403, Callee: "86138"})
	}
	page, err := full.cdrs.Search(t.Context(), cdr.Query{})
	if err != nil || len(page.CDRs) != 8 {
		t.Fatalf("%d rows, %v", len(page.CDRs), err)
	}
	rows := page.CDRs
	slices.Reverse(rows)
	mine := testReplica(t)
	mine.state = full.state
	for _, seq := range has {
		if err := mine.cdrs.Fill(rows[seq-1:seq], nil); err != nil {
			t.Fatal(err)
		}
	}
	return &Node{replica: mine, opts: Options{CDRs: mine.cdrs}, log: slog.New(slog.DiscardHandler)}, rows
}

// Rows from a peer are stored only if the chain holds from the row before the gap
// to the one behind it.
func TestRowsOfPeersAreVerified(t *testing.T) {
	n, rows := lagging(t, 1, 2, 6, 7, 8)
	w, missing := n.gap(t.Context())
	if want := (cdr.Span{First: 3, Last: 5}); !missing || w.cdrs != want {
		t.Fatalf("missing %v, want %v", w.cdrs, want)
	}
	altered := func(change func(*fsm.CDR)) []fsm.CDR {
		out := slices.Clone(rows[2:5])
		change(&out[1])
		return out
	}
	for name, bad := range map[string][]fsm.CDR{
		"another callee": altered(func(r *fsm.CDR) { r.Callee = "1" }),
		"another link":   altered(func(r *fsm.CDR) { r.Link[0]++ }),
	} {
		if got, err := n.verified(t.Context(), w.cdrs, bad); !errors.Is(err, fsm.ErrChain) {
			t.Errorf("%s: %d rows, %v, want ErrChain", name, len(got), err)
		}
	}
	// A row that is itself right, but before another history than ours.
	forked := slices.Clone(rows[2:5])
	forked[2].Detail = "forked"
	forked[2].Link = n.replica.state.Chain().Link(forked[1].Link, forked[2])
	if _, err := n.verified(t.Context(), w.cdrs, forked); !errors.Is(err, fsm.ErrChain) {
		t.Errorf("a forked history: %v, want ErrChain", err)
	}
	for name, c := range map[string]struct {
		rows []fsm.CDR
		want int
	}{
		"all":           {rows[2:5], 3},
		"unsorted":      {[]fsm.CDR{rows[4], rows[2], rows[3]}, 3},
		"the beginning": {rows[2:4], 2},
		"with a hole":   {[]fsm.CDR{rows[2], rows[4]}, 1},
		"the end":       {rows[3:5], 0},
	} {
		if got, err := n.verified(t.Context(), w.cdrs, slices.Clone(c.rows)); err != nil || len(got) != c.want {
			t.Errorf("%s: %d rows, %v, want %d", name, len(got), err, c.want)
		}
	}
}

// What is below the horizon is neither missing nor an anchor.
func TestHorizon(t *testing.T) {
	n, _ := lagging(t, 6, 7, 8)
	if h := n.horizon(); h != (cdr.Horizon{}) {
		t.Fatalf("horizon %+v before anything was forgotten", h)
	}
	if w, _ := n.gap(t.Context()); w.cdrs.First != 1 {
		t.Fatalf("missing %v, want it from 1", w.cdrs)
	}
	applyAt(t, n.replica, 11, 24*time.Hour, &fsm.Refused{Reason: fsm.EndUnknownSource, Count: 1, Status: 403})
	applyAt(t, n.replica, 12, 24*time.Hour, &fsm.ForgetDays{Before: 1})
	if err := n.opts.CDRs.Expire(n.horizon()); err != nil {
		t.Fatal(err)
	}
	if w, missing := n.gap(t.Context()); missing {
		t.Errorf("missing %v although it is expired", w.cdrs)
	}
}
