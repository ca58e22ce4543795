package call

import (
	"net/netip"
	"strings"
	"testing"

	"tandem/fsm"
	"tandem/media"
	"tandem/sip"
)

func TestNames(t *testing.T) {
	n, err := newNames([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	id := fsm.CallID{1, 2, 3}
	b := n.legB(id, 3, 1)
	for text, want := range map[string]name{
		b.callID:       {labelCallID, id, 3, 1},
		b.fromTag:      {labelFrom, id, 3, 1},
		b.contact:      {labelCallee, id, 3, 1},
		n.toTag(id):    {labelTo, id, 0, 0},
		n.contactA(id): {labelCaller, id, 0, 0},
	} {
		got, ok := n.parse(strings.ToUpper(text)) // some peers fold the case
		if !ok || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, ok, want)
		}
		if side := got.leg(); (side == media.A) != (want.label == labelTo || want.label == labelCaller) {
			t.Errorf("%s names leg %s", text, side)
		}
	}
	if got, ok := n.parse(strings.TrimPrefix(b.branch, "z9hG4bK")); !ok || got.label != labelBranch {
		t.Errorf("branch %s is %+v, %v", b.branch, got, ok)
	}
	if b == n.legB(id, 3, 2) || b == n.legB(id, 2, 1) {
		t.Error("two tries have one name")
	}
}

func TestNamesAreNotMadeUp(t *testing.T) {
	n, err := newNames([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := newNames([]byte("fedcba9876543210"))
	if err != nil {
		t.Fatal(err)
	}
	tag := n.toTag(fsm.CallID{9})
	for _, text := range []string{
		"", "a", strings.Repeat("a", 40), tag[:39], tag + "a", "c" + tag[1:], other.toTag(fsm.CallID{9}), "ü" + tag[2:],
	} {
		if got, ok := n.parse(text); ok {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
	if _, err := newNames([]byte("short")); err == nil {
		t.Error("a short key is taken")
	}
}

// TestNamesCall: a retransmission names the same call on every node, anything else
// another one.
func TestNamesCall(t *testing.T) {
	n, err := newNames([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	make := func(change func(*sip.Request)) fsm.CallID {
		req := &sip.Request{
			CallID: "x", FromTag: "f", CSeq: 1, Branch: "z9hG4bKb",
			Source: sip.Peer{Addr: netip.MustParseAddrPort("10.0.0.1:5060")},
		}
		change(req)
		return n.Call(req)
	}
	first := make(func(*sip.Request) {})
	same := make(func(r *sip.Request) { r.Source.Addr = netip.MustParseAddrPort("[::ffff:10.0.0.1]:5062") })
	if first != same {
		t.Error("the source port or the form of the address makes another call")
	}
	for i, change := range []func(*sip.Request){
		func(r *sip.Request) { r.CallID = "y" },
		func(r *sip.Request) { r.FromTag = "" },
		func(r *sip.Request) { r.CSeq = 2 },
		func(r *sip.Request) { r.Branch = "z9hG4bKc" },
		func(r *sip.Request) { r.CallID, r.FromTag = "xf", "" },
		func(r *sip.Request) { r.Source.Addr = netip.MustParseAddrPort("10.0.0.2:5060") },
	} {
		if make(change) == first {
			t.Errorf("change %d names the same call", i)
		}
	}
}

func FuzzNames(f *testing.F) {
	n, err := newNames([]byte("0123456789abcdef"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(n.toTag(fsm.CallID{7}))
	f.Fuzz(func(t *testing.T, text string) {
		if nm, ok := n.parse(text); ok && !strings.EqualFold(n.make(nm), text) {
			t.Errorf("%q is %+v, which is %q", text, nm, n.make(nm))
		}
	})
}
