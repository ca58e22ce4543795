package cluster

import "testing"

func TestWhoCampaigns(t *testing.T) {
	at := func(id string, term, last uint64, witness bool) candidate {
		return candidate{ID: id, LastTerm: term, Last: last, Witness: witness}
	}
	for _, c := range []struct {
		what      string
		survivors []candidate
		voters    int
		want      string
	}{
		{"equal logs: the first by name", []candidate{at("c", 2, 9, false), at("b", 2, 9, false)}, 3, "b"},
		{"the longer log", []candidate{at("b", 2, 9, false), at("c", 2, 10, false)}, 3, "c"},
		{"a newer term beats length", []candidate{at("b", 2, 12, false), at("c", 3, 10, false)}, 3, "c"},
		{"a full node before a witness", []candidate{at("a", 2, 9, true), at("b", 2, 9, false)}, 3, "b"},
		{"a witness with the only long log", []candidate{at("a", 2, 10, true), at("b", 2, 9, false)}, 3, "a"},
		{"a majority elects the shorter log of a full node",
			[]candidate{at("a", 2, 10, true), at("b", 2, 9, false), at("c", 2, 9, false), at("d", 2, 8, false)}, 5, "b"},
		{"too few survivors", []candidate{at("a", 2, 10, false), at("b", 2, 9, false)}, 5, ""},
		{"alone of two", []candidate{at("a", 2, 10, false)}, 2, ""},
		{"nobody", nil, 3, ""},
	} {
		if got := choose(c.survivors, c.voters); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
