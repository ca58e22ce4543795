package sim_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"tandem/chaos"
	"tandem/chaos/sim"
	"tandem/fsm"
)

// outage is how long after a fault the cluster may still refuse calls: longer
// than two elections, far shorter than the pauses between faults.
const outage = 5 * time.Second

// judge holds what the customers say against what the cluster promises them.
func (d *day) judge() {
	d.t.Helper()
	placed, answered := 0, 0
	for _, r := range d.reports {
		placed, answered = placed+r.Placed, answered+r.Answered
		for _, p := range r.Problems {
			d.t.Error(p)
		}
	}
	if placed != len(d.outcomes) {
		d.t.Errorf("%d of %d calls never came to an end", placed-len(d.outcomes), placed)
	}
	if answered*10 < placed*7 && d.refusals == nil {
		d.t.Errorf("only %d of %d calls were answered", answered, placed)
	}
	d.overcharged()
	for _, o := range d.outcomes {
		if why := d.wrong(o); why != "" {
			d.t.Errorf("call %s at %s, from %v to %v: %s: status %d %q, talked %v",
				o.CallID, d.at(o.Target.Addr()).Host.Name(), d.began(o), o.heard, why, o.Status, o.Reason, o.Talk)
		}
	}
}

// wrong says what is wrong with the end of a call, if anything.
func (d *day) wrong(o verdict) string {
	switch {
	case o.Answered() && o.Cut && !d.cuts && !d.stranded(o):
		return "was cut"
	case o.Answered() && o.ByeLost && !d.absent(o):
		return "its BYE was not answered with 200"
	case o.Answered():
		return ""
	case slices.Contains(d.refusals, o.Status):
		return ""
	case !d.excused(o):
		return "failed in peace"
	case o.Status == 0 && d.silent(o, d.began(o)+outage), slices.Contains([]int{503, 504}, o.Status):
		return ""
	}
	return "failed in a way that no fault explains"
}

func (d *day) began(o verdict) time.Duration { return o.Start.Sub(d.start) }

// excused says whether the set-up of a call fell into a fault of its node or of
// the network between the nodes, or into what followed. What else happens to other
// nodes is no excuse: an election is over before a call has been held too long.
func (d *day) excused(o verdict) bool {
	name, hit := d.at(o.Target.Addr()).Host.Name(), map[string]bool{}
	network := []chaos.Kind{chaos.Partition, chaos.Cut, chaos.Delay, chaos.Loss}
	for _, b := range d.blows {
		if b.from > o.heard || d.began(o) > b.to+outage {
			continue
		}
		if b.hits(name) || slices.Contains(network, b.Kind) {
			return true
		}
		for _, victim := range b.Groups[0] {
			hit[victim] = true
		}
	}
	return len(hit) > 1 // nobody is left to have a majority with
}

// silent says whether the node of a call could not answer for some of the time from
// the call's beginning. Who has heard a 100 from a node that then dies waits for ever.
func (d *day) silent(o verdict, until time.Duration) bool {
	name := d.at(o.Target.Addr()).Host.Name()
	mute := []chaos.Kind{chaos.Kill, chaos.Restart, chaos.Power, chaos.Vanish, chaos.Pause}
	return slices.ContainsFunc(d.blows, func(b blow) bool {
		return slices.Contains(mute, b.Kind) && b.hits(name) && b.from <= until && d.began(o) <= b.to+outage
	})
}

// absent says whether the node of a call was away for longer than a BYE is
// repeated.
func (d *day) absent(o verdict) bool {
	name := d.at(o.Target.Addr()).Host.Name()
	return slices.ContainsFunc(d.blows, func(b blow) bool {
		return b.hits(name) && b.to-b.from > 32*time.Second && b.from <= o.heard && d.began(o) <= b.to
	})
}

