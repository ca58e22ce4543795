// Package live applies the faults of package chaos to real processes: signals,
// restarts, and packet filters between loopback addresses.
//
// It owns what it has broken and heals all of it: when a fault is over, when Run
// returns for whatever reason, and, by a guardian process, when the tool itself has
// died or a deadline has passed. It starts nothing by itself and knows nothing of
// calls: nodes come in as values whose functions do the work.
//
//	d := live.New(live.Config{Nodes: nodes, Leader: leader, Safety: safety})
//	struck, err := d.Run(ctx, schedule)
package live

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"tandem/chaos"
)

// Node is a process of the cluster that is tried.
type Node struct {
	Name  string
	IP    netip.Addr                  // of its cluster port
	PID   func() int                  // 0: it does not run
	Kill  func() error                // SIGKILL; returns when it is gone
	Stop  func(context.Context) error // in good order; returns when it is gone
	Start func() error
}

// Config says what to strike.
type Config struct {
	Nodes []Node
	// Leader names the node that leads, empty for none.
	Leader func(context.Context) string
	// Transfer has a node hand leadership over. Nil: the fault is refused.
	Transfer func(ctx context.Context, node string) error
	// Notify hears of each fault when it strikes and when it ends. May be nil.
	Notify func(f chaos.Fault, over bool)
	// Safety outlives the driver; nil: nobody heals when the tool dies.
	Safety *Safety
}

// Driver strikes and heals.
type Driver struct {
	cfg   Config
	begin time.Time

	mu     sync.Mutex // guards what follows
	undo   map[int]func() error
	next   int
	struck []chaos.Struck
	cuts   map[cut]int // how many faults hold each cut
}

// kinds are those that can be applied to processes.
var kinds = []chaos.Kind{chaos.Kill, chaos.Restart, chaos.Pause, chaos.Partition, chaos.Cut, chaos.Loss, chaos.Transfer}

// Possible reports the first fault of a schedule that cannot be applied here.
func Possible(s chaos.Schedule) error {
	for _, f := range s {
		if !slices.Contains(kinds, f.Kind) {
			return fmt.Errorf("%v: only the simulator can do %s", f, f.Kind)
		}
		if (f.Kind == chaos.Partition || f.Kind == chaos.Cut || f.Kind == chaos.Loss) && !canFilter() {
			return fmt.Errorf("%v: needs the program nft, and root", f)
		}
	}
	return nil
}

// New makes a driver that has broken nothing yet.
func New(cfg Config) *Driver {
	if cfg.Notify == nil {
		cfg.Notify = func(chaos.Fault, bool) {}
	}
	return &Driver{cfg: cfg, undo: map[int]func() error{}, cuts: map[cut]int{}}
}

// Run applies a schedule and returns when its last fault is over, or ctx is. It
// leaves nothing broken. What struck is told with the names that roles had then.
func (d *Driver) Run(ctx context.Context, s chaos.Schedule) (struck []chaos.Struck, err error) {
	if err := Possible(s); err != nil {
		return nil, err
	}
	d.begin = time.Now()
	var all sync.WaitGroup
	errs := make(chan error, len(s)) // one for each fault
	for _, f := range s {
		if !sleep(ctx, time.Until(d.begin.Add(f.At))) {
			break
		}
		all.Go(func() { errs <- d.strike(ctx, f) })
	}
	all.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	err = errors.Join(err, d.Heal())
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.struck, errors.Join(err, ctx.Err())
}

// strike lets one fault happen, waits for its end, and undoes it.
func (d *Driver) strike(ctx context.Context, f chaos.Fault) error {
	f, nodes, err := d.named(ctx, f)
	if err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	from := time.Since(d.begin)
	d.cfg.Notify(f, false)
	undo, err := d.apply(ctx, f, nodes)
	if err != nil {
		return errors.Join(fmt.Errorf("%v: %w", f, err), undo())
	}
	id := d.remember(undo)
	if f.For > 0 {
		sleep(ctx, f.For)
		err = d.end(id)
	}
	d.mu.Lock()
	d.struck = append(d.struck, chaos.Struck{Fault: f, From: from, To: time.Since(d.begin)})
	d.mu.Unlock()
	d.cfg.Notify(f, true)
	return err
}

