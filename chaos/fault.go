package chaos

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is a way to fail.
type Kind string

// The kinds of fault. Those that have a duration end after Fault.For; without
// one they last to the end of the run.
const (
	Kill      Kind = "kill"      // SIGKILL; started again after For
	Restart   Kind = "restart"   // stopped in good order and started again after For
	Power     Kind = "power"     // kill, and the disk loses what was not synced
	Vanish    Kind = "vanish"    // the machine falls silent; started again after For
	Pause     Kind = "pause"     // SIGSTOP, and SIGCONT after For
	Suspend   Kind = "suspend"   // the machine sleeps and then goes on where it was
	Partition Kind = "partition" // between groups: n1|n2,n3; who is in two of them is a bridge
	Cut       Kind = "cut"       // one way: n1>n2
	Loss      Kind = "loss"      // chance for packets from and to the nodes
	Dup       Kind = "dup"       // chance for datagrams to arrive twice
	Reorder   Kind = "reorder"   // chance for datagrams to be overtaken
	Delay     Kind = "delay"     // added to each packet from and to the nodes
	SlowDisk  Kind = "slowdisk"  // each write to the log takes so long
	HangDisk  Kind = "hangdisk"  // writes do not return until For is over
	FailDisk  Kind = "faildisk"  // the next write to the log fails
	Transfer  Kind = "transfer"  // leadership is handed over
	Clock     Kind = "clock"     // the wall clock is off by so much
	Drift     Kind = "drift"     // the boot clock gains so much in each second
)

// The names that a target may use instead of a node's: who that is is decided
// when the fault strikes.
const (
	Leader   = "leader"
	Follower = "follower" // the first of them
	All      = "all"
)

// shape is the form in which faults of a kind are written.
type shape struct {
	chance bool // has an amount between 0 and 1
	size   bool // has an amount of time
	groups bool // target: two groups or more
	way    bool // target: one node > another
	sudden bool // has no duration
}

// shapes lists all kinds.
var shapes = map[Kind]shape{
	Kill: {}, Restart: {}, Power: {}, Vanish: {}, Pause: {}, Suspend: {}, HangDisk: {},
	Partition: {groups: true},
	Cut:       {way: true},
	Loss:      {chance: true}, Dup: {chance: true}, Reorder: {chance: true},
	Delay: {size: true}, SlowDisk: {size: true}, Clock: {size: true}, Drift: {size: true},
	FailDisk: {sudden: true}, Transfer: {sudden: true},
}

// Fault is one thing that goes wrong.
type Fault struct {
	At     time.Duration // after the start of the run
	Kind   Kind
	Groups [][]string    // whom it hits: one group; for Partition two or more; for Cut the source and the destination
	Chance float64       // Loss, Dup, Reorder
	Size   time.Duration // Delay, SlowDisk, Clock
	For    time.Duration // 0: to the end of the run
}

// ErrFault is wrapped by every error about the text of a fault.
var ErrFault = errors.New("not a fault")

// name is a node's name or a role.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// String writes the fault as ParseFault reads it, such as
//
//	12.5s kill leader for 3s
//	20s partition n1|n2,n3 for 10s
//	30s loss all 0.05 for 20s
func (f Fault) String() string {
	s := shapes[f.Kind]
	var groups []string
	for _, g := range f.Groups {
		groups = append(groups, strings.Join(g, ","))
	}
	words := []string{f.At.String(), string(f.Kind)}
	if s.way {
		words = append(words, strings.Join(groups, ">"))
	} else {
		words = append(words, strings.Join(groups, "|"))
	}
	if s.chance {
		words = append(words, strconv.FormatFloat(f.Chance, 'g', -1, 64))
	}
	if s.size {
		words = append(words, f.Size.String())
	}
	if f.For != 0 {
		words = append(words, "for", f.For.String())
	}
	return strings.Join(words, " ")
}

// ParseFault reads one fault: time, kind, target, amount if the kind has one,
// and how long.
func ParseFault(text string) (Fault, error) {
	f, err := parseFault(strings.Fields(text))
	if err != nil {
		return Fault{}, fmt.Errorf("%q: %w: %w", text, ErrFault, err)
	}
	return f, nil
}

func parseFault(words []string) (f Fault, err error) {
	if len(words) < 3 {
		return f, errors.New("need a time, a kind and a target")
	}
	if f.At, err = duration(words[0]); err != nil {
		return f, err
	}
	f.Kind = Kind(words[1])
	s, ok := shapes[f.Kind]
	if !ok {
		return f, fmt.Errorf("unknown kind %q", words[1])
	}
	if f.Groups, err = target(words[2], s); err != nil {
		return f, err
	}
	words = words[3:]
	if s.chance || s.size {
		if len(words) == 0 {
			return f, fmt.Errorf("%s needs an amount", f.Kind)
		}
		if s.chance {
			f.Chance, err = chance(words[0])
		} else {
			f.Size, err = time.ParseDuration(words[0]) // a clock may be slow
		}
		if err != nil {
			return f, err
		}
		words = words[1:]
	}
	switch {
	case len(words) == 0:
		return f, nil
	case s.sudden || len(words) != 2 || words[0] != "for":
		return f, fmt.Errorf("unexpected %q", strings.Join(words, " "))
	}
	f.For, err = duration(words[1])
	return f, err
}

// target reads whom a fault hits.
func target(word string, s shape) ([][]string, error) {
	separator := "|"
	if s.way {
		separator = ">"
	}
	var groups [][]string
	for g := range strings.SplitSeq(word, separator) {
		nodes := strings.Split(g, ",")
		if i := slices.IndexFunc(nodes, func(n string) bool { return !name.MatchString(n) }); i >= 0 {
			return nil, fmt.Errorf("%q is no node's name", nodes[i])
		}
		groups = append(groups, nodes)
	}
	switch {
	case s.groups && len(groups) < 2:
		return nil, fmt.Errorf("target %s: need groups such as n1|n2,n3", word)
	case s.way && (len(groups) != 2 || len(groups[0]) != 1 || len(groups[1]) != 1):
		return nil, fmt.Errorf("target %s: need a direction such as n1>n2", word)
	case !s.groups && !s.way && len(groups) != 1:
		return nil, fmt.Errorf("target %s: need nodes such as n1,n2", word)
	}
	return groups, nil
}

func duration(word string) (time.Duration, error) {
	d, err := time.ParseDuration(word)
	if err == nil && d < 0 {
		err = fmt.Errorf("%s is negative", word)
	}
	return d, err
}

func chance(word string) (float64, error) {
	c, err := strconv.ParseFloat(word, 64)
	if err != nil || !(c > 0 && c <= 1) {
		return 0, fmt.Errorf("%s is no chance between 0 and 1", word)
	}
	return c, nil
}
