package call

import (
	"errors"
	"sync"
	"testing"
	"time"

	"tandem/billing"
	"tandem/cluster"
	"tandem/fsm"
)

// ledger is a cluster of one: a real state machine behind a commit that takes a
// millisecond, or does not come at all.
type ledger struct {
	mu        sync.Mutex
	state     *fsm.State
	seq       uint64
	deaf      bool // no leader
	refuse    error
	cdrs      []fsm.CDR
	transfers []fsm.Transfer
	bodies    []fsm.Kind
	box       []fsm.Body
	boxErr    error
	applied   func(fsm.Applied)
}

const commitTime = time.Millisecond

func logTime() fsm.Time { return fsm.Time(time.Now().UnixMicro()) }

func newLedger(t testing.TB) *ledger {
	l := &ledger{state: fsm.New(fsm.Config{})}
	l.must(t, &fsm.NodeUp{Node: "n1", Incarnation: 1, Level: fsm.Level})
	return l
}

// apply commits one command at once.
func (l *ledger) apply(body fsm.Body, since time.Time) fsm.Result {
	return l.applyOf(l.life(), body, since)
}

// applyOf commits a command of one of the node's lives.
func (l *ledger) applyOf(life uint64, body fsm.Body, since time.Time) fsm.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	cmd := fsm.Command{
		Origin: fsm.Origin{Node: "n1", Incarnation: life, Seq: l.seq, Low: l.seq}, Age: time.Since(since), Body: body,
	}
	raw, err := fsm.AppendCommand(nil, &cmd)
	if err != nil {
		panic(err)
	}
	if cmd, err = fsm.DecodeCommand(raw); err != nil {
		panic(err)
	}
	out := l.state.Apply(l.state.Index()+1, fsm.Entry{At: logTime(), Commands: []fsm.Command{cmd}})
	l.cdrs = append(l.cdrs, out.CDRs...)
	l.transfers = append(l.transfers, out.Transfers...)
	l.bodies = append(l.bodies, body.Kind())
	if l.applied != nil {
		l.applied(out)
	}
	return out.Results[0]
}

// life is the node's present incarnation: what older ones proposed is fenced.
func (l *ledger) life() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, _ := l.state.Member("n1")
	return m.Incarnation
}

func (l *ledger) must(t testing.TB, body fsm.Body) fsm.Result {
	t.Helper()
	r := l.apply(body, time.Now())
	if r.Code != fsm.OK {
		t.Fatalf("%T: code %d, %s", body, r.Code, r.Detail)
	}
	return r
}

// Submit commits after a millisecond. Without a leader it keeps the command until
// there is one again, or its time is up.
func (l *ledger) Submit(cmd Command, done func(fsm.Result, error)) {
	life := l.life()
	time.AfterFunc(commitTime, func() { l.commit(life, cmd, done) })
}

func (l *ledger) commit(life uint64, cmd Command, done func(fsm.Result, error)) {
	l.mu.Lock()
	switch {
	case l.refuse != nil:
		err := l.refuse
		l.mu.Unlock()
		done(fsm.Result{}, err)
		return
	case l.deaf && !time.Now().Before(cmd.Until):
		l.mu.Unlock()
		done(fsm.Result{}, cluster.ErrTimeout)
		return
	case l.deaf:
		l.mu.Unlock()
		time.AfterFunc(10*time.Millisecond, func() { l.commit(life, cmd, done) })
		return
	}
	l.mu.Unlock()
	done(l.applyOf(life, cmd.Body, cmd.Since), nil)
}

func (l *ledger) setDeaf(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = on
}

// Put takes a settlement, durably enough for a test.
func (l *ledger) Put(body fsm.Body, since time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.boxErr != nil {
		return l.boxErr
	}
	l.box = append(l.box, body)
	return nil
}

func (l *ledger) Call(id fsm.CallID) (fsm.Call, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Call(id)
}

func (l *ledger) Ended(id fsm.CallID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.state.Ended(id)
	return ok
}

func (l *ledger) LogTime() fsm.Time { return logTime() }

// params are the system parameters as they stand.
func (l *ledger) params() *fsm.Params {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.state.Params()
	return &p
}

// live returns the records of all live calls.
func (l *ledger) live() []fsm.Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Calls(fsm.CallFilter{}, fsm.CallID{}, 0)
}

func (l *ledger) lastCDR(t testing.TB) fsm.CDR {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cdrs) == 0 {
		t.Fatal("no cdr was written")
	}
	return l.cdrs[len(l.cdrs)-1]
}

func (l *ledger) account(t testing.TB, id string) fsm.Account {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.state.Account(id)
	if !ok {
		t.Fatalf("account %s is not there", id)
	}
	return a
}

// setUp makes a customer with money, a vendor, an ingress and the gateways.
func (l *ledger) setUp(t testing.TB, funds string, source string, gateways map[string]string) {
	t.Helper()
	l.must(t, &fsm.PutRateTable{Table: fsm.RateTable{ID: "retail", Currency: "EUR"}})
	l.must(t, &fsm.PutRateTable{Table: fsm.RateTable{ID: "cost", Currency: "EUR"}})
	for table, price := range map[string]string{"retail": "0.60", "cost": "0.30"} {
		l.must(t, &fsm.ImportRates{Table: table, Version: 1, Rows: []fsm.RateRow{
			{Prefix: "44", Area: "UK", Price: price4(t, price), First: 1, Next: 1},
		}})
		l.must(t, &fsm.ActivateRates{Table: table, Version: 1, Rows: 1})
	}
	l.must(t, &fsm.PutAccount{Account: fsm.Account{ID: "c1", Type: fsm.Client, Currency: "EUR", RateTable: "retail"}})
	l.must(t, &fsm.PutAccount{Account: fsm.Account{ID: "v1", Type: fsm.Vendor, Currency: "EUR", RateTable: "cost"}})
	amount, err := billing.ParseAmount(funds)
	if err != nil {
		t.Fatal(err)
	}
	if amount != 0 {
		l.must(t, &fsm.TopUp{Account: "c1", Amount: amount})
	}
	prefix, err := fsm.ParsePrefix(source)
	if err != nil {
		t.Fatal(err)
	}
	l.must(t, &fsm.PutMappingGateway{Gateway: fsm.MappingGateway{ID: "in", Account: "c1", Addrs: []fsm.Prefix{prefix}}})
	priority := int32(0)
	for _, id := range []string{"gw1", "gw2", "gw3"} {
		where, ok := gateways[id]
		if !ok {
			continue
		}
		addr, err := fsm.ParseAddr(where)
		if err != nil {
			t.Fatal(err)
		}
		priority++
		l.must(t, &fsm.PutRoutingGateway{Gateway: fsm.RoutingGateway{
			ID: id, Account: "v1", Prefixes: []string{"44"}, Priority: priority, Addrs: []fsm.Addr{addr},
		}})
	}
}

func price4(t testing.TB, s string) billing.Price {
	t.Helper()
	p, err := billing.ParsePrice(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var errDisk = errors.New("disk is gone")