// overcharged checks the records of calls whose BYE nobody heard: they last no
// longer than the last proof of life, which comes every few seconds (ARCHITECTURE.md, rule 12).
func (d *day) overcharged() {
	d.t.Helper()
	h := d.recorder.History()
	byCall := map[string]fsm.CDR{}
	for _, c := range h.Finals[0].CDRs {
		byCall[c.SIPCallIDA] = c
	}
	for _, o := range d.outcomes {
		if c := byCall[o.CallID]; o.ByeLost && c.Duration > o.Talk+proof {
			d.t.Errorf("CDR %d of call %s, whose BYE nobody heard after %v, is charged for %v, reason %v", c.Seq, o.CallID, o.Talk, c.Duration, c.Reason)
		}
	}
}

// proof is how old the last proof of life of a call may be.
const proof = 10 * time.Second

// stranded says whether a call's node was away from the others for longer than
// a grant of talk time may last.
func (d *day) stranded(o verdict) bool {
	name := d.at(o.Target.Addr()).Host.Name()
	away := []chaos.Kind{chaos.Partition, chaos.Cut, chaos.Pause, chaos.HangDisk}
	return slices.ContainsFunc(d.blows, func(b blow) bool {
		return slices.Contains(away, b.Kind) && b.hits(name) && b.to-b.from > grant && b.from <= o.heard
	})
}

// grant is the talk time that is left in a call's hold at any time (ARCHITECTURE.md, rule 3).
const grant = 8 * time.Second

func (b blow) hits(name string) bool {
	return slices.ContainsFunc(b.Groups, func(g []string) bool {
		return slices.Contains(g, name) || slices.Contains(g, chaos.All)
	})
}

// checkEvery is how many entries a replay goes without a look at the books.
const checkEvery = 16

// replay feeds the newest snapshot and the log behind it to a new state machine,
// for each node: it must come to the node's state, hash for hash.
func (d *day) replay() {
	d.t.Helper()
	for _, s := range d.nodes {
		n := s.running()
		if n == nil {
			d.t.Errorf("%s does not run", s.Host.Name())
			continue
		}
		var index uint64
		var want fsm.Hash
		n.View(func(state *fsm.State) { index, want = state.Index(), state.Hash() })
		state, err := begin(s.Life().Volume)
		if err == nil {
			err = replayLog(state, s.Life().Volume, index)
		}
		if err != nil {
			d.t.Errorf("%s: %v", s.Host.Name(), err)
			continue
		}
		if got := state.Hash(); state.Index() != index || got != want {
			d.t.Errorf("%s: the log leads to %x at %d, the node has %x at %d", s.Host.Name(), got, state.Index(), want, index)
		}
	}
}

// snapshotHead is what package cluster puts before the bytes of the state machine.
const snapshotHead = 20

// begin returns the state of the newest snapshot, or an empty one.
func begin(v *sim.Volume) (*fsm.State, error) {
	list, err := v.Snapshots().List()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		mac := hmac.New(sha256.New, []byte("a secret of thirty-two bytes or so"))
		mac.Write([]byte("tandem state hash"))
		return fsm.New(fsm.Config{HashKey: [16]byte(mac.Sum(nil)[:16])}), nil
	}
	_, r, err := v.Snapshots().Open(list[0].ID)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, snapshotHead); err != nil {
		return nil, err
	}
	return fsm.Restore(r)
}

// replayLog applies what the log has behind the state, up to an index.
func replayLog(state *fsm.State, v *sim.Volume, last uint64) error {
	for i := state.Index() + 1; i <= last; i++ {
		var l raft.Log
		if err := v.GetLog(i, &l); err != nil {
			return fmt.Errorf("index %d: %w", i, err)
		}
		if l.Type != raft.LogCommand {
			continue
		}
		entry, err := fsm.DecodeEntry(l.Data)
		if err != nil {
			return fmt.Errorf("index %d: %w", i, err)
		}
		state.Apply(i, entry)
		if i%checkEvery != 0 && i != last {
			continue
		}
		if err := state.Check(); err != nil {
			return fmt.Errorf("index %d: %w", i, err)
		}
	}
	return nil
}
