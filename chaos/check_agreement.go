package chaos

import (
	"fmt"
	"reflect"

	"tandem/fsm"
)

// checkAgreement: all nodes have the same state at the same index, and in the
// end the same records.
func checkAgreement(h *History, bad report) {
	first := map[uint64]*Reading{}
	for r := range h.readings {
		if r.Hash == (fsm.Hash{}) {
			continue
		}
		other := first[r.Index]
		switch {
		case other == nil:
			first[r.Index] = r
		case other.Hash != r.Hash:
			bad("%s: hash %x, %s had %x", r.where(), r.Hash, other.Node, other.Hash)
		}
	}
	if len(h.Finals) == 0 {
		return
	}
	reference := h.Finals[0]
	for _, f := range h.Finals[1:] {
		if text := differ(f.CDRs, reference.CDRs); text != "" {
			bad("CDRs of %s and %s: %s", f.Node, reference.Node, text)
		}
		if text := differ(f.Transfers, reference.Transfers); text != "" {
			bad("transfers of %s and %s: %s", f.Node, reference.Node, text)
		}
	}
}

// differ says where two lists of records part.
func differ[T any](a, b []T) string {
	for i := range min(len(a), len(b)) {
		if !reflect.DeepEqual(a[i], b[i]) {
			return fmt.Sprintf("record %d is\n%+v\nand\n%+v", i+1, a[i], b[i])
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("%d and %d records", len(a), len(b))
	}
	return ""
}
