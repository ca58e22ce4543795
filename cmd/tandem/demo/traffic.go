package demo

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"tandem/cmd/tandem/local"
	"tandem/node/load"
)

// traffic is the customers and the carriers.
type traffic struct {
	duration time.Duration
	ends     time.Time // of new calls
	callers  []*load.Callers
	carriers []*load.Carrier
	cancel   context.CancelFunc
	running  sync.WaitGroup // callers
	serving  sync.WaitGroup // carriers
	errs     chan error     // one place for each of both
	hangup   context.CancelFunc

	mu       sync.Mutex // guards the fields below
	outcomes []load.Outcome
}

const ring = 150 * time.Millisecond

// startTraffic starts carriers and customers, who call for a part of the demo's
// duration.
func startTraffic(ctx context.Context, cfg Config, c *local.Cluster) (*traffic, error) {
	t := &traffic{
		duration: time.Duration(trafficShare * float64(cfg.Duration)),
		errs:     make(chan error, len(cfg.Customers)+len(cfg.Vendor)),
	}
	var nodes []netip.AddrPort
	for i := range c.Nodes() {
		nodes = append(nodes, c.SIP(i))
	}
	for _, ip := range cfg.Vendor {
		carrier, err := load.NewCarrier(load.CarrierConfig{Listen: listen, Addr: netip.AddrPortFrom(ip, sipPort), Ring: ring, RTP: true})
		if err != nil {
			return nil, err
		}
		t.carriers = append(t.carriers, carrier)
	}
	for i, ip := range cfg.Customers {
		offset := i * 1_000_000 // other numbers for each customer
		callers, err := load.NewCallers(load.CallersConfig{
			Listen: listen, Addr: netip.AddrPortFrom(ip, sipPort), Targets: nodes,
			CPS: cfg.CPS / float64(len(cfg.Customers)), Talk: cfg.Talk, RTP: true,
			Callee: func(n int) string { return callee(n+offset, cfg.Rates) },
			OnEnd:  t.ended,
		})
		if err != nil {
			return nil, err
		}
		t.callers = append(t.callers, callers)
	}
	t.run(ctx)
	return t, nil
}

func (t *traffic) run(ctx context.Context) {
	// Carriers answer until the last call is over, interrupt or not.
	carrying, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	for _, carrier := range t.carriers {
		t.serving.Go(func() { t.errs <- carrier.Run(carrying) })
	}
	t.ends = time.Now().Add(t.duration)
	calling, hangup := context.WithTimeout(ctx, t.duration)
	t.hangup = hangup
	for _, callers := range t.callers {
		t.running.Go(func() {
			_, err := callers.Run(calling)
			t.errs <- err
		})
	}
}

// left is how long customers will still place calls.
func (t *traffic) left() time.Duration { return max(0, time.Until(t.ends)) }

// wait returns when all calls are over.
func (t *traffic) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		t.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return t.stop()
}

// stop ends customers and carriers. It may be called again.
func (t *traffic) stop() error {
	t.hangup()
	t.running.Wait()
	t.cancel()
	t.serving.Wait()
	var err error
	for {
		select {
		case e := <-t.errs:
			err = errors.Join(err, e)
		default:
			return err
		}
	}
}

func (t *traffic) ended(o load.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outcomes = append(t.outcomes, o)
}

func (t *traffic) all() []load.Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]load.Outcome(nil), t.outcomes...)
}

// figures sums up all customers.
func (t *traffic) figures() (placed, answered, failed int) {
	for _, c := range t.callers {
		r := c.Report()
		placed += r.Placed
		answered += r.Answered
		failed += r.Failed()
	}
	return placed, answered, failed
}

func (t *traffic) live() int {
	sum := 0
	for _, c := range t.callers {
		sum += c.Live()
	}
	return sum
}
