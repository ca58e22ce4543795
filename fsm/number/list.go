package number

import (
	"fmt"
	"slices"
	"strings"
)

// Prefixes returns a list of prefixes in the form that [Longest] and
// [Permitted] search: sorted, each once. The empty prefix is the prefix of
// every number. The error quotes the first that is none. The argument is left
// as it was.
func Prefixes(list []string) ([]string, error) { return sorted(list, "prefix") }

// List returns a list of whole numbers in the form that [Listed] searches:
// sorted, each once. The error quotes the first that is none.
func List(numbers []string) ([]string, error) {
	for _, n := range numbers {
		if n == "" {
			return nil, fmt.Errorf("number %q: empty: %w", n, ErrSymbol)
		}
	}
	return sorted(numbers, "number")
}

func sorted(list []string, what string) ([]string, error) {
	for _, s := range list {
		if err := Valid(s); err != nil {
			return nil, fmt.Errorf("%s %w", what, err)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list), nil
}

// Longest returns the longest prefix of n in a sorted list.
func Longest(prefixes []string, n string) (string, bool) {
	// All prefixes of n sort before it, and whatever sorts between one of them
	// and n begins with it too. So the entry right before n either is the
	// longest prefix, or has in common with n all that any prefix can have.
	for {
		i, found := slices.BinarySearch(prefixes, n)
		if found {
			return n, true
		}
		if i == 0 {
			return "", false
		}
		before := prefixes[i-1]
		if strings.HasPrefix(n, before) {
			return before, true
		}
		n = n[:common(n, before)]
	}
}

// common returns the length of what a and b begin with alike.
func common(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Permitted reports whether sorted lists of prefixes let n pass: the longest
// prefix of either list decides, deny before allow when both have it, and
// without one n passes only if no allow list is kept.
func Permitted(allow, deny []string, n string) bool {
	denied, isDenied := Longest(deny, n)
	if len(allow) == 0 {
		return !isDenied
	}
	allowed, isAllowed := Longest(allow, n)
	return isAllowed && (!isDenied || len(allowed) > len(denied))
}

// Listed reports whether a sorted list has exactly n (F134: full match only).
func Listed(numbers []string, n string) bool {
	_, found := slices.BinarySearch(numbers, n)
	return found
}
