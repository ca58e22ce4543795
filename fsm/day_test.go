package fsm_test

import (
	"errors"
	"testing"

	"tandem/fsm"
)

// TestChain: the links of records vouch for all of them, their fields and their
// order, and the books of the day name the last one.
func TestChain(t *testing.T) {
	p := newStory(t)
	p.setUp()
	for _, line := range []string{"topup acme 5", "start c1", "answer c1", "+10s", "end c1", "start c2 callee=33", "start c3", "end c3"} {
		p.run(line)
	}
	rows, chain := p.cdrs, p.state.Chain()
	if err := chain.Verify(fsm.Hash{}, rows); err != nil || len(rows) != 3 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	if err := chain.Verify(rows[0].Link, rows[1:]); err != nil {
		t.Error(err)
	}
	if link := chain.Link(rows[1].Link, rows[2]); link != rows[2].Link {
		t.Errorf("link %x, want %x", link, rows[2].Link)
	}
	if d := p.state.Days(); len(d) != 1 || d[0].First != 1 || d[0].Last != 3 || d[0].Link != rows[2].Link {
		t.Errorf("days %+v", d)
	}
	changed := append([]fsm.CDR(nil), rows...)
	changed[1].Detail += "!"
	for name, rows := range map[string][]fsm.CDR{
		"changed": changed,
		"missing": {rows[0], rows[2]},
		"order":   {rows[1], rows[0]},
		"first":   rows[1:],
	} {
		if err := chain.Verify(fsm.Hash{}, rows); !errors.Is(err, fsm.ErrChain) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
