package fsm

import (
	"fmt"
	"time"

	"tandem/billing"
)

// RateChunks are the rows of one version of a rate table: what an index is
// built from. It stays valid whatever is applied since.
type RateChunks struct {
	Table   string
	Version uint64
	began   uint64
	chunks  [][]RateRow
}

// Rates is the index of one version of a rate table. It is immutable and says
// nothing that the rows do not say, so that replicas may have it or not.
type Rates struct {
	key    versionKey
	began  uint64
	chunks [][]RateRow
	tariff *billing.Tariff
}

// RateChunks returns the rows of a version, and false when it is not there.
func (s *State) RateChunks(table string, version uint64) (RateChunks, bool) {
	k := versionKey{table, version}
	v := s.versions.get(k)
	if v == nil {
		return RateChunks{}, false
	}
	c := RateChunks{Table: table, Version: version, began: v.Began, chunks: make([][]RateRow, v.Chunks)}
	for i := range c.chunks {
		c.chunks[i] = s.chunks.get(chunkKey{k, uint32(i)}).Rows
	}
	return c, true
}

// BuildRates builds the index of a version, up to a second for a million rows:
// beside Apply, when [EventRates] says that chunks came.
func BuildRates(c RateChunks) (*Rates, error) {
	n := 0
	for _, rows := range c.chunks {
		n += len(rows)
	}
	rows := make([]billing.Row, 0, n)
	for i, chunk := range c.chunks {
		for j := range chunk {
			rows = append(rows, billing.Row{Prefix: chunk[j].Prefix, Value: uint32(i)<<rowBits | uint32(j)})
		}
	}
	tariff, err := billing.BuildTariff(rows)
	if err != nil {
		return nil, fmt.Errorf("rate table %s, version %d: %w", c.Table, c.Version, err)
	}
	return &Rates{key: versionKey{c.Table, c.Version}, began: c.began, chunks: c.chunks, tariff: tariff}, nil
}

// rowBits of a tariff's value are the row in its chunk, the others the chunk.
const rowBits = 16

// InstallRates hands an index to the state, which then need not build it when
// the version becomes active. It changes no outcome. An index of rows that are
// gone, or not complete, is dropped.
func (s *State) InstallRates(r *Rates) {
	if v := s.versions.get(r.key); v != nil && v.Began == r.began && int(v.Chunks) == len(r.chunks) {
		s.ix.rates[r.key] = r
	}
}

// find returns the row with the longest prefix of a number.
func (r *Rates) find(number string) *RateRow {
	v, _, ok := r.tariff.Lookup(number)
	if !ok {
		return nil
	}
	return &r.chunks[v>>rowBits][v&(1<<rowBits-1)]
}

// priced is a row with what it means for a call.
type priced struct {
	rate    billing.Rate
	table   string
	version uint64
	prefix  string
	area    string
}

// price finds what a number costs by the active version of a table.
func (s *State) price(table, number string) (priced, bool) {
	t := s.prices.get(table)
	if t == nil || t.Active == 0 {
		return priced{}, false
	}
	row := s.ratesOf(versionKey{table, t.Active}).find(number)
	if row == nil {
		return priced{}, false
	}
	rounding := t.Rounding
	if rounding == (billing.Rounding{}) {
		rounding = s.rounding
	}
	p := priced{rate: row.rate(rounding), table: table, version: t.Active, prefix: row.Prefix, area: row.Area}
	if p.rate.Free == 0 {
		p.rate.Free = billing.Seconds(s.set.FreeTime / time.Second)
	}
	return p, true
}

// ratesOf returns the index of a version that is there. One that nobody
// installed is built now.
func (s *State) ratesOf(k versionKey) *Rates {
	if r := s.ix.rates[k]; r != nil {
		return r
	}
	c, _ := s.RateChunks(k.Table, k.Version)
	r, err := BuildRates(c)
	if err != nil {
		panic("fsm: rows of an active version are checked when they come: " + err.Error())
	}
	s.ix.rates[k] = r
	return r
}
