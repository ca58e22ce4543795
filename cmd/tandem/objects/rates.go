package objects

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"tandem/billing"
	"tandem/node/api/client"
)

// rateTable writes the table's settings, and its rates when those in force are
// others.
func (a applier) rateTable(t RateTable) error {
	old, _, err := a.c.RateTable(a.ctx, t.ID)
	missing, err := absent(err)
	if err != nil {
		return err
	}
	s := Step{Kind: "rate table", ID: t.ID, Action: Created}
	if !missing {
		s.Action, s.Changes = Unchanged, differences(old.RateTableSettings, t.RateTableSettings)
		if len(s.Changes) > 0 || t.Rounding != nil && !reflect.DeepEqual(t.Rounding, old.Rounding) {
			s.Action = Changed
		}
	}
	if s.Action != Unchanged && !a.o.DryRun {
		_, r, err := a.c.PutRateTable(a.ctx, t.ID, t.RateTableSettings)
		if err != nil {
			return err
		}
		s.Index = r.Index
	}
	if t.Rates != nil {
		if err := a.rates(t, missing, &s); err != nil {
			return err
		}
	}
	a.report(s)
	return nil
}

// rates imports a table's file unless the rates in force are the same.
func (a applier) rates(t RateTable, missing bool, s *Step) error {
	if !missing {
		inForce, _, err := a.c.ExportRates(a.ctx, t.ID)
		if err != nil {
			return err
		}
		if sameRates(inForce, t.Rates) {
			return nil
		}
	}
	if s.Action == Unchanged {
		s.Action = Changed
	}
	s.Note = fmt.Sprintf("rates of %s", t.RatesFile)
	if missing && a.o.DryRun {
		return nil // nothing yet to try it on
	}
	imported, err := a.c.ImportRates(a.ctx, t.ID, t.Rates, "", a.o.DryRun)
	if err != nil {
		return err
	}
	s.Note = fmt.Sprintf("%d rates: %d new, %d gone, %d raised, %d lowered",
		imported.Rows, imported.Added, imported.Removed, imported.Raised, imported.Lowered)
	if imported.Index != 0 {
		s.Index = imported.Index
	}
	return nil
}

// sameRates says whether two files mean the same rates. What is no rates file is
// the same as nothing, so that the server says what is wrong with it.
func sameRates(a, b []byte) bool {
	x, okX := readRates(a)
	y, okY := readRates(b)
	return okX && okY && slices.Equal(x, y)
}

// readRates returns the rows of a file as texts that are equal when the rates
// are, in order.
func readRates(file []byte) ([]string, bool) {
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, false
	}
	place := map[string]int{}
	for i, name := range rows[0] {
		place[strings.ToLower(strings.TrimSpace(name))] = i
	}
	out := make([]string, 0, len(rows)-1)
	for _, row := range rows[1:] {
		cells := make([]string, len(client.RateColumns))
		for i, name := range client.RateColumns {
			if at, ok := place[name]; ok {
				cells[i] = rateCell(name, strings.TrimSpace(row[at]))
			} else {
				cells[i] = rateCell(name, "")
			}
		}
		out = append(out, strings.Join(cells, "\x00"))
	}
	slices.Sort(out)
	return out, true
}

// rateCell is a cell's value in one spelling. Increments of 0 and 1 are the
// same, and so are all other zeros and nothing.
func rateCell(column, text string) string {
	switch column {
	case "prefix", "area":
		return text
	case "price", "connect_fee":
		if p, err := billing.ParsePrice(text); err == nil {
			text = p.String()
		}
	case "first", "next":
		if text == "1" {
			return ""
		}
	}
	if strings.Trim(text, "0.") == "" {
		return ""
	}
	return text
}
