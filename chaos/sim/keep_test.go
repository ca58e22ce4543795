package sim_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tandem/chaos"
)

// without leaves the faults out that -without names: .ci/swarm makes the schedule
// of a failing seed as short as it still fails with.
func without(t *testing.T, s chaos.Schedule) chaos.Schedule {
	t.Helper()
	if *less == "" {
		return s
	}
	var left chaos.Schedule
	numbers := strings.Split(*less, ",")
	for i, f := range s {
		if !slices.Contains(numbers, strconv.Itoa(i+1)) {
			left = append(left, f)
		}
	}
	return left
}

// keep writes what is needed to look into a failed day.
func (d *day) keep(s chaos.Schedule) {
	if *keep == "" {
		return
	}
	d.t.Helper()
	history, err := json.MarshalIndent(d.recorder.History(), "", " ")
	if err == nil {
		err = os.MkdirAll(*keep, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*keep, "history.json"), history, 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*keep, "schedule.txt"), []byte(s.String()), 0o600)
	}
	if err != nil {
		d.t.Errorf("keep: %v", err)
	}
}

// TestWithout: numbers count from 1, as lines do.
func TestWithout(t *testing.T) {
	defer func(old string) { *less = old }(*less)
	*less = "1,3"
	s := schedule(t, "1s kill n1\n2s kill n2\n3s kill n3\n4s kill n1")
	if got := without(t, s).String(); got != "2s kill n2\n4s kill n1\n" {
		t.Errorf("%q", got)
	}
}
