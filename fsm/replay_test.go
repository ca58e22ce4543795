package fsm_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"tandem/fsm"
	"tandem/fsm/wire"
)

// TestReplay applies the recorded log of a feature level and compares the hashes
// that it led to. A difference means that a replica which replays its log, or
// runs beside an older program, comes to another state: such a change of any
// outcome belongs behind a higher level (ARCHITECTURE.md, rule 10). Before the first release
// -update may record anew.
func TestReplay(t *testing.T) {
	const log, hashes = "testdata/replay/level-1.log", "testdata/replay/level-1.hashes"
	if *update {
		record(t, log)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	s := fsm.New(fsm.Config{HashKey: [16]byte{1}})
	var got strings.Builder
	for index := uint64(1); len(b) > 0; index++ {
		var f wire.Frame
		if f, b, err = wire.ReadFrame(b, 1); err != nil {
			t.Fatal(err)
		}
		e, err := fsm.DecodeEntry(f.Payload)
		if err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}
		s.Apply(index, e)
		if index%50 == 0 {
			h := s.Hash()
			fmt.Fprintf(&got, "%d %s\n", index, hex.EncodeToString(h[:]))
		}
	}
	if *update {
		if err := os.WriteFile(hashes, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(hashes)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the log leads to another state\n%s", firstDifference(string(want), got.String()))
	}
}

// record writes the log of a random story.
func record(t *testing.T, file string) {
	p := newStory(t)
	var log bytes.Buffer
	p.tap = func(entry []byte) { log.Write(wire.AppendFrame(nil, 1, 0, entry)) }
	p.setUp()
	for _, line := range []string{"account blue table=std", "ingress blue-in account=blue addr=192.0.2.12", "topup acme 9", "topup blue 5"} {
		p.run(line)
	}
	r := rand.New(rand.NewPCG(2026, 11))
	for range 700 {
		p.run(draw(r))
	}
	if err := os.MkdirAll("testdata/replay", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, log.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
