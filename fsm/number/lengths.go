package number

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Lengths is a set of lengths of numbers, one bit each (F140, spec C15). The
// empty set restricts nothing.
type Lengths uint64

// allLengths has every length from 0 to MaxDigits.
const allLengths = ^Lengths(0)

// Allow reports whether a number of this length may pass.
func (l Lengths) Allow(n string) bool {
	return l == 0 || len(n) <= MaxDigits && l>>len(n)&1 == 1
}

// between is the set of the lengths from first to last.
func between(first, last int) Lengths {
	if first > last {
		return 0
	}
	return allLengths << first & (allLengths >> (MaxDigits - last))
}

// ParseLengths reads a set such as "3-15,17": ranges and single lengths. A
// lone number is a maximum: "15" is "1-15"; a single length alone is "15-15".
func ParseLengths(text string) (Lengths, error) {
	if m, err := parseLength(text); err == nil {
		return between(1, m), nil
	}
	var set Lengths
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		first, err := parseLength(from)
		if err != nil {
			return 0, fmt.Errorf("lengths %.*q: %w", maxQuoted, text, err)
		}
		last, err := parseLength(to)
		if err != nil {
			return 0, fmt.Errorf("lengths %.*q: %w", maxQuoted, text, err)
		}
		if first > last {
			return 0, fmt.Errorf("lengths %.*q: %d is above %d", maxQuoted, text, first, last)
		}
		set |= between(first, last)
	}
	return set, nil
}

func parseLength(s string) (int, error) {
	v, err := strconv.ParseUint(strings.TrimSpace(s), 10, 8)
	if err != nil || v == 0 || v > MaxDigits {
		return 0, fmt.Errorf("%q is no length from 1 to %d", s, MaxDigits)
	}
	return int(v), nil
}

// String returns the set as ParseLengths reads it, and "" for the empty set.
func (l Lengths) String() string {
	var b strings.Builder
	for rest := l &^ 1; rest != 0; {
		first := bits.TrailingZeros64(uint64(rest))
		last := first + bits.TrailingZeros64(^(uint64(rest) >> first)) - 1
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d-%d", first, last)
		rest &^= between(first, last)
	}
	return b.String()
}
