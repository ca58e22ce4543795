package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/billing"
	"tandem/fsm"
	"tandem/node/api/client"
)

func TestRateTableLife(t *testing.T) {
	w := newWorld(t)
	ctx, c := t.Context(), w.as(client.RoleRouting)
	settings := client.RateTableSettings{Currency: "EUR", Rounding: &client.Rounding{HoldThreshold: 1, Decimals: 4, Mode: "up"}}
	table, receipt, err := c.PutRateTable(ctx, "gold", settings)
	if err != nil || receipt.Index != w.index {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if diff := cmp.Diff(client.RateTable{ID: "gold", RateTableSettings: settings}, table); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = c.ImportRates(ctx, "ghost", []byte(carrier), "", false)
	wants(t, err, http.StatusNotFound, client.CodeNotFound)

	dry, err := c.ImportRates(ctx, "gold", []byte(carrier), "", true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(client.Import{Table: "gold", Rows: 3, Added: 3, DryRun: true}, dry); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	if got, _ := w.state.RateTable("gold"); got.Active != 0 {
		t.Error("a dry run changed the table")
	}
	first, err := c.ImportRates(ctx, "gold", []byte(carrier), "k1", false)
	if err != nil {
		t.Fatal(err)
	}
	if want := (client.Import{Table: "gold", Version: first.Version, Rows: 3, Added: 3, Index: w.index}); first != want || first.Version == 0 {
		t.Errorf("import %+v, want %+v", first, want)
	}
	next := "prefix,price\n44,0.03\n4420,0.005\n99,1\n"
	second, err := c.ImportRates(ctx, "gold", []byte(next), "k2", false)
	if err != nil {
		t.Fatal(err)
	}
	want := client.Import{
		Table: "gold", Version: second.Version, Rows: 3, Added: 1, Removed: 1, Raised: 1, Lowered: 1, Index: w.index, Previous: first.Version,
	}
	if diff := cmp.Diff(want, second); diff != "" {
		t.Errorf("second import (-want +got):\n%s", diff)
	}
	again, err := c.ImportRates(ctx, "gold", []byte(next), "k2", false)
	if err != nil || again != second {
		t.Errorf("retry %+v, %v, want %+v", again, err, second)
	}
	// A late retry of the first import must not bring the old rates back.
	if late, err := c.ImportRates(ctx, "gold", []byte(carrier), "k1", false); err != nil || late.Index != first.Index {
		t.Errorf("late retry %+v, %v", late, err)
	}
	rate, _, err := c.RateOf(ctx, "gold", "+44 20 7123")
	if err != nil || rate.Prefix != "4420" || rate.Price != 5_000_000 || rate.First != 1 {
		t.Errorf("rate %+v, %v", rate, err)
	}
	_, err = c.ImportRates(ctx, "gold", []byte(carrier), "k2", false)
	wants(t, err, http.StatusUnprocessableEntity, client.CodeKeyReused)
	_, _, err = c.RateOf(ctx, "gold", "1")
	wants(t, err, http.StatusNotFound, client.CodeNotFound)
	if _, err = c.DeleteRateTable(ctx, "gold"); err != nil {
		t.Error(err)
	}
}

func TestRateListAndExport(t *testing.T) {
	w := newWorld(t)
	ctx, c := t.Context(), w.admin
	if _, _, err := c.PutRateTable(ctx, "big", client.RateTableSettings{Currency: "USD"}); err != nil {
		t.Fatal(err)
	}
	var file strings.Builder
	file.WriteString("price,prefix,area,first,next,minimum,free,connect_fee\n")
	const rows = 2*chunkRows + 10
	for i := rows; i > 0; i-- {
		fmt.Fprintf(&file, "0.%04d,%d,\"Area, %d\",30,6,10,5,0.01\n", i, 100_000+i, i)
	}
	in, err := c.ImportRates(ctx, "big", []byte(file.String()), "", false)
	if err != nil || in.Rows != rows {
		t.Fatalf("%+v, %v", in, err)
	}
	got := 0
	for r, err := range client.Each(ctx, client.RateQuery{Table: "big", Page: client.Page{Limit: 1000}}, c.Rates) {
		if err != nil {
			t.Fatal(err)
		}
		got++
		want := client.Rate{
			Prefix: fmt.Sprint(100_000 + got), Area: fmt.Sprintf("Area, %d", got), Price: price(t, got), ConnectFee: 10_000,
			First: 30, Next: 6, Minimum: 10, Free: 5,
		}
		if r != want {
			t.Fatalf("rate %+v, want %+v", r, want)
		}
	}
	if got != rows {
		t.Errorf("%d rates, want %d", got, rows)
	}
	part, err := c.Rates(ctx, client.RateQuery{Table: "big", Prefix: "10001"})
	if err != nil || len(part.Items) != 10 || part.Items[0].Prefix != "100010" || part.Next != "" {
		t.Errorf("%+v, %v", part, err)
	}
	// What is exported imports as it is.
	export, _, err := c.ExportRates(ctx, "big")
	if err != nil {
		t.Fatal(err)
	}
	if in, err = c.ImportRates(ctx, "big", export, "", true); err != nil || in.Added+in.Removed+in.Raised+in.Lowered != 0 || in.Rows != rows {
		t.Errorf("%+v, %v", in, err)
	}
}

func price(t *testing.T, n int) (p billing.Price) {
	t.Helper()
	p, err := billing.ParsePrice(fmt.Sprintf("0.%04d", n))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every broken row is named with its column and the reason, and nothing is
// imported when there is one.
func TestBrokenRates(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if _, _, err := w.admin.PutRateTable(ctx, "std", client.RateTableSettings{Currency: "USD"}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, file, detail string
		errs               []client.FieldError
	}{
		{
			"three rows", "prefix,area,price,first\n44,UK,0.01,60\n1.2E+10,X,0.02,1\n33,FR,\"0,0145\",1\n49,DE,0.01,-1\n39,IT,0.02,6\n",
			"3 of 5 rows wrong (nothing was changed)",
			[]client.FieldError{
				{Row: 3, Column: "prefix", Value: "1.2E+10", Message: "looks like a spreadsheet's scientific notation: format the column as text"},
				{Row: 4, Column: "price", Value: "0,0145", Message: "decimal comma: write a point"},
				{Row: 5, Column: "first", Value: "-1", Message: "want whole seconds from 0 to 65535"},
			},
		},
		{
			"doubles", "prefix,price\n44,1\n\n33,1\n44,2\n44,3\n", "2 of 4 rows wrong (nothing was changed)",
			[]client.FieldError{
				{Row: 5, Column: "prefix", Value: "44", Message: "is on line 2 already"},
				{Row: 6, Column: "prefix", Value: "44", Message: "is on line 2 already"},
			},
		},
		{
			"columns", "prefix,price\n44\n33,1,2\n,1\n34,\n35,1e-3\n36,-1\n37,9999999\nabc,1\n", "8 of 8 rows wrong (nothing was changed)",
			[]client.FieldError{
				{Row: 2, Message: "1 columns, the header has 2"},
				{Row: 3, Message: "3 columns, the header has 2"},
				{Row: 4, Column: "prefix", Message: "is empty"},
				{Row: 5, Column: "price", Message: "is empty"},
				{Row: 6, Column: "price", Value: "1e-3", Message: "looks like a spreadsheet's scientific notation: format the column as text"},
				{Row: 7, Column: "price", Value: "-1", Message: "is negative"},
				{Row: 8, Column: "price", Value: "9999999", Message: "more than 1000000.00 a minute"},
				{Row: 9, Column: "prefix", Value: "abc", Message: "want digits, * and #"},
			},
		},
		{
			"quotes", "prefix,price\n44,1\n\"33,1\n", "1 of 2 rows wrong (nothing was changed)",
			[]client.FieldError{{Row: 3, Message: "extraneous or missing \" in quoted-field"}},
		},
		{
			"header", "prefix,cost\n44,1\n", "line 1: no such column: there are prefix, area, price, connect_fee, first, next, minimum, free (nothing was changed)",
			[]client.FieldError{
				{Row: 1, Column: "cost", Message: "no such column: there are prefix, area, price, connect_fee, first, next, minimum, free"},
				{Row: 1, Column: "price", Message: "column is missing"},
			},
		},
		{
			"no rows", "\ufeffPrefix, Price\n", "line 2: there are no rates (nothing was changed)",
			[]client.FieldError{{Row: 2, Message: "there are no rates"}},
		},
		{
			"empty", " ", "line 1: no such column: there are prefix, area, price, connect_fee, first, next, minimum, free (nothing was changed)", nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := w.index
			_, err := w.admin.ImportRates(ctx, "std", []byte(tt.file), "", false)
			p := wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
			if p.Detail != tt.detail {
				t.Errorf("detail %q, want %q", p.Detail, tt.detail)
			}
			for i := range tt.errs {
				tt.errs[i].Location = fmt.Sprintf("row %d", tt.errs[i].Row)
				if c := tt.errs[i].Column; c != "" {
					tt.errs[i].Location += " column " + c
				}
			}
			if diff := cmp.Diff(tt.errs, p.Errors); tt.errs != nil && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if w.index != before {
				t.Error("something was committed")
			}
		})
	}
}

func TestImportBounds(t *testing.T) {
	w := newWorld(t)
	token := w.token(client.RoleAdmin)
	w.must(&fsm.PutRateTable{Table: fsm.RateTable{ID: "std", Currency: "USD"}})
	var file strings.Builder
	file.WriteString("prefix,price\n")
	for range 3 * maxReported {
		file.WriteString("x,1\n")
	}
	_, err := w.admin.ImportRates(t.Context(), "std", []byte(file.String()), "", false)
	p := wants(t, err, http.StatusUnprocessableEntity, client.CodeInvalid)
	if len(p.Errors) != maxReported || p.Detail != "3000 of 3000 rows wrong (nothing was changed)" {
		t.Errorf("%d errors, %q", len(p.Errors), p.Detail)
	}
	res, body := w.request(http.MethodPost, "/api/v1/rate-tables/std/imports", token, carrier, "Content-Type", "text/csv")
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, client.CodeKeyMissing) {
		t.Errorf("without a key: %s %s", res.Status, body)
	}
	big := `{"value":"` + strings.Repeat("x", 2<<20) + `"}`
	if res, body = w.request(http.MethodPut, "/api/v1/params/RING_TIME", token, big); res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(body, client.CodeTooLarge) {
		t.Errorf("two megabytes: %s %s", res.Status, body)
	}
}

func FuzzReadRates(f *testing.F) {
	for _, seed := range []string{carrier, "prefix,price\n\"4", "prefix,price\n1.2E+10,1\n", "\ufeff", "prefix,price,price\n1,2,3\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, err := readRates(file)
		if err != nil {
			return
		}
		// What was accepted is written and read back the same.
		text, err := writeRates(rows)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readRates(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(rows, again); diff != "" {
			t.Errorf("(-read +again):\n%s", diff)
		}
	})
}

func BenchmarkReadRates(b *testing.B) {
	const rows = 10_000
	var file strings.Builder
	file.WriteString("prefix,area,price,first,next\n")
	for i := range rows {
		fmt.Fprintf(&file, "%d,\"Area %d\",0.%04d,30,6\n", 1_000_000+i*37%rows, i, i%10_000)
	}
	text := []byte(file.String())
	for b.Loop() {
		if _, err := readRates(text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
