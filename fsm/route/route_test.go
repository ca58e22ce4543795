package route_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tandem/billing"
	"tandem/fsm/route"
)

// board is a switch whose answers are written down.
type board struct {
	facts   map[string]route.Facts
	refuse  map[string]route.Reason
	refused []string // which were asked for, in order
}

func (b *board) Facts(id string) route.Facts { return b.facts[id] }

func (b *board) Refuse(id string) route.Reason {
	b.refused = append(b.refused, id)
	return b.refuse[id]
}

// index builds an index from "id: prefix prefix ..."; "!" behind the id is
// terminate.
func index(t testing.TB, lines ...string) *route.Index {
	t.Helper()
	var gateways []route.Gateway
	for _, line := range lines {
		id, prefixes, _ := strings.Cut(line, ":")
		id, terminate := strings.CutSuffix(id, "!")
		g := route.Gateway{ID: id, Prefixes: strings.Fields(prefixes), Terminate: terminate}
		for i, p := range g.Prefixes {
			if p == "-" {
				g.Prefixes[i] = ""
			}
		}
		gateways = append(gateways, g)
	}
	x, err := route.NewIndex(gateways)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// show prints a selection: candidates with their prefixes, then who was skipped.
func show(s *route.Selection) string {
	var words []string
	for _, c := range s.Candidates {
		words = append(words, c.ID+"/"+c.Prefix)
	}
	for _, k := range s.Skipped {
		words = append(words, fmt.Sprintf("-%s(%s)", k.ID, k.Reason))
	}
	return strings.Join(words, " ")
}

func TestSelect(t *testing.T) {
	tests := []struct {
		name   string
		index  []string
		facts  map[string]route.Facts
		refuse map[string]route.Reason
		callee string
		want   string
	}{
		// Spec 2.1, the worked example of F081: 90080001.
		{"continue", []string{"a: 90080", "b: 900", "c: 9"}, nil, nil, "90080001", "a/90080 b/900 c/9"},
		{"terminate", []string{"a: 90080", "b!: 900", "c: 9"}, nil, nil, "90080001", "a/90080 b/900"},
		{"terminate at the longest", []string{"a!: 90080", "b: 900", "c: 9"}, nil, nil, "90080001", "a/90080"},
		{"one of several terminates", []string{"a: 900", "b!: 900", "c: 9"}, nil, nil, "90080001", "a/900 b/900"},
		{"busy terminates too", []string{"a!: 900", "c: 9"}, map[string]route.Facts{"a": {Live: 5, Lines: 5}}, nil,
			"90080001", "-a(all lines busy)"},
		{"out terminates too", []string{"a!: 900", "c: 9"}, map[string]route.Facts{"a": {Skip: route.Out}}, nil,
			"90080001", "-a(out of service)"},
		{"disabled terminates nothing", []string{"a!: 900", "c: 9"}, map[string]route.Facts{"a": {Skip: route.Disabled}}, nil,
			"90080001", "c/9 -a(disabled)"},
		{"not allowed terminates nothing", []string{"a!: 900", "c: 9"}, map[string]route.Facts{"a": {Skip: route.NotAllowed}}, nil,
			"90080001", "c/9 -a(not allowed for this ingress)"},

		{"nothing", []string{"a: 44"}, nil, nil, "90080001", ""},
		{"every callee", []string{"a: -", "b: 44"}, nil, nil, "4420", "b/44 a/"},
		{"empty callee", []string{"a: -", "b: 44"}, nil, nil, "", "a/"},
		{"whole number", []string{"a: 4420"}, nil, nil, "4420", "a/4420"},
		{"longer than the number", []string{"a: 44201"}, nil, nil, "4420", ""},
		{"found once", []string{"a: 44 4420 4"}, nil, nil, "4420", "a/4420"},

		{"priority", []string{"a: 44", "b: 44", "c: 44"}, map[string]route.Facts{"a": {Priority: 2}, "b": {Priority: -1}}, nil,
			"4420", "b/44 c/44 a/44"},
		{"load", []string{"a: 44", "b: 44", "c: 44"},
			map[string]route.Facts{"a": {Live: 2, Lines: 3}, "b": {Live: 6, Lines: 10}, "c": {Live: 7, Lines: 0, History: 1}}, nil,
			"4420", "c/44 b/44 a/44"},
		{"equal load, then history", []string{"a: 44", "b: 44"},
			map[string]route.Facts{"a": {Live: 1, Lines: 3, History: 9}, "b": {Live: 2, Lines: 6, History: 8}}, nil,
			"4420", "b/44 a/44"},
		{"then id", []string{"b: 44", "a: 44"}, nil, nil, "4420", "a/44 b/44"},
		{"longer prefix before priority", []string{"a: 44", "b: 4"}, map[string]route.Facts{"a": {Priority: 9}}, nil,
			"4420", "a/44 b/4"},

		{"refused", []string{"a: 44", "b: 44", "c: 4"}, nil,
			map[string]route.Reason{"a": route.NoClearingRate, "c": route.CalleeForbidden},
			"4420", "b/44 -a(no clearing rate) -c(callee forbidden)"},
		{"nine", []string{"a: 4", "b: 4", "c: 4", "d: 4", "e: 4", "f: 4", "g: 4", "h: 4", "i: 4", "j: -"}, nil, nil,
			"4420", "a/4 b/4 c/4 d/4 e/4 f/4 g/4 h/4 -i(enough candidates before it)"},
	}
	var s route.Selection // reused: nothing of one search may be left in the next
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			index(t, tt.index...).Select(&s, tt.callee, &board{facts: tt.facts, refuse: tt.refuse})
			if got := show(&s); got != tt.want {
				t.Errorf("%s: %q, want %q", tt.callee, got, tt.want)
			}
		})
	}
}

