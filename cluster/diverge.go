package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// A node whose state differs from the others' may be the one that is right: the
// majority runs a newer program, and has a new error. So only nodes of one build
// judge each other, at least two must agree against one, and what the judged one
// gives up must not cost the quorum. Everything else is an alarm.

// clearer is a snapshot store that can forget all it has.
type clearer interface{ Clear() error }

// keyReinstall marks stores whose state is to be replaced; its value says how far
// that has come.
const (
	keyReinstall   = "tandem.reinstall"
	reinstallAsked = 1 // the stores still hold the wrong state
	reinstallBegun = 2 // they are empty, the others' state has not come yet
)

// minJudges is how many others must agree.
const minJudges = 2

// contradicted returns the newest checkpoint at which others of this build agree
// on another state than this node's, and the number of those who do. Those who
// share this node's state count for it.
func contradicted(own []Checkpoint, others [][]Checkpoint) (at Checkpoint, against int) {
	for _, k := range own {
		votes := map[[16]byte]int{}
		for _, checks := range others {
			for _, o := range checks {
				if o.Index == k.Index {
					votes[o.Hash]++
				}
			}
		}
		agree := votes[k.Hash]
		delete(votes, k.Hash)
		for _, n := range votes {
			against = max(against, n)
		}
		if against >= minJudges && against > agree+1 {
			return k, against
		}
		if len(votes) > 0 || agree > 0 {
			return Checkpoint{}, 0 // older checkpoints say nothing new
		}
	}
	return Checkpoint{}, 0
}

// judgeSelf steps down if the others agree that this node's state is wrong, once
// in a process.
func (c *Cluster) judgeSelf(ctx context.Context) {
	if c.cfg.Checkpoints == nil || c.cfg.Build == "" || c.diverged.Load() {
		return
	}
	var others [][]Checkpoint
	for _, s := range c.servers() {
		if rep, fresh := c.reports.fresh(string(s.ID)); fresh && string(s.ID) != c.cfg.ID && rep.Build == c.cfg.Build {
			others = append(others, rep.Checks)
		}
	}
	at, against := contradicted(c.cfg.Checkpoints(), others)
	if against == 0 {
		return
	}
	c.diverged.Store(true)
	c.log.Error("the others agree on another state than this node's", "index", at.Index, "others", against)
	if _, leads := c.sequencer.leads(); leads {
		brief, cancel := context.WithTimeout(ctx, transferTimeout)
		defer cancel()
		if err := c.Transfer(brief); err != nil {
			c.log.Warn("leadership not handed over", "err", err)
		}
	}
	if c.cfg.Keep != nil {
		if err := c.keep(ctx, fmt.Sprintf("state-%d-%s", at.Index, c.cfg.ID)); err != nil {
			c.log.Error("copy of the state not kept", "err", err)
		}
	}
	c.cfg.Notify(Event{Kind: EventDiverged, Node: c.cfg.ID, Text: fmt.Sprintf("%d others agree on another state at index %d", against, at.Index)})
}

// keep copies the state of this node's replica into a file.
func (c *Cluster) keep(ctx context.Context, name string) error {
	w, err := c.cfg.Keep(name)
	if err != nil {
		return err
	}
	_, err = c.Backup(ctx, w)
	return errors.Join(err, w.Close())
}

// Reinstall ends the process with ErrDiverged; its next one throws the state away
// and takes over that of the others. It is to be called after EventDiverged, when
// the node has handed over what it serves. It is refused with ErrQuorum if the
// others are too few without this node.
func (c *Cluster) Reinstall() error {
	if _, ok := c.cfg.Snapshots.(clearer); !ok {
		return errors.New("reinstall: these snapshots cannot be thrown away")
	}
	if err := c.removable(c.cfg.ID, true); err != nil {
		return fmt.Errorf("reinstall: %w", err)
	}
	if err := c.cfg.Stable.Set([]byte(keyReinstall), []byte{reinstallAsked}); err != nil {
		return fmt.Errorf("reinstall: %w", err)
	}
	c.fatal(ErrDiverged)
	return nil
}

// reinstall empties the stores if that was asked for: first the leader takes the
// vote away, which it refuses when it would cost the quorum; then the node goes
// on with what it has, and the next start asks again. Term and vote stay.
func (c *Cluster) reinstall() error {
	b, err := stableGet(c.cfg.Stable, keyReinstall)
	if err != nil {
		return fmt.Errorf("read reinstall: %w", err)
	}
	if len(b) == 0 || b[0] != reinstallAsked {
		c.theirs.Store(len(b) > 0)
		return nil
	}
	if err := c.readmit(); err != nil {
		c.log.Error("the state differs from the others' and is kept: it cannot be replaced now", "err", err)
		return nil
	}
	first, err := c.cfg.Log.FirstIndex()
	if err == nil && first > 0 {
		var last uint64
		if last, err = c.cfg.Log.LastIndex(); err == nil {
			err = c.cfg.Log.DeleteRange(first, last)
		}
	}
	if err == nil {
		err = c.cfg.Snapshots.(clearer).Clear()
	}
	if err == nil {
		err = c.cfg.Stable.Set([]byte(keyReinstall), []byte{reinstallBegun})
	}
	if err != nil {
		return fmt.Errorf("reinstall: %w", err)
	}
	c.theirs.Store(true)
	return nil
}

// receiving is called with the state that comes from another node. The first one
// after a reinstallation is kept beside the one that it replaces.
func (c *Cluster) receiving(in io.Reader) (io.Reader, func()) {
	if !c.theirs.Swap(false) {
		return in, func() {}
	}
	if err := c.cfg.Stable.Set([]byte(keyReinstall), nil); err != nil {
		c.log.Error("end of the reinstallation not stored", "err", err)
	}
	if c.cfg.Keep == nil {
		return in, func() {}
	}
	w, err := c.cfg.Keep("state-of-others")
	if err != nil {
		c.log.Error("copy of the others' state not kept", "err", err)
		return in, func() {}
	}
	return io.TeeReader(in, w), func() {
		if err := w.Close(); err != nil {
			c.log.Error("copy of the others' state not kept", "err", err)
		}
	}
}
