// Package chaos says what can go wrong, what was seen from outside while it did,
// and what must hold nevertheless: faults and schedules, histories, checkers.
//
// Everything here is a value. The package never kills, cuts or delays anything
// itself: chaos/sim applies a [Schedule] to a cluster in one process, chaos/live
// to real ones, and both hand the [History] of the run to [Check].
//
//	plan := chaos.Plan(7, chaos.PlanConfig{Nodes: []string{"n1", "n2", "n3"}})
//	fmt.Println(plan)              // a fault a line; ParseSchedule reads it back
//	...
//	for _, v := range chaos.Check(history) {
//		t.Error(v)
//	}
package chaos
