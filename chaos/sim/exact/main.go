// Command exact prepares a build of the simulator's tests in which a seed gives
// the same run, packet by packet, in every process.
//
// It writes patched copies of files of this machine's Go runtime, and the
// overlay.json by which "go test -overlay" uses them; `make swarm` does that.
// The patches let select, map iteration and ties between timers draw from one
// stream that a test resets, take away preemption by time, and give timers in a
// bubble the race context of the thread that runs them (go.dev/issue/76691). What
// depends on real time, such as contended locks, keeps the runtime's own stream.
// Each patch must match its file exactly once: after an upgrade of Go the command
// stops and never builds something that half works. It never touches GOROOT. The
// directory's name begins with a dot, which hides it from the pattern "./...".
//
//	go run ./chaos/sim/exact -out bin/.exact
//	go test -c -tags simexact -overlay bin/.exact/overlay.json -o bin/.exact/sim.test ./chaos/sim
//	GOMAXPROCS=1 GOGC=off bin/.exact/sim.test -test.run Swarm -seeds 1 -from 7
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// patch replaces a text that occurs once in a file of package runtime; an empty
// old appends.
type patch struct{ file, old, new string }

var patches = []patch{
	// The start-up seed: hash keys of maps made before the first reset.
	{"rand.go", "\tseed := &globalRand.seed\n\tif len(startupRand) >= 16 &&",
		"\tseed := &globalRand.seed\n\tif simFixed {\n\t\tfor i := range seed {\n\t\t\tseed[i] = byte(i + 1)\n\t\t}\n\t} else if len(startupRand) >= 16 &&"},
	// Map iteration, and math/rand/v2 where it is not seeded.
	{"rand.go", "func rand() uint64 {\n",
		"func rand() uint64 {\n\tif simState != 0 {\n\t\treturn uint64(simRand())<<32 | uint64(simRand())\n\t}\n"},
	{"rand.go", "", stream},
	{"proc.go", "const forcePreemptNS = 10 * 1000 * 1000", "const forcePreemptNS = 3600 * 1000 * 1000 * 1000"},
	{"select.go", "cheaprandn(uint32(norder + 1))", "simRandN(uint32(norder + 1))"},
	{"sema.go", "s.ticket = cheaprand() | 1", "s.ticket = simRand() | 1"},
	{"time.go", "t.rand = cheaprand()", "t.rand = simRand()"},
	{"time.go", "\t\tvar tsLocal *timers\n\t\tif bubble == nil {\n\t\t\ttsLocal = &gp.m.p.ptr().timers\n\t\t} else {\n\t\t\ttsLocal = &bubble.timers\n\t\t}\n",
		"\t\ttsLocal := &gp.m.p.ptr().timers\n"},
	{"time.go", "\t\tif bubble == nil {\n\t\t\tgp.racectx = gp.m.p.ptr().timers.raceCtx\n\t\t} else {\n\t\t\tgp.racectx = bubble.timers.raceCtx\n\t\t}\n",
		"\t\tgp.racectx = gp.m.p.ptr().timers.raceCtx\n"},
}

// stream is the generator that the patched places draw from: wyrand, as the
// runtime's own.
const stream = `

const simFixed = true

var simState uint64

//go:linkname simReseed
func simReseed(seed uint64) { simState = seed | 1<<63 }

//go:nosplit
func simRand() uint32 {
	if simState == 0 {
		return cheaprand()
	}
	simState += 0xa0761d6478bd642f
	hi, lo := math.Mul64(simState, simState^0xe7037ed1a0b428db)
	return uint32(hi ^ lo)
}

//go:nosplit
func simRandN(n uint32) uint32 { return uint32((uint64(simRand()) * uint64(n)) >> 32) }
`

func main() {
	out := flag.String("out", "", "directory to write to")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "exact:", err)
		os.Exit(1)
	}
}

// run writes the patched files and overlay.json to out.
func run(out string) error {
	if out == "" {
		return errors.New("-out is missing: name a directory to write to")
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	texts, err := apply(filepath.Join(strings.TrimSpace(string(root)), "src", "runtime"))
	if err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	replace := map[string]string{}
	for original, text := range texts {
		name := filepath.Join(out, filepath.Base(original))
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
		replace[original] = name
	}
	overlay, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "overlay.json"), overlay, 0o644)
}

// apply returns the patched files of the runtime in dir, by their names.
func apply(dir string) (map[string]string, error) {
	texts := map[string]string{}
	for _, p := range patches {
		name := filepath.Join(dir, p.file)
		text, ok := texts[name]
		if !ok {
			b, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if p.old == "" {
			texts[name] = text + p.new
			continue
		}
		if n := strings.Count(text, p.old); n != 1 {
			return nil, fmt.Errorf("%s of %s: patch matches %d times, want once:\n%s", p.file, runtime.Version(), n, p.old)
		}
		texts[name] = strings.Replace(text, p.old, p.new, 1)
	}
	return texts, nil
}
