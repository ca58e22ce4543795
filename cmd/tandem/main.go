// Command tandem runs a node of the cluster and is the operator's command line
// to it.
//
// It wires and prints. What it shows comes from the API, what it changes goes
// through the API, and it never touches a node's files after "tandem init" made
// them. Every mutating command prints what changed, at which log index and how
// to undo it; every refusal says what, why and what to do next.
//
//	tandem init --nodes n1=10.0.0.11,n2=10.0.0.12,n3=10.0.0.13 --dir ./sg-prod
//	tandem serve --config ./sg-prod/n1/tandem.toml
//	tandem status
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// version is stamped by the linker: -X main.version=v1.2.3.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	a := &app{
		in: os.Stdin, out: os.Stdout, errOut: os.Stderr, env: os.Getenv,
		terminal: isTerminal(os.Stdout), unicode: speaksUnicode(os.Getenv),
	}
	code := a.run(ctx, os.Args[1:])
	os.Exit(code)
}

// app is what the commands share.
type app struct {
	in          io.Reader
	out, errOut io.Writer
	env         func(string) string
	terminal    bool // out is one
	unicode     bool // out understands more than ASCII
	flags       globals
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // nil would be the process's own
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	started := false
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		started = true
		return a.flags.complete(a.env)
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	f := explain(err)
	if !started {
		f = usage(err)
	}
	if f.Code == exitUsage && f.Next == "" && f.Why == "" && !cmd.HasSubCommands() {
		f.Why = "usage: " + cmd.UseLine()
	}
	if f.Next == "" && !errors.Is(err, context.Canceled) {
		f.Next = cmd.CommandPath() + " --help"
	}
	fmt.Fprint(a.errOut, f.text(a.printer()))
	return f.Code
}

// buildVersion is the stamped version, or what the Go toolchain knows.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// speaksUnicode looks at the locale (POSIX: LC_ALL before LC_CTYPE before LANG).
func speaksUnicode(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(env(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}
