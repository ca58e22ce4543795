package cdr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"tandem/fsm"
)

// Buckets of a day file. Index keys are text, NUL, sequence; their values are
// empty. Sequences are big endian, so cursors run in order.
var (
	bucketCDR      = []byte("cdr")
	bucketAccount  = []byte("cdr.account")
	bucketNumber   = []byte("cdr.number")
	bucketGateway  = []byte("cdr.gateway")
	bucketTransfer = []byte("transfer")
	bucketLedger   = []byte("transfer.account")
)

// lockWait is how long opening a day file waits for another process's lock.
const lockWait = 2 * time.Second

// maxOpenDays bounds the day files held open: writers use the newest, queries
// walk older ones.
const maxOpenDays = 8

// days is the set of day files.
type days struct {
	dir string

	mu        sync.Mutex // the fields below; never held across a file write
	names     []string   // oldest first
	open      map[string]*bolt.DB
	order     []string // of open, least recently used first
	cdrs      spans
	transfers spans
	rows      map[string]Span // day -> CDR sequences in it
	moves     map[string]Span // day -> transfer sequences in it
	horizon   Horizon

	writing sync.Mutex // one writer: the Run loop or Fill
}

func openDays(dir string) (*days, error) {
	names, err := dayFiles(dir)
	if err != nil {
		return nil, err
	}
	d := &days{dir: dir, names: names, open: map[string]*bolt.DB{}, rows: map[string]Span{}, moves: map[string]Span{}}
	for _, day := range names {
		if err := d.scan(day); err != nil {
			return nil, errors.Join(fmt.Errorf("cdr day %s: %w", day, err), d.close())
		}
	}
	return d, nil
}

// scan reads which sequences a day holds.
func (d *days) scan(day string) error {
	db, err := d.db(day)
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, r := range keySpans(tx.Bucket(bucketCDR)) {
			d.cdrs.add(r)
			note(d.rows, day, r)
		}
		for _, r := range keySpans(tx.Bucket(bucketTransfer)) {
			d.transfers.add(r)
			note(d.moves, day, r)
		}
		return nil
	})
}

// note widens the range of sequences that a day is known to hold.
func note(known map[string]Span, day string, r Span) {
	if have, ok := known[day]; ok {
		r.First, r.Last = min(r.First, have.First), max(r.Last, have.Last)
	}
	known[day] = r
}

// keySpans reads the ranges of a bucket's keys. A bucket without a hole, which
// is nearly every one, is told by its ends and its count.
func keySpans(b *bolt.Bucket) spans {
	c := b.Cursor()
	k, _ := c.First()
	if k == nil {
		return nil
	}
	first := binary.BigEndian.Uint64(k)
	k, _ = c.Last()
	last := binary.BigEndian.Uint64(k)
	if uint64(b.Stats().KeyN) == last-first+1 {
		return spans{{first, last}}
	}
	var out spans
	for k, _ = c.First(); k != nil; k, _ = c.Next() {
		n := binary.BigEndian.Uint64(k)
		out.add(Span{n, n})
	}
	return out
}

// db returns a day's file, opened on demand and made when it is not there.
func (d *days) db(day string) (*bolt.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.get(day)
}

// errDeleted: a day was deleted after it was listed.
var errDeleted = errors.New("day deleted")

// listed is db for a reader, who makes no file.
func (d *days) listed(day string) (*bolt.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.names, day) {
		return nil, errDeleted
	}
	return d.get(day)
}

// get is db with d.mu held.
func (d *days) get(day string) (*bolt.DB, error) {
	if db := d.open[day]; db != nil {
		d.use(day)
		return db, nil
	}
	db, err := bolt.Open(dayPath(d.dir, day), 0o640, &bolt.Options{
		Timeout: lockWait, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
	})
	if err != nil {
		return nil, fmt.Errorf("open cdr day %s: %w", day, err)
	}
	if err := prepare(db); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare cdr day %s: %w", day, err), db.Close())
	}
	d.addName(day)
	d.open[day] = db
	d.use(day)
	return db, d.evict()
}

