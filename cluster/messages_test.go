package cluster

import (
	"bytes"
	"testing"

	"tandem/fsm/wire"
)

// FuzzMessages: what peers send is decoded or refused, and re-encoded the same.
func FuzzMessages(f *testing.F) {
	shapes := []func() interface{ code(*wire.Codec) }{
		func() interface{ code(*wire.Codec) } { return new(message) },
		func() interface{ code(*wire.Codec) } { return new(hello) },
		func() interface{ code(*wire.Codec) } { return new(pong) },
		func() interface{ code(*wire.Codec) } { return new(request) },
		func() interface{ code(*wire.Codec) } { return new(outcome) },
		func() interface{ code(*wire.Codec) } { return new(pulse) },
		func() interface{ code(*wire.Codec) } { return new(echo) },
		func() interface{ code(*wire.Codec) } { return new(plea) },
		func() interface{ code(*wire.Codec) } { return new(pledged) },
		func() interface{ code(*wire.Codec) } { return new(exited) },
		func() interface{ code(*wire.Codec) } { return new(candidate) },
		func() interface{ code(*wire.Codec) } { return new(summons) },
	}
	for i, m := range []interface{ code(*wire.Codec) }{
		&message{id: 7, kind: kindRequest, name: "x", body: []byte("y")},
		&hello{node: "n1", cluster: "c", generation: 3},
		&pong{ID: "n1", Wall: 1, Live: true, Checks: []Checkpoint{{Index: 1024}}},
		&request{lane: LaneStart, flow: "gw", envelope: []byte("e")},
		&outcome{index: 9, data: []byte("r")},
		&pulse{Incarnation: 1 << 44, Version: 9, Size: 3},
		&echo{Node: "n1", Incarnation: 1 << 44, Verdict: verdictOlder},
		&plea{Node: "n1", Incarnation: 1 << 44, Bind: true},
		&pledged{Given: true, Incarnation: 1 << 44},
		&exited{Incarnation: 1 << 44},
		&candidate{ID: "n1", LastTerm: 2, Last: 9, Witness: true},
		&summons{Dead: "n1", Term: 2},
	} {
		w := wire.Encoder(nil)
		m.code(w)
		f.Add(uint8(i), w.Buffer())
	}
	f.Fuzz(func(t *testing.T, shape uint8, b []byte) {
		m := shapes[int(shape)%len(shapes)]()
		d := wire.Decoder(b)
		m.code(d)
		if d.Finish() != nil {
			return
		}
		w := wire.Encoder(nil)
		m.code(w)
		if !bytes.Equal(w.Buffer(), b) {
			t.Errorf("%x is encoded as %x", b, w.Buffer())
		}
	})
}
