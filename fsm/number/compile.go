package number

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// maxTargets bounds the targets of one rule.
const maxTargets = 32

// compile prepares one rule.
func compile(source Rule, plus bool) (rule, error) {
	r := rule{pattern: pattern{lengths: allLengths}}
	if err := r.compileFrom(source.From); err != nil {
		return rule{}, err
	}
	targets := strings.Split(source.To, ",")
	if len(targets) > maxTargets {
		return rule{}, fmt.Errorf("%d targets, at most %d", len(targets), maxTargets)
	}
	for _, text := range targets {
		target, err := r.compileTarget(text, plus)
		if err != nil {
			return rule{}, err
		}
		r.targets = append(r.targets, target)
	}
	if last := strings.LastIndexByte(r.head, anySymbol); last >= 0 && !r.star {
		r.restates = len(r.head) - last - 1
	}
	return r, nil
}

// compileFrom reads a pattern and its conditions.
func (p *pattern) compileFrom(from string) error {
	text, conditions, _ := strings.Cut(from, "/")
	symbols, err := parse(text, "*?")
	if err != nil {
		return err
	}
	var parts [2]strings.Builder
	part := &parts[0]
	for _, s := range symbols {
		switch {
		case s.mark && s.c == '*' && p.star:
			return errors.New("a pattern has one * at most")
		case s.mark && s.c == '*':
			p.star, part = true, &parts[1]
		default:
			part.WriteByte(s.c)
		}
	}
	if p.head, p.tail = parts[0].String(), parts[1].String(); p.size() > MaxDigits {
		return fmt.Errorf("pattern of %d symbols, at most %d: %w", p.size(), MaxDigits, ErrLong)
	}
	if conditions == "" {
		if strings.Contains(from, "/") {
			return errors.New("no condition behind the /")
		}
		return nil
	}
	for condition := range strings.SplitSeq(conditions, "/") {
		lengths, err := parseCondition(condition)
		if err != nil {
			return err
		}
		p.lengths &= lengths
	}
	if p.lengths&between(p.size(), MaxDigits) == 0 {
		return errors.New("no number can have such a length")
	}
	return nil
}

// parseCondition reads a condition such as L9 (F126).
func parseCondition(s string) (Lengths, error) {
	if s == "" {
		return 0, errors.New("no condition behind a /")
	}
	n, err := parseLength(s[1:])
	if err != nil {
		return 0, fmt.Errorf("condition %q: %w", s, err)
	}
	switch s[0] {
	case 'L':
		return between(0, n-1), nil
	case 'E':
		return between(n, n), nil
	case 'G':
		return between(n+1, MaxDigits), nil
	case 'F':
		return allLengths &^ between(n, n), nil
	}
	return 0, fmt.Errorf("condition %q: L (shorter), E (equal), G (longer) or F (not equal) and a length are possible", s)
}

// compileTarget reads one target.
func (r *rule) compileTarget(text string, plus bool) (string, error) {
	var out strings.Builder
	plain, plussed := text, false
	if plus {
		plain, plussed = strings.CutPrefix(text, "+")
	}
	symbols, err := parse(plain, "*?$")
	if err != nil {
		return "", err
	}
	for _, s := range symbols {
		switch {
		case s.mark && s.c == keep && !r.star && out.Len() >= len(r.head):
			return "", fmt.Errorf("the $ at position %d of %q keeps nothing: the pattern ends before", out.Len()+1, text)
		case s.mark && s.c == '*':
			out.WriteByte(matched)
		default:
			out.WriteByte(s.c)
		}
	}
	if out.Len() > MaxDigits {
		return "", fmt.Errorf("target of %d symbols, at most %d: %w", out.Len(), MaxDigits, ErrLong)
	}
	if plussed {
		return "+" + out.String(), nil
	}
	return out.String(), nil
}

// symbol is one symbol of a rule: itself, or a mark with a meaning.
type symbol struct {
	c    byte
	mark bool
}

// parse splits a side of a rule into symbols. marks are those with a meaning
// unless a backslash stands before them.
func parse(text, marks string) ([]symbol, error) {
	var out []symbol
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\':
			i++
			if i == len(text) || !isSymbol(text[i]) {
				return nil, fmt.Errorf("%q: a \\ stands before a symbol that a number can have", text)
			}
			out = append(out, symbol{c: text[i]})
		case strings.IndexByte(marks, c) >= 0:
			out = append(out, symbol{c, true})
		case isSymbol(c):
			out = append(out, symbol{c: c})
		case isSeparator(c):
		default:
			return nil, fmt.Errorf("%q: %q: %w", text, c, ErrSymbol)
		}
	}
	return out, nil
}

func (l Lengths) count() int { return bits.OnesCount64(uint64(l)) }
