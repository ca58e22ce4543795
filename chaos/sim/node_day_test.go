package sim_test

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tandem/chaos"
	"tandem/chaos/sim"
	"tandem/fsm"
	"tandem/node"
	"tandem/node/load"
)

// day is a day of an exchange: traffic of several kinds, faults, somebody who
// looks at the books all the time, and what the customers say in the evening.
type day struct {
	*exchange
	seed    uint64
	wire    sim.Link           // between the nodes and the world outside
	limits  chaos.Limits       // what callers must bear in peace
	evening func()             // runs after the last call, if there is one
	vendor  load.CarrierConfig // how the far end behaves

	mu       sync.Mutex // guards what follows
	struck   []chaos.Struck
	outcomes []verdict
	reports  []load.Report
}

// verdict is what a customer says about a call.
type verdict struct {
	load.Outcome
	heard time.Duration // when he had his last answer
}

// newDay starts an exchange with money and routes, and with lines of a quality.
func newDay(t *testing.T, seed uint64, wire sim.Link, tune ...func(*node.Options)) *day {
	d := &day{exchange: newExchange(t, seed, tune...), seed: seed, wire: wire}
	for _, s := range d.nodes {
		for name, addr := range map[string]netip.Addr{"customer": customer, "carrier": carrier} {
			outside := d.Net.Host(name, addr)
			d.Net.SetLink(s.Host, outside, wire)
			d.Net.SetLink(outside, s.Host, wire)
		}
	}
	return d
}

