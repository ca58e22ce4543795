package billing_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tandem/billing"
)

func mustBuild(t testing.TB, rows ...billing.Row) *billing.Tariff {
	t.Helper()
	tariff, err := billing.BuildTariff(rows)
	if err != nil {
		t.Fatal(err)
	}
	return tariff
}

func TestTariffLookup(t *testing.T) {
	world := mustBuild(t,
		billing.Row{Prefix: "", Value: 1},
		billing.Row{Prefix: "#31#", Value: 2},
		billing.Row{Prefix: "*21", Value: 3},
		billing.Row{Prefix: "49", Value: 4},
		billing.Row{Prefix: "4915", Value: 5},
		billing.Row{Prefix: "4915112345678901234567890123", Value: 6}, // longer than two labels
		billing.Row{Prefix: "4916", Value: 7},
	)
	narrow := mustBuild(t, billing.Row{Prefix: "4915", Value: 8})
	tests := []struct {
		name   string
		tariff *billing.Tariff
		number string
		value  uint32
		length int
		ok     bool
	}{
		{"no rows", &billing.Tariff{}, "49", 0, 0, false},
		{"empty number, default row", world, "", 1, 0, true},
		{"empty number, no default row", narrow, "", 0, 0, false},
		{"default row", world, "331", 1, 0, true},
		{"hash", world, "#31#491", 2, 4, true},
		{"star", world, "*2149", 3, 3, true},
		{"shorter than the row", world, "4", 1, 0, true},
		{"exact", world, "49", 4, 2, true},
		{"longer", world, "491", 4, 2, true},
		{"two levels", world, "49151", 5, 4, true},
		{"sibling", world, "491699", 7, 4, true},
		{"long label missed at its end", world, "4915112345678901234567890124", 5, 4, true},
		{"long label met", world, "49151123456789012345678901239", 6, 28, true},
		{"ends inside the root's label", narrow, "491", 0, 0, false},
		{"leaves the root's label", narrow, "4916", 0, 0, false},
		{"other characters end a number", world, "49a15", 4, 2, true},
		{"other characters are no digits", world, "49:15", 4, 2, true},
		{"high bytes", world, "\xff\x00", 1, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			value, length, ok := tt.tariff.Lookup(tt.number)
			if value != tt.value || length != tt.length || ok != tt.ok {
				t.Errorf("Lookup(%q) = %d, %d, %t, want %d, %d, %t", tt.number, value, length, ok, tt.value, tt.length, tt.ok)
			}
		})
	}
}

func TestTariffRefusesRows(t *testing.T) {
	tests := []struct {
		name string
		rows []billing.Row
		row  int
		text string
	}{
		{"letter", []billing.Row{{Prefix: "1"}, {Prefix: "12a"}}, 1, `row 1, prefix "12a": character 3 is 'a', not one of 0-9 * #`},
		{"plus", []billing.Row{{Prefix: "+49"}}, 0, `row 0, prefix "+49": character 1 is '+', not one of 0-9 * #`},
		{"twice", []billing.Row{{Prefix: "49"}, {Prefix: "49"}}, 1, `row 1, prefix "49": the same prefix as the row before`},
		{"order", []billing.Row{{Prefix: "5"}, {Prefix: "49"}}, 1, `row 1, prefix "49": out of order behind "5"`},
		{"length", []billing.Row{{Prefix: strings.Repeat("1", 33)}}, 0, `row 0, prefix "` + strings.Repeat("1", 33) + `": 33 characters, at most 32`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := billing.BuildTariff(tt.rows)
			var fault *billing.RowError
			if !errors.As(err, &fault) || fault.Row != tt.row || err.Error() != tt.text {
				t.Errorf("error %q, want %q", err, tt.text)
			}
		})
	}
}

// TestTariffIsLongestPrefix compares with a search through all rows.
func TestTariffIsLongestPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few characters and long texts make prefixes of prefixes, long
		// labels and wide nodes likely.
		text := rapid.OneOf(
			rapid.StringMatching(`[0-9*#]{0,4}`),
			rapid.StringMatching(`[1#]{0,32}`),
			rapid.StringMatching(`4915112345(6|7)?[0-9]{0,20}`),
		)
		prefixes := rapid.SliceOfNDistinct(text, 0, 60, rapid.ID).Draw(t, "prefixes")
		slices.Sort(prefixes)
		rows := make([]billing.Row, len(prefixes))
		for i, p := range prefixes {
			rows[i] = billing.Row{Prefix: p, Value: uint32(i)}
		}
		tariff, err := billing.BuildTariff(rows)
		if err != nil {
			t.Fatal(err)
		}
		if tariff.Len() != len(rows) {
			t.Fatalf("Len() = %d of %d rows", tariff.Len(), len(rows))
		}
		numbers := append(slices.Clone(prefixes), rapid.SliceOfN(text, 1, 20).Draw(t, "numbers")...)
		for _, number := range numbers {
			var want []billing.Match
			for _, row := range slices.Backward(rows) { // longer ones sort behind their prefixes
				if strings.HasPrefix(number, row.Prefix) {
					want = append(want, billing.Match{Len: len(row.Prefix), Value: row.Value})
				}
			}
			if got := tariff.AppendMatches(nil, number); !slices.Equal(got, want) {
				t.Fatalf("AppendMatches(%q) = %v, want %v", number, got, want)
			}
			value, length, ok := tariff.Lookup(number)
			if ok != (len(want) > 0) || ok && (billing.Match{Len: length, Value: value}) != want[0] {
				t.Fatalf("Lookup(%q) = %d, %d, %t, want %v", number, value, length, ok, want)
			}
		}
	})
}

