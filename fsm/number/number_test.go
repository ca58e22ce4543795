package number_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tandem/fsm/number"
)

func TestNormalise(t *testing.T) {
	tests := []struct {
		user, digits, routing string
		err                   error
	}{
		{user: "", digits: ""},
		{user: "442079460000", digits: "442079460000"},
		{user: "+442079460000", digits: "442079460000"},
		{user: "*67#12", digits: "*67#12"},
		{user: "+1-555.123 (45)", digits: "155512345"},
		{user: "%2b1555%23", digits: "1555#"},
		{user: "+15551234;npdi;rn=+1-703-5550000;x=1", digits: "15551234", routing: "17035550000"},
		{user: "15551234;RN=99", digits: "15551234", routing: "99"},
		{user: "15551234;rn=abc", digits: "15551234"}, // a bad routing number costs no call
		{user: "12;phone-context=+44", digits: "12"},
		{user: ";rn=1", routing: "1"},
		{user: strings.Repeat("9", number.MaxDigits), digits: strings.Repeat("9", number.MaxDigits)},
		{user: strings.Repeat("9", number.MaxDigits+1), err: number.ErrLong},
		{user: strings.Repeat("-", 1000) + "1", digits: "1"},
		{user: "anonymous", err: number.ErrSymbol},
		{user: "alice", err: number.ErrSymbol},
		{user: "1+2", err: number.ErrSymbol},
		{user: "12%4", err: number.ErrSymbol},
		{user: "%zz", err: number.ErrSymbol},
		{user: "12\x00", err: number.ErrSymbol},
		{user: "１２", err: number.ErrSymbol}, // full-width digits
	}
	for _, tt := range tests {
		t.Run(tt.user[:min(len(tt.user), 40)], func(t *testing.T) {
			n, err := number.Normalise(tt.user)
			if !errors.Is(err, tt.err) || n.Digits != tt.digits || n.Routing != tt.routing {
				t.Errorf("%+v, %v; want %q, %q, %v", n, err, tt.digits, tt.routing, tt.err)
			}
		})
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = number.Normalise("442079460000") }); n > 0 {
		t.Errorf("%v allocations for a number in normal form", n)
	}
}

func TestNormalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, err := number.Normalise(rapid.String().Draw(t, "user"))
		if err != nil {
			return
		}
		if err := number.Valid(n.Digits); err != nil {
			t.Errorf("not in normal form: %v", err)
		}
		again, err := number.Normalise(n.Digits)
		if err != nil || again.Digits != n.Digits {
			t.Errorf("%q became %q, %v", n.Digits, again.Digits, err)
		}
	})
}

func TestLongest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching("[12#]{0,6}")
		list := rapid.SliceOf(digits).Draw(t, "list")
		n := digits.Draw(t, "number")
		prefixes, err := number.Prefixes(list)
		if err != nil {
			t.Fatal(err)
		}
		want, found := "", false
		for _, p := range list {
			if strings.HasPrefix(n, p) && (!found || len(p) > len(want)) {
				want, found = p, true
			}
		}
		if got, ok := number.Longest(prefixes, n); got != want || ok != found {
			t.Errorf("longest prefix %q, %v; want %q, %v", got, ok, want, found)
		}
		if number.Listed(prefixes, n) != slices.Contains(list, n) {
			t.Errorf("listed: %v", !slices.Contains(list, n))
		}
	})
}

func TestPermitted(t *testing.T) {
	tests := []struct {
		allow, deny string
		n           string
		want        bool
	}{
		{"", "", "44", true},
		{"", "449", "4491", false},
		{"", "449", "4481", true},
		{"44", "", "4491", true},
		{"44", "", "491", false},
		{"44", "449", "4491", false},
		{"4491", "449", "44911", true},
		{"44", "44", "441", false},
	}
	for _, tt := range tests {
		if got := number.Permitted(strings.Fields(tt.allow), strings.Fields(tt.deny), tt.n); got != tt.want {
			t.Errorf("allow %q, deny %q: %s passes: %v", tt.allow, tt.deny, tt.n, got)
		}
	}
}

func TestLists(t *testing.T) {
	in := []string{"44", "1", "44", ""}
	got, err := number.Prefixes(in)
	if err != nil || !slices.Equal(got, []string{"", "1", "44"}) || in[0] != "44" {
		t.Errorf("%q, %v; argument %q", got, err, in)
	}
	if _, err := number.Prefixes([]string{"4a"}); err == nil || err.Error() != `prefix "4a": 'a', only 0-9, * and # are possible: not a number` {
		t.Errorf("error %v", err)
	}
	if _, err := number.List([]string{""}); !errors.Is(err, number.ErrSymbol) {
		t.Errorf("empty number: %v", err)
	}
	prefixes, n := []string{"1", "44", "4420", "49"}, "442079460000"
	if allocs := testing.AllocsPerRun(100, func() { number.Permitted(prefixes, prefixes, n) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestLengths(t *testing.T) {
	tests := []struct{ text, want, yes, no, err string }{
		{text: "15", want: "1-15", yes: "123456789012345", no: "1234567890123456"},
		{text: "3-5,7", want: "3-5,7-7", yes: "1234567", no: "123456"},
		{text: "4-4", want: "4-4", yes: "1234", no: "123"},
		{text: "63", want: "1-63", yes: strings.Repeat("1", 63), no: strings.Repeat("1", 64)},
		{text: "5-3", err: `lengths "5-3": 5 is above 3`},
		{text: "x", err: `lengths "x": "x" is no length from 1 to 63`},
		{text: "0", err: `lengths "0": "0" is no length from 1 to 63`},
		{text: "3-", err: `lengths "3-": "" is no length from 1 to 63`},
	}
	for _, tt := range tests {
		l, err := number.ParseLengths(tt.text)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%q: error %v, want %s", tt.text, err, tt.err)
			}
			continue
		}
		if err != nil || l.String() != tt.want || !l.Allow(tt.yes) || l.Allow(tt.no) || l.Allow("") {
			t.Errorf("%q: %s, %v", tt.text, l, err)
		}
		if again, err := number.ParseLengths(l.String()); again != l || err != nil {
			t.Errorf("%s read again: %s, %v", l, again, err)
		}
	}
	if !number.Lengths(0).Allow(strings.Repeat("1", 99)) {
		t.Error("no lengths: everything may pass")
	}
}
