package fsm_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/fsm/wire"
)

// FuzzApply applies whatever commands can be decoded from bytes. None may panic
// or break the books, and what comes out can be encoded.
func FuzzApply(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(someCommands(f, seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newStory(&testing.T{})
		s.setUp()
		s.run("topup acme 3")
		index, at := s.index, s.now
		for len(b) >= 2 {
			n := int(binary.LittleEndian.Uint16(b))
			b = b[2:]
			if n > len(b) {
				break
			}
			cmd, err := fsm.DecodeCommand(b[:n])
			b = b[n:]
			if err != nil {
				continue
			}
			index++
			at = at.Add(300 * time.Millisecond)
			out := s.state.Apply(index, fsm.Entry{At: at, Commands: []fsm.Command{cmd}})
			if err := s.state.Check(); err != nil {
				t.Fatalf("%+v: %v", cmd.Body, err)
			}
			for i := range out.Results {
				fsm.AppendResult(nil, &out.Results[i])
			}
			for i := range out.CDRs {
				fsm.AppendCDR(nil, &out.CDRs[i])
			}
		}
		if restored := copyOf(t, s.state); restored.Hash() != s.state.Hash() {
			t.Fatal("the restored state has another hash")
		}
	})
}

// someCommands encodes the commands of a random story.
func someCommands(f *testing.F, seed uint64) (b []byte) {
	p := newStory(&testing.T{})
	p.setUp()
	r := rand.New(rand.NewPCG(seed, 2))
	for range 60 {
		p.last = fsm.Command{Body: &fsm.Tick{}}
		p.run(draw(r))
		encoded, err := fsm.AppendCommand(nil, &p.last)
		if err != nil {
			f.Fatal(err)
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(len(encoded)))
		b = append(b, encoded...)
	}
	return b
}

// FuzzRestore changes a byte of a record in a snapshot, under a checksum that is
// right. What is accepted has to work.
func FuzzRestore(f *testing.F) {
	var snapshots [][]byte
	for seed := range uint64(3) {
		p := newStory(&testing.T{})
		p.setUp()
		r := rand.New(rand.NewPCG(seed, 3))
		for range 60 {
			p.last = fsm.Command{Body: &fsm.Tick{}}
			p.run(draw(r))
		}
		v := p.state.Snapshot()
		var b bytes.Buffer
		if _, err := v.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		snapshots = append(snapshots, b.Bytes())
	}
	r := rand.New(rand.NewPCG(1, 4))
	for range 500 {
		f.Add(byte(r.IntN(3)), uint16(r.IntN(200)), uint16(r.IntN(300)), byte(r.IntN(256)))
	}
	f.Fuzz(func(t *testing.T, which byte, frame, at uint16, to byte) {
		var b []byte
		rest := snapshots[int(which)%len(snapshots)]
		for i := uint16(0); len(rest) > 0; i++ {
			var r wire.Frame
			var err error
			if r, rest, err = wire.ReadFrame(rest, 1); err != nil {
				t.Fatal(err)
			}
			payload := bytes.Clone(r.Payload)
			if i == frame && len(payload) > 0 {
				payload[int(at)%len(payload)] = to
			}
			b = wire.AppendFrame(b, r.Version, r.Kind, payload)
		}
		s, err := fsm.Restore(bytes.NewReader(b))
		if err != nil {
			return
		}
		p := newStory(t)
		p.state, p.index, p.now = s, s.Index(), s.At()
		for _, line := range []string{"node n1 inc=99", "start c1", "start x1", "answer x1", "extend x1", "end c1", "end c2", "beat", "end x1", "tick", "+70s", "tick"} {
			p.run(line)
		}
	})
}
