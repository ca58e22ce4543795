package chaos_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/billing"
	"tandem/chaos"
	"tandem/fsm"
)

// healthy is a history with nothing wrong: a payment, a call of one minute, a
// refused call, and two nodes that agree.
func healthy() chaos.History {
	rate := billing.Rate{Price: 60_000_000, First: 1, Next: 1} // 0.06 a minute
	cost := billing.Rate{Price: 30_000_000, First: 1, Next: 1}
	fee, paid := rate.Cost(time.Minute), cost.Cost(time.Minute)
	final := func(node string) chaos.Final {
		return chaos.Final{
			Reading: chaos.Reading{At: time.Hour, Node: node, Index: 9, Hash: fsm.Hash{9}, Accounts: []chaos.Account{
				{Name: "client:acme", Currency: "EUR", Balance: billing.Balance{Funds: billing.Unit - fee}},
				{Name: "vendor:fast", Currency: "EUR", Balance: billing.Balance{Funds: paid}},
				{Name: "house:cash", Currency: "EUR", Balance: billing.Balance{Funds: -billing.Unit, Overdraft: true}},
				{Name: "house:revenue", Currency: "EUR", Balance: billing.Balance{Funds: fee, Overdraft: true}},
				{Name: "house:cost", Currency: "EUR", Balance: billing.Balance{Funds: -paid, Overdraft: true}},
			}},
			Transfers: []fsm.Transfer{
				{Seq: 1, Debit: "house:cash", Credit: "client:acme", Amount: billing.Unit, Currency: "EUR", Kind: fsm.TransferPayment, Memo: "p1"},
				{Seq: 2, Debit: "client:acme", Credit: "house:revenue", Amount: fee, Currency: "EUR", Kind: fsm.TransferCharge, CDR: 1},
				{Seq: 3, Debit: "house:cost", Credit: "vendor:fast", Amount: paid, Currency: "EUR", Kind: fsm.TransferCost, CDR: 1},
			},
			CDRs: []fsm.CDR{
				{Seq: 1, SIPCallIDA: "call-1", Answered: 1, Duration: time.Minute, Rate: rate, CostRate: cost, Fee: fee, Cost: paid, Held: fee},
				{Seq: 2, SIPCallIDA: "call-2", SIPStatus: 402},
			},
		}
	}
	return chaos.History{
		Calls: []chaos.Call{
			{
				ID: "call-1", Node: "n1", Began: time.Second, Answered: 2 * time.Second, Ended: 62 * time.Second, Heard: 62 * time.Second,
				Status: 200, Callee: "8613", Gap: 20 * time.Millisecond,
			},
			{ID: "call-2", Node: "n2", Began: time.Second, Ended: 2 * time.Second, Heard: 2 * time.Second, Status: 402, Callee: "8614"},
		},
		Legs: []chaos.Leg{{ID: "leg-1", Callee: "8613", Began: time.Second, Answered: 2 * time.Second, Ended: 62 * time.Second}},
		Grants: []chaos.Grant{
			{From: time.Microsecond, At: time.Millisecond, Subject: "10.0.9.1", Node: "n1", Epoch: 1},
			{From: 9995 * time.Millisecond, At: 10 * time.Second, Subject: "10.0.9.1", Node: "n2", Epoch: 2},
			{From: 29995 * time.Millisecond, At: 30 * time.Second, Subject: "10.0.9.1", Node: "n1", Epoch: 3},
		},
		Speeches: []chaos.Speech{
			{At: time.Second, Node: "n1", Addr: "10.0.9.1", Call: "call-1", What: "SIP/2.0 100 Trying"},
			{At: 12 * time.Second, Node: "n2", Addr: "10.0.9.1", Call: "call-1", What: "SIP/2.0 200 OK"},
			{At: 40 * time.Second, Node: "n1", Addr: "10.0.9.1", Call: "call-1", What: "BYE"},
			{At: 40 * time.Second, Node: "n3", Addr: "10.0.0.3", Call: "call-3", What: "OPTIONS"},
		},
		Windows: []chaos.Window{{From: 10 * time.Second, To: 13 * time.Second}},
		Limits:  chaos.Limits{Gap: time.Second, Refusals: []int{402}},
		TopUps: []chaos.TopUp{
			{Key: "p1", Account: "client:acme", Amount: billing.Unit, Outcome: chaos.Done},
			{Key: "p2", Account: "client:acme", Amount: billing.Unit, Outcome: chaos.Unknown},
			{Key: "p3", Account: "client:acme", Amount: billing.Unit, Outcome: chaos.Refused},
		},
		Readings: []chaos.Reading{{At: time.Second, Node: "n1", Index: 3, Hash: fsm.Hash{3}, Accounts: []chaos.Account{
			{Name: "client:acme", Currency: "EUR", Balance: billing.Balance{Funds: billing.Unit, Held: fee}},
			{Name: "house:cash", Currency: "EUR", Balance: billing.Balance{Funds: -billing.Unit, Overdraft: true}},
		}}},
		Finals: []chaos.Final{final("n1"), final("n2")},
	}
}

