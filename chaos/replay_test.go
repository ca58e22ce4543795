package chaos_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tandem/billing"
	"tandem/chaos"
	"tandem/fsm"
)

// ledger is a log of payments and what the state machine answered.
func ledger(t *testing.T) (entries map[uint64]fsm.Entry, told []chaos.Answer) {
	t.Helper()
	state, entries := fsm.New(fsm.Config{}), map[uint64]fsm.Entry{}
	add := func(index uint64, body fsm.Body) {
		entries[index] = fsm.Entry{At: fsm.Time(index), Commands: []fsm.Command{{
			Origin: fsm.Origin{Node: "n1", Incarnation: 1, Seq: index, Low: 1}, Deadline: 1 << 40, Body: body,
		}}}
		at := time.Duration(index) * time.Second
		r := state.Apply(index, entries[index]).Results[0]
		if r.Code != fsm.OK {
			t.Fatalf("%T: %v %s", body, r.Code, r.Detail)
		}
		told = append(told, chaos.Answer{Began: at, Ended: at + time.Millisecond, Node: "n1", Result: r})
	}
	add(1, &fsm.NodeUp{Node: "n1", Incarnation: 1, Level: fsm.Level})
	add(2, &fsm.PutAccount{Account: fsm.Account{ID: "acme", Type: fsm.Client, Currency: "USD"}})
	for i := uint64(3); i < 40; i++ {
		add(i, &fsm.TopUp{Account: "acme", Amount: billing.Unit, Memo: "cash"})
	}
	return entries, told
}

// TestReplay: a log agrees with what clients were told, and the replay says where
// it does not.
func TestReplay(t *testing.T) {
	for _, tc := range []struct {
		name  string
		plant func(entries map[uint64]fsm.Entry, told []chaos.Answer)
		want  string // empty: no violation
	}{
		{"all well", func(map[uint64]fsm.Entry, []chaos.Answer) {}, ""},
		{"another amount", func(_ map[uint64]fsm.Entry, told []chaos.Answer) { told[9].Result.Detail = "paid" }, "index 10: n1 told a client"},
		{"another place", func(_ map[uint64]fsm.Entry, told []chaos.Answer) { told[9].Result.Index++ }, "index 11: n1 told a client"},
		{"lost", func(entries map[uint64]fsm.Entry, _ []chaos.Answer) {
			entries[10] = fsm.Entry{At: 10}
		}, "index 10: n1 told a client"},
		{"back in time", func(_ map[uint64]fsm.Entry, told []chaos.Answer) {
			told[9].Began, told[9].Ended = 100*time.Second, 101*time.Second
		}, "asked at 1m40s of n1 and done at index 10, although index 39 had been answered"},
		{"a repetition", func(_ map[uint64]fsm.Entry, told []chaos.Answer) {
			told[9].Began, told[9].Ended, told[9].Again = 100*time.Second, 101*time.Second, true
		}, ""},
		{"unreadable", func(entries map[uint64]fsm.Entry, _ []chaos.Answer) { delete(entries, 20) }, "index 20: gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			entries, told := ledger(t)
			tc.plant(entries, told)
			found := chaos.Replay(fsm.New(fsm.Config{}), func(index uint64) (fsm.Entry, bool, error) {
				e, ok := entries[index]
				if !ok {
					return e, false, errors.New("gone")
				}
				return e, true, nil
			}, 39, told)
			switch {
			case tc.want == "" && found != nil:
				t.Errorf("found %v", found)
			case tc.want != "" && (len(found) == 0 || !strings.Contains(found[0].Text, tc.want)):
				t.Errorf("want %q, found %v", tc.want, found)
			}
		})
	}
}