// prepare makes the buckets of a new file.
func prepare(db *bolt.DB) error {
	ready := false
	err := db.View(func(tx *bolt.Tx) error {
		ready = tx.Bucket(bucketLedger) != nil
		return nil
	})
	if err != nil || ready {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{bucketCDR, bucketAccount, bucketNumber, bucketGateway, bucketTransfer, bucketLedger} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *days) addName(day string) {
	for i, n := range d.names {
		if n == day {
			return
		}
		if n > day {
			d.names = append(d.names[:i:i], append([]string{day}, d.names[i:]...)...)
			return
		}
	}
	d.names = append(d.names, day)
}

// use moves day to the end of the order.
func (d *days) use(day string) {
	for i, n := range d.order {
		if n == day {
			d.order = append(d.order[:i], d.order[i+1:]...)
			break
		}
	}
	d.order = append(d.order, day)
}

// evict closes the file that was not used for longest. bbolt waits for its open
// transactions, which are short.
func (d *days) evict() error {
	if len(d.order) <= maxOpenDays {
		return nil
	}
	day := d.order[0]
	d.order = d.order[1:]
	db := d.open[day]
	delete(d.open, day)
	return db.Close()
}

// write stores the rows of b that are not there yet, one transaction a day.
func (d *days) write(b *batch) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	byDay := map[string]*batch{}
	part := func(t fsm.Time) *batch {
		day := dayOf(t)
		if byDay[day] == nil {
			byDay[day] = &batch{}
		}
		return byDay[day]
	}
	d.mu.Lock()
	for i := range b.cdrs {
		if r := &b.cdrs[i]; r.Seq >= d.horizon.CDR && !d.cdrs.has(r.Seq) {
			p := part(r.Ended)
			p.cdrs = append(p.cdrs, *r)
		}
	}
	for i := range b.transfers {
		if r := &b.transfers[i]; r.Seq >= d.horizon.Transfer && !d.transfers.has(r.Seq) {
			p := part(r.At)
			p.transfers = append(p.transfers, *r)
		}
	}
	d.mu.Unlock()
	for day, p := range byDay {
		if err := d.writeDay(day, p); err != nil {
			return fmt.Errorf("write cdr day %s: %w", day, err)
		}
	}
	return nil
}

func (d *days) writeDay(day string, b *batch) error {
	db, err := d.db(day)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for i := range b.cdrs {
			if err := putCDR(tx, &b.cdrs[i]); err != nil {
				return err
			}
		}
		for i := range b.transfers {
			if err := putTransfer(tx, &b.transfers[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range b.cdrs {
		r := Span{b.cdrs[i].Seq, b.cdrs[i].Seq}
		d.cdrs.add(r)
		note(d.rows, day, r)
	}
	for i := range b.transfers {
		r := Span{b.transfers[i].Seq, b.transfers[i].Seq}
		d.transfers.add(r)
		note(d.moves, day, r)
	}
	return nil
}

func putCDR(tx *bolt.Tx, r *fsm.CDR) error {
	cdrs := tx.Bucket(bucketCDR)
	cdrs.FillPercent = 0.95
	if err := cdrs.Put(seqKey(r.Seq), fsm.AppendCDR(nil, r)); err != nil {
		return err
	}
	err := errors.Join(
		index(tx, bucketAccount, r.Account, r.Seq),
		index(tx, bucketNumber, r.Caller, r.Seq),
		index(tx, bucketGateway, r.Ingress, r.Seq),
	)
	if r.Callee != r.Caller {
		err = errors.Join(err, index(tx, bucketNumber, r.Callee, r.Seq))
	}
	if r.Vendor != r.Account {
		err = errors.Join(err, index(tx, bucketAccount, r.Vendor, r.Seq))
	}
	if r.Egress != r.Ingress {
		err = errors.Join(err, index(tx, bucketGateway, r.Egress, r.Seq))
	}
	return err
}

func putTransfer(tx *bolt.Tx, r *fsm.Transfer) error {
	return errors.Join(
		tx.Bucket(bucketTransfer).Put(seqKey(r.Seq), fsm.AppendTransfer(nil, r)),
		index(tx, bucketLedger, r.Debit, r.Seq),
		index(tx, bucketLedger, r.Credit, r.Seq),
	)
}

// index adds one entry of a text index; empty text is not indexed.
func index(tx *bolt.Tx, bucket []byte, text string, seq uint64) error {
	if text == "" {
		return nil
	}
	return tx.Bucket(bucket).Put(indexKey(text, seq), nil)
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func indexKey(text string, seq uint64) []byte {
	k := make([]byte, 0, len(text)+9)
	k = append(append(k, text...), 0)
	return binary.BigEndian.AppendUint64(k, seq)
}

func (d *days) missing(lastCDR, lastTransfer uint64) (cdrs, transfers []Span) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cdrs.gaps(d.horizon.CDR, lastCDR), d.transfers.gaps(d.horizon.Transfer, lastTransfer)
}

func (d *days) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	for _, db := range d.open {
		err = errors.Join(err, db.Close())
	}
	d.open, d.order = map[string]*bolt.DB{}, nil
	return err
}
