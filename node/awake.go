package node

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// wakeEvery is how often a process that runs says so to itself, and wakeGap is
	// the pause between two of these that only a sleep explains.
	wakeEvery = 50 * time.Millisecond
	wakeGap   = 400 * time.Millisecond
	// wakeDeaf is how long what sockets give after a sleep may have come during it:
	// longer than reading them empty takes.
	wakeDeaf = 250 * time.Millisecond
)

// awake knows whether the process was stopped a moment ago, by SIGSTOP or with its
// machine. Datagrams that came meanwhile lie in its sockets, but their senders may
// have turned to the heir of its addresses since: without a lease it must not even
// refuse them.
type awake struct {
	boot func() time.Duration
	seen atomic.Int64 // nanoseconds of the boot clock when the process last ran
	deaf atomic.Int64 // until then sockets may give what is old
}

// run keeps looking at the clock until ctx ends.
func (a *awake) run(ctx context.Context) error {
	t := time.NewTicker(wakeEvery)
	defer t.Stop()
	for {
		a.look()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// look notes that the process runs, and whether it has just woken up.
func (a *awake) look() {
	now := a.boot()
	if time.Duration(a.seen.Load())+wakeGap < now {
		a.deaf.Store(int64(now + wakeDeaf))
	}
	a.seen.Store(int64(now))
}

// fresh says that what sockets give now came a moment ago. Whoever asks before the
// loop has run after a sleep finds that out here.
func (a *awake) fresh() bool {
	now := a.boot()
	return now <= time.Duration(a.seen.Load())+wakeGap && now >= time.Duration(a.deaf.Load())
}
