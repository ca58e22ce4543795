package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Schedule is what goes wrong in a run, in order of time.
type Schedule []Fault

// String writes a fault a line.
func (s Schedule) String() string {
	var b strings.Builder
	for _, f := range s {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

// ParseSchedule reads a fault a line; empty lines and what follows a # do not
// count. The error names the line.
func ParseSchedule(text string) (Schedule, error) {
	var s Schedule
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		f, err := ParseFault(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		s = append(s, f)
	}
	slices.SortStableFunc(s, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return s, nil
}

// PlanConfig bounds what Plan invents. The zero value of all but Nodes is the
// documented default.
type PlanConfig struct {
	Nodes   []string      // of the cluster; at least two
	Kinds   []Kind        // to choose from; empty: all but FailDisk, which ends a process by intent
	Length  time.Duration // of the run; zero: 2 min
	Quiet   time.Duration // after each fault, for the cluster to recover; zero: 10 s
	Longest time.Duration // of a fault; zero: 10 s
}

// Plan invents a schedule from a seed. Faults do not overlap, so that a cluster
// of three has its majority back between them, and the last one has ended a
// Quiet before the end of the run.
func Plan(seed uint64, cfg PlanConfig) Schedule {
	cfg.Length = cmp.Or(cfg.Length, 2*time.Minute)
	cfg.Quiet = cmp.Or(cfg.Quiet, 10*time.Second)
	cfg.Longest = cmp.Or(cfg.Longest, 10*time.Second)
	if len(cfg.Kinds) == 0 {
		for k := range shapes {
			if k != FailDisk {
				cfg.Kinds = append(cfg.Kinds, k)
			}
		}
		slices.Sort(cfg.Kinds)
	}
	var s Schedule
	dice := rand.New(rand.NewPCG(seed, 0))
	for at := cfg.Quiet; ; {
		f := invent(dice, cfg)
		f.At = at
		if at += f.For + cfg.Quiet; at > cfg.Length {
			return s
		}
		s = append(s, f)
	}
}

// maxDrift is the most that a boot clock gains or loses in a second, in
// nanoseconds: far worse than any quartz, and what a lease of 800 ms against
// pledges of 950 ms must bear.
const maxDrift = 50_000_000

// invent throws the dice for one fault.
func invent(dice *rand.Rand, cfg PlanConfig) Fault {
	f := Fault{Kind: cfg.Kinds[dice.IntN(len(cfg.Kinds))]}
	s := shapes[f.Kind]
	nodes := slices.Clone(cfg.Nodes)
	dice.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	switch {
	case s.groups && len(nodes) > 1:
		at := 1 + dice.IntN(len(nodes)-1)
		f.Groups = [][]string{nodes[:at], nodes[at:]}
	case s.way && len(nodes) > 1:
		f.Groups = [][]string{nodes[:1], nodes[1:2]}
	case f.Kind == Transfer, dice.IntN(2) == 0:
		f.Groups = [][]string{{Leader}}
	case f.Kind == Power && dice.IntN(2) == 0, s.chance:
		f.Groups = [][]string{{All}}
	default:
		f.Groups = [][]string{nodes[:1]}
	}
	if s.chance {
		f.Chance = float64(1+dice.IntN(20)) / 100
	}
	if s.size {
		f.Size = time.Duration(1+dice.IntN(30)) * 10 * time.Millisecond
	}
	switch f.Kind {
	case Clock:
		f.Size = time.Duration(dice.IntN(7201)-3600) * time.Second
	case Drift:
		f.Size = time.Duration(dice.IntN(2*maxDrift+1) - maxDrift)
	}
	if !s.sudden {
		f.For = 100*time.Millisecond + time.Duration(dice.Int64N(int64(cfg.Longest)))/time.Millisecond*time.Millisecond
	}
	return f
}
