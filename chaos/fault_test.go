package chaos_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/chaos"
)

func TestFaultText(t *testing.T) {
	for _, tc := range []struct {
		text string
		want chaos.Fault
	}{
		{"12.5s kill leader for 3s", chaos.Fault{At: 12500 * time.Millisecond, Kind: chaos.Kill, Groups: [][]string{{"leader"}}, For: 3 * time.Second}},
		{"20s partition n1|n2,n3 for 10s", chaos.Fault{At: 20 * time.Second, Kind: chaos.Partition, Groups: [][]string{{"n1"}, {"n2", "n3"}}, For: 10 * time.Second}},
		{"1m0s cut n1>n2", chaos.Fault{At: time.Minute, Kind: chaos.Cut, Groups: [][]string{{"n1"}, {"n2"}}}},
		{"0s loss all 0.05 for 20s", chaos.Fault{Kind: chaos.Loss, Groups: [][]string{{"all"}}, Chance: 0.05, For: 20 * time.Second}},
		{"3s clock n3 -1h0m0s for 1s", chaos.Fault{At: 3 * time.Second, Kind: chaos.Clock, Groups: [][]string{{"n3"}}, Size: -time.Hour, For: time.Second}},
		{"3s faildisk n3", chaos.Fault{At: 3 * time.Second, Kind: chaos.FailDisk, Groups: [][]string{{"n3"}}}},
	} {
		got, err := chaos.ParseFault(tc.text)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %+v, %v", tc.text, got, err)
		}
		if s := tc.want.String(); s != tc.text {
			t.Errorf("String: got %q, want %q", s, tc.text)
		}
	}
}

func TestBadFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "need a time, a kind and a target",
		"soon kill n1":                `invalid duration "soon"`,
		"-1s kill n1":                 "-1s is negative",
		"1s hug n1":                   `unknown kind "hug"`,
		"1s kill n1|n2":               "need nodes such as",
		"1s kill n1,":                 `"" is no node's name`,
		"1s partition n1,n2":          "need groups such as",
		"1s cut n1,n2>n3":             "need a direction such as",
		"1s loss all":                 "loss needs an amount",
		"1s loss all 5":               "5 is no chance",
		"1s loss all NaN":             "NaN is no chance",
		"1s delay all 5":              "missing unit",
		"1s kill n1 3s":               `unexpected "3s"`,
		"1s transfer leader for 3s":   `unexpected "for 3s"`,
		"1s kill n1 for 3s and again": `unexpected "for 3s and again"`,
	} {
		_, err := chaos.ParseFault(text)
		if !errors.Is(err, chaos.ErrFault) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	_, err := chaos.ParseSchedule("1s kill n1\n\n# a comment\n2s hug n2 # why\n")
	if err == nil || !strings.HasPrefix(err.Error(), "line 4: ") {
		t.Errorf("the error does not name the line: %v", err)
	}
}

func TestPlan(t *testing.T) {
	cfg := chaos.PlanConfig{Nodes: []string{"n1", "n2", "n3"}}
	kinds := map[chaos.Kind]bool{}
	for seed := range uint64(200) {
		plan := chaos.Plan(seed, cfg)
		if again := chaos.Plan(seed, cfg); !reflect.DeepEqual(plan, again) {
			t.Fatalf("seed %d: two plans\n%v\n%v", seed, plan, again)
		}
		read, err := chaos.ParseSchedule(plan.String())
		if err != nil || !reflect.DeepEqual(read, plan) {
			t.Fatalf("seed %d: wrote\n%vread\n%v%v", seed, plan, read, err)
		}
		end := time.Duration(0)
		for _, f := range plan {
			kinds[f.Kind] = true
			if f.At < end+10*time.Second {
				t.Errorf("seed %d: %v begins before the last fault is %v over", seed, f, 10*time.Second)
			}
			end = f.At + f.For
		}
		if len(plan) < 5 || end > 110*time.Second {
			t.Errorf("seed %d: %d faults until %v", seed, len(plan), end)
		}
	}
	if len(kinds) != 17 || kinds[chaos.FailDisk] {
		t.Errorf("200 plans have %d kinds: %v", len(kinds), kinds)
	}
}

func FuzzParseSchedule(f *testing.F) {
	f.Add("12.5s kill leader for 3s\n20s partition n1|n2,n3 for 10s\n1s loss all 0.5 # half\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := chaos.ParseSchedule(text)
		if err != nil {
			return
		}
		again, err := chaos.ParseSchedule(s.String())
		if err != nil || !slices.EqualFunc(s, again, func(a, b chaos.Fault) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("%q was read as\n%v\nand that as\n%v%v", text, s, again, err)
		}
	})
}
