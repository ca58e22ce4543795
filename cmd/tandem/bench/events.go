package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/cmd/tandem/local"
	"tandem/node/api/client"
)

// EventResult is what bare events cost at one rate.
type EventResult struct {
	Rate    float64       `json:"rate"` // that was asked for
	Events  int           `json:"events"`
	Failed  int           `json:"failed"`
	PerSec  float64       `json:"events_per_second"`
	Entries float64       `json:"entries_per_second"` // of the log
	P50     time.Duration `json:"latency_p50_ns"`     // of a request, committed and applied by the node that was asked
	P99     time.Duration `json:"latency_p99_ns"`
	CPU     time.Duration `json:"cpu_per_event_ns"`   // of committing, all nodes
	API     time.Duration `json:"cpu_per_request_ns"` // of a request that is refused before the log, with the cluster's own work
}

// Events measures commands without calls: at each rate, requests that go through
// the log and change nothing (the deletion of a package that is not there) are
// spread over all nodes. The same number of requests that a node refuses by
// itself comes before them; the difference is what the log costs.
func Events(ctx context.Context, cfg Config, rates []float64, report func(EventResult)) (err error) {
	if cfg.Nodes == nil {
		cfg.Nodes = defaultNodes()
	}
	dir, err := os.MkdirTemp("", "tandem-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := local.Start(ctx, local.Config{Exe: cfg.Exe, Env: cfg.Env, Dir: dir, IPs: cfg.Nodes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if _, err := c.AwaitLeader(ctx); err != nil {
		return err
	}
	for _, rate := range rates {
		r, err := events(ctx, c, rate, cfg.Each)
		if err != nil {
			return fmt.Errorf("%g events a second: %w", rate, err)
		}
		report(r)
	}
	return nil
}

// events measures one rate.
func events(ctx context.Context, c *local.Cluster, rate float64, each time.Duration) (EventResult, error) {
	refused := strings.Repeat("x", longestID+1)
	if _, err := burst(ctx, c, rate, each/10, "none", client.CodeNotFound); err != nil { // opens connections
		return EventResult{}, err
	}
	without, err := burst(ctx, c, rate, each, refused, client.CodeInvalid)
	if err != nil {
		return EventResult{}, err
	}
	before, err := commits(ctx, c)
	if err != nil {
		return EventResult{}, err
	}
	with, err := burst(ctx, c, rate, each, "none", client.CodeNotFound)
	if err != nil {
		return EventResult{}, err
	}
	after, err := commits(ctx, c)
	if err != nil {
		return EventResult{}, err
	}
	slices.Sort(with.latencies)
	return EventResult{
		Rate: rate, Events: with.sent, Failed: with.failed, PerSec: float64(with.sent) / with.took.Seconds(),
		Entries: float64(after-before) / with.took.Seconds(), P50: with.quantile(50), P99: with.quantile(99),
		CPU: with.cpuEach() - without.cpuEach(), API: without.cpuEach(),
	}, nil
}

const (
	longestID = 64 // of objects, by the API
	// maxInFlight bounds the requests to one node that wait: behind it the rate
	// falls, which the result shows.
	maxInFlight = 256
)

// flood is what became of requests at a rate.
type flood struct {
	sent, failed int
	took         time.Duration
	cpu          time.Duration
	latencies    []time.Duration // of those that were answered as they should be
}

func (f *flood) cpuEach() time.Duration { return f.cpu / time.Duration(max(1, f.sent)) }

// quantile returns that percentile of the sorted latencies.
func (f *flood) quantile(percent int) time.Duration {
	if len(f.latencies) == 0 {
		return 0
	}
	return f.latencies[(len(f.latencies)-1)*percent/100]
}

// burst deletes a package that is not there, again and again, evenly from all
// nodes, and expects the problem with the given code each time.
func burst(ctx context.Context, c *local.Cluster, rate float64, d time.Duration, id, code string) (flood, error) {
	total := max(1, int(rate*d.Seconds()))
	f := flood{sent: total}
	var mu sync.Mutex // guards f
	var all sync.WaitGroup
	began, cpu := time.Now(), c.CPU()
	for i := range c.Nodes() {
		all.Go(func() {
			api, slots := c.Client(i), make(chan struct{}, maxInFlight)
			var mine sync.WaitGroup
			defer mine.Wait()
			for n := i; n < total; n += c.Nodes() {
				if !pause(ctx, time.Until(began.Add(time.Duration(float64(n)/rate*float64(time.Second))))) {
					return
				}
				slots <- struct{}{}
				mine.Go(func() {
					sent := time.Now()
					_, err := api.DeletePackage(ctx, id)
					took := time.Since(sent)
					<-slots
					var p *client.Problem
					mu.Lock()
					defer mu.Unlock()
					if !errors.As(err, &p) || p.Code != code {
						f.failed++
						return
					}
					f.latencies = append(f.latencies, took)
				})
			}
		})
	}
	all.Wait()
	f.took, f.cpu = time.Since(began), c.CPU()-cpu
	return f, ctx.Err()
}

// pause waits, and is false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
