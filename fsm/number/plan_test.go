package number_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tandem/fsm/number"
)

// rewrite applies a plan, given as "from>to from>to", to a number.
func rewrite(t *testing.T, plan, n string) string {
	t.Helper()
	p, err := number.Compile(rules(plan))
	if err != nil {
		t.Fatal(err)
	}
	out, matched := p.Apply(n, 1)
	if !matched && out != n {
		t.Errorf("no rule matched, and %s became %s", n, out)
	}
	return out
}

func rules(plan string) (out []number.Rule) {
	for rule := range strings.FieldsSeq(plan) {
		from, to, _ := strings.Cut(rule, ">")
		out = append(out, number.Rule{From: from, To: to})
	}
	return out
}

func TestPlan(t *testing.T) {
	tests := []struct{ name, plan, number, want string }{
		// Spec 1.2.1, row by row.
		{"unchanged", "0>0", "02584316146", "02584316146"},
		{"prefix replaced", "010>025", "01012345678", "02512345678"},
		{"prefix removed", "025>", "02584316146", "84316146"},
		{"star before, dash", "-*>025*", "117", "025117"},
		{"star before", "*>025*", "117", "025117"},
		{"empty pattern", "->025*", "117", "025117"},
		{"one digit", "12345?78>99999999", "12345178", "99999999"},
		{"restated", "0??84>8431", "02584316146", "84316146"},
		{"replace all", "*>12345678", "02584316146", "12345678"},
		{"shorter, and it is", "13/L9>13 13>99", "13123456", "13123456"},
		{"shorter, and it is not", "13/L9>13 13>99", "131234567", "991234567"},
		{"position keeper", "0134>$$$", "0134131", "013131"},

		// Spec 2.2 and F121-F127.
		{"no rule", "44>1", "4920", "4920"},
		{"no rules", "", "4920", "4920"},
		{"remove tech prefix", "9001#>", "9001#4420", "4420"},
		{"add", "->00", "4420", "004420"},
		{"question mark needs a digit", "12?>9", "12", "12"},
		{"not restated", "0??84>8431", "02584996146", "8431996146"},
		{"plain digits are never merged", "010>021", "0101234", "0211234"},
		{"star in the middle, greedy", "0*99>7*", "01992993", "719923"},
		{"star matches nothing", "0*99>7*8", "0991", "781"},
		{"star at the end", "00*>*", "00442079", "442079"},
		{"star dropped", "00*>5", "00442079", "5"},
		{"star without target", "1*>", "12", ""},
		{"keeper behind digits", "0134>9$$", "0134131", "913131"},
		{"keeper and star", "01*>$$9*", "0134", "01934"},
		{"equal", "1/E3>9", "123", "923"},
		{"equal, not", "1/E3>9", "1234", "1234"},
		{"longer", "1/G3>9", "1234", "9234"},
		{"longer, not", "1/G3>9", "123", "123"},
		{"not equal", "1/F3>9", "12", "92"},
		{"not equal, not", "1/F3>9", "123", "123"},
		{"two conditions", "1/G3/L6>9", "12345", "92345"},
		{"two conditions, not both", "1/G3/L6>9", "123456", "123456"},
		{"condition alone", "/L4>0", "123", "0123"},
		{"longest wins", "4>1 442>3 44>2", "4420", "30"},
		{"longest wins over star", "*>0 4>1", "44", "14"},
		{"digit wins over question mark", "4?>1 44>2", "440", "20"},
		{"condition wins", "44>1 44/E3>2", "440", "20"},
		{"narrower condition wins", "44/L9>1 44/E3>2", "440", "20"},
		{"first of equals", "44/E3>1 44/E4>2", "4400", "200"},
		{"escaped star", `\*67>`, "*6712", "12"},
		{"escaped star is no wildcard", `\*67>1`, "9967", "9967"},
		{"escaped star in target", `67>\*67`, "6712", "*6712"},
		{"hash", "#31#>", "#31#12", "12"},
		{"separators", "0-1.0>0(2)5", "0101", "0251"},
		{"cut", "->" + strings.Repeat("1", 60), "23456", strings.Repeat("1", 60) + "234"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := rewrite(t, tt.plan, tt.number); got != tt.want {
				t.Errorf("%s by %q is %q, want %q", tt.number, tt.plan, got, tt.want)
			}
		})
	}
}

func TestPlus(t *testing.T) {
	p, err := number.CompileSent(rules("44>+44 49>+$$"))
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[string]string{"4420": "+4420", "4930": "+4930"} {
		if got, ok := p.Apply(n, 0); got != want || !ok {
			t.Errorf("%s became %s, want %s", n, got, want)
		}
	}
	if _, err := number.Compile(rules("44>+44")); err == nil {
		t.Error("a + in a plan for numbers that we rate")
	}
}

