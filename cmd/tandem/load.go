package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/render"
	"tandem/node/load"
)

func (a *app) loadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run", Args: cobra.NoArgs, Short: "Place calls at a rate, and answer them",
		Long: "Calls the given nodes in turn from one address, and with --carrier answers calls at another.\n" +
			"Both addresses have to be those of a mapping and of a routing gateway of the cluster.",
		Example: "  tandem load run --target 127.0.0.11:5060,127.0.0.12:5060 --from 127.0.0.51:5060 --carrier 127.0.0.52:5060 --cps 20 --calls 1200",
	}
	var o loadOptions
	f := cmd.Flags()
	f.StringSliceVar(&o.targets, "target", []string{"127.0.0.11:5060", "127.0.0.12:5060", "127.0.0.13:5060"}, "SIP addresses of nodes")
	f.StringVar(&o.from, "from", "127.0.0.51:5060", "the customer's SIP address")
	f.StringVar(&o.carrier, "carrier", "", "answer calls at this SIP address too")
	f.Float64Var(&o.cps, "cps", 10, "new calls a second")
	f.IntVar(&o.calls, "calls", 100, "calls in all; 0: until interrupted")
	f.IntVar(&o.most, "max-live", 0, "most calls at once; 0: no limit")
	f.DurationVar(&o.hold, "hold", 10*time.Second, "talk time; 0: until the switch ends the call")
	f.DurationVar(&o.ring, "ring", 100*time.Millisecond, "how long the carrier rings")
	f.StringVar(&o.caller, "caller", "", "number of all callers; default: another one each")
	f.StringVar(&o.callee, "callee", "8613", "what called numbers begin with")
	f.BoolVar(&o.rtp, "rtp", true, "send and check voice")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.loadRun(cmd.Context(), o) }
	return group("load", "Built-in SIP load", cmd)
}

type loadOptions struct {
	targets        []string
	from, carrier  string
	cps            float64
	calls, most    int
	hold, ring     time.Duration
	caller, callee string
	rtp            bool
}

// listenUDP opens the load's sockets.
func listenUDP(a netip.AddrPort) (net.PacketConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
}

func (a *app) loadRun(ctx context.Context, o loadOptions) error {
	cfg, err := o.callers()
	if err != nil {
		return err
	}
	if o.carrier != "" {
		stop, err := startCarrier(ctx, o)
		if err != nil {
			return err
		}
		defer stop()
	}
	callers, err := load.NewCallers(cfg)
	if err != nil {
		return err
	}
	report, err := callers.Run(ctx)
	if err != nil {
		return err
	}
	if err := render.Object(a.printer(), report, reportColumns()); err != nil {
		return err
	}
	if n := report.Failed(); n > 0 {
		return &failure{
			Code: exitBreached, What: fmt.Sprintf("%d of %d calls were not answered", n, report.Placed),
			Next: "tandem cdr search --limit 10 shows why; silence (status 0) means an unknown source or no node",
		}
	}
	return nil
}

func (o loadOptions) callers() (load.CallersConfig, error) {
	from, err := netip.ParseAddrPort(o.from)
	if err != nil {
		return load.CallersConfig{}, badUsage("--from: %v", err)
	}
	cfg := load.CallersConfig{
		Listen: listenUDP, Addr: from, CPS: o.cps, Calls: o.calls, MaxLive: o.most, Talk: o.hold, RTP: o.rtp,
		Callee: func(n int) string { return fmt.Sprintf("%s%07d", o.callee, n%10_000_000) },
	}
	if o.caller != "" {
		cfg.Caller = func(int) string { return o.caller }
	}
	for _, t := range o.targets {
		target, err := netip.ParseAddrPort(t)
		if err != nil {
			return cfg, badUsage("--target: %v", err)
		}
		cfg.Targets = append(cfg.Targets, target)
	}
	if o.cps <= 0 {
		return cfg, badUsage("--cps %v: want more than 0", o.cps)
	}
	return cfg, nil
}

// startCarrier answers calls until stop is called.
func startCarrier(ctx context.Context, o loadOptions) (stop func(), err error) {
	addr, err := netip.ParseAddrPort(o.carrier)
	if err != nil {
		return nil, badUsage("--carrier: %v", err)
	}
	carrier, err := load.NewCarrier(load.CarrierConfig{Listen: listenUDP, Addr: addr, Ring: o.ring, RTP: o.rtp})
	if err != nil {
		return nil, err
	}
	// The carrier outlives an interrupt: calls in progress are still to be ended.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- carrier.Run(running) }()
	return func() {
		cancel()
		<-done
	}, nil
}

func reportColumns() []render.Column[load.Report] {
	type R = load.Report
	return []render.Column[R]{
		col("PLACED", func(r R) any { return r.Placed }),
		col("ANSWERED", func(r R) any { return r.Answered }),
		col("COMPLETED", func(r R) any { return r.Completed }),
		col("CUT BY THE SWITCH", func(r R) any { return r.Cut }),
		col("NOT ANSWERED", func(r R) any { return refusals(r) }),
		col("BYES LOST", func(r R) any { return r.ByesLost }),
		col("SETUP P50", func(r R) any { return r.SetupP50.Round(time.Microsecond) }),
		col("SETUP P99", func(r R) any { return r.SetupP99.Round(time.Microsecond) }),
		col("SETUP MAX", func(r R) any { return r.SetupMax.Round(time.Microsecond) }),
		col("RTP SENT", func(r R) any { return r.RTPSent }),
		col("RTP RECEIVED", func(r R) any { return r.RTPGot }),
		col("RTP LOST", func(r R) any { return r.RTPLost }),
		col("LONGEST GAP", func(r R) any { return r.LongestGap.Round(time.Millisecond) }),
		col("PROBLEMS", func(r R) any { return r.Problems }),
	}
}

// refusals counts final statuses: "3 x 402, 1 x no answer".
func refusals(r load.Report) any {
	var parts []string
	for status, n := range r.Refused {
		name := fmt.Sprint(status)
		if status == 0 {
			name = "silence"
		}
		parts = append(parts, fmt.Sprintf("%d x %s", n, name))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
