//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The network of these tests: a switch, three nodes and a client, each in a
// network namespace of its own, with addresses that really move (RFC 5737).
const (
	netSwitch = "tandem-sw"
	netClient = "192.0.2.14"
	netVendor = "192.0.2.15"
)

// netlab is a cluster whose service addresses are moved by netlink and ARP.
type netlab struct {
	t      *testing.T
	dir    string
	binary string
	token  string
	nodes  []*process
}

// namespace is that of host i: nodes are 1 to 3, the client is 4.
func namespace(i int) string { return fmt.Sprintf("tandem-%d", i) }

// ip runs the system's ip command.
func (l *netlab) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// on runs the product on a host.
func (l *netlab) on(i int, args ...string) (string, error) {
	cmd := exec.Command("ip", append([]string{"netns", "exec", namespace(i), l.binary}, args...)...)
	cmd.Dir, cmd.Env = l.dir, append(os.Environ(), "TANDEM_TOKEN="+l.token, "TANDEM_ADDR=127.0.0.1:8443")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// newNetlab lays the cables and starts the nodes. It needs to be root.
func newNetlab(t *testing.T) *netlab {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	l := &netlab{t: t, dir: t.TempDir(), binary: program}
	t.Cleanup(func() {
		for _, ns := range []string{netSwitch, namespace(1), namespace(2), namespace(3), namespace(4)} {
			exec.Command("ip", "netns", "del", ns).Run() //nolint:errcheck // what is there goes
		}
	})
	l.ip("netns", "add", netSwitch)
	l.ip("-n", netSwitch, "link", "add", "br0", "type", "bridge")
	l.ip("-n", netSwitch, "link", "set", "br0", "up")
	for i := 1; i <= 4; i++ {
		port := fmt.Sprintf("tandem%d", i)
		l.ip("netns", "add", namespace(i))
		l.ip("link", "add", port, "netns", netSwitch, "type", "veth", "peer", "name", "eth0", "netns", namespace(i))
		l.ip("-n", netSwitch, "link", "set", port, "master", "br0", "up")
		l.ip("-n", namespace(i), "addr", "add", fmt.Sprintf("192.0.2.1%d/24", i), "dev", "eth0")
		l.ip("-n", namespace(i), "link", "set", "eth0", "up")
		l.ip("-n", namespace(i), "link", "set", "lo", "up")
	}
	l.ip("-n", namespace(4), "addr", "add", netVendor+"/24", "dev", "eth0")
	out, err := l.on(1, "init", "--quiet", "--dir", ".", "--nodes", "n1=192.0.2.11,n2=192.0.2.12,n3=192.0.2.13")
	if err != nil {
		t.Fatalf("init: %v: %s", err, out)
	}
	l.token = strings.TrimSpace(out)
	for i := 1; i <= 3; i++ {
		l.nodes = append(l.nodes, nil)
		l.start(i)
	}
	l.provision()
	return l
}

// start begins a life of a node.
func (l *netlab) start(i int) {
	l.t.Helper()
	file := filepath.Join(l.dir, fmt.Sprintf("node%d.toml", i))
	text := fmt.Sprintf(`
[node]
name = "n%[1]d"
data_dir = "n%[1]d"
[cluster]
bind = "192.0.2.1%[1]d"
join = ["192.0.2.11", "192.0.2.12", "192.0.2.13"]
expect = 3
[[address]]
ip = "192.0.2.10%[1]d"
move = "netlink"
interface = "eth0"
[http]
listen = "127.0.0.1:8443"
`, i)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.nodes[i-1] = start(l.t, l.dir, fmt.Sprintf("n%d", i), "ip", "netns", "exec", namespace(i), l.binary, "serve", "--config", file)
}

// provision makes a customer and a carrier, and waits until all nodes take calls.
func (l *netlab) provision() {
	l.t.Helper()
	objects := fmt.Sprintf(`
[[rate_table]]
id = "std"
currency = "USD"
rates_file = "std.csv"
[[account]]
id = "acme"
type = "client"
currency = "USD"
rate_table = "std"
[[account]]
id = "telco"
type = "vendor"
currency = "USD"
rate_table = "std"
[[topup]]
account = "acme"
amount = "1000"
key = "first"
[[mapping_gateway]]
id = "in"
account = "acme"
addrs = ["%s"]
[[routing_gateway]]
id = "out"
account = "telco"
prefixes = ["86"]
addrs = ["%s:5060"]
`, netClient, netVendor)
	file := filepath.Join(l.dir, "objects.toml")
	rates := filepath.Join(l.dir, "std.csv")
	if err := errors.Join(os.WriteFile(file, []byte(objects), 0o600), os.WriteFile(rates, []byte("prefix,price\n86,0.06\n"), 0o600)); err != nil {
		l.t.Fatal(err)
	}
	within(l.t, 30*time.Second, "the cluster takes objects", func() (bool, string) {
		out, err := l.on(1, "apply", "--file", file)
		return err == nil, out
	})
	l.serving()
}

// serving waits until every node takes calls.
func (l *netlab) serving() {
	l.t.Helper()
	within(l.t, 30*time.Second, "all nodes take calls", func() (bool, string) {
		for i := 1; i <= 3; i++ {
			out, err := l.on(i, "status")
			if err != nil || !strings.Contains(out, "takes calls") {
				return false, out
			}
		}
		return true, ""
	})
}

// leader is the number of the node that leads.
func (l *netlab) leader() int {
	l.t.Helper()
	out, err := l.on(1, "status")
	found := regexp.MustCompile(`(?m)^leader +n(\d)`).FindStringSubmatch(out)
	if err != nil || found == nil {
		l.t.Fatalf("no leader: %v: %s", err, out)
	}
	i, _ := strconv.Atoi(found[1])
	return i
}

// TestNetworkAddresses kills, freezes, cuts off and drains nodes whose addresses
// are on a real network: no call is lost, and voice is back in time.
func TestNetworkAddresses(t *testing.T) {
	l := newNetlab(t)
	cut := func(i int, state string) {
		l.ip("-n", netSwitch, "link", "set", fmt.Sprintf("tandem%d", i), state)
	}
	for _, c := range []struct {
		name   string
		strike func(i int)
		undo   func(i int)
		gap    time.Duration // the longest that voice may be away
	}{
		{"kill", func(i int) { l.nodes[i-1].kill() }, l.start, time.Second},
		{"freeze", func(i int) { l.send(i, syscall.SIGSTOP) }, func(i int) { l.send(i, syscall.SIGCONT) }, 2500 * time.Millisecond},
		{"cut off", func(i int) { cut(i, "down") }, func(i int) { cut(i, "up") }, 2500 * time.Millisecond},
		{"drain", func(i int) { l.drain(i, "drain") }, func(i int) { l.drain(i, "undrain") }, 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			victim := l.leader()%3 + 1 // no leader
			report := make(chan string, 1)
			go func() {
				out, _ := l.on(4, "load", "run", "--from", netClient+":5060", "--carrier", netVendor+":5060", "--timeout", "60s",
					"--target", "192.0.2.101:5060,192.0.2.102:5060,192.0.2.103:5060", "--cps", "10", "--calls", "60", "--hold", "6s")
				report <- out
			}()
			time.Sleep(4 * time.Second)
			c.strike(victim)
			time.Sleep(4 * time.Second)
			c.undo(victim)
			out := <-report
			for _, want := range []string{`ANSWERED +60\n`, `CUT BY THE SWITCH +0\n`, `BYES LOST +0\n`} {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("no %s in\n%s", want, out)
				}
			}
			gap := regexp.MustCompile(`LONGEST GAP +(\S+)`).FindStringSubmatch(out)
			if gap == nil {
				t.Fatalf("no gap in\n%s", out)
			}
			if d, err := time.ParseDuration(gap[1]); err != nil || d > c.gap {
				t.Errorf("voice was away for %s, want at most %v", gap[1], c.gap)
			}
			t.Logf("longest gap %s", gap[1])
			l.serving()
		})
	}
}

// send sends a signal to a node, which runs as the child of nobody: ip exec
// becomes it.
func (l *netlab) send(i int, s syscall.Signal) {
	if err := l.nodes[i-1].cmd.Process.Signal(s); err != nil {
		l.t.Error(err)
	}
}

func (l *netlab) drain(i int, verb string) {
	if out, err := l.on(i, "node", verb, fmt.Sprintf("n%d", i)); err != nil {
		l.t.Errorf("%s: %v: %s", verb, err, out)
	}
}
