package load

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// maxSetups bounds the set-up latencies kept for percentiles; beyond it every
// other one is dropped and half as many are kept.
const maxSetups = 1 << 16

// maxProblems bounds the texts of problems that are kept.
const maxProblems = 20

// Report is what a load brought.
type Report struct {
	Placed     int
	Live       int
	Answered   int
	Refused    map[int]int // by final status; 0: no answer at all
	Completed  int         // answered and over
	Cut        int         // of them, ended by the switch
	ByesLost   int         // of them, our BYE was not answered with 200
	SetupP50   time.Duration
	SetupP99   time.Duration
	SetupMax   time.Duration
	RTPSent    uint64
	RTPGot     uint64
	RTPLost    uint64
	LongestGap time.Duration
	Problems   []string
}

// Failed is the number of calls that were not answered.
func (r Report) Failed() int {
	sum := 0
	for _, n := range r.Refused {
		sum += n
	}
	return sum
}

// report collects.
type report struct {
	mu     sync.Mutex // all fields
	sum    Report
	setups []time.Duration
	step   int // every step-th latency is kept
	skip   int
}

func (r *report) init() { r.sum.Refused, r.step = map[int]int{}, 1 }

func (r *report) answered(setup time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Answered++
	r.sum.SetupMax = max(r.sum.SetupMax, setup)
	if r.skip++; r.skip < r.step {
		return
	}
	r.skip = 0
	r.setups = append(r.setups, setup)
	if len(r.setups) == maxSetups {
		for i := range r.setups[:maxSetups/2] {
			r.setups[i] = r.setups[2*i]
		}
		r.setups = r.setups[:maxSetups/2]
		r.step *= 2
	}
}

func (r *report) ended(o Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.RTPSent += o.RTP.Sent
	r.sum.RTPGot += o.RTP.Received
	r.sum.RTPLost += o.RTP.Lost
	r.sum.LongestGap = max(r.sum.LongestGap, o.RTP.LongestGap)
	if !o.Answered() {
		r.sum.Refused[o.Status]++
		return
	}
	r.sum.Completed++
	if o.Cut {
		r.sum.Cut++
	}
	if o.ByeLost {
		r.sum.ByesLost++
	}
}

func (r *report) problem(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sum.Problems) < maxProblems {
		r.sum.Problems = append(r.sum.Problems, text)
	}
}

func (r *report) snapshot(placed, live int) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.sum
	out.Placed, out.Live = placed, live
	out.Refused = maps.Clone(r.sum.Refused)
	out.Problems = slices.Clone(r.sum.Problems)
	if sorted := slices.Sorted(slices.Values(r.setups)); len(sorted) > 0 {
		out.SetupP50 = sorted[len(sorted)/2]
		out.SetupP99 = sorted[len(sorted)*99/100]
	}
	return out
}
