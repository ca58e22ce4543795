package call

import (
	"testing"

	"tandem/sip"
)

// TestLoop: an INVITE of ours that a gateway sends back is refused with 482; with
// another number it is a call.
func TestLoop(t *testing.T) {
	for callee, want := range map[string]int{"4420": 482, "4421": 100} {
		bubble(t, callee, "10", func(t *testing.T, w *world) {
			w.caller.call("4420")
			settle()
			out, _ := w.one.last(sip.INVITE)
			back := w.phone("10.1.0.9:5060")
			back.call(callee, func(s *sip.InviteSpec) { s.CallID, s.FromTag = out.CallID, out.FromTag })
			settle()
			back.want(want)
			w.caller.tx.Cancel()
			back.tx.Cancel()
			settle()
			w.over()
		})
	}
}
