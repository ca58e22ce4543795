package api

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tandem/billing"
	"tandem/fsm"
	"tandem/fsm/number"
	"tandem/node/api/client"
)

const csvType = "text/csv"

// Bounds of a rates file.
const (
	maxImport      = 64 << 20 // about two million rows; they are in memory while they are read
	maxReported    = 1000     // wrong rows that are named; all are counted
	maxArea        = 64       // bytes, as the state machine keeps it
	maxRatePrice   = billing.Price(1_000_000_000_000_000)
	maxConnectFee  = 1_000_000 * billing.Unit
	headerLine     = 1
	byteOrderMark  = "\ufeff"
	defaultSeconds = 1 // of increments that a file does not name
)

var errNegative = errors.New("is negative")

// ratesFile reads a CSV file of rates. It goes on behind a wrong row, so that
// all of them are reported at once.
type ratesFile struct {
	csv     *csv.Reader
	columns []string // by place in a row
	rows    []fsm.RateRow
	lines   []int // of rows
	total   int   // rows, right and wrong
	wrong   int
	errs    []client.FieldError
}

// readRates returns the rows of a file by prefix, or the problem that names each
// wrong row with its column and the reason.
func readRates(file []byte) ([]fsm.RateRow, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(file, []byte(byteOrderMark))))
	r.FieldsPerRecord = -1 // counted here, to go on behind a wrong one
	r.TrimLeadingSpace = true
	r.ReuseRecord = true
	f := &ratesFile{csv: r}
	if f.header(); len(f.errs) == 0 {
		f.body()
		f.sort()
	}
	if f.total == 0 && len(f.errs) == 0 {
		f.report(headerLine+1, "", "", "there are no rates")
	}
	if f.wrong == 0 {
		return f.rows, nil
	}
	p := problem(http.StatusUnprocessableEntity, client.CodeInvalid, "%d of %d rows wrong (nothing was changed)", f.wrong, f.total)
	if len(f.columns) == 0 || f.total == 0 {
		p.Detail = fmt.Sprintf("line %d: %s (nothing was changed)", f.errs[0].Row, f.errs[0].Message)
	}
	slices.SortStableFunc(f.errs, func(a, b client.FieldError) int { return a.Row - b.Row })
	p.Errors = f.errs
	return nil, p.hint("correct them and import again; --dry-run shows what would change")
}

func (f *ratesFile) report(line int, column, value, format string, args ...any) {
	f.wrong++
	if len(f.errs) >= maxReported {
		return
	}
	where := fmt.Sprintf("row %d", line)
	if column != "" {
		where += " column " + column
	}
	f.errs = append(f.errs, client.FieldError{
		Location: where, Message: fmt.Sprintf(format, args...), Value: value[:min(len(value), maxShown)], Row: line, Column: column,
	})
}

// header reads the names of the columns.
func (f *ratesFile) header() {
	record, err := f.csv.Read()
	if err != nil {
		f.report(headerLine, "", "", "the file does not begin with the names of its columns, such as %s", strings.Join(client.RateColumns[:], ","))
		return
	}
	for _, name := range record {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case !slices.Contains(client.RateColumns[:], name):
			f.report(headerLine, name, "", "no such column: there are %s", strings.Join(client.RateColumns[:], ", "))
		case slices.Contains(f.columns, name):
			f.report(headerLine, name, "", "column is there twice")
		}
		f.columns = append(f.columns, name)
	}
	for _, needed := range []string{"prefix", "price"} {
		if !slices.Contains(f.columns, needed) {
			f.report(headerLine, needed, "", "column is missing")
		}
	}
}

func (f *ratesFile) body() {
	for {
		record, err := f.csv.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		f.total++
		var syntax *csv.ParseError
		switch {
		case errors.As(err, &syntax):
			f.report(syntax.Line, "", "", "%v", syntax.Err)
			continue
		case err != nil:
			f.report(f.total+headerLine, "", "", "%v", err)
			return
		}
		line, _ := f.csv.FieldPos(0)
		if len(record) != len(f.columns) {
			f.report(line, "", "", "%d columns, the header has %d", len(record), len(f.columns))
			continue
		}
		f.row(line, record)
	}
}

