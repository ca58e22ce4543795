package node

import (
	"testing"
	"time"
)

// A process that was stopped does not believe its sockets for a moment, whoever
// looks at the clock first.
func TestAwake(t *testing.T) {
	now := time.Hour
	a := &awake{boot: func() time.Duration { return now }}
	if a.fresh() {
		t.Error("fresh before it has ever run")
	}
	for range 10 {
		a.look()
		now += wakeEvery
	}
	if !a.fresh() {
		t.Error("not fresh after half a second awake")
	}
	now += 3 * time.Second
	if a.fresh() {
		t.Error("fresh right after a sleep, before the loop has run")
	}
	a.look()
	if a.fresh() {
		t.Error("fresh right after a sleep")
	}
	for range 10 {
		now += wakeEvery
		a.look()
	}
	if !a.fresh() {
		t.Error("not fresh half a second after a sleep")
	}
}
