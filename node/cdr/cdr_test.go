package cdr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"tandem/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a store in dir; the function it returns stops it.
func start(t *testing.T, dir string) (*Store, func()) {
	t.Helper()
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

var midnight = fsm.Time(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC).UnixMicro())

// record makes the nth CDR: one every ten minutes, so 144 a day.
func record(n uint64) fsm.CDR {
	at := midnight.Add(time.Duration(n) * 10 * time.Minute)
	return fsm.CDR{
		Seq: n, Account: fmt.Sprintf("acme%d", n%3), Vendor: "telco", Ingress: "in", Egress: "out",
		Caller: "4420", Callee: fmt.Sprintf("86%d", n), Started: at, Ended: at, Reason: fsm.EndNormal,
	}
}

func applied(index uint64, seqs ...uint64) *fsm.Applied {
	a := &fsm.Applied{Index: index}
	for _, n := range seqs {
		r := record(n)
		a.CDRs = append(a.CDRs, r)
		a.Transfers = append(a.Transfers, fsm.Transfer{
			Seq: n, At: r.Ended, Debit: "client:" + r.Account, Credit: "house:revenue", Amount: 5, CDR: n,
		})
	}
	return a
}

func fill(t *testing.T, s *Store, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := s.Append(applied(n, n)); err != nil {
			t.Fatal(err)
		}
	}
}

func sequences(rows []fsm.CDR) []uint64 {
	out := []uint64{}
	for _, r := range rows {
		out = append(out, r.Seq)
	}
	return out
}

// A search sees what was appended before it, newest first, over all days, and
// its pages join without a gap.
func TestSearchPages(t *testing.T) {
	s, _ := start(t, t.TempDir())
	const last = 500 // over four days
	fill(t, s, 1, last)
	q := Query{Limit: 64}
	want := uint64(last)
	for pages := 0; ; pages++ {
		page, err := s.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.CDRs {
			if diff := cmp.Diff(record(want), r); diff != "" {
				t.Fatalf("row %d (-want +got):\n%s", want, diff)
			}
			want--
		}
		if page.Next == 0 {
			break
		}
		q.Before = page.Next
		if pages > 10 {
			t.Fatal("the cursor does not move")
		}
	}
	if want != 0 {
		t.Errorf("the pages end at %d", want+1)
	}
}