func TestHealthyHistory(t *testing.T) {
	for _, v := range chaos.Check(healthy()) {
		t.Error(v)
	}
}

// TestCheckersFind plants one fault of each sort and wants the right checker to
// say so.
func TestCheckersFind(t *testing.T) {
	both := func(h *chaos.History, edit func(*chaos.Final)) {
		for i := range h.Finals {
			edit(&h.Finals[i])
		}
	}
	for _, tc := range []struct {
		plant func(*chaos.History)
		check string
		text  string
	}{
		{func(h *chaos.History) { h.Readings[0].Accounts[0].Balance.Funds++ }, "conservation", "all EUR funds sum to"},
		{func(h *chaos.History) {
			both(h, func(f *chaos.Final) { f.Accounts[0].Balance.Funds--; f.Accounts[2].Balance.Funds++ })
		}, "conservation", "its transfers say"},
		{func(h *chaos.History) { h.Readings[0].Accounts[0].Balance.Held = 2 * billing.Unit }, "limits", "client:acme has -1.00 available"},
		{func(h *chaos.History) { both(h, func(f *chaos.Final) { f.Accounts[0].Balance.Held = 1 }) }, "holds", "still holds"},
		{func(h *chaos.History) { both(h, func(f *chaos.Final) { f.CDRs[1].Seq = 3 }) }, "sequence", "CDR 3 is at place 2"},
		{func(h *chaos.History) { both(h, func(f *chaos.Final) { f.CDRs[1].SIPCallIDA = "call-1" }) }, "one CDR per call", "has 2 CDRs"},
		{func(h *chaos.History) { h.Calls[0].ID = "lost" }, "one CDR per call", "call lost was answered by n1 at 2s and has no CDR"},
		{func(h *chaos.History) { h.Calls = h.Calls[:1] }, "one CDR per call", `call "call-2", which nobody made`},
		{func(h *chaos.History) { h.Calls[0].Answered = 0 }, "one CDR per call", "which was not answered"},
		{func(h *chaos.History) { both(h, func(f *chaos.Final) { f.CDRs[0].Answered = 0 }) }, "one CDR per call", "says that call call-1 was not answered"},
		{func(h *chaos.History) { h.Calls[0].Ended += 2 * time.Second }, "duration", "lasts 1m0s, want 1m1s to 1m7s"},
		{func(h *chaos.History) { h.Calls[0].Ended -= 6 * time.Second }, "duration", "lasts 1m0s, want 53s to 59s"},
		{func(h *chaos.History) {
			both(h, func(f *chaos.Final) { f.Transfers = append(f.Transfers, f.Transfers[1]) })
		}, "charges", "moves money for CDR 1 again"},
		{func(h *chaos.History) { both(h, func(f *chaos.Final) { f.CDRs[0].Fee++ }) }, "charges", "has fee 0.060001"},
		{func(h *chaos.History) { both(h, func(f *chaos.Final) { f.CDRs[0].CostRate.Price *= 2 }) }, "charges", "at the vendor's rate cost 0.06"},
		{func(h *chaos.History) { both(h, func(f *chaos.Final) { f.CDRs[0].Held-- }) }, "charges", "held were"},
		{func(h *chaos.History) { both(h, func(f *chaos.Final) { f.CDRs = f.CDRs[1:] }) }, "charges", "CDR 1, which is not there"},
		{func(h *chaos.History) { h.TopUps[1].Outcome = chaos.Done }, "top-ups", "p2 of 1.00 to client:acme was acknowledged and is lost"},
		{func(h *chaos.History) { h.TopUps[0].Outcome = chaos.Refused }, "top-ups", "p1 was refused and is there"},
		{func(h *chaos.History) { h.TopUps[0].Amount++ }, "top-ups", "asked were"},
		{func(h *chaos.History) {
			both(h, func(f *chaos.Final) { f.Transfers = append(f.Transfers, f.Transfers[0]) })
		}, "top-ups", "is there 2 times"},
		{func(h *chaos.History) { h.Finals[1].Hash[3]++ }, "agreement", "n2 at index 9"},
		{func(h *chaos.History) { h.Finals[1].CDRs[1].Detail = "other" }, "agreement", "record 2 is"},
		{func(h *chaos.History) { h.Finals[1].Transfers = h.Finals[1].Transfers[:2] }, "agreement", "2 and 3 records"},
		{func(h *chaos.History) { h.Speeches[0].At = 11 * time.Second }, "one owner", "n1 says \"SIP/2.0 100 Trying\" in call call-1 from 10.0.9.1, which is n2's since 10s (epoch 2)"},
		{func(h *chaos.History) { h.Speeches[2].At = 29 * time.Second }, "one owner", "which is n2's since 10s"},
		{func(h *chaos.History) { h.Speeches[0].At = 0 }, "one owner", "which nobody had yet"},
		{func(h *chaos.History) { h.Grants[1].Epoch = 1 }, "one owner", "belongs to n1 and to n2 in epoch 1"},
		{func(h *chaos.History) { h.Grants[0].Epoch = 3 }, "one owner", "had epoch 3 at 1ms and 2 at 10s"},
		{func(h *chaos.History) { h.Calls[0].Cut = true }, "survival", "answered at 2s, was cut at 1m2s"},
		{func(h *chaos.History) { h.Calls[0].ByeLost = true }, "survival", "its BYE was not answered"},
		{func(h *chaos.History) { h.Calls[0].Gap = 2 * time.Second }, "media gap", "silent for 2s, want at most 1s"},
		{func(h *chaos.History) { h.Legs[0].Callee = "99" }, "orphan legs", "nobody called that"},
		{func(h *chaos.History) { h.Legs[0].Ended = 0 }, "orphan legs", "is still there"},
		{func(h *chaos.History) { h.Legs[0].Ended = 2 * time.Minute }, "orphan legs", "had been gone since 1m2s"},
		{func(h *chaos.History) {
			h.Legs = append(h.Legs, chaos.Leg{ID: "leg-2", Callee: "8613", Answered: 3 * time.Second, Ended: 9 * time.Second})
		}, "orphan legs", "two callees: legs leg-1 and leg-2"},
		{func(h *chaos.History) { h.Calls[1].Status = 503 }, "liveness", "failed in peace with 503"},
		{func(h *chaos.History) {
			h.Calls[1].Began, h.Calls[1].Heard = 14*time.Second, 15*time.Second
			h.Limits.Refusals = nil
		}, "liveness", "failed in peace with 402"},
		{func(h *chaos.History) {
			h.Windows[0] = chaos.Window{From: 0, To: 10 * time.Second, Lost: true, Alive: true}
		}, "minority", "was answered by n1 at 2s"},
		{func(h *chaos.History) {
			h.Windows[0] = chaos.Window{From: 0, To: 10 * time.Second, Lost: true, Alive: true}
			h.Calls[1].Status, h.Calls[1].Heard = 503, 3*time.Second
		}, "minority", "503 after 2s"},
	} {
		h := healthy()
		tc.plant(&h)
		found := chaos.Check(h)
		if !slices.ContainsFunc(found, func(v chaos.Violation) bool { return v.Check == tc.check && strings.Contains(v.Text, tc.text) }) {
			t.Errorf("want %s: ... %s ..., got %v", tc.check, tc.text, found)
		}
	}
}

