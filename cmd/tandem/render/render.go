// Package render prints what the API returned: as a table that can be pasted
// into a ticket, or as JSON, NDJSON or CSV for programs. All of them come from
// the same values.
//
// It never fetches anything and never changes a value: JSON is the API's object
// as it came.
//
//	p := render.Printer{Out: os.Stdout, Format: render.Table}
//	err := render.List(p, accounts, []render.Column[client.Account]{
//		{Head: "ID", Value: func(a client.Account) any { return a.ID }},
//	})
package render

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Format is a way to print.
type Format string

// The formats.
const (
	Table  Format = "table"
	JSON   Format = "json"
	NDJSON Format = "ndjson"
	CSV    Format = "csv"
)

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Table, JSON, NDJSON, CSV:
		return f, nil
	}
	return "", fmt.Errorf("output %q: want table, json, ndjson or csv", s)
}

// Printer says where to print and how.
type Printer struct {
	Out    io.Writer
	Format Format         // empty: Table
	Color  bool           // terminal escapes in tables
	Zone   *time.Location // of times in tables; nil: UTC
}

// Column is one column of a list, or one line of a single object.
type Column[T any] struct {
	Head  string
	Value func(T) any // see Text for what is printed well
}

// gap is between the columns of a table.
const gap = "  "

// List prints items. In a table numbers stand right, and a list without items is
// one line that says so.
func List[T any](p Printer, items []T, columns []Column[T]) error {
	switch p.Format {
	case JSON:
		if items == nil {
			items = []T{}
		}
		return p.json(items)
	case NDJSON:
		enc := json.NewEncoder(p.Out)
		enc.SetEscapeHTML(false)
		for _, item := range items {
			if err := enc.Encode(item); err != nil {
				return err
			}
		}
		return nil
	case CSV:
		return writeCSV(p.Out, items, columns)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(p.Out, "none")
		return err
	}
	return table(p, items, columns)
}

// Object prints one value: a line for each column in a table, where empty ones
// are left out.
func Object[T any](p Printer, v T, columns []Column[T]) error {
	switch p.Format {
	case JSON:
		return p.json(v)
	case NDJSON, CSV:
		return List(p, []T{v}, columns)
	}
	width := 0
	for _, c := range columns {
		if p.Text(c.Value(v)) != "" {
			width = max(width, utf8.RuneCountInString(c.Head))
		}
	}
	for _, c := range columns {
		text := p.Text(c.Value(v))
		if text == "" {
			continue
		}
		if _, err := fmt.Fprintf(p.Out, "%s%s%s\n", pad(c.Head, width), gap, text); err != nil {
			return err
		}
	}
	return nil
}

func (p Printer) json(v any) error {
	enc := json.NewEncoder(p.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints a head and a row for each item.
func table[T any](p Printer, items []T, columns []Column[T]) error {
	rows := make([][]string, len(items)+1)
	rows[0] = make([]string, len(columns))
	widths, right := make([]int, len(columns)), make([]bool, len(columns))
	for i, c := range columns {
		rows[0][i], widths[i] = c.Head, utf8.RuneCountInString(c.Head)
	}
	for n, item := range items {
		rows[n+1] = make([]string, len(columns))
		for i, c := range columns {
			v := c.Value(item)
			text := p.Text(v)
			if text == "" {
				text = "-"
			}
			rows[n+1][i] = text
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
			right[i] = right[i] || isNumber(v)
		}
	}
	for n, row := range rows {
		var line strings.Builder
		for i, text := range row {
			if i > 0 {
				line.WriteString(gap)
			}
			fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if right[i] {
				line.WriteString(fill + text)
			} else {
				line.WriteString(text + fill)
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if n == 0 {
			text = p.Bold(text)
		}
		if _, err := fmt.Fprintln(p.Out, text); err != nil {
			return err
		}
	}
	return nil
}

func writeCSV[T any](out io.Writer, items []T, columns []Column[T]) error {
	w := csv.NewWriter(out)
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = strings.ReplaceAll(strings.ToLower(c.Head), " ", "_")
	}
	if err := w.Write(row); err != nil {
		return err
	}
	for _, item := range items {
		for i, c := range columns {
			row[i] = Plain(c.Value(item))
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// pad fills up with spaces to a width in runes.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
