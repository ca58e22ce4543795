package api

import (
	"context"
	"slices"
	"strconv"

	"tandem/fsm"
	"tandem/node/api/client"
)

// chunkRows is how many rows travel in one command: a quarter of a megabyte at
// most, so that calls are not kept waiting behind it.
const chunkRows = 2048

type importRates struct {
	Named
	Keyed
	DryRun  bool   `query:"dry_run" doc:"Only say what would change, or what is wrong"`
	RawBody []byte `contentType:"text/csv"`
}

// importRates replaces the rates of a table: chunks of a new version, which
// nothing uses, then its activation.
//
// All commands carry keys that follow from the request's, so a retry gets the
// answers of the first time, also when that broke off. The version is the log
// index of the first command, an empty one: it is the same at each retry, and
// grows.
func (s *server) importRates(ctx context.Context, in *importRates) (*object[client.Import], error) {
	if !in.DryRun {
		if err := needKey(in.Key); err != nil {
			return nil, err
		}
	}
	rows, err := readRates(in.RawBody)
	if err != nil {
		return nil, err
	}
	old, err := s.inForce(in.ID)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		out := compare(old.rows, rows)
		out.Table, out.DryRun, out.Previous = in.ID, true, old.table.Active
		return &object[client.Import]{Index: old.index, Body: out}, nil
	}
	begun, err := s.propose(ctx, in.Key, &fsm.Tick{})
	if err != nil {
		return nil, err
	}
	version := begun.Index
	if old.table.Active == version { // a retry: compare with what was there before
		old.table.Active = old.table.Previous
		old.rows = s.rowsOf(in.ID, old.table.Previous)
	}
	r, err := s.importVersion(ctx, in, version, rows)
	if err != nil {
		return nil, err
	}
	out := compare(old.rows, rows)
	out.Table, out.Version, out.Index, out.Previous = in.ID, version, r.Index, old.table.Active
	return &object[client.Import]{Index: r.Index, Body: out}, nil
}

// importVersion sends the chunks of a version and activates it.
func (s *server) importVersion(ctx context.Context, in *importRates, version uint64, rows []fsm.RateRow) (fsm.Result, error) {
	i := uint32(0)
	for chunk := range slices.Chunk(rows, chunkRows) {
		_, err := s.propose(ctx, in.Key+"/"+strconv.Itoa(int(i)), &fsm.ImportRates{
			Table: in.ID, Version: version, Chunk: i, Rows: chunk,
		})
		if err != nil {
			return fsm.Result{}, err
		}
		i++
	}
	return s.commit(ctx, in.Key+"/activate", &fsm.ActivateRates{Table: in.ID, Version: version, Rows: uint32(len(rows))})
}

// rowsOf returns the rows of any version, or none when it is not there.
func (s *server) rowsOf(table string, version uint64) []fsm.RateRow {
	var chunks fsm.RateChunks
	s.cfg.State.View(func(st *fsm.State) { chunks, _ = st.RateChunks(table, version) })
	return chunks.Rows()
}

// compare counts what becomes of the prefixes of a table. Both lists are sorted.
func compare(old, rows []fsm.RateRow) client.Import {
	out := client.Import{Rows: len(rows)}
	for i := range rows {
		for len(old) > 0 && old[0].Prefix < rows[i].Prefix {
			out.Removed++
			old = old[1:]
		}
		if len(old) == 0 || old[0].Prefix != rows[i].Prefix {
			out.Added++
			continue
		}
		switch {
		case rows[i].Price > old[0].Price:
			out.Raised++
		case rows[i].Price < old[0].Price:
			out.Lowered++
		}
		old = old[1:]
	}
	out.Removed += len(old)
	return out
}
