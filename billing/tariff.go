package billing

import (
	"fmt"
)

// MaxPrefix is the longest prefix of a tariff: the 15 digits of E.164 and as
// many of technical prefixes before them.
const MaxPrefix = 32

// Row is one row of a Tariff: numbers that begin with Prefix are priced by what
// Value names, such as the index of a rate.
type Row struct {
	Prefix string // of 0-9 * #; empty matches every number
	Value  uint32
}

// RowError says which row a tariff cannot be built from, counted from 0, and
// why.
type RowError struct {
	Row    int
	Prefix string
	Reason string
}

func (e *RowError) Error() string {
	return fmt.Sprintf("row %d, prefix %q: %s", e.Row, e.Prefix, e.Reason)
}

// Match is a prefix of a number that a tariff has.
type Match struct {
	Len   int // of the prefix
	Value uint32
}

// Tariff finds the longest prefix of a number among up to millions. It is
// immutable, and safe for concurrent use; its zero value has no rows.
type Tariff struct{}

// BuildTariff builds a tariff from rows in ascending order of their prefixes
// (as Go compares strings). The error is a *RowError.
func BuildTariff(rows []Row) (*Tariff, error) { return &Tariff{}, nil }

// Len returns the number of rows.
func (t *Tariff) Len() int { return 0 }

// Lookup returns the value and the length of the longest prefix of number. A
// character that no prefix may have ends the number.
func (t *Tariff) Lookup(number string) (value uint32, prefixLen int, ok bool) { return 0, 0, false }

// AppendMatches appends all prefixes of number to dst, the longest first. It
// allocates nothing when dst has room; there are at most MaxPrefix+1.
func (t *Tariff) AppendMatches(dst []Match, number string) []Match { return dst }