func TestPlanErrors(t *testing.T) {
	for plan, want := range map[string]string{
		"4a>1":      `rule 1, "4a" to "1": "4a": 'a': not a number`,
		"4>b":       `rule 1, "4" to "b": "b": 'b': not a number`,
		"1>1 **>1":  `rule 2, "**" to "1": a pattern has one * at most`,
		"1/X9>1":    `rule 1, "1/X9" to "1": condition "X9": L (shorter), E (equal), G (longer) or F (not equal) and a length are possible`,
		"1/L>1":     `rule 1, "1/L" to "1": condition "L": "" is no length from 1 to 63`,
		"1/>1":      `rule 1, "1/" to "1": no condition behind the /`,
		"1//L9>1":   `rule 1, "1//L9" to "1": no condition behind a /`,
		"12/L2>1":   `rule 1, "12/L2" to "1": no number can have such a length`,
		"1/E3/E4>1": `rule 1, "1/E3/E4" to "1": no number can have such a length`,
		"01>$$$":    `rule 1, "01" to "$$$": the $ at position 3 of "$$$" keeps nothing: the pattern ends before`,
		"4>1 4>2":   `rule 2, "4" to "2": rule 1 is for the same numbers`,
		`4>\`:       `rule 1, "4" to "\\": "\\": a \ stands before a symbol that a number can have`,
		`\?>1`:      `rule 1, "\\?" to "1": "\\?": a \ stands before a symbol that a number can have`,
		"+44>1":     `rule 1, "+44" to "1": "+44": '+': not a number`,
	} {
		if _, err := number.Compile(rules(plan)); err == nil || err.Error() != want {
			t.Errorf("%s: error %v\nwant %s", plan, err, want)
		}
	}
}

// TestRandom: choices follow from the seed alone, and all come up alike.
func TestRandom(t *testing.T) {
	p, err := number.Compile(rules("44>7?,8?"))
	if err != nil {
		t.Fatal(err)
	}
	const calls = 20_000
	count := map[string]int{}
	for i := range calls {
		seed := number.Seed([]byte{byte(i), byte(i >> 8)}, "gw/callee")
		n, _ := p.Apply("44", seed)
		if again, _ := p.Apply("44", seed); again != n {
			t.Fatalf("seed %d: %s, then %s", seed, n, again)
		}
		count[n]++
	}
	if len(count) != 20 {
		t.Errorf("%d different numbers, want 20: %v", len(count), count)
	}
	for n, c := range count {
		if c < calls/20*8/10 || c > calls/20*12/10 {
			t.Errorf("%s: %d of %d", n, c, calls)
		}
	}
	if number.Seed([]byte("1"), "a") == number.Seed([]byte("1"), "b") {
		t.Error("two points of a call choose alike")
	}
}

func TestPlanStaysWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		symbols := rapid.StringMatching(`[12*?$,\\/LEGF9#-]{0,8}`)
		var list []number.Rule
		for range rapid.IntRange(0, 4).Draw(t, "rules") {
			list = append(list, number.Rule{From: symbols.Draw(t, "from"), To: symbols.Draw(t, "to")})
		}
		p, err := number.Compile(list)
		if err != nil {
			return
		}
		n := rapid.StringMatching(`[12*#9]{0,63}`).Draw(t, "number")
		out, _ := p.Apply(n, rapid.Uint64().Draw(t, "seed"))
		if err := number.Valid(out); err != nil {
			t.Errorf("%q by %q: %v", n, list, err)
		}
	})
}

func TestApplyAllocatesNothing(t *testing.T) {
	p, err := number.Compile(rules("44>1 49*5>2 0??>3"))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { p.Apply("3312345678", 1) }); n > 0 {
		t.Errorf("%v allocations when no rule matches", n)
	}
	if n := testing.AllocsPerRun(100, func() { p.Apply("4412345678", 1) }); n > 1 {
		t.Errorf("%v allocations for a rewritten number", n)
	}
}

func BenchmarkApply(b *testing.B) {
	p, err := number.Compile(rules("9001#> 00*>* 0??>3 44>$$ 49>1?"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Apply("4930123456", 7)
	}
}

func BenchmarkLongest(b *testing.B) {
	prefixes, n := []string{"1", "33", "44", "4420", "49", "4930", "7"}, "442079460000"
	b.ReportAllocs()
	for b.Loop() {
		number.Longest(prefixes, n)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("0??84", "8431", "02584316146", uint64(1))
	f.Add(`\*67*5/G3/L9`, "$?*,1", "*6712345", uint64(2))
	f.Fuzz(func(t *testing.T, from, to, n string, seed uint64) {
		p, err := number.Compile([]number.Rule{{From: from, To: to}})
		if err != nil || number.Valid(n) != nil {
			return
		}
		out, matched := p.Apply(n, seed)
		if err := number.Valid(out); err != nil || !matched && out != n {
			t.Errorf("%q to %q: %q became %q, %v", from, to, n, out, err)
		}
	})
}

func FuzzNormalise(f *testing.F) {
	f.Add("+1-555%23;rn=+44;npdi")
	f.Fuzz(func(t *testing.T, user string) {
		n, err := number.Normalise(user)
		if err != nil {
			return
		}
		for _, s := range []string{n.Digits, n.Routing} {
			if err := number.Valid(s); err != nil {
				t.Errorf("%q: %v", user, err)
			}
		}
	})
}
