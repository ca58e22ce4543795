package billing

import (
	"fmt"
	"math/bits"
	"slices"
	"sort"
	"unicode/utf8"
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
//
// It is a radix tree in one array. A node stands for a digit and the digits in
// its label, which all prefixes below it share; the children of a node lie side
// by side in the order of their digits, so that a bit for each digit that has
// one and the index of the first are enough to find any. There are at most two
// nodes a prefix, save for prefixes that differ only behind more digits than a
// label holds.
type Tariff struct {
	nodes []node // the root first; none when there are no rows
	rows  int
}

// node is one node of the tree, 16 bytes.
type node struct {
	shape uint64 // children, value flag, label; see the constants
	first uint32 // index of the first child
	value uint32 // of the prefix that ends here, if the flag says so
}

// The parts of node.shape, from the lowest bit: 12 bits, one for each digit
// that has a child; the value flag; 4 bits for the length of the label; the
// label's digits, 4 bits each, its first the lowest.
const (
	alphabet   = 12
	hasValue   = 1 << alphabet
	lengthAt   = alphabet + 1
	labelAt    = lengthAt + 4
	digitBits  = 4
	digitMask  = 1<<digitBits - 1
	maxLabel   = (64 - labelAt) / digitBits
	noDigit    = digitMask // what digit returns for other characters
	childrenOf = 1<<alphabet - 1
)

// digit returns the rank of a character in the order of strings: # * 0 to 9.
func digit(c byte) uint64 {
	switch {
	case c-'0' <= 9:
		return uint64(c-'0') + 2
	case c == '*':
		return 1
	case c == '#':
		return 0
	}
	return noDigit
}

// BuildTariff builds a tariff from rows in ascending order of their prefixes
// (as Go compares strings). The error is a *RowError.
func BuildTariff(rows []Row) (*Tariff, error) {
	for i, row := range rows {
		if reason := rowFault(rows, i); reason != "" {
			return nil, &RowError{Row: i, Prefix: row.Prefix, Reason: reason}
		}
	}
	if len(rows) == 0 {
		return &Tariff{}, nil
	}
	b := treeBuilder{rows: rows, nodes: make([]node, 1, len(rows)+len(rows)/4)}
	b.build(0, 0, len(rows), 0)
	return &Tariff{nodes: slices.Clone(b.nodes), rows: len(rows)}, nil
}

// rowFault says what is wrong with row i behind the rows before it.
func rowFault(rows []Row, i int) string {
	prefix := rows[i].Prefix
	if len(prefix) > MaxPrefix {
		return fmt.Sprintf("%d characters, at most %d", len(prefix), MaxPrefix)
	}
	for j, c := range prefix {
		if c >= utf8.RuneSelf || digit(byte(c)) == noDigit {
			return fmt.Sprintf("character %d is %q, not one of 0-9 * #", j+1, c)
		}
	}
	if i == 0 || rows[i-1].Prefix < prefix {
		return ""
	}
	if rows[i-1].Prefix == prefix {
		return "the same prefix as the row before"
	}
	return fmt.Sprintf("out of order behind %q", rows[i-1].Prefix)
}

// treeBuilder appends nodes for sorted, valid rows.
type treeBuilder struct {
	rows  []Row
	nodes []node
}

// build fills node at for rows[lo:hi], which share their first depth digits. It
// calls itself at most MaxPrefix deep, as depth grows each time.
func (b *treeBuilder) build(at, lo, hi, depth int) {
	// What the first and the last of sorted rows share, all share.
	head, tail := b.rows[lo].Prefix, b.rows[hi-1].Prefix
	var n node
	length := 0
	for length < maxLabel && depth < len(head) && head[depth] == tail[depth] {
		n.shape |= digit(head[depth]) << (labelAt + digitBits*length)
		length++
		depth++
	}
	n.shape |= uint64(length) << lengthAt
	if len(head) == depth {
		n.shape |= hasValue
		n.value = b.rows[lo].Value
		lo++
	}

	var ends [alphabet + 1]int // of each child's rows; the first element is lo
	ends[0] = lo
	children := 0
	for start := lo; start < hi; start = ends[children] {
		d := b.rows[start].Prefix[depth]
		same := sort.Search(hi-start, func(i int) bool { return b.rows[start+i].Prefix[depth] != d })
		n.shape |= 1 << digit(d)
		children++
		ends[children] = start + same
	}
	n.first = uint32(len(b.nodes))
	b.nodes[at] = n
	b.nodes = append(b.nodes, make([]node, children)...)
	for i := range children {
		b.build(int(n.first)+i, ends[i], ends[i+1], depth+1)
	}
}

// Len returns the number of rows.
func (t *Tariff) Len() int { return t.rows }

// Lookup returns the value and the length of the longest prefix of number. A
// character that no prefix may have ends the number.
func (t *Tariff) Lookup(number string) (value uint32, prefixLen int, ok bool) {
	w := t.walk(number)
	for w.next() {
		value, prefixLen, ok = w.value, w.length, true
	}
	return value, prefixLen, ok
}

// AppendMatches appends all prefixes of number to dst, the longest first. It
// allocates nothing when dst has room; there are at most MaxPrefix+1.
func (t *Tariff) AppendMatches(dst []Match, number string) []Match {
	start := len(dst)
	w := t.walk(number)
	for w.next() {
		dst = append(dst, Match{Len: w.length, Value: w.value})
	}
	slices.Reverse(dst[start:])
	return dst
}

// walk is a descent along one number, from valued node to valued node.
type walk struct {
	nodes  []node
	number string
	at     uint32 // the node to enter next
	done   bool   // there is none
	pos    int    // digits of number consumed on the way there
	length int    // after next: of the prefix found
	value  uint32 // after next: its value
}

func (t *Tariff) walk(number string) walk {
	return walk{nodes: t.nodes, number: number, done: len(t.nodes) == 0}
}

// next goes on to the next longer prefix of the number and reports whether
// there is one.
func (w *walk) next() bool {
	for !w.done {
		n := &w.nodes[w.at]
		label := n.shape >> labelAt
		for range n.shape >> lengthAt & digitMask {
			if w.pos == len(w.number) || digit(w.number[w.pos]) != label&digitMask {
				w.done = true
				return false
			}
			label >>= digitBits
			w.pos++
		}
		w.length, w.value = w.pos, n.value
		w.descend(n)
		if n.shape&hasValue != 0 {
			return true
		}
	}
	return false
}

// descend chooses the child of n for the next digit.
func (w *walk) descend(n *node) {
	if w.pos == len(w.number) {
		w.done = true
		return
	}
	bit := uint64(1) << digit(w.number[w.pos]) // that of noDigit is no child's
	children := n.shape & childrenOf
	if children&bit == 0 {
		w.done = true
		return
	}
	w.at = n.first + uint32(bits.OnesCount64(children&(bit-1)))
	w.pos++
}
