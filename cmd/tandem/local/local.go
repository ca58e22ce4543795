// Package local runs a cluster of real processes on loopback addresses: for the
// demo, the bench and the acceptance tests.
//
// It owns the processes that it started and the directory that it was given. It
// ends processes by their id, never by name, and they die with it even when it is
// killed itself. It never looks into a node other than through its API.
//
//	c, err := local.Start(ctx, local.Config{Exe: exe, Dir: dir, IPs: ips})
//	defer c.Stop()
//	err = c.Kill(0)      // SIGKILL
//	err = c.Run(0)       // starts it again
package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"tandem/node/api/client"
	"tandem/node/setup"
)

// Config says what to run.
type Config struct {
	Exe   string   // the program
	Env   []string // of its processes, on top of our own
	Dir   string   // an empty directory for the nodes' data and logs
	IPs   []netip.Addr
	Ports setup.Ports
}

// Cluster is a cluster of processes.
type Cluster struct {
	cfg   Config
	made  setup.Made
	token string
	http  *http.Client

	mu    sync.Mutex // guards procs and spent
	procs []*process // nil: not running
	spent time.Duration
}

// process is one life of a node.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when it has been waited for
}

const (
	readyTimeout = 30 * time.Second // from the start of all nodes to a cluster that takes calls
	stopTimeout  = 10 * time.Second // for a node that was asked to stop, then it is killed
	pollEvery    = 50 * time.Millisecond
	keptConns    = 256  // to each node: requests that come together do not open them anew each time
	logTail      = 2000 // bytes of a node's log that are shown when it dies
)

