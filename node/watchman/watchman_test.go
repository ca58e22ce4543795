package watchman_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/node/watchman"
)

// The test binary plays three parts: the test, a node that keeps a guard, and
// the guard.
const (
	part   = "WATCHMAN_PART"
	listen = "WATCHMAN_LISTEN" // where the test hears of everything
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(part) {
	case "node":
		err = node()
	case "guard":
		err = guard()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// node keeps a guard until its standard input ends.
func node() error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		stop()
	}()
	return watchman.Keep(ctx, watchman.KeepConfig{
		Command: func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), part+"=guard")
			cmd.Stderr = os.Stderr
			return cmd
		},
		News: func() watchman.News {
			return watchman.News{Incarnation: 7, Peers: []string{os.Getenv(listen)}, Took: []string{"192.0.2.1"}}
		},
	})
}

func guard() error {
	if err := say("guard " + strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	fmt.Println(watchman.Watching)
	return watchman.Watch(context.Background(), watchman.Config{
		PID: os.Getppid(), News: os.Stdin, Voice: voice{},
		Release: func(_ context.Context, ips []string) error { return say("release " + strings.Join(ips, ",")) },
	})
}

// say sends the test a line.
func say(line string) error {
	conn, err := net.Dial("tcp", os.Getenv(listen))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprintln(conn, line)
	return err
}

type voice struct{}

func (voice) Greet(_ context.Context, peers []string) error {
	return say(fmt.Sprint("greet ", len(peers)))
}

func (voice) Exited(_ context.Context, incarnation uint64, peers []string) error {
	if len(peers) != 1 || peers[0] != os.Getenv(listen) {
		return errors.New("wrong peers")
	}
	return say(fmt.Sprint("exited ", incarnation))
}

// stage is where a test hears what happens.
type stage struct {
	t     *testing.T
	addr  string
	lines chan string // some that the test is not yet ready for
	node  *exec.Cmd
	end   func() // tells the node to stop in good order
}

func newStage(t *testing.T) *stage {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &stage{t: t, addr: l.Addr().String(), lines: make(chan string, 100)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if in := bufio.NewScanner(conn); in.Scan() {
				s.lines <- in.Text()
			}
			conn.Close()
		}
	}()
	s.node = exec.Command(os.Args[0])
	s.node.Env = append(os.Environ(), part+"=node", listen+"="+s.addr)
	s.node.Stderr = os.Stderr
	in, err := s.node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.end = func() { in.Close() }
	if err := s.node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.node.Process.Kill()
		_ = s.node.Wait()
	})
	return s
}

// hears waits for a line that begins so and returns the rest of it.
func (s *stage) hears(prefix string) string {
	s.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case line := <-s.lines:
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
			if strings.HasPrefix(line, "exited") {
				s.t.Fatalf("heard %q, want %q", line, prefix)
			}
		case <-deadline:
			s.t.Fatalf("did not hear %q", prefix)
		}
	}
}

// watching waits for a guard with its news and returns its process id.
func (s *stage) watching() int {
	s.t.Helper()
	pid, err := strconv.Atoi(s.hears("guard "))
	if err != nil {
		s.t.Fatal(err)
	}
	s.hears("greet 1")
	return pid
}

// gone waits until a process has ended.
func (s *stage) gone(pid int) {
	s.t.Helper()
	for range 500 {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Errorf("process %d is still there", pid)
}

// A node that is killed is reported within milliseconds, after its addresses were
// taken off, and the guard does not stay.
func TestKilled(t *testing.T) {
	s := newStage(t)
	pid := s.watching()
	start := time.Now()
	if err := s.node.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if ips := s.hears("release "); ips != "192.0.2.1" {
		t.Errorf("took off %s", ips)
	}
	if incarnation := s.hears("exited "); incarnation != "7" {
		t.Errorf("incarnation %s", incarnation)
	}
	t.Logf("heard after %v", time.Since(start))
	s.gone(pid)
}

// A node that ends in good order is reported when it has ended, not before.
func TestStopped(t *testing.T) {
	s := newStage(t)
	pid := s.watching()
	s.end()
	if err := s.node.Wait(); err != nil {
		t.Fatal(err)
	}
	s.hears("exited 7")
	s.gone(pid)
}

// A guard that is killed is no death of its node: another one takes its place.
// Signals that ask a process to end do not reach it.
func TestGuardKilled(t *testing.T) {
	s := newStage(t)
	pid := s.watching()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := s.watching()
	if second == pid {
		t.Fatal("the same guard")
	}
	if err := s.node.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.hears("exited 7")
	s.gone(second)
}

// Nobody can be guarded by a process that is not its child.
func TestStranger(t *testing.T) {
	err := watchman.Watch(t.Context(), watchman.Config{PID: os.Getpid(), News: strings.NewReader(""), Voice: voice{}})
	if !errors.Is(err, watchman.ErrNotChild) {
		t.Error(err)
	}
}
