package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tandem/billing"
	"tandem/fsm"
	"tandem/fsm/number"
	"tandem/node/api/client"
)

func (s *server) addRateTables(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("rates", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/rate-tables", "list-rate-tables", "List rate tables"), s.rateTables)
	huma.Register(api, op(http.MethodGet, "/rate-tables/{id}", "get-rate-table", "Show a rate table"), s.rateTable)
	huma.Register(api, op(http.MethodPut, "/rate-tables/{id}", "put-rate-table",
		"Create a rate table, or replace its settings", client.RoleBilling, client.RoleRouting), s.putRateTable)
	huma.Register(api, op(http.MethodDelete, "/rate-tables/{id}", "delete-rate-table",
		"Delete a rate table that nobody uses", client.RoleBilling, client.RoleRouting), s.deleteRateTable)
}

func (s *server) addRates(api huma.API) {
	op := func(method, path, id, summary string, roles ...string) huma.Operation {
		return tagged("rates", operation(api, method, path, id, summary, roles...))
	}
	huma.Register(api, op(http.MethodGet, "/rate-tables/{id}/rates", "list-rates", "List the rates in force"), s.rates)
	huma.Register(api, op(http.MethodGet, "/rate-tables/{id}/rates/{number}", "get-rate",
		"Show the rate that prices a number"), s.rateOf)
	export := op(http.MethodGet, "/rate-tables/{id}/export", "export-rates", "Export the rates in force as CSV")
	export.Responses["200"] = csvResponse()
	huma.Register(api, export, s.exportRates)
	imports := op(http.MethodPost, "/rate-tables/{id}/imports", "import-rates",
		"Replace all rates by those of a CSV file", client.RoleBilling, client.RoleRouting)
	imports.Description = "The first line names the columns: prefix and price are needed; area, connect_fee, first, next, minimum and free may be missing. " +
		"If any row is wrong nothing is imported and each wrong row is reported with its column and the reason. "
	imports.MaxBodyBytes = maxImport
	huma.Register(api, once(imports), s.importRates)
}

func csvResponse() *huma.Response {
	return &huma.Response{
		Description: "CSV with a header line",
		Content:     map[string]*huma.MediaType{csvType: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
}

func rateTableKind() kind[fsm.RateTable, client.RateTable] {
	return kind[fsm.RateTable, client.RateTable]{
		"rate table", "tandem rate table list", (*fsm.State).RateTable, showRateTable,
	}
}

func (s *server) rateTables(ctx context.Context, in *Paging) (*page[client.RateTable], error) {
	return pageOf(ctx, s, in, (*fsm.State).RateTables, func(t *fsm.RateTable) string { return t.ID }, nil, showRateTable)
}

func (s *server) rateTable(_ context.Context, in *getNamed) (*object[client.RateTable], error) {
	return find(s, rateTableKind(), in.ID)
}

type putRateTable struct {
	Named
	Keyed
	Body client.RateTableSettings
}

func (s *server) putRateTable(ctx context.Context, in *putRateTable) (*object[client.RateTable], error) {
	t := fsm.RateTable{ID: in.ID, Currency: in.Body.Currency}
	if r := in.Body.Rounding; r != nil {
		var mode billing.RoundingMode
		if err := mode.UnmarshalText([]byte(r.Mode)); err != nil {
			return nil, badField("body.rounding.mode", r.Mode, "%v", err)
		}
		var err error
		t.Rounding, err = billing.NewRounding(int64(r.HoldThreshold), int64(r.Decimals), mode)
		if err != nil {
			return nil, badField("body.rounding", "", "%v", err)
		}
	}
	return store(ctx, s, rateTableKind(), in.Key, in.ID, &fsm.PutRateTable{Table: t})
}

func (s *server) deleteRateTable(ctx context.Context, in *deleteNamed) (*object[client.Done], error) {
	return s.remove(ctx, in.Key, &fsm.DeleteRateTable{ID: in.ID})
}

// version is a rate table with the rows in force.
type version struct {
	table fsm.RateTable
	rows  []fsm.RateRow // by prefix
	index uint64
}

// inForce returns a rate table and its rows. The rows are immutable, so they are
// put together after the view.
func (s *server) inForce(id string) (version, error) {
	var v version
	var chunks fsm.RateChunks
	var found bool
	s.cfg.State.View(func(st *fsm.State) {
		if v.table, found = st.RateTable(id); found && v.table.Active != 0 {
			chunks, _ = st.RateChunks(id, v.table.Active)
		}
		v.index = st.Index()
	})
	if !found {
		return v, notThere("rate table %q", id).hint("tandem rate table list")
	}
	v.rows = chunks.Rows()
	return v, nil
}

type listRates struct {
	Named
	Paging
	Prefix string `query:"prefix" maxLength:"32" doc:"Rates of this prefix and of longer ones"`
}

func (s *server) rates(ctx context.Context, in *listRates) (*page[client.Rate], error) {
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	v, err := s.inForce(in.ID)
	if err != nil {
		return nil, err
	}
	byPrefix := func(r fsm.RateRow, prefix string) int { return strings.Compare(r.Prefix, prefix) }
	first, _ := slices.BinarySearchFunc(v.rows, in.Prefix, byPrefix)
	if in.Cursor != "" {
		// The cursor is "=" and the last prefix, which may be the empty one.
		last, ok := slices.BinarySearchFunc(v.rows, strings.TrimPrefix(after, "="), byPrefix)
		if ok {
			last++
		}
		first = max(first, last)
	}
	items, next := []client.Rate{}, ""
	for i := first; i < len(v.rows) && strings.HasPrefix(v.rows[i].Prefix, in.Prefix); i++ {
		if len(items) == in.Limit {
			next = "=" + items[len(items)-1].Prefix
			break
		}
		items = append(items, showRate(&v.rows[i]))
	}
	return listed(ctx, items, next, v.index), nil
}

type getRate struct {
	Named
	Reading
	Number string `path:"number" minLength:"1" maxLength:"63"`
}

func (s *server) rateOf(_ context.Context, in *getRate) (*object[client.Rate], error) {
	n, err := number.Normalise(in.Number)
	if err != nil {
		return nil, badField("path.number", in.Number, "%v", err)
	}
	var row fsm.RateRow
	var table, found bool
	var index uint64
	s.cfg.State.View(func(st *fsm.State) {
		_, table = st.RateTable(in.ID)
		row, _, found = st.LookupRate(in.ID, n.Digits)
		index = st.Index()
	})
	switch {
	case !table:
		return nil, notThere("rate table %q", in.ID).hint("tandem rate table list")
	case !found:
		return nil, notThere("a rate of table %q for %s", in.ID, n.Digits).hint("tandem rate list %s", in.ID)
	}
	return &object[client.Rate]{Index: index, Body: showRate(&row)}, nil
}

type csvAnswer struct {
	Index       uint64 `header:"X-Tandem-Index"`
	Type        string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (s *server) exportRates(_ context.Context, in *getNamed) (*csvAnswer, error) {
	v, err := s.inForce(in.ID)
	if err != nil {
		return nil, err
	}
	body, err := writeRates(v.rows)
	if err != nil {
		return nil, err
	}
	return &csvAnswer{
		Index: v.index, Type: csvType, Body: body,
		Disposition: "attachment; filename=" + strconv.Quote(in.ID+".csv"),
	}, nil
}

func showRateTable(t *fsm.RateTable) client.RateTable {
	out := client.RateTable{
		ID: t.ID, RateTableSettings: client.RateTableSettings{Currency: t.Currency},
		Version: t.Active, Rows: t.Rows, Previous: t.Previous,
	}
	if t.Rounding != (billing.Rounding{}) {
		r := t.Rounding
		out.Rounding = &client.Rounding{HoldThreshold: r.HoldMillis, Decimals: uint8(r.Decimals()), Mode: r.Mode.String()}
	}
	return out
}

func showRate(r *fsm.RateRow) client.Rate {
	return client.Rate{
		Prefix: r.Prefix, Area: r.Area, Price: r.Price, ConnectFee: r.ConnectFee,
		First: r.First, Next: r.Next, Minimum: r.Minimum, Free: r.Free,
	}
}