func TestLateBye(t *testing.T) {
	h := healthy()
	h.Calls[0].Ended -= 20 * time.Second // and was sent again until somebody answered
	h.Calls[0].Released = h.Calls[0].Ended + 21*time.Second
	if found := chaos.Check(h); found != nil {
		t.Errorf("%v", found)
	}
}

func TestEstimatedDuration(t *testing.T) {
	h := healthy()
	h.Calls[0].Ended += 20 * time.Second // charged to the last proof of life
	for i := range h.Finals {
		h.Finals[i].CDRs[0].Estimated = true
	}
	if found := chaos.Check(h); found != nil {
		t.Errorf("%v", found)
	}
}

func TestReportsAreBounded(t *testing.T) {
	h := healthy()
	h.Readings = slices.Repeat(h.Readings, 100)
	for i := range h.Readings {
		h.Readings[i].Accounts = h.Readings[i].Accounts[:1]
	}
	found := chaos.Check(h)
	if len(found) != 21 || found[20].String() != "conservation: and 80 more" {
		t.Errorf("%d violations, the last is %v", len(found), found[len(found)-1])
	}
}

func TestRecorder(t *testing.T) {
	var r chaos.Recorder
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 100 {
				r.Call(chaos.Call{})
				r.TopUp(chaos.TopUp{})
				r.Reading(chaos.Reading{})
				r.Final(chaos.Final{})
			}
		})
	}
	wg.Wait()
	if h := r.History(); len(h.Calls) != 1000 || len(h.TopUps) != 1000 || len(h.Readings) != 1000 || len(h.Finals) != 1000 {
		t.Error("records are missing")
	}
}