// row reads one row. Its first wrong column is reported.
func (f *ratesFile) row(line int, record []string) {
	row := fsm.RateRow{First: defaultSeconds, Next: defaultSeconds}
	for i, column := range f.columns {
		value := strings.TrimSpace(record[i])
		if err := setColumn(&row, column, value); err != nil {
			f.report(line, column, value, "%v", err)
			return
		}
	}
	rate := billing.Rate{
		Price: row.Price, ConnectFee: row.ConnectFee, First: billing.Seconds(row.First), Next: billing.Seconds(row.Next),
		Minimum: billing.Seconds(row.Minimum), Free: billing.Seconds(row.Free),
	}
	if err := rate.Validate(); err != nil {
		f.report(line, "", "", "%v", err)
		return
	}
	f.rows = append(f.rows, row)
	f.lines = append(f.lines, line)
}

// setColumn reads one value of a row. Empty optional values keep the default.
func setColumn(row *fsm.RateRow, column, value string) (err error) {
	if value == "" && column != "prefix" && column != "price" {
		return nil
	}
	switch column {
	case "prefix":
		row.Prefix = strings.Clone(value)
		return checkPrefix(value)
	case "area":
		row.Area = strings.Clone(value)
		if len(value) > maxArea {
			return fmt.Errorf("%d bytes, at most %d are possible", len(value), maxArea)
		}
	case "price":
		row.Price, err = billing.ParsePrice(value)
		switch {
		case err == nil && row.Price < 0:
			err = errNegative
		case err == nil && row.Price > maxRatePrice:
			err = fmt.Errorf("more than %s a minute", maxRatePrice)
		}
		return decimal(value, err)
	case "connect_fee":
		row.ConnectFee, err = billing.ParseAmount(value)
		switch {
		case err == nil && row.ConnectFee < 0:
			err = errNegative
		case err == nil && row.ConnectFee > maxConnectFee:
			err = fmt.Errorf("more than %s", maxConnectFee)
		}
		return decimal(value, err)
	default:
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return errors.New("want whole seconds from 0 to 65535")
		}
		*secondsOf(row, column) = uint16(n)
	}
	return nil
}

func secondsOf(row *fsm.RateRow, column string) *uint16 {
	switch column {
	case "first":
		return &row.First
	case "next":
		return &row.Next
	case "minimum":
		return &row.Minimum
	}
	return &row.Free
}

func checkPrefix(value string) error {
	switch err := number.Valid(value); {
	case value == "":
		return errors.New("is empty")
	case scientific(value):
		return errors.New("looks like a spreadsheet's scientific notation: format the column as text")
	case err != nil:
		return errors.New("want digits, * and #")
	case len(value) > billing.MaxPrefix:
		return fmt.Errorf("%d digits, at most %d are possible", len(value), billing.MaxPrefix)
	}
	return nil
}

// decimal says in words what people get wrong about numbers.
func decimal(value string, err error) error {
	switch {
	case err == nil:
		return nil
	case value == "":
		return errors.New("is empty")
	case scientific(value):
		return errors.New("looks like a spreadsheet's scientific notation: format the column as text")
	case strings.Contains(value, ","):
		return errors.New("decimal comma: write a point")
	}
	return err
}

// scientific reports whether a value looks like 1.2E+10.
func scientific(value string) bool {
	mantissa, exponent, ok := strings.Cut(strings.ToUpper(value), "E")
	return ok && exponent != "" && strings.Trim(mantissa, "0123456789.-") == "" && strings.Trim(exponent, "0123456789+-") == ""
}

// sort brings the rows in order of their prefixes, each of which may be there
// once.
func (f *ratesFile) sort() {
	order := make([]int, len(f.rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(f.rows[a].Prefix, f.rows[b].Prefix) })
	sorted := make([]fsm.RateRow, len(order))
	first := 0 // of the rows with this prefix
	for i, from := range order {
		sorted[i] = f.rows[from]
		if i > 0 && sorted[i].Prefix == sorted[i-1].Prefix {
			f.report(f.lines[from], "prefix", sorted[i].Prefix, "is on line %d already", f.lines[order[first]])
			continue
		}
		first = i
	}
	f.rows = sorted
}

// writeRates prints rows as an import reads them.
func writeRates(rows []fsm.RateRow) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(client.RateColumns[:]); err != nil {
		return nil, err
	}
	for i := range rows {
		r := &rows[i]
		err := w.Write([]string{
			r.Prefix, r.Area, r.Price.String(), r.ConnectFee.String(), seconds(r.First), seconds(r.Next), seconds(r.Minimum), seconds(r.Free),
		})
		if err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

func seconds(n uint16) string { return strconv.Itoa(int(n)) }
