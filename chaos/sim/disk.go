package sim

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Disk is what of a node survives its death: raft's log, stable store and
// snapshots. A life of the node works on a [Volume] from Open; Crash cuts it
// off, so that the goroutines of a dead node cannot write to the disk of its
// successor.
type Disk struct {
	mu      sync.Mutex
	changed *sync.Cond // faults or volume
	durable *image     // what a power cut leaves
	visible *image     // what the node reads: durable and the writes of tail
	tail    []write
	volume  *Volume // of the present life
	faults  DiskFaults
}

// DiskFaults is how a disk misbehaves; the zero value is a perfect one.
type DiskFaults struct {
	SyncLag    time.Duration // a lying fsync: a write becomes durable so long after it was acknowledged
	StoreDelay time.Duration // StoreLogs takes so long
	Hang       bool          // nothing returns until it is false again
	FailStore  int           // so many calls of StoreLogs fail; -1: all
}

// write is a change of both images.
type write struct {
	due time.Time // when it is durable
	do  func(*image)
}

// ErrDisk is what a failing StoreLogs returns.
var ErrDisk = errors.New("sim disk: input/output error")

// errNotFound has the text that raft looks for in a missing key.
var errNotFound = errors.New("not found")

// NewDisk returns an empty disk. Like all else it is made inside the bubble.
func NewDisk() *Disk {
	d := &Disk{durable: newImage(), visible: newImage()}
	d.changed = sync.NewCond(&d.mu)
	return d
}

// Set replaces the faults in force.
func (d *Disk) Set(f DiskFaults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
	d.changed.Broadcast()
}

// Edit changes the faults in force.
func (d *Disk) Edit(change func(*DiskFaults)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.faults)
	d.changed.Broadcast()
}

// Open gives a new life of the node its disk, and takes it from the last one.
func (d *Disk) Open() *Volume {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.volume = &Volume{d}
	d.changed.Broadcast()
	return d.volume
}

// Copy returns another disk with what the node reads now, as if its data
// directory had been copied.
func (d *Disk) Copy() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := NewDisk()
	c.durable, c.visible = d.visible.clone(), d.visible.clone()
	return c
}

// Crash is a power cut: the present life loses the disk, and the disk all that
// was not durable. It returns how many writes are lost.
func (d *Disk) Crash() (lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle()
	lost = len(d.tail)
	d.tail, d.visible = nil, d.durable.clone()
	d.volume = nil
	d.changed.Broadcast()
	return lost
}

// Kill is the death of the process alone: the kernel still writes what it has.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.volume = nil
	d.changed.Broadcast()
}

// settle makes durable what is due.
func (d *Disk) settle() {
	now := time.Now()
	for len(d.tail) > 0 && !d.tail[0].due.After(now) {
		d.tail[0].do(d.durable)
		d.tail = d.tail[1:]
	}
}

// image is the content of a disk. Logs and values in it are never changed.
type image struct {
	logs      map[uint64]raft.Log
	low, high uint64
	values    map[string][]byte
	numbers   map[string]uint64
	snapshots []snapshot // newest first
}

func newImage() *image {
	return &image{logs: map[uint64]raft.Log{}, values: map[string][]byte{}, numbers: map[string]uint64{}}
}

func (i *image) clone() *image {
	return &image{maps.Clone(i.logs), i.low, i.high, maps.Clone(i.values), maps.Clone(i.numbers), slices.Clone(i.snapshots)}
}

func (i *image) store(logs []raft.Log) {
	for _, l := range logs {
		i.logs[l.Index] = l
		i.high = max(i.high, l.Index)
		if i.low == 0 || l.Index < i.low {
			i.low = l.Index
		}
	}
}

func (i *image) remove(low, high uint64) {
	maps.DeleteFunc(i.logs, func(index uint64, _ raft.Log) bool { return low <= index && index <= high })
	i.low, i.high = 0, 0
	for index := range i.logs {
		i.high = max(i.high, index)
		if i.low == 0 || index < i.low {
			i.low = index
		}
	}
}

// Volume is one life's view of a Disk. It is a raft.LogStore and a
// raft.StableStore; Snapshots is its raft.SnapshotStore.
type Volume struct{ d *Disk }

var (
	_ raft.LogStore    = (*Volume)(nil)
	_ raft.StableStore = (*Volume)(nil)
)

// change writes. The writes of a dead node must neither land nor fail: raft
// panics when its stable store does.
func (v *Volume) change(do func(*image)) error {
	d := v.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.faults.Hang && d.volume == v {
		d.changed.Wait()
	}
	if d.volume != v {
		return nil
	}
	do(d.visible)
	d.tail = append(d.tail, write{time.Now().Add(d.faults.SyncLag), do})
	d.settle()
	return nil
}

// read gives f what this life sees.
func (v *Volume) read(f func(*image)) {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	f(v.d.visible)
}

// StoreLog implements raft.LogStore.
func (v *Volume) StoreLog(l *raft.Log) error { return v.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (v *Volume) StoreLogs(logs []*raft.Log) error {
	entries := make([]raft.Log, len(logs))
	for i, l := range logs {
		entries[i] = *l
		entries[i].Data, entries[i].Extensions = slices.Clone(l.Data), slices.Clone(l.Extensions)
	}
	delay, err := v.trouble()
	if delay > 0 {
		time.Sleep(delay)
	}
	if err != nil {
		return err
	}
	return v.change(func(i *image) { i.store(entries) })
}

// trouble says what awaits the next StoreLogs.
func (v *Volume) trouble() (time.Duration, error) {
	d := v.d
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &d.faults
	if d.volume != v || f.FailStore == 0 {
		return f.StoreDelay, nil
	}
	if f.FailStore > 0 {
		f.FailStore--
	}
	return f.StoreDelay, ErrDisk
}

// DeleteRange implements raft.LogStore.
func (v *Volume) DeleteRange(low, high uint64) error {
	return v.change(func(i *image) { i.remove(low, high) })
}

// FirstIndex implements raft.LogStore.
func (v *Volume) FirstIndex() (index uint64, err error) {
	v.read(func(i *image) { index = i.low })
	return index, nil
}

// LastIndex implements raft.LogStore.
func (v *Volume) LastIndex() (index uint64, err error) {
	v.read(func(i *image) { index = i.high })
	return index, nil
}

// GetLog implements raft.LogStore.
func (v *Volume) GetLog(index uint64, l *raft.Log) error {
	found := false
	v.read(func(i *image) { *l, found = i.logs[index] })
	if !found {
		return raft.ErrLogNotFound
	}
	return nil
}

// Set implements raft.StableStore.
func (v *Volume) Set(key, value []byte) error {
	k, b := string(key), slices.Clone(value)
	return v.change(func(i *image) { i.values[k] = b })
}

// Get implements raft.StableStore.
func (v *Volume) Get(key []byte) (value []byte, err error) {
	found := false
	v.read(func(i *image) { value, found = i.values[string(key)] })
	if !found {
		return nil, errNotFound
	}
	return slices.Clone(value), nil
}

// SetUint64 implements raft.StableStore.
func (v *Volume) SetUint64(key []byte, value uint64) error {
	k := string(key)
	return v.change(func(i *image) { i.numbers[k] = value })
}

// GetUint64 implements raft.StableStore.
func (v *Volume) GetUint64(key []byte) (value uint64, err error) {
	found := false
	v.read(func(i *image) { value, found = i.numbers[string(key)] })
	if !found {
		return 0, errNotFound
	}
	return value, nil
}
