package call

import (
	"runtime"
	"testing"

	"tandem/fsm"
)

// BenchmarkCall is one answered call through the state machine of call control:
// names and SIP messages are made, nothing is relayed, sent or committed.
func BenchmarkCall(b *testing.B) {
	bench := newBench(b)
	bench.media = fsm.MediaOff // ports rest before they are given again
	fresh := *bench.call
	b.ReportAllocs()
	for b.Loop() {
		call := fresh
		bench.call = &call
		for _, event := range []string{"invite", "commit", "180", "commit", "200", "commit", "ack", "bye A", "commit"} {
			bench.happen(event)
		}
		if call.phase != over {
			b.Fatalf("the call is in phase %d", call.phase)
		}
	}
}

// BenchmarkIdleCall measures the heap that an answered call holds in call control,
// without its media session.
func BenchmarkIdleCall(b *testing.B) {
	bench := newBench(b)
	bench.media = fsm.MediaOff
	fresh := *bench.call
	const calls = 5000
	for b.Loop() {
		kept := make([]*Call, 0, calls)
		before := inUse()
		for range calls {
			call := fresh
			bench.call = &call
			for _, event := range []string{"invite", "commit", "180", "commit", "200", "commit", "ack"} {
				bench.happen(event)
			}
			kept = append(kept, &call)
		}
		b.ReportMetric(float64(inUse()-before)/calls, "B/call")
		runtime.KeepAlive(kept)
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
