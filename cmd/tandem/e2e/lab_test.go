//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/node/api/client"
)

// The addresses of the tests, all on loopback. Those of the nodes are written by
// "tandem init" into the configuration files.
const (
	customerIP   = "127.0.0.71"
	customerPort = 5070
	vendorIP     = "127.0.0.72"
	vendorPort   = 5060
	sipPort      = 5060
	httpPort     = 8443
)

// member is a node of the lab.
type member struct {
	name, ip string
	proc     *process
	api      *client.Client // of this node alone; reads do not ask the leader
}

func (m *member) sip() string  { return net.JoinHostPort(m.ip, strconv.Itoa(sipPort)) }
func (m *member) http() string { return net.JoinHostPort(m.ip, strconv.Itoa(httpPort)) }
func (m *member) file() string { return filepath.Join("cluster", m.name, "tandem.toml") }

// lab is a cluster of three processes, as "tandem init" and "tandem serve" make
// it.
type lab struct {
	t      *testing.T
	dir    string // of everything; the cluster's files are in its sub-directory "cluster"
	binary string
	token  string
	api    *client.Client // any node
	nodes  []*member
	runs   int // of customers
}

// full says whether the tests run at full length.
func full() bool { return os.Getenv("TANDEM_E2E_FULL") != "" }

// length is the short or the full length of something.
func length[T any](short, long T) T {
	if full() {
		return long
	}
	return short
}

// newLab starts a cluster and gives it a customer with funds, a carrier and what
// else the test wants, in the language of "tandem apply".
func newLab(t *testing.T, funds, more string) *lab {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: t.TempDir(), binary: program}
	for i := range 3 {
		l.nodes = append(l.nodes, &member{name: fmt.Sprintf("n%d", i+1), ip: fmt.Sprintf("127.0.0.%d", 61+i)})
	}
	var nodes []string
	for _, m := range l.nodes {
		nodes = append(nodes, m.name+"="+m.ip)
	}
	l.token = strings.TrimSpace(l.must("init", "--quiet", "--dir", "cluster", "--nodes", strings.Join(nodes, ",")))
	connect := func(stale bool, addrs ...string) *client.Client {
		c, err := client.New(client.Config{
			Addrs: addrs, Token: l.token, Stale: stale, HTTP: &http.Client{Timeout: 20 * time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	l.api = connect(false, l.addrs()...)
	for _, m := range l.nodes {
		m.api = connect(true, m.http())
		l.start(m)
	}
	l.ready()
	l.must("apply", "--file", l.file("objects.toml", "%s", l.objects(funds, more)))
	return l
}

// binary is the program under test: made once, or the one that TANDEM_E2E_BIN
// names.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TANDEM_E2E_BIN"); path != "" {
		return path, nil
	}
	path, err := filepath.Abs(filepath.Join("..", "..", "..", "bin", "e2e", "tandem"))
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", path, "tandem/cmd/tandem")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func (l *lab) addrs() []string {
	var out []string
	for _, m := range l.nodes {
		out = append(out, m.http())
	}
	return out
}

// start begins a life of a node.
func (l *lab) start(m *member) {
	l.t.Helper()
	m.proc = start(l.t, l.dir, m.name, l.binary, "serve", "--config", m.file())
}

// ready waits until all nodes take calls.
func (l *lab) ready() {
	l.t.Helper()
	within(l.t, 30*time.Second, "all nodes take calls", func() (bool, string) {
		for _, m := range l.nodes {
			s, _, err := m.api.Status(l.t.Context())
			if err != nil || !s.Ready {
				return false, fmt.Sprintf("%s: %s %v", m.name, s.NotReady, err)
			}
		}
		return true, ""
	})
}

// leader returns the node that leads, and its place.
func (l *lab) leader() *member {
	l.t.Helper()
	var found *member
	within(l.t, 10*time.Second, "a leader", func() (bool, string) {
		s, _, err := l.api.Status(l.t.Context())
		for _, m := range l.nodes {
			if err == nil && m.name == s.Leader && m.proc.running() {
				found = m
			}
		}
		return found != nil, fmt.Sprintf("%+v %v", s, err)
	})
	return found
}

// listening waits until somebody has taken a port, for UDP or for TCP.
func (l *lab) listening(ip string, port int) {
	l.t.Helper()
	addr := net.JoinHostPort(ip, strconv.Itoa(port))
	within(l.t, 10*time.Second, "somebody listens on "+addr, func() (bool, string) {
		datagram, udp := net.ListenPacket("udp", addr)
		if udp == nil {
			_ = datagram.Close()
		}
		stream, tcp := net.Listen("tcp", addr)
		if tcp == nil {
			_ = stream.Close()
		}
		return udp != nil || tcp != nil, "the port is free"
	})
}

// all reads all pages of a list.
func all[T any, Q interface{ At(string) Q }](
	t *testing.T, q Q, list func(context.Context, Q) (client.List[T], error),
) []T {
	t.Helper()
	var out []T
	for item, err := range client.Each(t.Context(), q, list) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, item)
	}
	return out
}