func TestSelectAsksInOrder(t *testing.T) {
	b := &board{facts: map[string]route.Facts{"a": {Priority: 1}, "d": {Skip: route.Disabled}}}
	var s route.Selection
	index(t, "a: 44", "b: 44", "c: 4", "d: 4").Select(&s, "4420", b)
	if diff := gocmp.Diff([]string{"b", "a", "c"}, b.refused); diff != "" {
		t.Error(diff)
	}
}

func TestBounds(t *testing.T) {
	gateways := make([]route.Gateway, route.MaxMatched+50)
	facts := map[string]route.Facts{}
	for i := range gateways {
		gateways[i] = route.Gateway{ID: fmt.Sprintf("g%04d", i), Prefixes: []string{"4"}}
		facts[gateways[i].ID] = route.Facts{Skip: route.Out}
	}
	x, err := route.NewIndex(gateways)
	if err != nil {
		t.Fatal(err)
	}
	var s route.Selection
	x.Select(&s, "44", &board{facts: facts})
	if len(s.Candidates) != 0 || len(s.Skipped) != route.MaxSkipped {
		t.Errorf("%d candidates, %d skipped", len(s.Candidates), len(s.Skipped))
	}
}

func TestNewIndexErrors(t *testing.T) {
	for want, gateways := range map[string][]route.Gateway{
		`gateway "a": twice`: {{ID: "a"}, {ID: "b"}, {ID: "a"}},
		`gateway "a": prefix "4x": 'x', only 0-9, * and # are possible: not a number`: {{ID: "a", Prefixes: []string{"4x"}}},
	} {
		if _, err := route.NewIndex(gateways); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// TestSelectAgainstModel compares with a search that looks at every gateway.
func TestSelectAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching("[12]{0,4}")
		b := &board{facts: map[string]route.Facts{}, refuse: map[string]route.Reason{}}
		var gateways []route.Gateway
		for i := range rapid.IntRange(0, 12).Draw(t, "gateways") {
			id := string(rune('a' + i))
			gateways = append(gateways, route.Gateway{
				ID: id, Prefixes: rapid.SliceOfN(digits, 0, 3).Draw(t, "prefixes"), Terminate: rapid.Bool().Draw(t, "terminate"),
			})
			b.facts[id] = route.Facts{
				Priority: rapid.Int32Range(0, 1).Draw(t, "priority"), Live: rapid.Uint32Range(0, 3).Draw(t, "live"),
				Lines: rapid.Uint32Range(0, 4).Draw(t, "lines"), History: rapid.Uint64Range(0, 1).Draw(t, "history"),
				Skip: rapid.SampledFrom([]route.Reason{0, 0, 0, route.Disabled, route.Out}).Draw(t, "skip"),
			}
			b.refuse[id] = rapid.SampledFrom([]route.Reason{0, 0, route.NoClearingRate}).Draw(t, "refuse")
		}
		callee := digits.Draw(t, "callee")
		x, err := route.NewIndex(gateways)
		if err != nil {
			t.Fatal(err)
		}
		var s route.Selection
		x.Select(&s, callee, b)
		var got []string
		for _, c := range s.Candidates {
			got = append(got, c.ID)
		}
		if diff := gocmp.Diff(model(gateways, b, callee), got); diff != "" {
			t.Errorf("callee %q: %s", callee, diff)
		}
	})
}