// named replaces roles by the nodes that have them just now.
func (d *Driver) named(ctx context.Context, f chaos.Fault) (chaos.Fault, [][]Node, error) {
	lead := d.cfg.Leader(ctx)
	groups, nodes := make([][]string, len(f.Groups)), make([][]Node, len(f.Groups))
	for i, group := range f.Groups {
		for _, want := range group {
			found := 0
			for _, n := range d.cfg.Nodes {
				follower := want == chaos.Follower && n.Name != lead && found == 0 && n.PID() != 0
				if n.Name == want || want == chaos.All || want == chaos.Leader && n.Name == lead || follower {
					groups[i], nodes[i] = append(groups[i], n.Name), append(nodes[i], n)
					found++
				}
			}
			if found == 0 {
				return f, nil, fmt.Errorf("nobody is %q", want)
			}
		}
	}
	f.Groups = groups
	return f, nodes, nil
}

// apply breaks something and returns what mends it, also of a part.
func (d *Driver) apply(ctx context.Context, f chaos.Fault, groups [][]Node) (undo func() error, err error) {
	switch f.Kind {
	case chaos.Kill:
		return each(groups[0], func(n Node) (func() error, error) { return n.Start, n.Kill() })
	case chaos.Restart:
		return each(groups[0], func(n Node) (func() error, error) { return n.Start, n.Stop(ctx) })
	case chaos.Pause:
		return each(groups[0], d.pause)
	case chaos.Transfer:
		if d.cfg.Transfer == nil {
			return nothing, errors.New("this cluster cannot hand leadership over")
		}
		return nothing, d.cfg.Transfer(ctx, groups[0][0].Name)
	}
	return d.filter(cutsOf(f, groups))
}

func nothing() error { return nil }

// each strikes several nodes; what it returns mends all that were struck.
func each(nodes []Node, strike func(Node) (func() error, error)) (func() error, error) {
	var undo []func() error
	var failed error
	for _, n := range nodes {
		mend, err := strike(n)
		if err != nil {
			failed = fmt.Errorf("%s: %w", n.Name, err)
			break
		}
		undo = append(undo, mend)
	}
	return func() (err error) {
		for _, mend := range undo {
			err = errors.Join(err, mend())
		}
		return err
	}, failed
}

// pause stops a process where it is.
func (d *Driver) pause(n Node) (func() error, error) {
	pid := n.PID()
	if pid == 0 {
		return nothing, errors.New("does not run")
	}
	if err := d.cfg.Safety.paused(pid); err != nil {
		return nothing, err
	}
	return func() error { return resume(pid) }, syscall.Kill(pid, syscall.SIGSTOP)
}

// resume lets a stopped process go on; one that is gone needs nothing.
func resume(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("continue process %d: %w", pid, err)
	}
	return nil
}

// remember keeps what mends a fault until it is over.
func (d *Driver) remember(undo func() error) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	d.undo[d.next] = undo
	return d.next
}

// end mends one fault, once.
func (d *Driver) end(id int) error {
	d.mu.Lock()
	undo := d.undo[id]
	delete(d.undo, id)
	d.mu.Unlock()
	if undo == nil {
		return nil
	}
	return undo()
}

// Heal mends everything that is still broken.
func (d *Driver) Heal() (err error) {
	d.mu.Lock()
	ids := make([]int, 0, len(d.undo))
	for id := range d.undo {
		ids = append(ids, id)
	}
	d.mu.Unlock()
	slices.Sort(ids)
	for _, id := range ids {
		err = errors.Join(err, d.end(id))
	}
	return err
}

// sleep reports whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
