package sim_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"tandem/billing"
	"tandem/chaos"
	"tandem/cluster"
	"tandem/fsm"
)

// till is an account that cashiers pay into and read, at all nodes at once.
// Whatever happens meanwhile, it is one register: what was acknowledged is seen by
// every later read, and what was read stays.
type till struct {
	d *day

	mu  sync.Mutex // guards ops
	ops []porcupine.Operation
}

// tillOp is what a cashier does: pay an amount, or read (0).
type tillOp struct{ amount billing.Amount }

// tillModel is the account as one machine would keep it.
var tillModel = porcupine.Model{
	Init: func() any { return billing.Amount(0) },
	Step: func(state, input, output any) (bool, any) {
		sum, op := state.(billing.Amount), input.(tillOp)
		if op.amount != 0 {
			return true, sum + op.amount
		}
		return output.(billing.Amount) == sum, sum
	},
	Equal: func(a, b any) bool { return a == b },
}

// note adds an operation. One without an answer may happen at any later time.
func (l *till) note(client int, op tillOp, begun time.Duration, answer billing.Amount, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := int64(math.MaxInt64)
	if known {
		ended = int64(time.Since(l.d.start))
	}
	l.ops = append(l.ops, porcupine.Operation{ClientId: client, Input: op, Call: int64(begun), Output: answer, Return: ended})
}

// cashier pays and reads in turn, at a node of his own, until ctx ends.
func (l *till) cashier(ctx context.Context, client int, at *softswitch) {
	for i := 0; ctx.Err() == nil; i++ {
		n := at.running()
		if n == nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		wait, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		begun := time.Since(l.d.start)
		if i%3 == 0 {
			key := fmt.Sprintf("till-%d-%d", client, i)
			paid := chaos.TopUp{Key: key, Account: "client:till", Amount: billing.Amount(1 + i)}
			r, err := n.Propose(wait, cluster.LaneStart, key, &fsm.TopUp{Account: "till", Amount: paid.Amount, Memo: key})
			known := err == nil && r.Code == fsm.OK && at.running() == n
			if known {
				paid.Outcome = chaos.Done
			}
			l.d.recorder.TopUp(paid)
			l.note(client, tillOp{paid.Amount}, begun, 0, known)
		} else if _, err := n.Cluster().ReadIndex(wait); err == nil && at.running() == n {
			var sum billing.Amount
			n.View(func(s *fsm.State) {
				a, _ := s.Account("till")
				sum = a.Balance.Funds
			})
			l.note(client, tillOp{}, begun, sum, true)
		}
		cancel()
		time.Sleep(70 * time.Millisecond)
	}
}

// check is the second opinion on balances.
func (l *till) check() {
	l.d.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ops) < 100 {
		l.d.t.Errorf("only %d operations at the till", len(l.ops))
	}
	if !porcupine.CheckOperations(tillModel, l.ops) {
		l.d.t.Errorf("till: no order of %d operations explains what the cashiers saw", len(l.ops))
	}
}

// TestTillModel: the second opinion is one: it refuses a read that misses what was
// acknowledged before it.
func TestTillModel(t *testing.T) {
	pay := porcupine.Operation{ClientId: 0, Input: tillOp{5}, Call: 1, Output: billing.Amount(0), Return: 2}
	for sum, want := range map[billing.Amount]bool{5: true, 0: false, 10: false} {
		read := porcupine.Operation{ClientId: 1, Input: tillOp{}, Call: 3, Output: sum, Return: 4}
		if got := porcupine.CheckOperations(tillModel, []porcupine.Operation{pay, read}); got != want {
			t.Errorf("5 paid, then %v read: %v, want %v", sum, got, want)
		}
	}
}

// TestHuntSwarm is the scenario that planted bugs are hunted with: every kind of
// death and of separation, a clock that is an hour off, and cashiers at the till
// all the time.
func TestHuntSwarm(t *testing.T) {
	faults := schedule(t, `
		5s   clock leader 1h for 3s
		12s  kill leader for 3s
		20s  pause leader for 3s
		28s  partition leader|n1,n2,n3 for 4s
		38s  power all for 2s
	`)
	swarm(t, 2, func(t *testing.T, seed uint64) {
		d := newDay(t, seed, wires[0].link)
		d.provision(100 * billing.Unit)
		d.do(&fsm.PutAccount{Account: fsm.Account{ID: "till", Type: fsm.Client, Currency: "USD"}})
		l := &till{d: d}
		ctx, cancel := context.WithCancel(context.Background())
		var cashiers sync.WaitGroup
		for i, s := range d.nodes {
			cashiers.Go(func() { l.cashier(ctx, i, s) })
		}
		d.evening = func() {
			cancel()
			cashiers.Wait()
		}
		d.run(faults, usual(45*time.Second)...)
		l.check()
	})
}
