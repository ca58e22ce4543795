package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tandem/chaos/live"
	"tandem/cmd/tandem/game"
	"tandem/cmd/tandem/render"
)

func (a *app) chaosCommand() *cobra.Command {
	return group("chaos", "Break a cluster of its own on purpose, and see what callers notice",
		a.chaosListCommand(), a.chaosRunCommand(), a.chaosStopCommand(), a.chaosHealCommand(), a.chaosReportCommand(), a.chaosGuardCommand())
}

func (a *app) chaosListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "Scenarios that are known by name",
		Long: "A scenario is a file: copy one from deploy/chaos, change it, and run it by its path.",
		RunE: func(*cobra.Command, []string) error {
			var all []game.Scenario
			for _, name := range game.Names() {
				s, err := game.Load(name)
				if err != nil {
					return err
				}
				all = append(all, s)
			}
			return render.List(a.printer(), all, []render.Column[game.Scenario]{
				col("SCENARIO", func(s game.Scenario) any { return s.Name }),
				col("NODES", func(s game.Scenario) any { return s.Nodes }),
				col("DURATION", func(s game.Scenario) any { return time.Duration(s.Duration) }),
				col("ABOUT", func(s game.Scenario) any { return s.About }),
				col("HERE", func(s game.Scenario) any { return s.Possible() == nil }),
			})
		},
	}
}

// chaosOptions say where the results go.
type chaosOptions struct {
	html, json, junit string
	duration          time.Duration
	cps               float64
	first             uint8
}

func (a *app) chaosRunCommand() *cobra.Command {
	var o chaosOptions
	cmd := &cobra.Command{
		Use: "run SCENARIO", Args: cobra.ExactArgs(1), Short: "Start a cluster, call through it, break it, and judge",
		Long: "Starts nodes of its own on 127.0.0.11 and following, never touches another cluster, and ends with a verdict:\n" +
			"each threshold with what was measured, and exit code 5 when one was breached. Ctrl-C heals everything, and so\n" +
			"does a guardian process when this one dies.",
		Example: "  tandem chaos run leader-kill\n  tandem chaos run ./ours.toml --html ours.html --junit ours.xml",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.chaosRun(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.html, "html", "", "file for the report; default: chaos-SCENARIO-TIME.html")
	f.StringVar(&o.json, "json", "", "file for the result as JSON, which \"chaos report\" reads")
	f.StringVar(&o.junit, "junit", "", "file for the thresholds as JUnit XML")
	f.DurationVar(&o.duration, "duration", 0, "of the traffic; default: the scenario's")
	f.Uint8Var(&o.first, "first", 11, "the nodes are 127.0.0.N and following")
	f.Float64Var(&o.cps, "cps", 0, "new calls a second; default: the scenario's")
	return cmd
}

func (a *app) chaosRun(ctx context.Context, name string, o chaosOptions) error {
	s, err := game.Load(name)
	if errors.Is(err, game.ErrUnknown) {
		return &failure{Code: exitUsage, What: err.Error(), Why: "known are: " + strings.Join(game.Names(), ", "), Next: "tandem chaos list"}
	}
	if err == nil {
		err = s.Possible()
	}
	if err != nil {
		return badUsage("%v", err)
	}
	if o.duration > 0 {
		s.Duration = max(s.Duration, game.Duration(o.duration))
	}
	if o.cps > 0 {
		s.Traffic.CPS = o.cps
	}
	if o.html == "" {
		o.html = fmt.Sprintf("chaos-%s-%s.html", s.Name, time.Now().UTC().Format("20060102T1504"))
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	safety, release, err := guarded(exe, 2*time.Duration(s.Duration)+3*time.Minute)
	if err != nil {
		return err
	}
	defer release()
	out := a.out
	if a.printer().Format != render.Table {
		out = a.errOut
	}
	fmt.Fprintf(out, "%s: %s\n", s.Name, s.About)
	result, err := game.Run(ctx, s, game.Config{Exe: exe, Out: out, Safety: safety, First: o.first})
	if err != nil {
		return fmt.Errorf("chaos %s: %w", s.Name, err)
	}
	return a.chaosVerdict(result, o)
}

// chaosVerdict prints and writes what came out.
func (a *app) chaosVerdict(r game.Result, o chaosOptions) error {
	for _, file := range []struct {
		name  string
		write func(io.Writer, game.Result) error
	}{{o.html, game.WriteHTML}, {o.json, game.WriteJSON}, {o.junit, game.WriteJUnit}} {
		if file.name == "" {
			continue
		}
		if err := writeFile(file.name, func(w io.Writer) error { return file.write(w, r) }); err != nil {
			return err
		}
	}
	p := a.printer()
	if p.Format == render.Table {
		good, bad := "ok    ", "FAILED"
		if a.unicode {
			good, bad = "✓", "✗"
		}
		fmt.Fprint(a.out, r.Text(p.Good(good), p.Bad(bad)))
		fmt.Fprintf(a.out, "  report: %s\n", o.html)
	} else if err := render.List(p, r.Thresholds, []render.Column[game.Threshold]{
		col("THRESHOLD", func(t game.Threshold) any { return t.Name }),
		col("VALUE", func(t game.Threshold) any { return t.Value }),
		col("LIMIT", func(t game.Threshold) any { return t.Limit }),
		col("OK", func(t game.Threshold) any { return t.OK }),
	}); err != nil {
		return err
	}
	if !r.Kept() {
		return &failure{Code: exitBreached, What: "a threshold was breached", Next: "open " + o.html + ": what happened, and when"}
	}
	return nil
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// chaosDir is where runs write down what they may have broken.
func chaosDir() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tandem-chaos.%d", os.Getuid()))
	return dir, os.MkdirAll(dir, 0o700)
}

// guarded starts a guardian, which mends everything when this process ends without
// release, or after the time limit.
func guarded(exe string, limit time.Duration) (*live.Safety, func(), error) {
	dir, err := chaosDir()
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(dir, fmt.Sprintf("%d.json", os.Getpid()))
	safety, err := live.NewSafety(path, time.Now().Add(limit))
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(exe, "chaos", "guard", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	alive, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("guardian: %w", err), safety.Done())
	}
	return safety, func() {
		_ = safety.Done() // the guardian finds nothing to mend
		_ = alive.Close()
		_ = cmd.Wait()
	}, nil
}

func (a *app) chaosGuardCommand() *cobra.Command {
	return &cobra.Command{
		Use: "guard FILE", Args: cobra.ExactArgs(1), Hidden: true, Short: "Mend what FILE says when standard input ends",
		RunE: func(cmd *cobra.Command, args []string) error { return live.Guard(args[0], a.in) },
	}
}

// runs lists the files of runs that have not ended well.
func runs() ([]string, error) {
	dir, err := chaosDir()
	if err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(dir, "*.json"))
}