// model is Select without an index.
func model(gateways []route.Gateway, b *board, callee string) (ids []string) {
	depth := map[string]int{} // length of the longest matching prefix
	floor := 0
	for _, g := range gateways {
		for _, p := range g.Prefixes {
			if old, ok := depth[g.ID]; strings.HasPrefix(callee, p) && (!ok || len(p) > old) {
				depth[g.ID] = len(p)
			}
		}
	}
	for _, g := range gateways {
		if n, ok := depth[g.ID]; ok && g.Terminate && b.facts[g.ID].Skip != route.Disabled {
			floor = max(floor, n)
		}
	}
	for id, n := range depth {
		f := b.facts[id]
		if n >= floor && f.Skip == route.Usable && (f.Lines == 0 || f.Live < f.Lines) && b.refuse[id] == route.Usable {
			ids = append(ids, id)
		}
	}
	load := func(f route.Facts) float64 {
		if f.Lines == 0 {
			return 0
		}
		return float64(f.Live) / float64(f.Lines)
	}
	slices.SortFunc(ids, func(x, y string) int {
		a, b := b.facts[x], b.facts[y]
		return cmp.Or(cmp.Compare(depth[y], depth[x]), cmp.Compare(a.Priority, b.Priority),
			cmp.Compare(load(a), load(b)), cmp.Compare(a.History, b.History), cmp.Compare(x, y))
	})
	return ids[:min(len(ids), route.MaxCandidates)]
}

func TestPrice(t *testing.T) {
	const cent = billing.Price(10_000_000)
	tests := []struct {
		name          string
		price         route.Price
		revenue, cost billing.Price
		rated         bool
		want          route.Reason
	}{
		{"no demands", route.Price{}, cent, 9 * cent, true, route.Usable},
		{"no rate, no check", route.Price{Max: cent, MinProfit: cent}, cent, 0, false, route.Usable},
		{"no rate", route.Price{Check: true}, cent, 0, false, route.NoClearingRate},
		{"loss", route.Price{Check: true}, cent, cent + 1, true, route.ProfitTooLow},
		{"no profit, none wanted", route.Price{Check: true}, cent, cent, true, route.Usable},
		{"small loss allowed", route.Price{Check: true, MinProfit: -cent}, cent, 2 * cent, true, route.Usable},
		{"larger loss", route.Price{Check: true, MinProfit: -cent}, cent, 2*cent + 1, true, route.ProfitTooLow},
		{"at the cap", route.Price{Max: cent}, 0, cent, true, route.Usable},
		{"above the cap", route.Price{Max: cent}, 0, cent + 1, true, route.RateTooHigh},
	}
	for _, tt := range tests {
		if got := tt.price.Refuse(tt.revenue, tt.cost, tt.rated); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestAllowed(t *testing.T) {
	for _, tt := range []struct {
		routes string
		deny   bool
		want   bool
	}{{"", false, true}, {"", true, true}, {"a b", false, true}, {"b c", false, false}, {"a b", true, false}, {"b c", true, true}} {
		if got := route.Allowed(strings.Fields(tt.routes), tt.deny, "a"); got != tt.want {
			t.Errorf("list %q, deny %v: %v", tt.routes, tt.deny, got)
		}
	}
}

func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := route.Usable; r <= route.PlanFull; r++ {
		if seen[r.String()] || r.String() == "unknown" {
			t.Errorf("reason %d: %q", r, r)
		}
		seen[r.String()] = true
	}
}

// BenchmarkSelect is one search among 50 gateways with 20 prefixes each.
func BenchmarkSelect(b *testing.B) {
	gateways := make([]route.Gateway, 50)
	facts := map[string]route.Facts{}
	for i := range gateways {
		g := &gateways[i]
		g.ID = fmt.Sprintf("gw-%02d", i)
		for p := range 20 {
			g.Prefixes = append(g.Prefixes, fmt.Sprintf("4%d", (i+p)%100))
		}
		facts[g.ID] = route.Facts{Priority: int32(i % 3), Live: uint32(i), Lines: 100}
	}
	x, err := route.NewIndex(gateways)
	if err != nil {
		b.Fatal(err)
	}
	sw := &fixed{facts}
	var s route.Selection
	b.ReportAllocs()
	for b.Loop() {
		x.Select(&s, "442079460000", sw)
	}
	if len(s.Candidates) != route.MaxCandidates {
		b.Errorf("%d candidates", len(s.Candidates))
	}
}

// fixed is a board that refuses nobody.
type fixed struct{ facts map[string]route.Facts }

func (f *fixed) Facts(id string) route.Facts { return f.facts[id] }
func (f *fixed) Refuse(string) route.Reason  { return route.Usable }