// Start makes the nodes' directories, starts all nodes and waits until each of
// them takes calls.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	nodes := make([]setup.Node, len(cfg.IPs))
	for i, ip := range cfg.IPs {
		nodes[i] = setup.Node{Name: fmt.Sprintf("n%d", i+1), IP: ip}
	}
	made, err := setup.Run(setup.Config{Dir: cfg.Dir, Nodes: nodes, Ports: cfg.Ports}, time.Now())
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, keptConns
	c := &Cluster{
		cfg: cfg, made: made, token: made.Token, procs: make([]*process, len(cfg.IPs)), http: &http.Client{Transport: transport},
	}
	for i := range cfg.IPs {
		if err := c.Run(i); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	if err := c.Ready(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Run starts a node that does not run.
func (c *Cluster) Run(i int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.procs[i] != nil {
		return fmt.Errorf("node %s runs already", c.Name(i))
	}
	log, err := os.OpenFile(c.LogFile(i), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(c.cfg.Exe, "serve", "--config", c.made.Nodes[i].File)
	cmd.Env = append(os.Environ(), c.cfg.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: Ctrl-C at the terminal is ours to handle. And no node
	// outlives us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	c.procs[i] = p
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in the log and in ProcessState
		_ = log.Close()
	}()
	return nil
}

// PID is the process id of a node that runs, else 0.
func (c *Cluster) PID(i int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.procs[i] == nil {
		return 0
	}
	return c.procs[i].cmd.Process.Pid
}

// SetExe has nodes that are started from now on run another program.
func (c *Cluster) SetExe(exe string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Exe = exe
}

// Terminate asks a node to stop, which drains it first, and waits until it has
// ended or ctx has.
func (c *Cluster) Terminate(ctx context.Context, i int) error {
	c.mu.Lock()
	p := c.procs[i]
	c.mu.Unlock()
	if p == nil {
		return fmt.Errorf("node %s does not run", c.Name(i))
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("node %s: %w", c.Name(i), err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("node %s still runs: %w", c.Name(i), ctx.Err())
	}
	c.reap(i)
	return nil
}

// Name is the name of a node, IP its address, API that of its API.
func (c *Cluster) Name(i int) string { return c.made.Nodes[i].Name }

// IP is the address of a node.
func (c *Cluster) IP(i int) netip.Addr { return c.cfg.IPs[i] }

// API is where a node's API listens.
func (c *Cluster) API(i int) string { return c.made.Nodes[i].API }

// SIP is a node's signalling address.
func (c *Cluster) SIP(i int) netip.AddrPort {
	port := c.cfg.Ports.SIP
	if port == 0 {
		port = 5060
	}
	return netip.AddrPortFrom(c.cfg.IPs[i], port)
}

// Token is the administrator's token.
func (c *Cluster) Token() string { return c.token }

// LogFile is where a node's output goes.
func (c *Cluster) LogFile(i int) string { return filepath.Join(c.cfg.Dir, c.Name(i), "log") }

// Nodes is how many there are.
func (c *Cluster) Nodes() int { return len(c.cfg.IPs) }

// Running says whether a node's process is there.
func (c *Cluster) Running(i int) bool {
	c.mu.Lock()
	p := c.procs[i]
	c.mu.Unlock()
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Client talks to the given nodes, in that order; without any, to all of them.
func (c *Cluster) Client(nodes ...int) *client.Client { return c.client(false, nodes) }

// Replica reads from one node's own replica.
func (c *Cluster) Replica(i int) *client.Client { return c.client(true, []int{i}) }

func (c *Cluster) client(stale bool, nodes []int) *client.Client {
	cfg := client.Config{Token: c.token, HTTP: c.http, Stale: stale, Agent: "tandem-local"}
	for i := range c.Nodes() {
		if len(nodes) == 0 {
			cfg.Addrs = append(cfg.Addrs, c.API(i))
		}
	}
	for _, i := range nodes {
		cfg.Addrs = append(cfg.Addrs, c.API(i))
	}
	api, err := client.New(cfg)
	if err != nil {
		panic("local: " + err.Error()) // the addresses are those of configurations that were checked
	}
	return api
}

// Kill ends nodes at once, as a loss of power would, and waits until they are
// gone.
func (c *Cluster) Kill(nodes ...int) error {
	var err error
	for _, i := range nodes {
		c.mu.Lock()
		p := c.procs[i]
		c.mu.Unlock()
		if p == nil {
			continue
		}
		if e := p.cmd.Process.Kill(); e != nil && !errors.Is(e, os.ErrProcessDone) {
			err = errors.Join(err, e)
		}
	}
	for _, i := range nodes {
		c.reap(i)
	}
	return err
}

// reap waits for a process that is about to end.
func (c *Cluster) reap(i int) {
	c.mu.Lock()
	p := c.procs[i]
	c.mu.Unlock()
	if p == nil {
		return
	}
	<-p.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.procs[i] == p {
		c.procs[i] = nil
		c.spent += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	}
}

// Stop asks all nodes to stop, kills those that do not, and waits for them.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	procs := slices.Clone(c.procs)
	c.mu.Unlock()
	for _, p := range procs {
		if p != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
		}
	}
	deadline := time.NewTimer(stopTimeout)
	defer deadline.Stop()
	var err error
	for i, p := range procs {
		if p == nil {
			continue
		}
		select {
		case <-p.done:
		case <-deadline.C:
			err = errors.Join(err, fmt.Errorf("node %s did not stop in %v", c.Name(i), stopTimeout), p.cmd.Process.Kill())
			deadline.Reset(0)
		}
		c.reap(i)
	}
	c.http.CloseIdleConnections()
	return err
}

// Ready waits until all nodes that run take calls and know a leader.
func (c *Cluster) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	c.mu.Lock()
	procs := slices.Clone(c.procs)
	c.mu.Unlock()
	for i, p := range procs {
		if p == nil {
			continue
		}
		for {
			why := c.notReady(ctx, i)
			if why == "" {
				break
			}
			if err := c.ended(procs); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("node %s is not ready after %v: %s\n%s", c.Name(i), readyTimeout, why, c.tail(i))
			case <-time.After(pollEvery):
			}
		}
	}
	return nil
}

// notReady says why a node takes no calls yet.
func (c *Cluster) notReady(ctx context.Context, i int) string {
	s, _, err := c.Replica(i).Status(ctx)
	switch {
	case err != nil:
		return err.Error()
	case !s.Ready:
		return s.NotReady
	case s.Leader == "":
		return "no leader"
	}
	return ""
}

// ended reports a process that is gone.
func (c *Cluster) ended(procs []*process) error {
	for i, p := range procs {
		if p == nil {
			continue
		}
		select {
		case <-p.done:
			return fmt.Errorf("node %s ended: %v\n%s", c.Name(i), p.cmd.ProcessState, c.tail(i))
		default:
		}
	}
	return nil
}

// tail is the end of a node's log.
func (c *Cluster) tail(i int) string {
	b, err := os.ReadFile(c.LogFile(i))
	if err != nil {
		return err.Error()
	}
	if len(b) > logTail {
		b = b[len(b)-logTail:]
		_, b, _ = cutLine(b)
	}
	return strings.TrimSpace(string(b))
}

func cutLine(b []byte) (line, rest []byte, ok bool) {
	at := slices.Index(b, '\n')
	if at < 0 {
		return nil, b, false
	}
	return b[:at], b[at+1:], true
}
