//go:build e2e

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// goals are the longest silences that a kill may make.
type goals struct{ p50, p99, longest time.Duration }

// Calls live on when their node is killed: no call is lost, it can be hung up from
// either side, has one record, and its voice is back soon. In full length these
// are the acceptance figures, reported apart for nodes that led.
func TestSurvive(t *testing.T) {
	s := newHeld(t, holding{voice: length(40, envInt(t, "SURVIVE_VOICE", 250)), silent: length(40, envInt(t, "SURVIVE_SILENT", 750)), cps: length(20.0, 40.0)})
	s.killOwners(length(2, 20), false, length(goals{longest: 2 * time.Second}, goals{300 * time.Millisecond, 600 * time.Millisecond, time.Second}))
	s.finish()
}

// The same when the guard process dies with its node: then there is only the lease.
func TestSurviveWithoutGuard(t *testing.T) {
	s := newHeld(t, holding{voice: length(40, envInt(t, "SURVIVE_VOICE", 250)), silent: length(40, envInt(t, "SURVIVE_SILENT", 750)), cps: length(20.0, 40.0)})
	s.killOwners(length(2, 20), true, length(goals{longest: 4 * time.Second}, goals{longest: 2500 * time.Millisecond, p99: 2500 * time.Millisecond}))
	s.finish()
}

// killOwners kills nodes that own calls, every other one the leader, and holds the
// gaps to the goals.
func (s *held) killOwners(kills int, guard bool, g goals) {
	s.t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(kills)))
	byRole := map[string][]time.Duration{}
	for k := range kills {
		s.quiet()
		leader, err := s.c.Leader(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		victim := leader
		if k%2 == 1 {
			victim = (leader + 1 + rng.IntN(s.c.Nodes()-1)) % s.c.Nodes()
		}
		role := "follower"
		if victim == leader {
			role = "leader"
		}
		gaps := s.killOne(victim, guard)
		byRole[role] = append(byRole[role], gaps...)
		p50, p99, longest := figures(gaps)
		s.t.Logf("kill %d: %s, %s: %d calls with voice, silent for p50 %v, p99 %v, at most %v",
			k+1, s.c.Name(victim), role, len(gaps), round(p50), round(p99), round(longest))
	}
	for role, gaps := range byRole {
		p50, p99, longest := figures(gaps)
		s.t.Logf("owners that were %s: %d gaps: p50 %v, p99 %v, max %v", role, len(gaps), round(p50), round(p99), round(longest))
		for _, c := range []struct {
			name      string
			got, goal time.Duration
		}{{"p50", p50, g.p50}, {"p99", p99, g.p99}, {"max", longest, g.longest}} {
			if c.goal > 0 && c.got > c.goal {
				s.t.Errorf("%s of the gaps of owners that were %s is %v, the goal is %v", c.name, role, round(c.got), c.goal)
			}
		}
	}
}

// afterwards is how long calls are listened to after they have moved: longer than
// the longest gap, or it would not be seen.
const afterwards = 1500 * time.Millisecond

// killOne kills a node, waits until another one has its calls, and returns how long
// these were silent.
func (s *held) killOne(victim int, guard bool) []time.Duration {
	s.t.Helper()
	name := s.c.Name(victim)
	n, err := s.node(name)
	if err != nil || n.Calls == 0 {
		s.t.Fatalf("%s owns nothing: %+v %v", name, n, err)
	}
	s.gaps()
	s.kill(victim, guard)
	within(s.t, 15*time.Second, "another node has its calls", func() (bool, string) {
		now, err := s.node(name)
		return err == nil && !now.Up && now.Calls == 0, fmt.Sprintf("%+v %v", now, err)
	})
	time.Sleep(afterwards)
	all := s.gaps()
	var gaps []time.Duration
	for _, a := range n.Addresses {
		gaps = append(gaps, all[netip.MustParseAddr(a.IP)]...)
	}
	if up := s.established(); up != s.calls() {
		s.t.Errorf("after the death of %s %d of %d calls are up", name, up, s.calls())
	}
	if err := s.c.Run(victim); err != nil {
		s.t.Fatal(err)
	}
	if err := s.c.Ready(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return gaps
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
