package game_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tandem/chaos"
	"tandem/cmd/tandem/game"
)

// TestScenarios: every scenario that is shipped can be read, and says what it is
// about and what it wants.
func TestScenarios(t *testing.T) {
	names := game.Names()
	if len(names) < 5 {
		t.Errorf("only %v", names)
	}
	for _, name := range names {
		s, err := game.Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Name != name || s.About == "" || s.Limits.Lost == nil || s.Limits.Failed == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	if _, err := game.Load("nothing-of-the-sort"); !errors.Is(err, game.ErrUnknown) {
		t.Errorf("got %v", err)
	}
	for text, want := range map[string]string{
		`duration = "10s"` + "\nnodes = 2":                             "nodes = 2: want 3 to 7",
		`duration = "1s"`:                                              "duration = 1s: want 5s",
		`duration = "soon"`:                                            "is not a duration",
		`duration = "10s"` + "\nfaults = \"1s kill\"":                  "faults: line 1",
		`duration = "10s"` + "\nfaults = \"1s kill n1 for 10s\"":       "ends after the duration",
		`duration = "10s"` + "\nlength = 3":                            "length",
		`duration = "10s"` + "\n[traffic]\ncps = -1":                   "traffic.cps = -1",
		`duration = "10s"` + "\n[limits]\nlost = 0\nfailed = \"none\"": "Limits.Failed",
	} {
		file := filepath.Join(t.TempDir(), "s.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := game.Load(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// result is a run with a kill, a failed call and a breached threshold.
func result(t *testing.T) game.Result {
	t.Helper()
	s, err := game.Load("leader-kill")
	if err != nil {
		t.Fatal(err)
	}
	fault, err := chaos.ParseFault("10s kill n1 for 5s")
	if err != nil {
		t.Fatal(err)
	}
	r := game.Result{
		Scenario: s, Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Thresholds: []game.Threshold{{Name: "lost <calls>", Value: "1", Limit: "≤ 0"}, {Name: "ledger", Value: "yes", Limit: "yes", OK: true}},
		Struck:     []chaos.Struck{{Fault: fault, From: 10 * time.Second, To: 15 * time.Second}},
		Calls: []chaos.Call{
			{ID: "a", Node: "n1", Began: time.Second, Answered: 2 * time.Second, Ended: 20 * time.Second, Heard: 20 * time.Second, Status: 200, Gap: 300 * time.Millisecond},
			{ID: "b", Node: "n2", Began: 11 * time.Second, Heard: 12 * time.Second, Status: 503},
		},
		Violations: []string{"survival: call a was cut"},
	}
	for i := range 100 {
		leader := "n1"
		if i > 50 {
			leader = "n2"
		}
		r.Samples = append(r.Samples, game.Sample{At: time.Duration(i) * 200 * time.Millisecond, Leader: leader, Calls: i % 7, Up: []bool{i < 50, true, true}})
	}
	return r
}

// TestReport: the page is one file that needs nothing from elsewhere, and says
// what happened.
func TestReport(t *testing.T) {
	var b bytes.Buffer
	if err := game.WriteHTML(&b, result(t)); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"promises broken", "lost &lt;calls&gt;", "✗", "✓", "kill at 10.0s for 5.0s", "failed with 503 at 11.0s", "survival: call a was cut", "10s kill leader",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, bad := range []string{"http://", "https://", "<script", "ZgotmplZ", "NaN", "url("} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

func TestResultIsRepeated(t *testing.T) {
	var b bytes.Buffer
	r := result(t)
	if err := game.WriteJSON(&b, r); err != nil {
		t.Fatal(err)
	}
	again, err := game.ReadJSON(&b)
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("%v: read\n%+v\nwrote\n%+v", err, again, r)
	}
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := game.WriteJUnit(&b, result(t)); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suite); err != nil || suite.Tests != 2 || suite.Failures != 1 || suite.Cases[0].Failure.Message != "1, want ≤ 0" {
		t.Errorf("%v: %+v\n%s", err, suite, b.String())
	}
}

func TestText(t *testing.T) {
	r := result(t)
	text := r.Text("ok", "NO")
	if !strings.Contains(text, "NO lost <calls>") || !strings.Contains(text, "(≤ 0)") || !strings.Contains(text, "FAILED 1 of 2") {
		t.Error(text)
	}
}
