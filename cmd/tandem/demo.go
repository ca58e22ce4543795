package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tandem/cmd/tandem/demo"
	"tandem/cmd/tandem/render"
)

func (a *app) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "demo", Args: cobra.NoArgs, Short: "Three nodes here, calls, a killed leader and a verdict",
		Long: "Starts three nodes on 127.0.0.11 to 13 as processes of their own, loads objects and rates, lets two\n" +
			"customers call through two carriers with voice, kills the leader with SIGKILL in mid-traffic, starts it\n" +
			"again, and compares what customers saw with what the nodes wrote down. It leaves nothing behind.",
	}
	f := cmd.Flags()
	duration := f.Duration("duration", time.Minute, "of the whole demo")
	cps := f.Float64("cps", 10, "new calls a second")
	talk := f.Duration("talk", 4*time.Second, "talk time of each call")
	rates := f.Int("rates", 2000, "rows in each rate table")
	keep := f.String("keep", "", "keep the nodes' files below this directory")
	assert := f.Bool("assert", false, "exit with 5 when the promise was broken")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *duration < minDemo {
			return badUsage("--duration %v: want at least %v", *duration, minDemo)
		}
		exe, err := os.Executable()
		if err != nil {
			return err
		}
		p := a.printer()
		cfg := demo.Config{
			Exe: exe, Duration: *duration, CPS: *cps, Talk: *talk, Rates: *rates, Keep: *keep,
			Live: a.terminal && p.Format == render.Table, Unicode: a.unicode, Out: a.out, Printer: p,
		}
		if p.Format != render.Table {
			cfg.Out = a.errOut
		}
		verdict, err := demo.Run(cmd.Context(), cfg)
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		return a.verdict(verdict, *assert)
	}
	return cmd
}

// minDemo leaves an election and a restart their time.
const minDemo = 20 * time.Second

func (a *app) verdict(v demo.Verdict, assert bool) error {
	p := a.printer()
	var err error
	if p.Format == render.Table {
		_, err = fmt.Fprint(a.out, v.Text(p, a.unicode))
	} else {
		err = render.List(p, v.Checks, []render.Column[demo.Check]{
			col("CHECK", func(c demo.Check) any { return c.Name }),
			col("OK", func(c demo.Check) any { return c.OK }),
			col("TEXT", func(c demo.Check) any { return c.Text }),
		})
	}
	if err == nil && assert && !v.Kept() {
		return &failure{Code: exitBreached, What: "the promise was broken", Why: "see the failed lines above", Next: "repeat with --keep DIR and look at the nodes' logs"}
	}
	return err
}
