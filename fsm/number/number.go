// Package number holds the rules for telephone numbers: their normal form,
// prefix and full-match lists, allowed lengths, and dial plans that rewrite
// them.
//
// A number in its normal form is a string over 0-9, * and #. Everything here is
// a pure function of its arguments: the random digits of a dial plan come from
// a seed that the caller derives from the call, so that every replica rewrites
// alike. Nothing allocates unless a number changes, and no regular expression is
// evaluated.
//
// The package owns no lists and no plans; the state machine keeps them, in the
// sorted or compiled form that [Prefixes], [List] and [Compile] return.
package number

import (
	"errors"
	"fmt"
	"strings"
)

// MaxDigits is the length of the longest number. E.164 allows 15 digits; tech
// prefixes and routing codes come before them. A mask of lengths has as many bits.
const MaxDigits = 63

var (
	// ErrSymbol: a number has a letter or another symbol that none can have
	// (SIP 484).
	ErrSymbol = errors.New("not a number")
	// ErrLong: a number has more than MaxDigits digits.
	ErrLong = errors.New("number too long")
)

// Number is a number as it was received, in its normal form.
type Number struct {
	Digits  string // may be empty
	Routing string // routing number of RFC 4694 ("rn="), if there was a valid one
}

// Normalise brings the user part of a SIP or tel URI into normal form:
// parameters are cut and "rn=" is kept apart, escapes (%23 is #) are resolved,
// visual separators (RFC 3966 section 5.1.1, and spaces) and a leading + are
// dropped. Errors: ErrSymbol, ErrLong; they quote the number. The empty user
// part is the empty number.
func Normalise(user string) (Number, error) {
	if plain(user) {
		return Number{Digits: user}, nil
	}
	digits, parameters, _ := strings.Cut(user, ";")
	stripped, err := strip(digits)
	if err != nil {
		return Number{}, err
	}
	n := Number{Digits: stripped}
	for parameters != "" {
		var parameter string
		parameter, parameters, _ = strings.Cut(parameters, ";")
		key, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(key, "rn") {
			// A routing number that is none is not worth a call.
			n.Routing, _ = strip(value)
		}
	}
	return n, nil
}

// plain reports whether a user part is in normal form as it stands.
func plain(user string) bool {
	for i := range len(user) {
		if !isSymbol(user[i]) {
			return false
		}
	}
	return len(user) <= MaxDigits
}

// maxQuoted bounds how much of a number an error repeats.
const maxQuoted = 80

// strip resolves escapes and removes what is not part of the number.
func strip(s string) (string, error) {
	var digits [MaxDigits]byte
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			c, i = unescape(s, i)
		}
		switch {
		case isSymbol(c) && n < MaxDigits:
			digits[n] = c
			n++
		case isSymbol(c):
			return "", fmt.Errorf("%.*q: more than %d digits: %w", maxQuoted, s, MaxDigits, ErrLong)
		case isSeparator(c), c == '+' && n == 0:
		default:
			return "", fmt.Errorf("%.*q: %q: %w", maxQuoted, s, c, ErrSymbol)
		}
	}
	return string(digits[:n]), nil
}

// unescape returns the byte that s escapes at i (RFC 3261 section 25.1) and the
// index of its last digit, or the percent sign itself where there is no escape.
func unescape(s string, i int) (byte, int) {
	if i+2 < len(s) {
		hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
		if hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), i + 2
		}
	}
	return '%', i
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// isSymbol reports whether c is in the alphabet of numbers.
func isSymbol(c byte) bool { return c >= '0' && c <= '9' || c == '*' || c == '#' }

// isSeparator reports whether c only makes a number easier to read.
func isSeparator(c byte) bool {
	return c == '-' || c == '.' || c == '(' || c == ')' || c == ' '
}

// Valid returns an error that quotes s unless it is a number in normal form,
// which the empty string is.
func Valid(s string) error {
	for i := range len(s) {
		if !isSymbol(s[i]) {
			return fmt.Errorf("%.*q: %q, only 0-9, * and # are possible: %w", maxQuoted, s, s[i], ErrSymbol)
		}
	}
	if len(s) > MaxDigits {
		return fmt.Errorf("%.*q: %d digits, at most %d: %w", maxQuoted, s, len(s), MaxDigits, ErrLong)
	}
	return nil
}
