package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tandem/chaos"
)

// errNobody: a fault asks for a leader or a follower while there is none.
var errNobody = errors.New("nobody has that role")

// strike lets one fault happen and returns what ends it.
func (w *World) strike(f chaos.Fault) (undo func(), err error) {
	groups := make([][]*Machine, len(f.Groups))
	for i, names := range f.Groups {
		if groups[i], err = w.find(names); err != nil {
			return nil, err
		}
	}
	switch hit := groups[0]; f.Kind {
	case chaos.Kill, chaos.Restart, chaos.Power, chaos.Vanish, chaos.Pause, chaos.Suspend, chaos.Transfer, chaos.Clock, chaos.Drift:
		return each(hit, func(m *Machine) func() { return w.strikeProgram(f, m) }), nil
	case chaos.SlowDisk, chaos.HangDisk, chaos.FailDisk:
		return each(hit, func(m *Machine) func() { return strikeDisk(f, m.Disk) }), nil
	case chaos.Partition, chaos.Cut:
		return w.strikeReach(f, groups), nil
	case chaos.Loss, chaos.Dup, chaos.Reorder, chaos.Delay:
		return w.strikeLinks(f, hit), nil
	}
	return nil, fmt.Errorf("unknown kind %q", f.Kind)
}

// find returns the machines that names and roles mean just now.
func (w *World) find(names []string) ([]*Machine, error) {
	var found []*Machine
	for _, name := range names {
		lead := ""
		if w.Leader != nil && (name == chaos.Leader || name == chaos.Follower) {
			lead = w.Leader()
		}
		for _, m := range w.Machines {
			is := m.Host.Name()
			if is == name || name == chaos.All || name == chaos.Leader && is == lead ||
				name == chaos.Follower && is != lead && len(found) == 0 && m.Life() != nil {
				found = append(found, m)
			}
		}
		if len(found) == 0 && name != chaos.Leader && name != chaos.Follower {
			return nil, fmt.Errorf("no machine is called %q", name)
		}
	}
	if len(found) == 0 {
		return nil, errNobody
	}
	return found, nil
}

// each strikes several machines; the undo ends all of it.
func each(hit []*Machine, strike func(*Machine) func()) func() {
	var undo []func()
	for _, m := range hit {
		undo = append(undo, strike(m))
	}
	return func() {
		for _, u := range undo {
			u()
		}
	}
}

func (w *World) strikeProgram(f chaos.Fault, m *Machine) (undo func()) {
	undo = m.Start
	switch f.Kind {
	case chaos.Kill:
		m.Kill()
	case chaos.Restart:
		m.Stop()
	case chaos.Power:
		m.PowerOff()
	case chaos.Vanish:
		m.Vanish()
	case chaos.Pause:
		undo = freeze(m, func(life *Life) {
			if f.For == 0 {
				life.Freeze()
				return
			}
			life.FreezeFor(f.For)
		})
	case chaos.Suspend:
		undo = freeze(m, func(*Life) { m.Host.Suspend(f.For) })
	case chaos.Transfer:
		if w.Transfer != nil {
			w.Transfer(m)
		}
		undo = func() {}
	case chaos.Clock:
		m.Host.SetClock(f.Size, 1)
		undo = func() { m.Host.SetClock(0, 1) }
	case chaos.Drift:
		m.Host.SetBootRate(1 + f.Size.Seconds())
		undo = func() { m.Host.SetBootRate(1) }
	}
	return undo
}

// freeze stops a program and its disk.
func freeze(m *Machine, stop func(*Life)) (undo func()) {
	life := m.Life()
	if life == nil {
		return func() {}
	}
	stop(life)
	m.Disk.Edit(func(d *DiskFaults) { d.Hang = true })
	return func() {
		m.Disk.Edit(func(d *DiskFaults) { d.Hang = false })
		life.Thaw()
	}
}

func strikeDisk(f chaos.Fault, d *Disk) (undo func()) {
	switch f.Kind {
	case chaos.SlowDisk:
		d.Edit(func(d *DiskFaults) { d.StoreDelay += f.Size })
		return func() { d.Edit(func(d *DiskFaults) { d.StoreDelay -= f.Size }) }
	case chaos.HangDisk:
		d.Edit(func(d *DiskFaults) { d.Hang = true })
		return func() { d.Edit(func(d *DiskFaults) { d.Hang = false }) }
	}
	d.Edit(func(d *DiskFaults) { d.FailStore = 1 })
	return func() {}
}

// strikeReach cuts groups apart, or one host's way to another. Who is in two
// groups is a bridge: it and its company still see each other.
func (w *World) strikeReach(f chaos.Fault, groups [][]*Machine) (undo func()) {
	set := func(cut bool) {
		for i, from := range groups {
			for j, to := range groups {
				if i == j || f.Kind == chaos.Cut && i > j {
					continue
				}
				for _, src := range from {
					for _, dst := range to {
						if slices.Contains(from, dst) || slices.Contains(to, src) {
							continue
						}
						w.Net.EditLink(src.Host, dst.Host, func(l *Link) { l.Cut = cut })
					}
				}
			}
		}
	}
	set(true)
	return func() { set(false) }
}

// strikeLinks worsens all links from and to the machines.
func (w *World) strikeLinks(f chaos.Fault, hit []*Machine) (undo func()) {
	edit := func(sign int) {
		for _, src := range w.Machines {
			for _, dst := range w.Machines {
				if src == dst || !slices.Contains(hit, src) && !slices.Contains(hit, dst) {
					continue
				}
				w.Net.EditLink(src.Host, dst.Host, func(l *Link) {
					switch f.Kind {
					case chaos.Loss:
						l.Loss += float64(sign) * f.Chance
					case chaos.Dup:
						l.Dup += float64(sign) * f.Chance
					case chaos.Reorder:
						l.Reorder += float64(sign) * f.Chance
					case chaos.Delay:
						l.Delay += f.Size * time.Duration(sign)
					}
				})
			}
		}
	}
	edit(+1)
	return func() { edit(-1) }
}
