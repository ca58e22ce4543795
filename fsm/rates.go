package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tandem/billing"
	"tandem/fsm/number"
	"tandem/fsm/wire"
)

// Bounds of a price: with them no honest sum leaves the range of an amount.
const (
	maxPrice      = billing.Price(1_000_000_000_000_000) // a million a minute
	maxConnectFee = 1_000_000 * billing.Unit
	maxChunks     = 1 << 16
)

// versionKey names a version of a rate table.
type versionKey struct {
	Table   string
	Version uint64
}

func (k versionKey) compare(o versionKey) int {
	return cmp.Or(strings.Compare(k.Table, o.Table), cmp.Compare(k.Version, o.Version))
}

// chunkKey names a chunk of a version.
type chunkKey struct {
	versionKey
	Chunk uint32
}

func (k chunkKey) compare(o chunkKey) int {
	return cmp.Or(k.versionKey.compare(o.versionKey), cmp.Compare(k.Chunk, o.Chunk))
}

// rateVersion is how far the import of a version is.
type rateVersion struct {
	Began  uint64 // index of its first chunk: tells it from an older one of the same number
	Chunks uint32
	Rows   uint32
	Last   string // prefix of the last row
}

// rateChunk is immutable: what is built from it stays right.
type rateChunk struct{ Rows []RateRow }

func (k *versionKey) fields(c *wire.Codec) {
	name(c, &k.Table)
	c.Uint(&k.Version)
}

func (k *chunkKey) fields(c *wire.Codec) {
	k.versionKey.fields(c)
	c.U32(&k.Chunk)
}

func (v *rateVersion) fields(c *wire.Codec) {
	c.Uint(&v.Began)
	c.U32(&v.Chunks)
	c.U32(&v.Rows)
	digits(c, &v.Last)
}

func (k *rateChunk) fields(c *wire.Codec) {
	wire.Slice(c, &k.Rows, maxRows, each)
	if c.Decoding() {
		k.Rows = packed(k.Rows)
	}
}

// packed returns the rows with all their texts in one: millions of prefixes would
// keep the garbage collector busy. Neighbours mostly share their area.
func packed(rows []RateRow) []RateRow {
	rows = slices.Clone(rows)
	var all strings.Builder
	for i := range rows {
		all.WriteString(rows[i].Prefix)
		if i == 0 || rows[i].Area != rows[i-1].Area {
			all.WriteString(rows[i].Area)
		}
	}
	rest := all.String()
	take := func(text *string) { *text, rest = rest[:len(*text)], rest[len(*text):] }
	area := "" // of the row before, as it came
	for i := range rows {
		r := &rows[i]
		take(&r.Prefix)
		if same := r.Area == area; i > 0 && same {
			r.Area = rows[i-1].Area
		} else {
			area = r.Area
			take(&r.Area)
		}
	}
	return rows
}

// putRateTable creates a table, or changes its settings for new calls.
func (s *State) putRateTable(t *RateTable) Result {
	if !isName(t.ID) {
		return invalid("id", "%q: letters, digits and . _ - only", t.ID)
	}
	if !isCurrency(t.Currency) {
		return invalid("currency", "%q: three capital letters (ISO 4217)", t.Currency)
	}
	if err := (billing.Rate{Rounding: t.Rounding}).Validate(); err != nil {
		return invalid("rounding", "%v", err)
	}
	n := *t
	n.Active, n.Rows, n.Previous = 0, 0, 0
	if old := s.prices.get(t.ID); old != nil {
		if user := s.rateTableUser(t.ID); user != "" && old.Currency != t.Currency {
			return refuse(Conflict, fmt.Sprintf("rate table %q is used by %s: its currency stays", t.ID, user))
		}
		n.Active, n.Rows, n.Previous = old.Active, old.Rows, old.Previous
	} else if s.prices.count >= maxRateTables {
		return refuse(Full, fmt.Sprintf("%d rate tables", maxRateTables))
	}
	s.prices.put(t.ID, n)
	s.event(Event{Kind: EventConfig, ID: t.ID})
	return Result{}
}

// rateTableUser returns an account or gateway that uses a table, or "".
func (s *State) rateTableUser(id string) (user string) {
	s.accounts.each(func(_ string, a *Account) {
		if a.RateTable == id {
			user = earlier(user, "account "+a.ID)
		}
	})
	s.mappings.each(func(_ string, g *MappingGateway) {
		if g.RateTable == id {
			user = earlier(user, "mapping gateway "+g.ID)
		}
	})
	s.phones.each(func(n string, p *Phone) {
		if p.RateTable == id {
			user = earlier(user, "phone "+n)
		}
	})
	return user
}

// deleteRateTable removes a table that nobody uses, with all of its versions.
func (s *State) deleteRateTable(id string) Result {
	if s.prices.get(id) == nil {
		return refuse(NotFound, fmt.Sprintf("rate table %q is not there", id))
	}
	if user := s.rateTableUser(id); user != "" {
		return refuse(Conflict, fmt.Sprintf("rate table %q is used by %s", id, user))
	}
	for _, v := range s.versionsOf(id) {
		s.dropVersion(v)
	}
	s.prices.remove(id)
	s.event(Event{Kind: EventConfig, ID: id})
	return Result{}
}

func (s *State) versionsOf(table string) (found []versionKey) {
	s.versions.each(func(k versionKey, _ *rateVersion) {
		if k.Table == table {
			found = append(found, k)
		}
	})
	slices.SortFunc(found, versionKey.compare)
	return found
}

