package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"tandem/billing"
)

// RateColumns are the columns of a rates file, in the order of an export. An
// import needs prefix and price; the others may be missing or empty.
var RateColumns = [...]string{"prefix", "area", "price", "connect_fee", "first", "next", "minimum", "free"}

// Rounding says how hold times and fees of a table are rounded.
type Rounding struct {
	HoldThreshold uint16 `json:"hold_threshold_ms" minimum:"1" maximum:"999" doc:"Fraction of a second from which the hold time is rounded up; 1: every started second is billed"`
	Decimals      uint8  `json:"decimals" minimum:"0" maximum:"6" doc:"Decimals of fees"`
	Mode          string `json:"mode" enum:"half-up,up,down,half-even"`
}

// RateTableSettings is what an operator decides about a rate table. A PUT
// replaces all of it and leaves the rates as they are.
type RateTableSettings struct {
	Currency string    `json:"currency" pattern:"^[A-Z]{3}$" doc:"ISO 4217"`
	Rounding *Rounding `json:"rounding,omitempty" doc:"absent: as the system's parameters say"`
}

// RateTable is a price list.
type RateTable struct {
	ID string `json:"id"`
	RateTableSettings
	Version  uint64 `json:"version,omitempty" doc:"Version that new calls are priced by; absent: none yet"`
	Rows     uint32 `json:"rows" doc:"Rates of that version"`
	Previous uint64 `json:"previous,omitempty" doc:"Version before it"`
}

// RateTableQuery selects rate tables.
type RateTableQuery struct{ Page }

// At returns the query at another cursor.
func (q RateTableQuery) At(cursor string) RateTableQuery {
	q.Cursor = cursor
	return q
}

// Rate is one row of a rate table.
type Rate struct {
	Prefix     string         `json:"prefix"`
	Area       string         `json:"area,omitempty"`
	Price      billing.Price  `json:"price" doc:"Per minute"`
	ConnectFee billing.Amount `json:"connect_fee,omitzero" doc:"For each call of at least a second"`
	First      uint16         `json:"first" doc:"First increment, seconds"`
	Next       uint16         `json:"next" doc:"Later increments, seconds"`
	Minimum    uint16         `json:"minimum,omitempty" doc:"Billed at least, seconds"`
	Free       uint16         `json:"free,omitempty" doc:"Not billed at the start, seconds"`
}

// RateQuery selects the rates of a table's active version, by prefix.
type RateQuery struct {
	Page
	Table  string
	Prefix string // rates of this prefix and below; empty: all
}

// At returns the query at another cursor.
func (q RateQuery) At(cursor string) RateQuery {
	q.Cursor = cursor
	return q
}

// Import is the answer to an import of rates.
type Import struct {
	Table    string `json:"table"`
	Version  uint64 `json:"version,omitempty" doc:"Version that was made; absent in a dry run"`
	Rows     int    `json:"rows"`
	Added    int    `json:"added" doc:"Prefixes that the table did not have"`
	Removed  int    `json:"removed" doc:"Prefixes that it has no more"`
	Raised   int    `json:"raised" doc:"Prices that went up"`
	Lowered  int    `json:"lowered" doc:"Prices that went down"`
	DryRun   bool   `json:"dry_run,omitempty"`
	Index    uint64 `json:"index,omitempty" doc:"Log index at which the rates became active"`
	Previous uint64 `json:"previous,omitempty" doc:"Version that was active before"`
}

// RateTables returns a page of rate tables in order of their ids.
func (c *Client) RateTables(ctx context.Context, q RateTableQuery) (List[RateTable], error) {
	return fetch[RateTable](ctx, c, "/rate-tables", q.values())
}

// RateTable returns one rate table.
func (c *Client) RateTable(ctx context.Context, id string) (t RateTable, r Receipt, err error) {
	r, err = c.get(ctx, path("rate-tables", id), nil, &t)
	return t, r, err
}

// PutRateTable creates a rate table, or replaces the settings of one.
func (c *Client) PutRateTable(ctx context.Context, id string, s RateTableSettings) (t RateTable, r Receipt, err error) {
	r, err = c.put(ctx, path("rate-tables", id), s, &t)
	return t, r, err
}

// DeleteRateTable removes a rate table that no account or gateway uses.
func (c *Client) DeleteRateTable(ctx context.Context, id string) (d Done, err error) {
	_, err = c.remove(ctx, path("rate-tables", id), nil, &d)
	return d, err
}

// Rates returns a page of rates in order of their prefixes.
func (c *Client) Rates(ctx context.Context, q RateQuery) (List[Rate], error) {
	v := q.values()
	v.set("prefix", q.Prefix)
	return fetch[Rate](ctx, c, path("rate-tables", q.Table, "rates"), v)
}

// RateOf returns the rate that prices a number.
func (c *Client) RateOf(ctx context.Context, table, number string) (rate Rate, r Receipt, err error) {
	r, err = c.get(ctx, path("rate-tables", table, "rates", number), nil, &rate)
	return rate, r, err
}

// ExportRates returns the active version as CSV, with [RateColumns].
func (c *Client) ExportRates(ctx context.Context, table string) ([]byte, Receipt, error) {
	return c.send(ctx, request{method: http.MethodGet, path: path("rate-tables", table, "export"), accept: "text/csv"})
}

// ImportRates replaces all rates of a table by those of a CSV file. If a row is
// wrong, nothing changes, and the [*Problem] names each wrong row. The same key
// never imports twice; an empty one is replaced by a fresh one.
func (c *Client) ImportRates(ctx context.Context, table string, csv []byte, key string, dryRun bool) (out Import, err error) {
	if key == "" {
		key = NewKey()
	}
	r := request{method: http.MethodPost, path: path("rate-tables", table, "imports"), key: key, kind: "text/csv", body: csv}
	if dryRun {
		r.query = url.Values{"dry_run": {"true"}}
	}
	body, _, err := c.send(ctx, r)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(body, &out)
}
