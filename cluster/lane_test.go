package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func fillQueue(q *laneQueue[string], lane Lane, flow string, n, size int) {
	for i := range n {
		q.push(item[string]{value: fmt.Sprintf("%d%s%d", lane, flow, i), lane: lane, flow: flow, size: size})
	}
}

func values(items []item[string]) []string {
	var out []string
	for _, it := range items {
		out = append(out, it.value)
	}
	return out
}

func TestUrgentLanesGoFirstAndLeaveRoom(t *testing.T) {
	var q laneQueue[string]
	fillQueue(&q, LaneStart, "a", 50, 10)
	fillQueue(&q, LaneExtend, "", 100, 10)
	fillQueue(&q, LaneUrgent, "", 100, 10)
	batch := q.take(maxEntryCommands)
	count := map[Lane]int{}
	for _, it := range batch {
		count[it.lane]++
	}
	if count[LaneUrgent] != 100 || count[LaneExtend] != 20 || count[LaneStart] != startPlaces {
		t.Errorf("batch of %v", count)
	}
	if !slices.IsSortedFunc(batch, func(a, b item[string]) int { return int(a.lane) - int(b.lane) }) {
		t.Error("lanes are mixed")
	}
	if n := q.len(); n != 250-maxEntryCommands {
		t.Errorf("%d left", n)
	}
}

func TestFlowsTakeTurns(t *testing.T) {
	var q laneQueue[string]
	fillQueue(&q, LaneStart, "flood", 1000, 10)
	fillQueue(&q, LaneStart, "b", 2, 10)
	got := values(q.take(6))
	want := []string{"2flood0", "2b0", "2flood1", "2b1", "2flood2", "2flood3"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBatchBytes(t *testing.T) {
	var q laneQueue[string]
	fillQueue(&q, LaneUrgent, "", 10, 10<<10)
	fillQueue(&q, LaneStart, "a", 1, 100)
	if got := values(q.take(maxEntryCommands)); len(got) != 3 { // 2 × 10 KiB and the reserved start
		t.Errorf("batch %v", got)
	}
	q = laneQueue[string]{}
	fillQueue(&q, LaneStart, "a", 2, 100<<10)
	if got := values(q.take(maxEntryCommands)); len(got) != 1 {
		t.Errorf("batch %v: a large command goes alone", got)
	}
}

func TestUnshiftRestoresTheOrder(t *testing.T) {
	var q laneQueue[string]
	fillQueue(&q, LaneUrgent, "", 3, 10)
	fillQueue(&q, LaneStart, "a", 3, 10)
	first := q.take(4)
	q.unshift(first)
	if again := q.take(4); !slices.Equal(values(again), values(first)) {
		t.Errorf("%v, then %v", values(first), values(again))
	}
	if gone := q.removeIf(func(s string) bool { return strings.HasPrefix(s, "0") }); len(gone) != 2 || q.len() != 0 {
		t.Errorf("removed %v, %d left", values(gone), q.len())
	}
}

func TestShortFlowCrowdsOutTheLongest(t *testing.T) {
	var q laneQueue[string]
	fillQueue(&q, LaneStart, "flood", 3, 10)
	fillQueue(&q, LaneStart, "b", 1, 10)
	if v, ok := q.crowdOut("b"); !ok || v != "2flood2" {
		t.Errorf("crowded out %q, %v", v, ok)
	}
	if v, ok := q.crowdOut("b"); ok {
		t.Errorf("crowded out %q of two", v)
	}
	if got := values(q.take(9)); len(got) != 3 || q.len() != 0 {
		t.Errorf("left %v", got)
	}
}

func TestPacerHoldsOnlyAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		p.arrived(1, time.Now())
		p.left(time.Now())
		if d := p.hold(time.Now()); d != 0 {
			t.Errorf("idle: held %v", d)
		}
		for range 100 {
			p.arrived(3, time.Now())
			time.Sleep(time.Millisecond)
		}
		p.left(time.Now())
		if d := p.hold(time.Now()); d != paceWindow {
			t.Errorf("3 a millisecond: held %v", d)
		}
		time.Sleep(time.Second)
		if d := p.hold(time.Now()); d != 0 {
			t.Errorf("idle again: held %v", d)
		}
	})
}
