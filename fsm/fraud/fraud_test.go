package fraud_test

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tandem/fsm/fraud"
	"tandem/fsm/wire"
)

// store is windows in a map.
type store map[fraud.Key]fraud.Window

func (s store) Window(k fraud.Key) (fraud.Window, bool) { w, ok := s[k]; return w, ok }
func (s store) SetWindow(k fraud.Key, w fraud.Window)   { s[k] = w }
func (s store) DropWindow(k fraud.Key)                  { delete(s, k) }
func (s store) all() iter.Seq2[fraud.Key, fraud.Window] { return maps.All(s) }
func caller(account string, n int) fraud.Key {
	return fraud.Key{List: 1, Account: account, Number: fmt.Sprint(n)}
}
func second(n float64) int64          { return int64(n * 1e6) }
func restored(s store) *fraud.Tracker { return fraud.NewTracker(s.all()) }
func empty() (store, *fraud.Tracker)  { s := store{}; return s, restored(s) }
func encode(w fraud.Window) []byte    { c := wire.Encoder(nil); w.Fields(c); return c.Buffer() }
func decode(b []byte) (w fraud.Window, err error) {
	c := wire.Decoder(b)
	w.Fields(c)
	return w, c.Finish()
}
func countAll(t *fraud.Tracker, s store, k fraud.Key, r fraud.Rule, times ...float64) (trips []float64) {
	for _, at := range times {
		if _, tripped := t.Count(s, k, r, second(at)); tripped {
			trips = append(trips, at)
		}
	}
	return trips
}

// TestLimit30 is the promise of the blacklist: of 40 attempts with a limit of 30
// in 60 s, 29 pass.
func TestLimit30(t *testing.T) {
	s, tracker := empty()
	rule := fraud.Rule{Limit: 30, Within: time.Minute}
	for i := range 29 {
		if _, tripped := tracker.Count(s, caller("a", 1), rule, second(float64(i))); tripped {
			t.Fatalf("attempt %d tripped", i+1)
		}
	}
	e, tripped := tracker.Count(s, caller("a", 1), rule, second(29))
	want := fraud.Evidence{Limit: 30, Count: 30, Within: time.Minute, First: 0, Last: second(29)}
	if !tripped || e != want {
		t.Errorf("attempt 30: %+v, %v; want %+v", e, tripped, want)
	}
	if len(s) != 0 {
		t.Error("counting starts anew behind a block")
	}
}

