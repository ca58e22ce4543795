package sip

import (
	"errors"
	"strings"
	"testing"
)

// A peer's routes make no dialog that is too long to be stored, and its later
// Contacts make none so.
func TestDialogSize(t *testing.T) {
	s := InviteState{
		URI: "sip:4420@192.0.2.1", From: "<sip:a@b>", To: "<sip:c@d>", FromTag: "f", ToTag: "t", CallID: "c", CSeq: 1,
		Contact: "sip:a@192.0.2.7",
	}
	for i, tt := range []struct {
		route int
		ok    bool
	}{{0, true}, {3000, true}, {MaxDialog, false}, {8000, false}} {
		s.RecordRoutes = []string{"<sip:" + strings.Repeat("r", tt.route) + "@192.0.2.9;lr>"}
		d, err := s.Dialog("sip:us@192.0.2.1")
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrDialogSize) {
			t.Fatalf("%d: %v", i, err)
		}
		if err != nil {
			continue
		}
		var h Headers
		h.Add("Contact", "<sip:"+strings.Repeat("x", 3900)+"@192.0.2.7>")
		d.refresh(h)
		if b, err := d.MarshalBinary(); err != nil || len(b) > MaxDialog {
			t.Errorf("%d: %d bytes, %v", i, len(b), err)
		}
	}
}
