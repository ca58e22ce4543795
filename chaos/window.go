package chaos

import (
	"cmp"
	"slices"
	"time"
)

// Struck is a fault as it happened: its roles are names.
type Struck struct {
	Fault
	From, To time.Duration // since the start of the run
}

// effect is what a kind of fault does to the promises.
type effect uint8

const (
	harmless effect = iota // nothing may be worse: clocks
	downs                  // the nodes serve nothing while it lasts
	parts                  // nodes do not hear each other while it lasts
	worsens                // calls may be late or fail while it lasts
	startles               // only its beginning is felt
)

// effects has an entry for each kind that is not harmless.
var effects = map[Kind]effect{
	Kill: downs, Restart: downs, Power: downs, Vanish: downs, Pause: downs, Suspend: downs,
	Partition: parts, Cut: parts,
	Loss: worsens, Dup: worsens, Reorder: worsens, Delay: worsens, SlowDisk: worsens, HangDisk: worsens,
	FailDisk: startles, Transfer: startles,
}

// Windows says when a cluster of these nodes may promise less, and what: from
// each fault on for as long as recovery takes, or until it ends if nobody has a
// majority meanwhile; and again for recovery when it ends.
func Windows(struck []Struck, nodes []string, recovery time.Duration) []Window {
	var found []Window
	var times []time.Duration
	for _, s := range struck {
		switch effects[s.Kind] {
		case harmless:
			continue
		case worsens:
			found = append(found, Window{From: s.From, To: s.To + recovery})
		case startles:
			found = append(found, Window{From: s.From, To: s.From + recovery})
		default:
			found = append(found, Window{From: s.From, To: min(s.To, s.From+recovery)}, Window{From: s.To, To: s.To + recovery})
			times = append(times, s.From, s.To)
		}
	}
	slices.Sort(times)
	for i := range max(0, len(times)-1) {
		from, to := times[i], times[i+1]
		view := look(struck, nodes, from)
		if from == to || view.majority() {
			continue
		}
		if last := len(found) - 1; last >= 0 && found[last].Lost && found[last].To == from && found[last].Alive == view.alive() {
			found[last].To = to
			continue
		}
		found = append(found, Window{From: from, To: to, Lost: true, Alive: view.alive()})
	}
	slices.SortStableFunc(found, func(a, b Window) int { return cmp.Compare(a.From, b.From) })
	return found
}

// view is who runs and who hears whom at some time.
type view struct {
	nodes []string
	down  map[string]bool
	deaf  map[[2]string]bool // the second does not hear the first
}

func look(struck []Struck, nodes []string, at time.Duration) view {
	v := view{nodes, map[string]bool{}, map[[2]string]bool{}}
	for _, s := range struck {
		if at < s.From || at >= s.To {
			continue
		}
		switch effects[s.Kind] {
		case downs:
			for _, n := range nodes {
				if slices.Contains(s.Groups[0], n) || slices.Contains(s.Groups[0], All) {
					v.down[n] = true
				}
			}
		case parts:
			v.part(s.Fault)
		}
	}
	return v
}

// part cuts the ways between groups; who is in both is a bridge.
func (v *view) part(f Fault) {
	for i, from := range f.Groups {
		for j, to := range f.Groups {
			if i == j || f.Kind == Cut && i > j {
				continue
			}
			for _, a := range from {
				for _, b := range to {
					if !slices.Contains(from, b) && !slices.Contains(to, a) {
						v.deaf[[2]string{a, b}] = true
					}
				}
			}
		}
	}
}

// majority says whether some node hears, and is heard by, enough others.
func (v *view) majority() bool {
	return slices.ContainsFunc(v.nodes, func(a string) bool {
		meets := 0
		for _, b := range v.nodes {
			if !v.down[a] && !v.down[b] && !v.deaf[[2]string{a, b}] && !v.deaf[[2]string{b, a}] {
				meets++
			}
		}
		return meets > len(v.nodes)/2
	})
}

func (v *view) alive() bool { return len(v.down) == 0 }