func TestSlidingWindow(t *testing.T) {
	rule := fraud.Rule{Limit: 3, Within: 10 * time.Second}
	tests := []struct {
		name  string
		rule  fraud.Rule
		times []float64
		trips []float64
	}{
		{"at once", rule, []float64{5, 5, 5, 5, 5}, []float64{5}},
		{"as old as the window", rule, []float64{0, 5, 10}, nil},
		{"just younger", rule, []float64{0.000001, 5, 10}, []float64{10}},
		{"no fixed intervals", rule, []float64{9, 9.5, 11}, []float64{11}},
		{"slowly", rule, []float64{0, 6, 12, 18, 24}, nil},
		{"anew behind a trip", rule, []float64{1, 2, 3, 4, 5, 6}, []float64{3, 6}},
		{"limit of one", fraud.Rule{Limit: 1, Within: time.Second}, []float64{1, 2}, []float64{1, 2}},
		{"no limit", fraud.Rule{Within: time.Hour}, []float64{1, 1, 1, 1}, nil},
		{"no window", fraud.Rule{Limit: 3}, []float64{0, 1e6, 2e6}, []float64{2e6}},
		{"a clock that goes back", rule, []float64{5, 4, 3}, []float64{3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, tracker := empty()
			if diff := gocmp.Diff(tt.trips, countAll(tracker, s, caller("a", 1), tt.rule, tt.times...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKeysCountApart(t *testing.T) {
	s, tracker := empty()
	rule := fraud.Rule{Limit: 2, Within: time.Minute}
	for _, k := range []fraud.Key{
		{List: 1, Number: "1"}, {List: 1, Number: "2"}, {List: 1, Scope: "gw", Number: "1"}, {List: 1, Account: "a", Number: "1"},
	} {
		if trips := countAll(tracker, s, k, rule, 1); trips != nil {
			t.Errorf("%+v tripped", k)
		}
	}
	tracker.Reset(s, fraud.Key{List: 1, Number: "1"}) // an answered call ends a row of unanswered ones
	if trips := countAll(tracker, s, fraud.Key{List: 1, Number: "1"}, rule, 2, 3); !slices.Equal(trips, []float64{3}) {
		t.Errorf("trips %v", trips)
	}
	tracker.Reset(s, fraud.Key{List: 1, Number: "none"})
}

func TestCountable(t *testing.T) {
	for n, want := range map[string]bool{"": false, "110": false, "1100": true, "4930123456": true} {
		if fraud.Countable(n) != want {
			t.Errorf("%q: %v", n, !want)
		}
	}
}

// TestWindowIsAValue: a window never changes, however many were made of it.
func TestWindowIsAValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		windows := []fraud.Window{{}}
		models := [][]int64{nil}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			i := rapid.IntRange(0, len(windows)-1).Draw(t, "from")
			if rapid.IntRange(0, 3).Draw(t, "newest") > 0 {
				i = len(windows) - 1
			}
			at := rapid.Int64Range(0, 300).Draw(t, "at")
			start := at - rapid.SampledFrom([]int64{1, 10, 200, 1000}).Draw(t, "within")
			windows = append(windows, windows[i].Add(at, start))
			model := slices.DeleteFunc(slices.Clone(models[i]), func(v int64) bool { return v <= start })
			if len(models[i]) > 0 {
				at = max(at, models[i][len(models[i])-1])
			}
			models = append(models, append(model, at))
		}
		for i, w := range windows {
			if !slices.Equal(w.Times(), models[i]) {
				t.Fatalf("window %d: %v, want %v", i, w.Times(), models[i])
			}
			if w.Len() != len(models[i]) || i > 0 && (w.First() != models[i][0] || w.Last() != models[i][w.Len()-1]) {
				t.Errorf("window %d: %d from %d to %d", i, w.Len(), w.First(), w.Last())
			}
		}
	})
}

func TestFullWindow(t *testing.T) {
	var w fraud.Window
	for at := range int64(3 * fraud.MaxLimit) {
		w = w.Add(at, math.MinInt64)
	}
	if w.Len() != fraud.MaxLimit || w.First() != 2*fraud.MaxLimit || w.Last() != 3*fraud.MaxLimit-1 {
		t.Errorf("%d from %d to %d", w.Len(), w.First(), w.Last())
	}
	back, err := decode(encode(w))
	if err != nil || !back.Equal(w) || !gocmp.Equal(back, w) {
		t.Errorf("decoded: %v", err)
	}
}

// TestWindowEncoding: how a window was made does not show in its bytes.
func TestWindowEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w fraud.Window
		at := rapid.Int64().Draw(t, "first") / 2
		for _, step := range rapid.SliceOfN(rapid.Int64Range(0, 1<<40), 0, 300).Draw(t, "steps") {
			at += step
			w = w.Add(at, at-1<<42)
		}
		b := encode(w)
		back, err := decode(b)
		if err != nil || !back.Equal(w) {
			t.Fatalf("%v: %v", back.Times(), err)
		}
		if again := encode(back); !slices.Equal(again, b) {
			t.Errorf("%x, then %x", b, again)
		}
		next := at + 5
		if a, b := encode(w.Add(next, at-1<<41)), encode(back.Add(next, at-1<<41)); !slices.Equal(a, b) {
			t.Errorf("a decoded window goes on as %x, not %x", b, a)
		}
	})
	var w fraud.Window
	for _, at := range []int64{1_700_000_000_000_000, 1_700_000_000_000_000, 1_700_000_001_500_000} {
		w = w.Add(at, 0)
	}
	if got := hex.EncodeToString(encode(w)); got != "038080f2818389850600e0c65b" {
		t.Errorf("the layout changed: %s", got)
	}
	for text, want := range map[string]error{
		"":                       wire.ErrTruncated,
		"e907":                   wire.ErrTooLong,   // 1001 events
		"0200":                   wire.ErrTruncated, // one of two
		"0202ffffffffffffffff7f": wire.ErrMalformed, // beyond the last time
		"010000":                 wire.ErrMalformed, // one too many
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := decode(b); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v; want %v", text, w.Times(), err, want)
		}
	}
}

func FuzzDecodeWindow(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{3, 2, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, err := decode(b); err == nil && !slices.Equal(encode(w), b) {
			t.Errorf("accepted %x, which is written as %x", b, encode(w))
		}
	})
}

// TestTrackerInLockStep feeds one tracker by events and builds another from the
// windows before each event: both drop the same windows, and those are the ones
// that a naive model drops.
func TestTrackerInLockStep(t *testing.T) {
	rule := fraud.Rule{Limit: 6, Within: 20 * time.Microsecond}
	rapid.Check(t, func(t *rapid.T) {
		s, tracker := empty()
		tracker.SetBounds(8, 3, 20)
		now := int64(0)
		for range rapid.IntRange(1, 120).Draw(t, "events") {
			now += rapid.SampledFrom([]int64{0, 0, 0, 1, 2, 30}).Draw(t, "step")
			k := caller(rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "account"), rapid.IntRange(0, 6).Draw(t, "number"))
			if rapid.IntRange(0, 9).Draw(t, "reset") == 0 {
				tracker.Reset(s, k)
				continue
			}
			other := maps.Clone(s)
			fresh := restored(other)
			fresh.SetBounds(8, 3, 20)
			expected := model(s, k, rule, now)

			e, tripped := tracker.Count(s, k, rule, now)
			e2, tripped2 := fresh.Count(other, k, rule, now)
			if e != e2 || tripped != tripped2 {
				t.Fatalf("fed: %+v, %v; restored: %+v, %v", e, tripped, e2, tripped2)
			}
			if diff := gocmp.Diff(s, other); diff != "" {
				t.Fatalf("-fed +restored: %s", diff)
			}
			if diff := gocmp.Diff(expected, s); diff != "" {
				t.Fatalf("-model +fed: %s", diff)
			}
			if a, b := figures(tracker), figures(fresh); a != b || a != figuresOf(s) {
				t.Fatalf("fed %v, restored %v, there are %v", a, b, figuresOf(s))
			}
		}
	})
}

