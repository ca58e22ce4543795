package render_test

import (
	"strings"
	"testing"
	"time"

	"tandem/billing"
	"tandem/cmd/tandem/render"
	"tandem/node/api/client"
)

type row struct {
	ID      string         `json:"id"`
	Balance billing.Amount `json:"balance"`
	Calls   uint64         `json:"calls"`
	Locked  bool           `json:"locked,omitempty"`
	Since   client.Time    `json:"since,omitzero"`
	Talk    client.Seconds `json:"talk"`
}

var columns = []render.Column[row]{
	{Head: "ID", Value: func(r row) any { return r.ID }},
	{Head: "BALANCE", Value: func(r row) any { return r.Balance }},
	{Head: "CALLS", Value: func(r row) any { return r.Calls }},
	{Head: "LOCKED", Value: func(r row) any { return r.Locked }},
	{Head: "SINCE", Value: func(r row) any { return r.Since }},
	{Head: "TALK", Value: func(r row) any { return r.Talk }},
}

func rows() []row {
	at := client.Time{Time: time.Date(2026, 11, 21, 10, 42, 7, 5e6, time.UTC)}
	return []row{
		{ID: "acme", Balance: 1234567 * billing.Unit, Calls: 918221, Since: at, Talk: client.Seconds(83 * time.Second)},
		{ID: "müller", Balance: -14500, Locked: true, Talk: client.Seconds(1500 * time.Millisecond)},
	}
}

func TestFormats(t *testing.T) {
	tests := map[render.Format]string{
		render.Table: `
ID           BALANCE    CALLS  LOCKED  SINCE                     TALK
acme    1 234 567.00  918 221  -       2026-11-21 10:42:07 UTC  1m23s
müller       -0.0145        0  yes     -                         1.5s
`,
		render.JSON: `
[
  {
    "id": "acme",
    "balance": "1234567.00",
    "calls": 918221,
    "since": "2026-11-21T10:42:07.005Z",
    "talk": 83
  },
  {
    "id": "müller",
    "balance": "-0.0145",
    "calls": 0,
    "locked": true,
    "talk": 1.5
  }
]
`,
		render.NDJSON: `
{"id":"acme","balance":"1234567.00","calls":918221,"since":"2026-11-21T10:42:07.005Z","talk":83}
{"id":"müller","balance":"-0.0145","calls":0,"locked":true,"talk":1.5}
`,
		render.CSV: `
id,balance,calls,locked,since,talk
acme,1234567.00,918221,false,2026-11-21T10:42:07.005Z,83
müller,-0.0145,0,true,,1.5
`,
	}
	for format, want := range tests {
		var out strings.Builder
		if err := render.List(render.Printer{Out: &out, Format: format}, rows(), columns); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want[1:] {
			t.Errorf("%s:\n%swant\n%s", format, got, want)
		}
	}
}

func TestObjectLeavesEmptyLinesOut(t *testing.T) {
	var out strings.Builder
	if err := render.Object(render.Printer{Out: &out}, rows()[0], columns); err != nil {
		t.Fatal(err)
	}
	want := `ID       acme
BALANCE  1 234 567.00
CALLS    918 221
SINCE    2026-11-21 10:42:07 UTC
TALK     1m23s
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestNothing(t *testing.T) {
	for format, want := range map[render.Format]string{render.Table: "none\n", render.JSON: "[]\n", render.NDJSON: ""} {
		var out strings.Builder
		if err := render.List(render.Printer{Out: &out, Format: format}, nil, columns); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v", format, out.String(), err)
		}
	}
}

func TestGroup(t *testing.T) {
	for in, want := range map[string]string{"0": "0", "999": "999", "1000": "1 000", "-1234567.8900": "-1 234 567.8900", "12.345678": "12.345678"} {
		if got := render.Group(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestColor(t *testing.T) {
	if got := (render.Printer{Color: true}).Bad("x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("%q", got)
	}
	if got := (render.Printer{}).Bad("x"); got != "x" {
		t.Errorf("%q", got)
	}
}