func (s *State) dropVersion(k versionKey) {
	v := *s.versions.get(k)
	for i := range v.Chunks {
		s.chunks.remove(chunkKey{k, i})
	}
	s.versions.remove(k)
	s.ix.rateRows -= int(v.Rows)
	delete(s.ix.rates, k)
}

// importRates stores the next chunk of a version.
func (s *State) importRates(b *ImportRates) Result {
	t := s.prices.get(b.Table)
	if t == nil {
		return refuse(NotFound, fmt.Sprintf("rate table %q is not there", b.Table))
	}
	k := versionKey{b.Table, b.Version}
	var v rateVersion
	if old := s.versions.get(k); old != nil {
		v = *old
	}
	switch {
	case b.Version == 0:
		return invalid("version", "0: count from 1")
	case b.Chunk < v.Chunks:
		if slices.Equal(s.chunks.get(chunkKey{k, b.Chunk}).Rows, b.Rows) {
			return Result{Count: uint64(len(b.Rows))}
		}
		return refuse(Conflict, fmt.Sprintf("version %d has another chunk %d", b.Version, b.Chunk))
	case b.Version == t.Active || b.Version == t.Previous:
		return refuse(Conflict, fmt.Sprintf("version %d was activated: it never changes", b.Version))
	case b.Chunk > v.Chunks:
		return refuse(Conflict, fmt.Sprintf("chunk %d came, %d is next", b.Chunk, v.Chunks))
	case b.Chunk >= maxChunks || s.ix.rateRows+len(b.Rows) > maxRateRows:
		return refuse(Full, fmt.Sprintf("%d rows in all rate tables", s.ix.rateRows))
	case len(b.Rows) == 0:
		return invalid("rows", "none in chunk %d", b.Chunk)
	}
	for i := range b.Rows {
		if err := checkRow(&b.Rows[i], v.Last, v.Rows == 0 && i == 0); err != nil {
			return invalid("rows", "%d of chunk %d: %v", i, b.Chunk, err)
		}
		v.Last = b.Rows[i].Prefix
	}
	if b.Chunk == 0 {
		v.Began = s.index
		s.makeRoom(t)
	}
	v.Chunks++
	v.Rows += uint32(len(b.Rows))
	s.ix.rateRows += len(b.Rows)
	s.versions.put(k, v)
	s.chunks.put(chunkKey{k, b.Chunk}, rateChunk{packed(b.Rows)})
	delete(s.ix.rates, k) // it lacks these rows
	s.event(Event{Kind: EventRates, ID: b.Table, Version: b.Version})
	return Result{Count: uint64(v.Rows)}
}

// checkRow validates a row, whose prefix has to come behind that of the last.
func checkRow(r *RateRow, last string, first bool) error {
	if err := number.Valid(r.Prefix); err != nil {
		return err
	}
	switch {
	case len(r.Prefix) > billing.MaxPrefix:
		return fmt.Errorf("prefix %q: more than %d digits", r.Prefix, billing.MaxPrefix)
	case !first && r.Prefix <= last:
		return fmt.Errorf("prefix %q behind %q: not sorted", r.Prefix, last)
	case r.Price > maxPrice:
		return fmt.Errorf("price %s: more than %s", r.Price, maxPrice)
	case r.ConnectFee > maxConnectFee:
		return fmt.Errorf("connect fee %s: more than %s", r.ConnectFee, maxConnectFee)
	}
	return r.rate(billing.Rounding{}).Validate()
}

// rate returns what a row costs, rounded as its table says.
func (r *RateRow) rate(rounding billing.Rounding) billing.Rate {
	return billing.Rate{
		Price: r.Price, ConnectFee: r.ConnectFee, Rounding: rounding,
		First: billing.Seconds(r.First), Next: billing.Seconds(r.Next),
		Minimum: billing.Seconds(r.Minimum), Free: billing.Seconds(r.Free),
	}
}

// makeRoom drops the oldest versions that are neither active nor the way back,
// until a new one has its place.
func (s *State) makeRoom(t *RateTable) {
	all := s.versionsOf(t.ID)
	for _, k := range all {
		if len(all) < maxVersions {
			return
		}
		if k.Version != t.Active && k.Version != t.Previous {
			s.dropVersion(k)
			all = all[1:]
		}
	}
}

// activateRates makes a complete version the active one. Live calls keep the
// rate that they started with.
func (s *State) activateRates(b *ActivateRates) Result {
	t := s.prices.get(b.Table)
	if t == nil {
		return refuse(NotFound, fmt.Sprintf("rate table %q is not there", b.Table))
	}
	k := versionKey{b.Table, b.Version}
	v := s.versions.get(k)
	if v == nil {
		return refuse(NotFound, fmt.Sprintf("rate table %q has no version %d", b.Table, b.Version))
	}
	if v.Rows != b.Rows {
		return refuse(Conflict, fmt.Sprintf("version %d has %d rows, not %d: the import is not complete", b.Version, v.Rows, b.Rows))
	}
	if t.Active != b.Version {
		t = s.prices.edit(b.Table)
		gone := versionKey{b.Table, t.Previous}
		t.Previous, t.Active, t.Rows = t.Active, b.Version, v.Rows
		if gone.Version != b.Version && s.versions.get(gone) != nil {
			s.dropVersion(gone)
		}
	}
	s.event(Event{Kind: EventRates, ID: b.Table, Version: b.Version})
	return Result{Count: uint64(v.Rows)}
}