// worldRows returns n distinct rows with the shape of a carrier's A-Z list: 5
// to 9 digits long, long ones below short ones.
func worldRows(n int) []billing.Row {
	rng := rand.New(rand.NewPCG(1, 2))
	// Integers sort faster than strings. Filled up with zeros to nine digits,
	// with the length behind them, they have the order of the prefixes.
	keys := make([]uint64, 0, n)
	for len(keys) < n {
		for range n - len(keys) {
			length := 5 + rng.Uint64N(5)
			digits := rng.Uint64N(power10(length)) * power10(9-length)
			keys = append(keys, digits*10+length)
		}
		slices.Sort(keys)
		keys = slices.Compact(keys)
	}
	rows := make([]billing.Row, n)
	for i, key := range keys {
		rows[i] = billing.Row{Prefix: fmt.Sprintf("%09d", key/10)[:key%10], Value: uint32(i)}
	}
	return rows
}

func power10(n uint64) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

func randomDigits(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + rng.IntN(10))
	}
	return string(b)
}

// randomNumbers returns numbers of 11 to 15 digits.
func randomNumbers(n int) []string {
	rng := rand.New(rand.NewPCG(3, 4))
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = randomDigits(rng, 11+rng.IntN(5))
	}
	return numbers
}

// TestTariffMemory holds a million prefixes to 64 MB, even when all are of the
// full length and share no more than a million of them must.
func TestTariffMemory(t *testing.T) {
	const count, limit = 1_000_000, 64_000_000
	rng := rand.New(rand.NewPCG(5, 6))
	noise := randomDigits(rng, 1<<16)
	rows := make([]billing.Row, count)
	for i := range rows {
		const tail = billing.MaxPrefix - 6
		at := rng.IntN(len(noise) - tail)
		rows[i].Prefix = fmt.Sprintf("%06d", i) + noise[at:at+tail]
	}
	before := heap()
	tariff := mustBuild(t, rows...)
	size := heap() - before
	t.Logf("%d rows in %d bytes", tariff.Len(), size)
	if size > limit {
		t.Errorf("%d rows take %d bytes, limit %d", tariff.Len(), size, limit)
	}
	runtime.KeepAlive(rows)
}

// heap returns the bytes that are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestTariffDoesNotAllocate(t *testing.T) {
	tariff := mustBuild(t, worldRows(1000)...)
	numbers := randomNumbers(100)
	room := make([]billing.Match, 0, billing.MaxPrefix+1)
	if n := testing.AllocsPerRun(10, func() {
		for _, number := range numbers {
			tariff.Lookup(number)
			room = tariff.AppendMatches(room[:0], number)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTariffBuild1M(b *testing.B) {
	rows := worldRows(1_000_000)
	before := heap()
	tariff := mustBuild(b, rows...)
	size := heap() - before
	for b.Loop() {
		tariff = mustBuild(b, rows...)
	}
	b.ReportMetric(float64(size)/float64(tariff.Len()), "B/prefix")
}

// BenchmarkTariffLookup1M looks up 10,000 distinct numbers that follow a Zipf
// law (zipf), and numbers that were never looked up before, spread over the
// whole table (cold).
func BenchmarkTariffLookup1M(b *testing.B) {
	tariff := mustBuild(b, worldRows(1_000_000)...)
	b.Run("zipf", func(b *testing.B) {
		distinct := randomNumbers(10_000)
		zipf := rand.NewZipf(rand.New(rand.NewPCG(7, 8)), 1.1, 1, uint64(len(distinct)-1))
		calls := make([]string, 1<<16)
		for i := range calls {
			calls[i] = distinct[zipf.Uint64()]
		}
		benchmarkLookup(b, tariff, calls)
	})
	b.Run("cold", func(b *testing.B) {
		benchmarkLookup(b, tariff, randomNumbers(1<<20))
	})
}

func benchmarkLookup(b *testing.B, tariff *billing.Tariff, calls []string) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		tariff.Lookup(calls[i&(len(calls)-1)])
		i++
	}
}
