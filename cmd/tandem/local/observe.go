package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"tandem/billing"
	"tandem/node/api/client"
)

// ErrNoLeader says that no running node knows a leader.
var ErrNoLeader = errors.New("no leader")

// Leader returns the node that leads, as the first running node sees it.
func (c *Cluster) Leader(ctx context.Context) (int, error) {
	for i := range c.Nodes() {
		if !c.Running(i) {
			continue
		}
		s, _, err := c.Replica(i).Status(ctx)
		if err != nil || s.Leader == "" {
			continue
		}
		for j := range c.Nodes() {
			if c.Name(j) == s.Leader && c.Running(j) {
				return j, nil
			}
		}
	}
	return 0, ErrNoLeader
}

// AwaitLeader waits for a leader.
func (c *Cluster) AwaitLeader(ctx context.Context) (int, error) {
	for {
		if i, err := c.Leader(ctx); err == nil {
			return i, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// Idle waits until no call is live and at least so many CDRs are written on every
// running node.
func (c *Cluster) Idle(ctx context.Context, cdrs uint64) error {
	for i := range c.Nodes() {
		for c.Running(i) {
			s, _, err := c.Replica(i).Status(ctx)
			if err == nil && s.Calls == 0 && s.CDRs >= cdrs {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("node %s has %d live calls and %d CDRs, want 0 and %d (%w)", c.Name(i), s.Calls, s.CDRs, cdrs, errors.Join(err, ctx.Err()))
			case <-time.After(pollEvery):
			}
		}
	}
	return nil
}

// CDRs reads all records from one node's own store.
func (c *Cluster) CDRs(ctx context.Context, node int) ([]client.CDR, error) {
	var out []client.CDR
	q := client.CDRQuery{Page: client.Page{Limit: 1000}}
	for r, err := range client.Each(ctx, q, c.Replica(node).CDRs) {
		if err != nil {
			return nil, fmt.Errorf("records of %s: %w", c.Name(node), err)
		}
		out = append(out, r)
	}
	return out, nil
}

// Balanced checks that every currency's ledger sums to zero.
func (c *Cluster) Balanced(ctx context.Context) ([]client.LedgerSum, error) {
	sums, err := c.Client(c.running()...).LedgerSums(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range sums.Items {
		if s.Sum != 0 {
			return sums.Items, fmt.Errorf("the ledger in %s sums to %s", s.Currency, s.Sum)
		}
	}
	return sums.Items, nil
}

func (c *Cluster) running() []int {
	var out []int
	for i := range c.Nodes() {
		if c.Running(i) {
			out = append(out, i)
		}
	}
	return out
}

// hashDistance is how many entries lie between two state hashes; a cluster that
// rests takes as many until the next one.
const hashDistance = 1024

// SameState brings the log to the next index at which states are hashed, and
// compares the hashes of all running nodes there.
func (c *Cluster) SameState(ctx context.Context) (client.Checkpoint, error) {
	nodes := c.running()
	leader, err := c.AwaitLeader(ctx)
	if err != nil {
		return client.Checkpoint{}, err
	}
	api := c.Client(leader)
	p, receipt, err := api.Parameter(ctx, "SS_SIP_TIMEOUT_INVITE")
	if err != nil {
		return client.Checkpoint{}, err
	}
	target := (receipt.Index/hashDistance + 1) * hashDistance
	for receipt.Index < target {
		// A value that is set to what it is: an entry without an effect.
		if _, receipt, err = api.SetParameter(ctx, p.Name, p.Value); err != nil {
			return client.Checkpoint{}, err
		}
	}
	var first client.Checkpoint
	for n, i := range nodes {
		check, err := c.hashAt(ctx, i, target)
		if err != nil {
			return first, err
		}
		if n == 0 {
			first = check
		}
		if check.Hash != first.Hash {
			return first, fmt.Errorf("state differs at index %d: %s has %s, %s has %s", target, c.Name(nodes[0]), first.Hash, c.Name(i), check.Hash)
		}
	}
	return first, nil
}

// hashAt waits until a node has a hash at an index, or at the first one after.
func (c *Cluster) hashAt(ctx context.Context, node int, index uint64) (client.Checkpoint, error) {
	for {
		list, err := c.Replica(node).Checkpoints(ctx)
		if err != nil {
			return client.Checkpoint{}, err
		}
		for _, k := range list.Items {
			if k.Index == index {
				return k, nil
			}
		}
		select {
		case <-ctx.Done():
			return client.Checkpoint{}, fmt.Errorf("node %s has no hash at index %d: %w", c.Name(node), index, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// Charged checks that a record's fee and cost are what its rates say about its
// duration, to the last unit. The tables have to round as the system does by
// default.
func Charged(r client.CDR) error {
	for _, side := range []struct {
		name string
		rate *client.CallRate
		got  billing.Amount
	}{{"fee", r.Rate, r.Fee}, {"cost", r.CostRate, r.Cost}} {
		var want billing.Amount
		if side.rate != nil {
			cover := billing.Cover{Rate: rateOf(side.rate)}
			if side.name == "fee" {
				for _, p := range r.Packages {
					cover.Prepaid += p.Time.Duration()
				}
			}
			want = cover.Cost(r.Duration.Duration())
		}
		if side.got != want {
			return fmt.Errorf("CDR %d: %s is %s for %v, want %s", r.Seq, side.name, side.got, r.Duration, want)
		}
	}
	return nil
}

func rateOf(r *client.CallRate) billing.Rate {
	seconds := func(s client.Seconds) billing.Seconds { return billing.Seconds(s.Duration() / time.Second) }
	return billing.Rate{
		Price: r.Price, ConnectFee: r.ConnectFee,
		First: seconds(r.First), Next: seconds(r.Next), Minimum: seconds(r.Minimum), Free: seconds(r.Free),
	}
}

// clockTick is the unit of CPU times in /proc (proc_pid_stat(5)), 100 Hz on every
// Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// CPU is the time that all nodes have spent, those that were killed too.
func (c *Cluster) CPU() time.Duration {
	c.mu.Lock()
	sum := c.spent
	var pids []int
	for _, p := range c.procs {
		if p != nil {
			pids = append(pids, p.cmd.Process.Pid)
		}
	}
	c.mu.Unlock()
	for _, pid := range pids {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			continue // it has just ended
		}
		// Fields 14 and 15 of the line, counted behind the name in brackets.
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if len(f) < 13 {
			continue
		}
		for _, text := range f[11:13] {
			ticks, _ := strconv.ParseInt(text, 10, 64)
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum
}

// Memory is the resident memory of a node in bytes.
func (c *Cluster) Memory(i int) int64 {
	c.mu.Lock()
	p := c.procs[i]
	c.mu.Unlock()
	if p == nil {
		return 0
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
