//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started, with its output in a file. It is
// killed by its id when the test ends.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	log  string        // file with standard output and error
	over chan struct{} // closed when it has ended
	err  error         // of Wait; read after over
}

// shownTail is how much of a program's output stands in a failed test.
const shownTail = 4096

// start runs a program in dir.
func start(t *testing.T, dir, name, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, log: filepath.Join(dir, name+".log"), over: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.over)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("--- the end of %s\n%s", p.log, tail(p.log))
		}
	})
	return p
}

// kill ends the process without notice, and returns when it has ended.
func (p *process) kill() { p.signal(syscall.SIGKILL, 10*time.Second) }

// signal sends a signal and waits for the end.
func (p *process) signal(s syscall.Signal, limit time.Duration) {
	if p.running() {
		if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			p.t.Errorf("%v to %s: %v", s, p.name, err)
		}
	}
	p.wait(limit)
}

func (p *process) running() bool {
	select {
	case <-p.over:
		return false
	default:
		return true
	}
}

// wait waits for the end and returns the exit code: -1 after a signal.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.over:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Errorf("%s still runs after %v", p.name, limit)
		return -1
	}
}

// tail returns the end of a file.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-shownTail):])
}

// within polls until what holds, and fails the test after limit. The last
// answer says what is missing.
func within(t *testing.T, limit time.Duration, what string, holds func() (bool, string)) {
	t.Helper()
	var missing string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(pollEvery) {
		var ok bool
		if ok, missing = holds(); ok {
			return
		}
	}
	t.Fatalf("not within %v: %s: %s", limit, what, missing)
}

const pollEvery = 50 * time.Millisecond

// command runs the product's command line to its end.
func (l *lab) command(args ...string) (stdout, stderr string, code int) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), l.binary, args...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), "TANDEM_TOKEN="+l.token, "TANDEM_ADDR="+strings.Join(l.addrs(), ","))
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatalf("tandem %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is command for what has to work.
func (l *lab) must(args ...string) string {
	l.t.Helper()
	out, errs, code := l.command(args...)
	if code != 0 {
		l.t.Fatalf("tandem %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// file writes a file of the lab and returns its path.
func (l *lab) file(name, format string, args ...any) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}
