package chaos_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tandem/chaos"
)

// TestWindows: what may be promised less, and when, follows from the faults.
func TestWindows(t *testing.T) {
	for _, tc := range []struct{ faults, want string }{
		{"10s kill n1 for 5s", "10-13 15-18"},
		{"10s kill n1 for 1s", "10-11 11-14"},
		{"10s clock n1 1h for 5s", ""},
		{"10s transfer n1", "10-13"},
		{"10s loss all 0.1 for 20s", "10-33"},
		{"10s power all for 5s", "10-13 10-15!dead 15-18"},
		{"10s partition n1|n2,n3 for 10s", "10-13 20-23"},
		{"10s partition n1|n2|n3 for 10s", "10-13 10-20! 20-23"},
		{"10s partition n1,n2|n2,n3 for 10s", "10-13 20-23"}, // n2 is a bridge
		{"10s cut n1>n2 for 10s", "10-13 20-23"},
		{"10s cut n1>n2 for 10s\n10s cut n3>n2 for 10s\n10s cut n1>n3 for 10s", "10-13 10-13 10-13 10-20! 20-23 20-23 20-23"},
		{"10s kill n1 for 10s\n12s partition n2|n3 for 2s", "10-13 12-14 12-14!dead 14-17 20-23"},
		{"10s pause n1,n2 for 2s", "10-12 10-12!dead 12-15"},
	} {
		plan, err := chaos.ParseSchedule(tc.faults)
		if err != nil {
			t.Fatal(err)
		}
		var struck []chaos.Struck
		for _, f := range plan {
			struck = append(struck, chaos.Struck{Fault: f, From: f.At, To: f.At + f.For})
		}
		var got []string
		for _, w := range chaos.Windows(struck, []string{"n1", "n2", "n3"}, 3*time.Second) {
			text := fmt.Sprintf("%g-%g", w.From.Seconds(), w.To.Seconds())
			if w.Lost {
				text += "!"
			}
			if w.Lost && !w.Alive {
				text += "dead"
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%q: %q, want %q", tc.faults, strings.Join(got, " "), tc.want)
		}
	}
}
