package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/bench"
	"tandem/cmd/tandem/render"
)

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Args: cobra.NoArgs, Short: "Measure calls through three nodes on this machine",
		Long: "Starts three nodes on 127.0.0.21 to 23, places calls at each rate and prints what they cost: CPU of all\n" +
			"nodes for each call, set-up times, committed entries, and the memory of calls that are held.\n" +
			"With --events it measures the log instead: commands that change nothing, spread over the nodes.\n" +
			"Callers and carrier are not counted, but share the machine: leave them cores of their own for real figures.",
	}
	f := cmd.Flags()
	cps := f.Float64Slice("cps", []float64{50, 200}, "steps, new calls a second")
	each := f.Duration("each", 10*time.Second, "length of a step")
	talk := f.Duration("talk", time.Second, "talk time of each call")
	rtp := f.Bool("rtp", false, "with voice")
	rates := f.Float64Slice("events", nil, "measure commands without calls at these rates, such as 300,1000,3000")
	held := f.Int("held", 1000, "calls held at once for the figure of memory; 0: none")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		exe, err := os.Executable()
		if err != nil {
			return err
		}
		if len(*rates) > 0 {
			return a.benchEvents(cmd.Context(), bench.Config{Exe: exe, Each: *each}, *rates)
		}
		var results []bench.Result
		p := a.printer()
		err = bench.Run(cmd.Context(), bench.Config{
			Exe: exe, Steps: *cps, Each: *each, Talk: *talk, RTP: *rtp, Held: *held,
			Report: func(r bench.Result) {
				if results = append(results, r); r.CPS == 0 {
					return
				}
				fmt.Fprintf(a.errOut, "%g calls/s: %d calls, %d failed\n", r.CPS, r.Calls, r.Failed)
			},
		})
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		return render.List(p, results, benchColumns())
	}
	return cmd
}

func (a *app) benchEvents(ctx context.Context, cfg bench.Config, rates []float64) error {
	var results []bench.EventResult
	err := bench.Events(ctx, cfg, rates, func(r bench.EventResult) {
		results = append(results, r)
		fmt.Fprintf(a.errOut, "%g events/s: %d events, %d failed\n", r.Rate, r.Events, r.Failed)
	})
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	type R = bench.EventResult
	return render.List(a.printer(), results, []render.Column[R]{
		col("ASKED/S", func(r R) any { return uint32(r.Rate) }),
		col("EVENTS/S", func(r R) any { return uint32(r.PerSec) }),
		col("FAILED", func(r R) any { return r.Failed }),
		col("ENTRIES/S", func(r R) any { return uint32(r.Entries) }),
		col("LATENCY P50", func(r R) any { return micros(r.P50) }),
		col("P99", func(r R) any { return micros(r.P99) }),
		col("CPU PER EVENT", func(r R) any { return micros(r.CPU) }),
		col("OF A REQUEST WITHOUT", func(r R) any { return micros(r.API) }),
	})
}

func benchColumns() []render.Column[bench.Result] {
	type R = bench.Result
	return []render.Column[R]{
		col("CALLS/S", func(r R) any { return uint32(r.CPS) }),
		col("CALLS", func(r R) any { return r.Calls }),
		col("FAILED", func(r R) any { return r.Failed }),
		col("SETUP P50", func(r R) any { return micros(r.SetupP50) }),
		col("P99", func(r R) any { return micros(r.SetupP99) }),
		col("MAX", func(r R) any { return micros(r.SetupMax) }),
		col("CORES", func(r R) any { return fmt.Sprintf("%.2f", r.CPU) }),
		col("CPU PER CALL", func(r R) any { return micros(r.CPUPer) }),
		col("EVENTS/S", func(r R) any { return orNone(uint64(r.Events)) }),
		col("ENTRIES/S", func(r R) any { return orNone(uint64(r.Entries)) }),
		col("BYTES PER HELD CALL", func(r R) any { return orNone(uint64(max(0, r.MemoryPer))) }),
	}
}

func micros(d time.Duration) any {
	if d == 0 {
		return nil
	}
	return d.Round(time.Microsecond)
}
