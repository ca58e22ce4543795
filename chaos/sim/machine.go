package sim

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tandem/chaos"
)

// Program is what runs on a machine: it serves until ctx ends and returns after
// its goroutines have. Its sockets come from life.Process, its stores from
// life.Volume. An error that it returns while it should serve is its crash.
type Program func(ctx context.Context, life *Life) error

// Life is one run of a program, from its start to its death.
type Life struct {
	*Process
	Volume *Volume
	Number int // 1 for the first

	stop context.CancelFunc
	over chan struct{} // closed when the program has returned
	err  error         // of the program or of its stop
}

// Machine is a host with a disk and a program.
type Machine struct {
	Host    *Host
	Disk    *Disk
	program Program

	mu    sync.Mutex // guards what follows
	lives []*Life
	on    bool // the last of lives runs
}

// World is a network of machines that faults can be applied to.
type World struct {
	Net      *Net
	Machines []*Machine
	// Leader names the machine that leads, empty for none. Transfer asks a
	// machine to hand leadership over. A schedule that needs them and does not
	// find them is an error.
	Leader   func() string
	Transfer func(m *Machine)
}

// Add puts a machine into the world. Its program starts with Start.
func (w *World) Add(name string, addr netip.Addr, program Program) *Machine {
	m := &Machine{Host: w.Net.Host(name, addr), Disk: NewDisk(), program: program}
	w.Machines = append(w.Machines, m)
	return m
}

// Close stops every machine and waits for the programs of all lives, also of
// the dead ones. It returns the errors of programs that ended by themselves.
func (w *World) Close() (crashes []error) {
	for _, m := range w.Machines {
		if life := m.Life(); life != nil {
			life.Thaw()
			m.Disk.Edit(func(f *DiskFaults) { *f = DiskFaults{} })
		}
	}
	for _, m := range w.Machines {
		m.Stop()
	}
	for _, m := range w.Machines {
		for _, life := range m.all() {
			<-life.over
			if life.err != nil {
				crashes = append(crashes, fmt.Errorf("%s, life %d: %w", m.Host.Name(), life.Number, life.err))
			}
		}
	}
	return crashes
}

// Start begins a life of the program, if none is running.
func (m *Machine) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.on {
		return
	}
	m.Host.Boot()
	ctx, stop := context.WithCancel(context.Background())
	life := &Life{
		Process: m.Host.Start(), Volume: m.Disk.Open(), Number: len(m.lives) + 1,
		stop: stop, over: make(chan struct{}),
	}
	m.lives, m.on = append(m.lives, life), true
	go func() {
		defer close(life.over)
		if err := m.program(ctx, life); ctx.Err() == nil {
			life.err = err
			m.crashed(life)
		}
	}()
}

// crashed takes a life out of service whose program has ended by itself.
func (m *Machine) crashed(life *Life) {
	if m.Life() == life {
		m.Kill()
	}
}

// Life returns the life that is running, nil if none is.
func (m *Machine) Life() *Life {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.on {
		return nil
	}
	return m.lives[len(m.lives)-1]
}

func (m *Machine) all() []*Life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.lives)
}

// end takes the running life out of service by its last act; a dead program
// still gets to know, so that its goroutines end.
func (m *Machine) end(die func(*Life)) *Life {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.on {
		return nil
	}
	m.on = false
	life := m.lives[len(m.lives)-1]
	die(life)
	life.stop()
	return life
}

// Stop ends the program in good order and waits for it.
func (m *Machine) Stop() {
	if life := m.end(func(*Life) {}); life != nil {
		<-life.over
		if n := life.open(); n > 0 && life.err == nil {
			life.err = fmt.Errorf("stopped and left %d sockets open", n)
		}
		life.Kill()
		m.Disk.Kill()
	}
}

// Kill is kill -9 of the program.
func (m *Machine) Kill() { m.end(func(life *Life) { m.Disk.Kill(); life.Kill() }) }

// Vanish cuts the machine off for good, with all that runs on it.
func (m *Machine) Vanish() { m.end(func(*Life) { m.Disk.Kill(); m.Host.Vanish() }) }

// PowerOff ends the machine at once; what its disk had not synced is lost.
func (m *Machine) PowerOff() { m.end(func(*Life) { m.Disk.Crash(); m.Host.Vanish() }) }

// Run applies a schedule: each fault at its time, and its end after its For. It
// returns when the last one has ended, or ctx has.
func (w *World) Run(ctx context.Context, s chaos.Schedule) error {
	start := time.Now()
	var endings sync.WaitGroup
	defer endings.Wait()
	for _, f := range s {
		if !sleep(ctx, time.Until(start.Add(f.At))) {
			return ctx.Err()
		}
		undo, err := w.strike(f)
		if err != nil {
			return fmt.Errorf("%v: %w", f, err)
		}
		if f.For > 0 {
			endings.Go(func() {
				sleep(ctx, f.For)
				undo()
			})
		}
	}
	return nil
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
