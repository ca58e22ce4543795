//go:build e2e

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"tandem/cmd/tandem/bench"
	"tandem/cmd/tandem/demo"
	"tandem/cmd/tandem/local"
)

// asProgram makes the test binary be the program: the demo's and the bench's
// nodes are this binary.
const asProgram = "TANDEM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// loopback are addresses of the tests' own, so that a demo may run beside them.
func loopback(from, to byte) []netip.Addr {
	var out []netip.Addr
	for i := from; i <= to; i++ {
		out = append(out, netip.AddrFrom4([4]byte{127, 0, 0, i}))
	}
	return out
}

func demoConfig(out io.Writer) demo.Config {
	return demo.Config{
		Exe: os.Args[0], Env: []string{asProgram + "=1"}, Duration: 24 * time.Second, CPS: 10, Talk: 2 * time.Second, Rates: 500, Out: out,
		Nodes: loopback(34, 36), Customers: loopback(37, 38), Vendor: loopback(39, 40),
	}
}

// empty checks that nothing was left in the directory for temporary files.
func empty(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The demo keeps the promise and leaves no file behind.
func TestDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out strings.Builder
	verdict, err := demo.Run(t.Context(), demoConfig(&out))
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !verdict.Kept() {
		t.Errorf("%s%s", out.String(), verdict.Text(new(app).printer(), true))
	}
	empty(t)
}

// stopper ends the demo when it says that the leader was killed.
type stopper struct {
	strings.Builder
	stop context.CancelFunc
}

func (s *stopper) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "kill -9") {
		s.stop()
	}
	return s.Builder.Write(b)
}

// Ctrl-C in the worst moment leaves neither files nor processes behind: the next
// demo finds its ports free.
func TestInterruptedDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &stopper{stop: cancel}
	cfg := demoConfig(out)
	cfg.Duration /= 2
	if _, err := demo.Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("%v\n%s", err, out.String())
	}
	empty(t)
	for _, ip := range cfg.Nodes {
		l, err := net.Listen("tcp", netip.AddrPortFrom(ip, 7946).String())
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

// The bench has a figure for each step, and no call fails.
func TestBench(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var results []bench.Result
	err := bench.Run(t.Context(), bench.Config{
		Exe: os.Args[0], Env: []string{asProgram + "=1"}, Steps: []float64{20}, Each: 2 * time.Second, Talk: 200 * time.Millisecond, Held: 20,
		Report: func(r bench.Result) { results = append(results, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 3 {
		t.Fatalf("results %+v", results)
	}
	for _, r := range results[1:] {
		if r.Calls == 0 || r.Failed > 0 || r.SetupP50 == 0 {
			t.Errorf("result %+v", r)
		}
	}
	if r := results[1]; r.CPUPer <= 0 || r.Entries <= 0 {
		t.Errorf("result %+v", r)
	}
}

// A node that cannot start ends the attempt at once, with its own words.
func TestNodeThatCannotStart(t *testing.T) {
	_, err := local.Start(t.Context(), local.Config{Exe: "/bin/false", Dir: t.TempDir(), IPs: loopback(30, 30)})
	if err == nil || !strings.Contains(err.Error(), "ended: exit status 1") {
		t.Error(err)
	}
}
