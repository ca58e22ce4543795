package sim_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"tandem/chaos"
	"tandem/chaos/sim"
	"tandem/fsm"
)

// recovery is what the cluster is given after each fault: the time in which new
// calls and the calls of a silent node are both back.
const recovery = 3 * time.Second

// promise tells the checkers what faults happened and what the day allows.
func (d *day) promise() {
	var names []string
	for _, s := range d.nodes {
		names = append(names, s.Host.Name())
	}
	d.recorder.Promise(chaos.Windows(d.struck, names, recovery), d.limits)
}

// judge holds what the customers say against what only they know.
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
	if answered*10 < placed*7 && d.limits.Refusals == nil {
		d.t.Errorf("only %d of %d calls were answered", answered, placed)
	}
	d.overcharged()
}

func (d *day) began(o verdict) time.Duration { return o.Start.Sub(d.start) }

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

// replay feeds the newest snapshot and the log behind it to a new state machine,
// for each node: it must come to the node's state, hash for hash, and to what
// clients were told.
func (d *day) replay() {
	d.t.Helper()
	told := d.recorder.History().Answers
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
		if err != nil {
			d.t.Errorf("%s: %v", s.Host.Name(), err)
			continue
		}
		for _, v := range chaos.Replay(state, entries(s.Life().Volume), index, told) {
			d.t.Errorf("%s: %v", s.Host.Name(), v)
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

// entries reads the log of a disk.
func entries(v *sim.Volume) func(uint64) (fsm.Entry, bool, error) {
	return func(index uint64) (fsm.Entry, bool, error) {
		var l raft.Log
		if err := v.GetLog(index, &l); err != nil || l.Type != raft.LogCommand {
			return fsm.Entry{}, false, err
		}
		e, err := fsm.DecodeEntry(l.Data)
		return e, true, err
	}
}
