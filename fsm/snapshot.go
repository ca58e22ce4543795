package fsm

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"

	"tandem/chaos/plant"
	"tandem/fsm/wire"
)

// snapshotVersion is the layout of the records in a snapshot.
const snapshotVersion = 1

// ErrSnapshot: a stream that is no complete snapshot.
var ErrSnapshot = errors.New("not a complete snapshot")

// View is the state as it was at one index. It never changes, and may be read
// beside Apply; it has to be released.
type View struct {
	index    uint64
	head     header
	tables   []frozenTable
	released chan struct{} // takes one value, of who releases it first
}

// frozenTable is a table of a view.
type frozenTable interface {
	write(*wire.Writer) error
	sums(*hasher) (full, kept sum128)
}

// tableView is a table as it was, in layers that do not change any more.
type tableView[K comparable, V any] struct {
	shape[K, V]
	seed   maphash.Seed
	layers []layer[K, V]
	count  int
	sum    sum128
	dirty  []K
}

// Snapshot returns a view of the state in microseconds, whatever its size. While
// one is open, what Apply changes is kept twice.
func (s *State) Snapshot() *View {
	s.tidy()
	v := &View{index: s.index, head: s.head, released: make(chan struct{}, 1)}
	for _, t := range s.tables {
		v.tables = append(v.tables, t.freeze())
	}
	s.views = append(s.views, v)
	return v
}

// Index returns the index of the last entry that the view has seen.
func (v *View) Index() uint64 { return v.index }

// At returns the log time of the view.
func (v *View) At() Time { return v.head.At }

// Release lets go of a view; nobody may read it any more. It may be called from
// any goroutine, and again.
func (v *View) Release() {
	select {
	case v.released <- struct{}{}:
	default:
	}
}

// isReleased is asked by the state's goroutine.
func (v *View) isReleased() bool {
	select {
	case <-v.released: // all reads of the view happened before
		return true
	default:
		return false
	}
}

// WriteTo writes the view as frames with a checksum each: the header, the
// records of all tables in order of their keys, and an end. Equal states write
// equal bytes. It implements [io.WriterTo].
func (v *View) WriteTo(w io.Writer) (int64, error) {
	counted := &countingWriter{w: w}
	frames := wire.NewWriter(counted)
	c := wire.Encoder(nil)
	c.Uint(&v.index)
	head := v.head
	head.fields(c)
	if err := frames.WriteFrame(snapshotVersion, uint8(recordHeader), c.Buffer()); err != nil {
		return counted.n, fmt.Errorf("write snapshot: %w", err)
	}
	for _, t := range v.tables {
		if err := t.write(frames); err != nil {
			return counted.n, fmt.Errorf("write snapshot: %w", err)
		}
	}
	err := frames.WriteFrame(snapshotVersion, uint8(recordEnd), nil)
	if err == nil {
		err = frames.Flush()
	}
	if err != nil {
		return counted.n, fmt.Errorf("write snapshot: %w", err)
	}
	return counted.n, nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (t *tableView[K, V]) write(w *wire.Writer) error {
	c := wire.Encoder(nil)
	view := table[K, V]{seed: t.seed, layers: t.layers}
	for _, k := range keysOf(t.layers, t.count, t.order) {
		c.Reset(c.Buffer()[:0])
		t.encode(c, k, view.get(k))
		if err := w.WriteFrame(snapshotVersion, uint8(t.kind), c.Buffer()); err != nil {
			return err
		}
	}
	return nil
}

// encode appends a record's canonical bytes. Records are bounded where they
// enter the state, so one that is too long is a bug.
func (s *shape[K, V]) encode(c *wire.Codec, k K, v *V) {
	s.key(&k, c)
	s.value(v, c)
	if err := c.Err(); err != nil {
		panic(fmt.Sprintf("fsm: encode record %v of kind %d: %v", k, s.kind, err))
	}
}

// Restore reads a snapshot. Its state goes on as the one that wrote it.
func Restore(r io.Reader) (*State, error) {
	s := New(Config{})
	frames := wire.NewReader(r, snapshotVersion)
	if err := s.restoreHeader(frames); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	byKind := map[uint8]shelf{}
	for _, t := range s.tables {
		byKind[uint8(t.number())] = t
	}
	for {
		f, err := frames.Next()
		if errors.Is(err, io.EOF) {
			err = ErrSnapshot
		}
		if err != nil {
			return nil, fmt.Errorf("restore: %w", err)
		}
		if f.Kind == uint8(recordEnd) {
			break
		}
		t := byKind[f.Kind]
		if t == nil {
			return nil, fmt.Errorf("restore: record of kind %d: %w", f.Kind, ErrSnapshot)
		}
		if err := t.load(f.Payload); err != nil {
			return nil, fmt.Errorf("restore: record of kind %d: %w", f.Kind, err)
		}
	}
	if _, err := frames.Next(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("restore: bytes behind the end: %w", ErrSnapshot)
	}
	if err := s.verify(); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	s.reindex()
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	s.rehash()
	if plant.On(plant.TwiceCDR) && s.head.CDRs > 0 {
		s.head.CDRs--
	}
	return s, nil
}

// restoreHeader reads the first frame. A snapshot of a higher feature level is
// refused: this binary would apply the entries behind it wrongly (ARCHITECTURE.md, rule 10).
func (s *State) restoreHeader(frames *wire.Reader) error {
	f, err := frames.Next()
	if err != nil {
		return errors.Join(ErrSnapshot, err)
	}
	if f.Kind != uint8(recordHeader) {
		return fmt.Errorf("kind %d comes first: %w", f.Kind, ErrSnapshot)
	}
	c := wire.Decoder(f.Payload)
	c.Uint(&s.index)
	s.head.fields(c)
	if err := c.Finish(); err != nil {
		return err
	}
	if s.head.Level > Level {
		return fmt.Errorf("feature level %d, this program knows %d: %w", s.head.Level, Level, ErrSnapshot)
	}
	s.hasher.key = s.head.HashKey
	s.now = s.head.At
	return nil
}

// load adds a record of a snapshot. Keys ascend, so that no record is there
// twice.
func (t *table[K, V]) load(payload []byte) error {
	var k K
	var v V
	c := wire.Decoder(payload)
	t.key(&k, c)
	t.value(&v, c)
	if err := c.Finish(); err != nil {
		return err
	}
	if n := len(t.dirty); n > 0 && t.order(t.dirty[n-1], k) >= 0 {
		return fmt.Errorf("key %v out of order: %w", k, ErrSnapshot)
	}
	t.put(k, v)
	return nil
}

func (t *table[K, V]) number() recordKind { return t.kind }
