package number

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Rule is one line of a dial plan. From says which numbers it is for, To what
// becomes of the part that From matched; the rest of the number follows.
//
// In From, a digit stands for itself, ? for any one symbol, * for any number of
// them, even none (once in a pattern). Conditions on the length of the whole number
// may follow, all of which have to hold: /L9 shorter than 9, /E9 exactly 9, /G9
// longer, /F9 any other. An empty From matches every number.
//
// In To, a digit stands for itself, ? for a random digit, $ for the digit of
// the number at the same position, * for what From's * matched. Targets may be
// several, with commas between them: each call takes one of them.
//
// On both sides \* and \# are the symbols themselves, and visual separators
// mean nothing, so that "-" is empty.
type Rule struct{ From, To string }

// Plan is a compiled dial plan. It is immutable; the zero Plan changes nothing.
type Plan struct {
	rules []rule // the first that matches is the one that counts
}

// rule is a compiled Rule.
type rule struct {
	pattern
	targets  []string
	restates int // digits behind the last ? of head; see Plan.Apply
}

// pattern is the compiled From of a rule.
type pattern struct {
	head, tail string // around the *; a ? in them is any symbol
	star       bool
	lengths    Lengths // never empty
}

// Marks in compiled patterns and targets, all outside the alphabet.
const (
	anySymbol = '?' // pattern
	random    = '?' // target
	keep      = '$' // target
	matched   = 'm' // target: what the star matched
)

// Compile checks rules and prepares them. R is any struct with the fields of
// Rule. The error names the rule by position and text.
func Compile[R ~struct{ From, To string }](rules []R) (Plan, error) {
	return compileAll(rules, false)
}

// CompileSent is Compile for numbers on their way out: targets may begin with a
// +, which some vendors require.
func CompileSent[R ~struct{ From, To string }](rules []R) (Plan, error) {
	return compileAll(rules, true)
}

func compileAll[R ~struct{ From, To string }](rules []R, plus bool) (Plan, error) {
	compiled := make([]rule, len(rules))
	first := make(map[pattern]int, len(rules))
	for i := range rules {
		source := Rule(rules[i])
		r, err := compile(source, plus)
		if err != nil {
			return Plan{}, fmt.Errorf("rule %d, %q to %q: %w", i+1, source.From, source.To, err)
		}
		if before, taken := first[r.pattern]; taken {
			return Plan{}, fmt.Errorf("rule %d, %q to %q: rule %d is for the same numbers", i+1, source.From, source.To, before+1)
		}
		compiled[i], first[r.pattern] = r, i
	}
	slices.SortStableFunc(compiled, prefer)
	return Plan{rules: compiled}, nil
}

// prefer orders rules that may match one number: longer patterns first (F127),
// then those with fewer wildcards, then those for fewer lengths, and at last as
// they were written.
func prefer(a, b rule) int {
	return cmp.Or(
		cmp.Compare(b.size(), a.size()),
		cmp.Compare(a.wildcards(), b.wildcards()),
		cmp.Compare(a.lengths.count(), b.lengths.count()),
	)
}

func (p *pattern) size() int { return len(p.head) + len(p.tail) }

func (p *pattern) wildcards() int {
	n := strings.Count(p.head, string(anySymbol)) + strings.Count(p.tail, string(anySymbol))
	if p.star {
		n++
	}
	return n
}

// match returns where in n the pattern ends and what its star matched.
func (p *pattern) match(n string) (end int, star string, ok bool) {
	if !p.lengths.Allow(n) || !begins(n, p.head) {
		return 0, "", false
	}
	if !p.star {
		return len(p.head), "", true
	}
	// The star takes as much as it can: the tail is looked for from the end.
	for at := len(n) - len(p.tail); at >= len(p.head); at-- {
		if begins(n[at:], p.tail) {
			return at + len(p.tail), n[len(p.head):at], true
		}
	}
	return 0, "", false
}

// begins reports whether n begins with a pattern without star.
func begins(n, pattern string) bool {
	if len(n) < len(pattern) {
		return false
	}
	for i := range len(pattern) {
		if pattern[i] != n[i] && pattern[i] != anySymbol {
			return false
		}
	}
	return true
}

// Apply rewrites a number by the rule with the longest pattern that matches it,
// and reports whether there was one. Random choices follow from seed alone (see
// [Seed]). A result never has more than MaxDigits symbols; the end is cut.
//
// A plain target that begins with the digits behind the last ? of its pattern
// restates them and may go on with the digits that follow in the number; those
// are not doubled: 0??84 to 8431 makes 84316146 of 02584316146.
func (p Plan) Apply(n string, seed uint64) (string, bool) {
	for i := range p.rules {
		r := &p.rules[i]
		if end, star, ok := r.match(n); ok {
			return r.rewrite(n, end, star, seed), true
		}
	}
	return n, false
}

// rewrite returns n with its first end symbols replaced by a target.
func (r *rule) rewrite(n string, end int, star string, seed uint64) string {
	dice := generator(seed)
	target := r.targets[0]
	if len(r.targets) > 1 {
		target = r.targets[dice.below(uint64(len(r.targets)))]
	}
	if at := end - r.restates; at < end && len(target) >= r.restates && strings.HasPrefix(n[at:], target) {
		return n[at:]
	}
	var buf [MaxDigits]byte
	out := buf[:0]
	if strings.HasPrefix(target, "+") {
		out, target = pushByte(out, '+'), target[1:]
	}
	for i := range len(target) {
		switch c := target[i]; c {
		case random:
			out = pushByte(out, '0'+byte(dice.below(10)))
		case keep:
			if i < end {
				out = pushByte(out, n[i])
			}
		case matched:
			out = push(out, star)
		default:
			out = pushByte(out, c)
		}
	}
	return string(push(out, n[end:]))
}

// push appends as much of s as there is room for.
func push(out []byte, s string) []byte { return append(out, s[:min(len(s), cap(out)-len(out))]...) }

// pushByte appends c if there is room for it.
func pushByte(out []byte, c byte) []byte {
	if len(out) == cap(out) {
		return out
	}
	return append(out, c)
}
