package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

func openLog(t testing.TB, path string) *Log {
	t.Helper()
	s, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func entry(i uint64) *raft.Log {
	return &raft.Log{Index: i, Term: i/10 + 1, Type: raft.LogCommand,
		Data: fmt.Appendf(nil, "command %d", i), AppendedAt: time.Unix(1_700_000_000, int64(i)).Local()}
}

func fill(t testing.TB, s *Log, from, to uint64) {
	t.Helper()
	for i := from; i <= to; i += 7 {
		var batch []*raft.Log
		for j := i; j <= min(i+6, to); j++ {
			batch = append(batch, entry(j))
		}
		if err := s.StoreLogs(batch); err != nil {
			t.Fatal(err)
		}
	}
}

// holds checks that the log is exactly from..to.
func holds(t testing.TB, s *Log, from, to uint64) {
	t.Helper()
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	if first != from || last != to || err1 != nil || err2 != nil {
		t.Fatalf("log is %d to %d (%v, %v), want %d to %d", first, last, err1, err2, from, to)
	}
	for i := from; i <= to && i > 0; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if diff := cmp.Diff(entry(i), &l); diff != "" {
			t.Fatalf("entry %d: %s", i, diff)
		}
	}
	var l raft.Log
	for _, i := range []uint64{from - 1, to + 1} {
		if err := s.GetLog(i, &l); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d outside the log: %v", i, err)
		}
	}
}

func TestLogSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := openLog(t, path)
	fill(t, s, 1, 100)
	holds(t, s, 1, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, openLog(t, path), 1, 100)
}

func TestDeleteRange(t *testing.T) {
	for _, c := range []struct{ low, high, from, to uint64 }{
		{1, 40, 41, 5000},     // compaction
		{1, 3500, 3501, 5000}, // in several steps
		{4000, 5000, 1, 3999}, // truncation of a divergent tail
		{500, 9999, 1, 499},   // beyond the end
		{1, 5000, 0, 0},       // all
		{6000, 7000, 1, 5000}, // nothing
	} {
		s := openLog(t, filepath.Join(t.TempDir(), "log"))
		var all []*raft.Log
		for i := uint64(1); i <= 5000; i++ {
			all = append(all, entry(i))
		}
		if err := s.StoreLogs(all); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteRange(c.low, c.high); err != nil {
			t.Fatal(err)
		}
		if c.from == 0 {
			if last, err := s.LastIndex(); last != 0 || err != nil {
				t.Errorf("last index of an empty log is %d, %v", last, err)
			}
			continue
		}
		holds(t, s, c.from, c.to)
	}
}

// TestTruncateAppendReopen is what a follower does after a change of leader; a
// well-known log store lost everything behind the cut.
func TestTruncateAppendReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := openLog(t, path)
	fill(t, s, 1, 60)
	if err := s.DeleteRange(31, 60); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 31, 45)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, openLog(t, path), 1, 45)
}

func TestStableValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := openLog(t, path)
	if v, err := s.Get([]byte("x")); len(v) != 0 || err != nil {
		t.Errorf("missing key: %q, %v", v, err)
	}
	if v, err := s.GetUint64([]byte("x")); v != 0 || err != nil {
		t.Errorf("missing number: %d, %v", v, err)
	}
	for _, v := range []uint64{7, 1 << 60} {
		if err := s.SetUint64([]byte("term"), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := openLog(t, path).GetUint64([]byte("term")); v != 1<<60 || err != nil {
		t.Errorf("term is %d, %v", v, err)
	}
}

func TestFileIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	openLog(t, path)
	if _, err := OpenLog(path); !errors.Is(err, ErrInUse) {
		t.Errorf("second open: %v", err)
	}
}

// TestFlippedBit: a damaged value is refused when the file is opened, with its
// index.
func TestFlippedBit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := openLog(t, path)
	fill(t, s, 1, 50)
	s.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	needle := []byte("command 33")
	damaged := 0
	for at := 0; ; damaged++ { // old pages may hold copies
		i := bytes.Index(b[at:], needle)
		if i < 0 {
			break
		}
		b[at+i+9] ^= 0x10
		at += i + 1
	}
	if damaged == 0 {
		t.Fatal("entry not found in the file")
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLog(path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
}

// TestPowerCut: whatever part of a transaction's pages reached the disk, the
// file opens with the state before it or, if its meta page is there with all the
// others, after it.
func TestPowerCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	s := openLog(t, path)
	fill(t, s, 1, 400)
	before := read(t, path)
	var batch []*raft.Log
	for i := uint64(401); i <= 700; i++ {
		batch = append(batch, entry(i))
	}
	if err := s.StoreLogs(batch); err != nil {
		t.Fatal(err)
	}
	after := read(t, path)
	s.Close()
	pages := changedPages(before, after)
	if len(pages) < 3 {
		t.Fatalf("%d changed pages", len(pages))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for try := range 20 {
		image := make([]byte, len(after))
		copy(image, before)
		for _, p := range pages {
			// bbolt syncs its data pages before it writes the meta page (0 or 1).
			if p > 1 && rng.IntN(2) == 0 {
				copyPage(image, after, p)
			}
		}
		cut := filepath.Join(dir, fmt.Sprint("cut", try))
		if err := os.WriteFile(cut, image, 0o600); err != nil {
			t.Fatal(err)
		}
		holds(t, openLog(t, cut), 1, 400)
	}
	whole := filepath.Join(dir, "whole")
	if err := os.WriteFile(whole, after, 0o600); err != nil {
		t.Fatal(err)
	}
	holds(t, openLog(t, whole), 1, 700)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func changedPages(a, b []byte) []int {
	size := os.Getpagesize()
	var out []int
	for p := 0; p*size < len(b); p++ {
		end := min((p+1)*size, len(b))
		if end > len(a) || !bytes.Equal(a[p*size:end], b[p*size:end]) {
			out = append(out, p)
		}
	}
	return out
}

func copyPage(dst, src []byte, p int) {
	size := os.Getpagesize()
	copy(dst[p*size:], src[p*size:min((p+1)*size, len(src))])
}

func TestQueueKeepsOrderOverReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox")
	q, err := OpenQueue(path)
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint64
	for i := range 5 {
		id, err := q.Append(fmt.Appendf(nil, "end %d", i))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := q.Remove(ids[1], ids[3]); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if q, err = OpenQueue(path); err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	all, err := q.Load()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all {
		got = append(got, string(r.Value))
	}
	if diff := cmp.Diff([]string{"end 0", "end 2", "end 4"}, got); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, size := range []int{1, 64} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := openLog(b, filepath.Join(b.TempDir(), "log"))
			next := uint64(1)
			data := make([]byte, 300)
			for b.Loop() {
				var batch []*raft.Log
				for range size {
					batch = append(batch, &raft.Log{Index: next, Term: 1, Data: data})
					next++
				}
				if err := s.StoreLogs(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