// run lets customers call while the schedule is applied and the books are
// watched, then waits until all calls are over, and checks everything.
func (d *day) run(s chaos.Schedule, loads ...load.CallersConfig) {
	d.t.Helper()
	s = without(d.t, s)
	ctx, cancel := context.WithCancel(context.Background())
	var beside, customers sync.WaitGroup
	far := d.vendor
	far.Listen, far.Addr = d.Net.Host("carrier", carrier).Start().ListenPacket, at(carrier, 5060)
	far.Ring, far.RTP, far.OnEnd = cmp.Or(far.Ring, time.Second), loads[0].RTP, d.leg
	vendor, err := load.NewCarrier(far)
	if err != nil {
		d.t.Fatal(err)
	}
	beside.Go(func() {
		if err := vendor.Run(ctx); err != nil {
			d.t.Errorf("carrier: %v", err)
		}
	})
	beside.Go(func() { d.audit(ctx) })
	beside.Go(func() { d.watch(ctx) })
	phones := d.Net.Host("customer", customer).Start()
	for i, cfg := range loads {
		cfg.Listen, cfg.Addr = phones.ListenPacket, at(customer, 5060+2*uint16(i))
		cfg.Callee = func(n int) string { return fmt.Sprintf("861%d%07d", i, n) } // each once
		customers.Go(func() {
			d.call(cfg)
			beside.Go(func() { d.remain(ctx, cfg) })
		})
	}
	d.strikeAll(s)
	customers.Wait()
	if d.evening != nil {
		d.evening()
	}
	d.settle()
	for range 400 { // a BYE that was lost comes again for 32 s
		if vendor.Live() == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	cancel()
	beside.Wait()
	d.replay()
	d.promise()
	d.finish()
	d.judge()
	if d.t.Failed() {
		d.t.Logf("repeat with: go test ./chaos/sim -run '%s' -from %d -seeds 1\nthe schedule:\n%v", d.t.Name(), d.seed, s)
		d.keep(s)
	}
}

// call is one customer's day.
func (d *day) call(cfg load.CallersConfig) {
	if cfg.Targets == nil {
		for _, s := range d.nodes {
			cfg.Targets = append(cfg.Targets, at(s.home, 5060))
		}
	}
	cfg.OnEnd = d.ended
	cfg.Drain = cmp.Or(cfg.Drain, 70*time.Second) // longer than a BYE is repeated, twice
	callers, err := load.NewCallers(cfg)
	if err != nil {
		d.t.Error(err)
		return
	}
	report, err := callers.Run(context.Background())
	if err != nil {
		d.t.Errorf("callers: %v", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reports = append(d.reports, report)
}

// remain keeps a customer's phone on the line, who knows of no call any more.
func (d *day) remain(ctx context.Context, cfg load.CallersConfig) {
	phone, err := load.NewCarrier(load.CarrierConfig{Listen: cfg.Listen, Addr: cfg.Addr})
	if err == nil {
		err = phone.Run(ctx)
	}
	if err != nil {
		d.t.Errorf("customer: %v", err)
	}
}

// ended takes a customer's verdict on a call.
func (d *day) ended(o load.Outcome) {
	d.record(o, d.wire.Loss > 0)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.outcomes = append(d.outcomes, verdict{o, time.Since(d.start)})
}

// strikeAll applies the schedule, each fault when it is due and its roles have
// somebody. It returns when all have ended.
func (d *day) strikeAll(s chaos.Schedule) {
	var all sync.WaitGroup
	defer all.Wait()
	begin := time.Now()
	for _, f := range s {
		time.Sleep(time.Until(begin.Add(f.At)))
		f = d.named(f)
		all.Go(func() {
			b := chaos.Struck{Fault: f, From: time.Since(d.start)}
			f.At = 0
			if err := d.Run(context.Background(), chaos.Schedule{f}); err != nil {
				d.t.Errorf("schedule: %v", err)
			}
			b.To = time.Since(d.start)
			d.mu.Lock()
			defer d.mu.Unlock()
			d.struck = append(d.struck, b)
		})
	}
}

// named replaces roles by who has them.
func (d *day) named(f chaos.Fault) chaos.Fault {
	var lead string
	for range 100 {
		if lead = d.Leader(); lead != "" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	var follower string
	for _, s := range d.nodes {
		if s.Host.Name() != lead && s.running() != nil && follower == "" {
			follower = s.Host.Name()
		}
	}
	groups := make([][]string, len(f.Groups))
	for i, g := range f.Groups {
		for _, name := range g {
			switch name {
			case chaos.Leader:
				name = lead
			case chaos.Follower:
				name = follower
			}
			groups[i] = append(groups[i], name)
		}
	}
	f.Groups = groups
	return f
}

// audit reads the books of all nodes again and again.
func (d *day) audit(ctx context.Context) {
	for ctx.Err() == nil {
		for _, s := range d.nodes {
			if n := s.running(); n != nil {
				n.View(func(state *fsm.State) { d.recorder.Reading(d.reading(s.Host.Name(), state)) })
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// release is the time after the last fault and the last BYE within which no
// call may be live and no money held any more.
const release = 100 * time.Second

// settle waits until all nodes run, no call is live, and all have applied and
// stored the same.
func (d *day) settle() {
	d.t.Helper()
	why := ""
	for begin := time.Now(); time.Since(begin) < release; time.Sleep(100 * time.Millisecond) {
		if why = d.unsettled(); why == "" {
			return
		}
	}
	d.t.Errorf("%v after the last call: %s", release, why)
}

func (d *day) unsettled() (why string) {
	var index uint64
	for _, s := range d.nodes {
		n := s.running()
		if n == nil || !n.Serving() {
			return s.Host.Name() + " does not serve"
		}
		n.View(func(state *fsm.State) {
			c := state.Counts()
			index = max(index, state.Index())
			cdrs, transfers := n.CDRs().Missing(c.CDRs, c.Transfers)
			switch {
			case c.Calls > 0:
				why = fmt.Sprintf("%s has %d live calls, the first is %s", s.Host.Name(), c.Calls, sketch(state))
			case state.Index() < index:
				why = fmt.Sprintf("%s has applied %d of %d", s.Host.Name(), state.Index(), index)
			case len(cdrs)+len(transfers) > 0:
				why = fmt.Sprintf("%s misses the CDRs %v and the transfers %v", s.Host.Name(), cdrs, transfers)
			}
		})
		if why != "" {
			return why
		}
	}
	return ""
}

// sketch describes a live call.
func sketch(s *fsm.State) string {
	c := s.Calls(fsm.CallFilter{}, fsm.CallID{}, 1)[0]
	return fmt.Sprintf("%x from %s: state %d, owner %s/%d, epoch %d, started %v, answered %v, held %v for %v, now %v",
		c.ID, c.Caller, c.State, c.Owner, c.Incarnation, c.Epoch, c.Started.Std(), c.Answered.Std(), c.Hold, c.Granted, s.At().Std())
}

// wires are the lines to the outside that the seeds get in turn.
var wires = []struct {
	name string
	link sim.Link
}{
	{"good", sim.Link{Delay: 200 * time.Microsecond, Jitter: 100 * time.Microsecond}},
	{"long", sim.Link{Delay: 80 * time.Millisecond, Jitter: 40 * time.Millisecond}},
	{"untidy", sim.Link{Delay: 5 * time.Millisecond, Jitter: 5 * time.Millisecond, Dup: 0.05, Reorder: 0.05}},
	{"lossy", sim.Link{Delay: 5 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.03}},
}

// usual is the traffic of a day: many short calls and some that live through
// faults and extensions.
func usual(length time.Duration) []load.CallersConfig {
	return []load.CallersConfig{
		{CPS: 2, Calls: int(2 * length.Seconds()), Talk: 3 * time.Second},
		{CPS: 0.5, Calls: int(length.Seconds() / 2), Talk: 45 * time.Second},
	}
}
