package sim_test

import (
	"testing"
	"time"

	"tandem/billing"
	"tandem/chaos"
)

// TestNodeStories are bad days of the whole product under ordinary traffic. All
// end well: what was answered goes on and is charged once, what was not is free,
// and nothing is left.
func TestNodeStories(t *testing.T) {
	for _, story := range []struct{ name, schedule string }{
		{"everything", `
			10s  kill leader for 4s
			25s  kill follower for 4s
			40s  power all for 3s
			60s  partition leader|n1,n2,n3 for 5s`},
		{"each alone", `
			10s  partition n1|n2,n3 for 6s
			30s  partition n2|n1,n3 for 6s
			50s  partition n3|n1,n2 for 6s
			70s  partition n1|n2|n3 for 6s`},
		{"one way", `
			10s  cut n1>n2 for 6s
			25s  cut n2>n3 for 6s
			40s  cut n3>n1 for 6s
			55s  cut n1>n3 for 6s
			70s  cut n2>n1 for 6s`},
		// The cut node gives calls up that commit when it is back: they held money for ever.
		{"late starts", `10s partition leader|n1,n2,n3 for 5s`},
		// So are answers: they were charged to callers who had been told 504.
		{"late answers", `
			10s  hangdisk leader for 6s
			30s  hangdisk all for 6s`},
		// Nodes said 481 to the BYEs of calls that they had not read from the log yet.
		{"early requests", `
			10s  power all for 4s
			30s  power all for 200ms
			50s  power all for 8s`},
		// The BYEs of customers who had given up were charged as if they came when the
		// node was back.
		{"long absence", `10s kill follower for 75s`},
		{"clocks", `
			10s  clock n1 1h for 20s
			35s  clock leader -1h for 20s
			60s  clock all 30m for 10s`},
		{"frozen", `
			10s  pause leader for 500ms
			25s  pause leader for 4s
			45s  pause follower for 4s
			65s  pause all for 3s`},
		{"two at once", `
			10s  kill leader for 6s
			12s  kill follower for 6s
			35s  partition leader|n1,n2,n3 for 6s
			37s  kill leader for 6s
			60s  power n1,n2 for 4s`},
		{"flapping", `
			10s    partition leader|n1,n2,n3 for 300ms
			10.6s  partition leader|n1,n2,n3 for 300ms
			11.2s  partition leader|n1,n2,n3 for 300ms
			11.8s  cut n1>n2 for 300ms
			12.4s  cut n2>n1 for 300ms
			13s    partition n1|n2|n3 for 300ms
			40s    transfer leader
			40.1s  kill leader for 200ms
			41s    transfer leader
			41.1s  power all for 100ms`},
		{"disks", `
			10s  slowdisk leader 300ms for 10s
			30s  slowdisk all 100ms for 10s
			50s  hangdisk follower for 8s`},
	} {
		t.Run(story.name, func(t *testing.T) {
			plan := schedule(t, story.schedule)
			swarm(t, 1, func(t *testing.T, seed uint64) {
				d := newDay(t, seed, wires[0].link)
				d.provision(100 * billing.Unit)
				d.run(plan, usual(90*time.Second)...)
			})
		})
	}
}

// TestNodeSwarm applies another schedule, over other lines, with each seed.
func TestNodeSwarm(t *testing.T) {
	cfg := chaos.PlanConfig{Nodes: []string{"n1", "n2", "n3"}, Length: 90 * time.Second, Longest: 6 * time.Second}
	swarm(t, 20, func(t *testing.T, seed uint64) {
		d := newDay(t, seed, wires[seed%uint64(len(wires))].link)
		d.provision(100 * billing.Unit)
		d.run(chaos.Plan(seed, cfg), usual(cfg.Length)...)
	})
}
