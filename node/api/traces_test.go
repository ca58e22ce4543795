package api

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/node/api/client"
	"tandem/node/trace"
)

// ring answers for all nodes; one of them is silent.
type ring struct{ *trace.Ring }

func (r ring) Trace(_ context.Context, id fsm.CallID, callIDs []string) ([]trace.Message, error) {
	return r.Find(trace.Query{CallIDs: callIDs, Prefix: callID(id)}), errors.New("n3: no answer")
}

// keep records a message of a Call-ID.
func (r ring) keep(first, callID string) {
	r.Record(trace.Message{
		At: time.Unix(1_700_000_000, 0), Transport: "udp",
		Local: netip.MustParseAddrPort("203.0.113.20:5060"), Peer: netip.MustParseAddrPort("198.51.100.7:5060"),
		Raw: []byte(first + "\r\nCall-ID: " + callID + "\r\n\r\n"),
	})
}

func TestTrace(t *testing.T) {
	w := newWorld(t)
	w.business()
	id := w.place(1, "8613800138000")
	var record fsm.Call
	w.View(func(s *fsm.State) { record, _ = s.Call(id) })
	kept := w.kept
	kept.keep("INVITE sip:a@x SIP/2.0", record.SIPCallID)
	kept.keep("INVITE sip:b@x SIP/2.0", callID(id)+"-leg-b")
	kept.keep("OPTIONS sip:other@x SIP/2.0", "other")

	c := w.as(client.RoleOperator)
	text, err := c.Trace(t.Context(), callID(id), "text")
	if got := string(text); err != nil || !strings.Contains(got, "sip:a@x") || !strings.Contains(got, "sip:b@x") || strings.Contains(got, "other") {
		t.Errorf("got %v\n%s", err, got)
	}
	if pcap, err := c.Trace(t.Context(), callID(id), "pcap"); err != nil || len(pcap) < 24 || pcap[0] != 0xd4 {
		t.Errorf("got %v, %x", err, pcap)
	}
	for _, bad := range []struct{ id, want string }{
		{strings.Repeat("e", 32), "messages of call"},
		{"7777", "cdr 7777"},
		{"xyz", "path.id"},
	} {
		if _, err := c.Trace(t.Context(), bad.id, "ladder"); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: got %v, want %q", bad.id, err, bad.want)
		}
	}
}