func figures(t *fraud.Tracker) [2]int {
	windows, events := t.Len()
	return [2]int{windows, events}
}

func figuresOf(s store) (f [2]int) {
	for _, w := range s {
		f[0]++
		f[1] += w.Len()
	}
	return f
}

// model is Count with the bounds of the test above, by looking at everything.
func model(before store, k fraud.Key, r fraud.Rule, at int64) store {
	s := maps.Clone(before)
	w := s[k].Add(at, at-r.Within.Microseconds())
	if w.Len() >= int(r.Limit) {
		delete(s, k)
		return s
	}
	s[k] = w
	order := func(keep func(fraud.Key) bool) (keys []fraud.Key) {
		for k := range s {
			if keep(k) {
				keys = append(keys, k)
			}
		}
		slices.SortFunc(keys, func(a, b fraud.Key) int {
			return cmp.Or(cmp.Compare(s[a].Last(), s[b].Last()), a.Compare(b))
		})
		return keys
	}
	mine := func(o fraud.Key) bool { return o.Account == k.Account }
	for i, o := range order(mine) {
		if i < 2 && s[o].Last() <= at-r.Within.Microseconds() {
			delete(s, o)
		}
	}
	if own := order(mine); k.Account != "" && len(own) > 3 {
		delete(s, own[0])
	}
	for f := figuresOf(s); f[0] > 8 || f[1] > 20; f = figuresOf(s) {
		delete(s, order(func(fraud.Key) bool { return true })[0])
	}
	return s
}

// TestFlood: random callers of one customer push out only their own windows.
func TestFlood(t *testing.T) {
	s, tracker := empty()
	rule := fraud.Rule{Limit: 100, Within: time.Hour}
	countAll(tracker, s, caller("honest", 1), rule, 0)
	for i := range 3 * fraud.MaxPerAccount {
		tracker.Count(s, caller("flood", i), rule, second(1)+int64(i))
	}
	if len(s) != fraud.MaxPerAccount+1 || tracker.Evicted() != 2*fraud.MaxPerAccount {
		t.Errorf("%d windows, %d evicted", len(s), tracker.Evicted())
	}
	if _, kept := s[caller("honest", 1)]; !kept {
		t.Error("another customer's window is gone")
	}
	if _, kept := s[caller("flood", 3*fraud.MaxPerAccount-1)]; !kept {
		t.Error("the newest window is gone")
	}
}

// TestParkedMemory: what a list holds at its bound is at most 64 MB (ARCHITECTURE.md, rule 9).
func TestParkedMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s, tracker := empty()
	rule := fraud.Rule{Limit: 30, Within: time.Hour}
	for i := range fraud.MaxWindows + 1000 {
		tracker.Count(s, caller(fmt.Sprintf("customer-%d", i%150), 440_000_000_000+i), rule, int64(i))
	}
	if after := heap(); len(s) != fraud.MaxWindows || after-before > 64<<20 {
		t.Errorf("%d windows in %d bytes", len(s), after-before)
	}
	runtime.KeepAlive(tracker)
}

func TestLive(t *testing.T) {
	var l fraud.Live
	k, rule := caller("a", 1), fraud.Rule{Limit: 3}
	l.End(k)
	for i := range 2 {
		if _, tripped := l.Check(k, rule, 7); tripped {
			t.Errorf("call %d tripped", i+1)
		}
		l.Start(k)
	}
	e, tripped := l.Check(k, rule, 7)
	if want := (fraud.Evidence{Limit: 3, Count: 3, First: 7, Last: 7}); !tripped || e != want {
		t.Errorf("call 3: %+v, %v", e, tripped)
	}
	if _, tripped := l.Check(caller("b", 1), rule, 7); tripped {
		t.Error("another customer's caller tripped")
	}
	l.End(k)
	if _, tripped := l.Check(k, rule, 7); tripped || l.Count(k) != 1 {
		t.Errorf("%d calls, tripped %v", l.Count(k), tripped)
	}
	if _, tripped := l.Check(k, fraud.Rule{}, 7); tripped {
		t.Error("tripped without a limit")
	}
}

// BenchmarkCountFull counts in one window of a thousand events.
func BenchmarkCountFull(b *testing.B) {
	s, tracker := empty()
	rule := fraud.Rule{Limit: fraud.MaxLimit, Within: (fraud.MaxLimit - 2) * time.Microsecond}
	at := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		at++
		if _, tripped := tracker.Count(s, caller("a", 1), rule, at); tripped {
			b.Fatal("tripped")
		}
	}
}

// BenchmarkCountFlood counts callers that are never seen again, at the bound of
// the account.
func BenchmarkCountFlood(b *testing.B) {
	s, tracker := empty()
	rule := fraud.Rule{Limit: 30, Within: time.Hour}
	at := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		at++
		tracker.Count(s, caller("a", int(at)), rule, at)
	}
}
