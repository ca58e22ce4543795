package cluster

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/fsm"
)

// TestEntriesAreReadByTheStateMachine: the envelope is the head of fsm's
// command, so that a log can be replayed without this package.
func TestEntriesAreReadByTheStateMachine(t *testing.T) {
	body, err := fsm.AppendBody(nil, "token/key", &fsm.SetParameter{Name: "SS_X", Value: "1"})
	if err != nil {
		t.Fatal(err)
	}
	want := Envelope{Node: "n1", Incarnation: 1<<32 | 7, Seq: 300, Low: 299, Age: 5 * time.Millisecond, Deadline: -5, Body: body}
	raw := encodeEntry(1234567, [][]byte{encodeEnvelope(want)})
	at, got, err := decodeEntry(raw)
	if err != nil || at != 1234567 {
		t.Fatalf("at %d, %v", at, err)
	}
	if diff := cmp.Diff([]Envelope{want}, got); diff != "" {
		t.Error(diff)
	}
	e, err := fsm.DecodeEntry(raw)
	if err != nil {
		t.Fatal(err)
	}
	c := e.Commands[0]
	if e.At != 1234567 || c.Age != want.Age || c.Deadline != -5 || c.Key != "token/key" ||
		c.Origin != (fsm.Origin{Node: "n1", Incarnation: 1<<32 | 7, Seq: 300, Low: 299}) {
		t.Errorf("fsm reads %+v at %d", c, e.At)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(encodeEntry(1, [][]byte{encodeEnvelope(Envelope{Node: "n1", Seq: 1, Body: []byte("x")})}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		at, envelopes, err := decodeEntry(b)
		if err != nil {
			return
		}
		raw := make([][]byte, len(envelopes))
		for i, e := range envelopes {
			raw[i] = encodeEnvelope(e)
		}
		if again := encodeEntry(at, raw); string(again) != string(b) {
			t.Errorf("%x is encoded as %x", b, again)
		}
	})
}