func TestSearchFilters(t *testing.T) {
	s, _ := start(t, t.TempDir())
	fill(t, s, 1, 300)
	day := func(d, hours int) fsm.Time {
		return midnight.Add(time.Duration(d)*24*time.Hour + time.Duration(hours)*time.Hour)
	}
	tests := []struct {
		name string
		q    Query
		want []uint64
	}{
		{"number", Query{Number: "8642"}, []uint64{42}},
		{"unknown number", Query{Number: "864"}, []uint64{4}},
		{"time", Query{From: day(1, 0), To: day(1, 1)}, []uint64{149, 148, 147, 146, 145, 144}},
		{"account and time", Query{Account: "acme0", From: day(1, 0), To: day(1, 1)}, []uint64{147, 144}},
		{"vendor", Query{Account: "telco", Limit: 2}, []uint64{300, 299}},
		{"gateway", Query{Gateway: "out", Before: 10, Limit: 2}, []uint64{9, 8}},
		{"reason", Query{Reason: fsm.EndBusy}, []uint64{}},
		{"answered", Query{Answered: true}, []uint64{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page, err := s.Search(t.Context(), tt.q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, sequences(page.CDRs)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The log is replayed after a restart: rows that are there are not written
// twice, and what Sync promised is there.
func TestRestartAndReplay(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, dir)
	fill(t, s, 1, 20)
	if err := s.Sync(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := s.Append(applied(21, 21)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after the end: %v", err)
	}

	s, _ = start(t, dir)
	fill(t, s, 11, 30)
	page, err := s.Search(t.Context(), Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.CDRs) != 30 {
		t.Errorf("%d rows, want 30", len(page.CDRs))
	}
	ledger, _, err := s.Ledger(t.Context(), "house:revenue", 0, 100)
	if err != nil || len(ledger) != 30 {
		t.Errorf("%d transfers (%v), want 30", len(ledger), err)
	}
}

// A snapshot install leaves a gap; the store knows it, over restarts too, and
// a peer's rows fill it.
func TestGapsAreKnownAndFilled(t *testing.T) {
	peer, _ := start(t, t.TempDir())
	fill(t, peer, 1, 300)

	dir := t.TempDir()
	s, stop := start(t, dir)
	fill(t, s, 1, 100)
	fill(t, s, 250, 300)
	if err := s.SyncAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	s, _ = start(t, dir)
	cdrs, transfers := s.Missing(310, 300)
	if diff := cmp.Diff([]Span{{101, 249}, {301, 310}}, cdrs); diff != "" {
		t.Errorf("missing cdrs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Span{{101, 249}}, transfers); diff != "" {
		t.Errorf("missing transfers (-want +got):\n%s", diff)
	}
	rows, moves, err := peer.Range(t.Context(), cdrs[0], transfers[0], 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Fill(rows, moves); err != nil {
		t.Fatal(err)
	}
	if cdrs, transfers = s.Missing(300, 300); len(cdrs)+len(transfers) != 0 {
		t.Errorf("still missing: %v %v", cdrs, transfers)
	}
}

func TestGet(t *testing.T) {
	s, _ := start(t, t.TempDir())
	fill(t, s, 5, 9)
	for seq, want := range map[uint64]bool{4: false, 5: true, 9: true, 10: false} {
		if _, ok, err := s.Get(t.Context(), seq); ok != want || err != nil {
			t.Errorf("Get(%d) = %v, %v", seq, ok, err)
		}
	}
}

// A file that cannot be read is named, not passed over.
func TestDamagedDay(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "20261121.cdr"), []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil); err == nil {
		t.Error("a damaged day was opened")
	}
}

func TestSpans(t *testing.T) {
	var s spans
	for _, r := range []Span{{5, 6}, {1, 1}, {9, 9}, {7, 8}, {20, 30}, {25, 40}, {3, 3}} {
		s.add(r)
	}
	if diff := cmp.Diff(spans{{1, 1}, {3, 3}, {5, 9}, {20, 40}}, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Span{{2, 2}, {4, 4}, {10, 19}, {41, 42}}, s.gaps(1, 42)); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	for n, want := range map[uint64]bool{1: true, 2: false, 9: true, 10: false, 40: true, 41: false} {
		if s.has(n) != want {
			t.Errorf("has(%d) = %v", n, !want)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	s, err := Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	n := uint64(0)
	for b.Loop() {
		n++
		if err := s.Append(applied(n, n)); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Sync(ctx, n); err != nil {
		b.Fatal(err)
	}
	cancel()
	<-done
}

// Days below the horizon go, their rows are neither missed nor taken back, and what
// is above stays, also for the next start.
func TestExpire(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, dir)
	const last = 500 // 144 a day: 20261121 to 20261124
	fill(t, s, 1, last)
	if err := s.SyncAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := s.Size()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Expire(Horizon{CDR: 200, Transfer: 200}); err != nil {
		t.Fatal(err)
	}
	days := func() []string {
		names, err := dayFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if diff := cmp.Diff([]string{"20261122", "20261123", "20261124"}, days()); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
	if after, err := s.Size(); err != nil || after >= before {
		t.Errorf("size %d, before %d, %v", after, before, err)
	}
	if err := s.Fill([]fsm.CDR{record(10)}, nil); err != nil {
		t.Fatal(err)
	}
	if _, found, err := s.Get(t.Context(), 10); found || err != nil {
		t.Errorf("an expired row came back: %v", err)
	}
	if err := s.Expire(Horizon{CDR: 5, Transfer: 5}); err != nil || s.Horizon().CDR != 200 {
		t.Errorf("the horizon went back to %d, %v", s.Horizon().CDR, err)
	}
	stop()
	s, _ = start(t, dir)
	if err := s.Expire(Horizon{CDR: 200, Transfer: 200}); err != nil {
		t.Fatal(err)
	}
	if cdrs, transfers := s.Missing(last, last); len(cdrs)+len(transfers) != 0 {
		t.Errorf("missing %v, %v", cdrs, transfers)
	}
	page, err := s.Search(t.Context(), Query{Limit: MaxLimit})
	if err != nil || len(page.CDRs) == 0 || page.CDRs[0].Seq != last {
		t.Errorf("%d rows, %v", len(page.CDRs), err)
	}
	if err := s.Expire(Horizon{CDR: last + 1, Transfer: last + 1}); err != nil {
		t.Fatal(err)
	}
	if got := days(); len(got) != 1 {
		t.Errorf("days %v: the newest stays", got)
	}
}