func (a *app) chaosHealCommand() *cobra.Command {
	return &cobra.Command{
		Use: "heal", Args: cobra.NoArgs, Short: "Mend at once what any run here has broken",
		RunE: func(*cobra.Command, []string) error {
			files, err := runs()
			for _, f := range files {
				err = errors.Join(err, live.Mend(f))
			}
			if err == nil {
				fmt.Fprintf(a.out, "mended %d runs\n", len(files))
			}
			return err
		},
	}
}

func (a *app) chaosStopCommand() *cobra.Command {
	return &cobra.Command{
		Use: "stop", Args: cobra.NoArgs, Short: "End the runs on this machine: they heal what they broke",
		RunE: func(*cobra.Command, []string) error {
			files, err := runs()
			if err != nil {
				return err
			}
			stopped := 0
			for _, f := range files {
				pid, err := live.Tool(f)
				switch {
				case errors.Is(err, fs.ErrNotExist):
					continue
				case err != nil:
					return err
				}
				if err := syscall.Kill(pid, syscall.SIGINT); err == nil {
					stopped++
				}
			}
			fmt.Fprintf(a.out, "asked %d runs to stop\n", stopped)
			return nil
		},
	}
}

func (a *app) chaosReportCommand() *cobra.Command {
	var o chaosOptions
	cmd := &cobra.Command{
		Use: "report RESULT.json", Args: cobra.ExactArgs(1), Short: "Show a result again, and write its page",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			r, err := game.ReadJSON(f)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.chaosVerdict(r, o)
		},
	}
	cmd.Flags().StringVar(&o.html, "html", "report.html", "file for the page")
	cmd.Flags().StringVar(&o.junit, "junit", "", "file for the thresholds as JUnit XML")
	return cmd
}
