package chaos_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tandem/billing"
	"tandem/chaos"
	"tandem/fsm"
)

var (
	seeds = flag.Uint64("seeds", 0, "how many seeds each swarm runs; 0: its own number")
	from  = flag.Uint64("from", 1, "the first of them")
)

// alone is the state machine by itself under random commands: a replica that
// applies the log, one that is restored from a snapshot now and then, and a model
// of what they must answer.
type alone struct {
	dice  *rand.Rand
	state *fsm.State
	twin  *fsm.State // restored now and then
	index uint64
	at    fsm.Time
	found []string

	lives map[fsm.NodeID]uint64 // incarnations
	seqs  map[fsm.NodeID]uint64
	sent  []fsm.Command             // the newest, to be repeated
	told  map[fsm.Origin]fsm.Result // first answers
	paid  map[string]billing.Amount // by account, what was acknowledged
	calls []fsm.CallID              // begun
	epoch map[fsm.CallID]fsm.Epoch  // highest seen
	spot  map[string]fsm.Address    // last look at each service address
	cdrs  map[fsm.CallID]int        // originals
	final chaos.Final
}

func (a *alone) bad(format string, args ...any) {
	a.found = append(a.found, fmt.Sprintf("index %d: ", a.index)+fmt.Sprintf(format, args...))
}

// newAlone begins with three nodes, two customers, two carriers and rates.
func newAlone(seed uint64) *alone {
	key := [16]byte{byte(seed)}
	a := &alone{
		dice: rand.New(rand.NewPCG(seed, 2)), state: fsm.New(fsm.Config{HashKey: key}), twin: fsm.New(fsm.Config{HashKey: key}), at: 1e15,
		lives: map[fsm.NodeID]uint64{}, seqs: map[fsm.NodeID]uint64{}, told: map[fsm.Origin]fsm.Result{}, paid: map[string]billing.Amount{},
		epoch: map[fsm.CallID]fsm.Epoch{}, spot: map[string]fsm.Address{}, cdrs: map[fsm.CallID]int{},
	}
	for _, n := range nodesAlone {
		a.rise(n)
	}
	for table, price := range map[string]billing.Price{"sell": 60_000_000, "buy": 30_000_000} {
		a.do(&fsm.PutRateTable{Table: fsm.RateTable{ID: table, Currency: "USD"}})
		a.do(&fsm.ImportRates{Table: table, Version: 1, Rows: []fsm.RateRow{{Prefix: "86", Price: price, First: 1, Next: 1}}})
		a.do(&fsm.ActivateRates{Table: table, Version: 1, Rows: 1})
	}
	for i, id := range []string{"acme", "blue"} {
		a.do(&fsm.PutAccount{Account: fsm.Account{ID: id, Type: fsm.Client, Currency: "USD", RateTable: "sell"}})
		a.do(&fsm.PutMappingGateway{Gateway: fsm.MappingGateway{ID: id + "-in", Account: id, Addrs: []fsm.Prefix{{IP: phone(i).IP, Bits: 128}}}})
	}
	for i, id := range []string{"telco", "other"} {
		a.do(&fsm.PutAccount{Account: fsm.Account{ID: id, Type: fsm.Vendor, Currency: "USD", RateTable: "buy"}})
		a.do(&fsm.PutRoutingGateway{Gateway: fsm.RoutingGateway{ID: id + "-out", Account: id, Prefixes: []string{"86"}, Addrs: []fsm.Addr{phone(9 + i)}}})
	}
	return a
}

var nodesAlone = []fsm.NodeID{"n1", "n2", "n3"}

// phone is a signalling address.
func phone(i int) fsm.Addr {
	return fsm.Addr{IP: [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: 0, 14: 2, 15: byte(i + 1)}, Port: 5060}
}

// rise announces a new incarnation of a node with its service address.
func (a *alone) rise(n fsm.NodeID) {
	a.lives[n]++
	a.seqs[n] = 0
	ip := "10.0.9." + string(n[1:])
	a.from(n, &fsm.NodeUp{
		Node: n, Incarnation: a.lives[n], Level: fsm.Level, Addresses: []fsm.ServiceAddress{{IP: ip, Public: ip, Move: "bind"}},
	})
}

// do commits a command of an operator.
func (a *alone) do(body fsm.Body) fsm.Result { return a.from("n1", body) }

// from commits a command that a node proposes.
func (a *alone) from(n fsm.NodeID, body fsm.Body) fsm.Result {
	a.seqs[n]++
	seq := a.seqs[n]
	low := uint64(1)
	if seq > 20 {
		low = seq - 20
	}
	cmd := fsm.Command{Origin: fsm.Origin{Node: n, Incarnation: a.lives[n], Seq: seq, Low: low}, Age: time.Duration(a.dice.IntN(3000)) * time.Millisecond, Body: body}
	if top, ok := body.(*fsm.TopUp); ok {
		cmd.Key = "till/" + top.Memo
	}
	return a.commit(cmd)
}

// commit applies one command on both replicas and holds the answer against the
// model.
func (a *alone) commit(cmd fsm.Command) fsm.Result {
	before, doomed := a.look(cmd.Body), a.doomed(cmd.Body)
	a.index++
	a.at += fsm.Time(a.dice.IntN(200_000))
	entry := fsm.Entry{At: a.at, Commands: []fsm.Command{cmd}}
	applied, again := a.state.Apply(a.index, entry), a.twin.Apply(a.index, entry)
	r := applied.Results[0]
	if !bytes.Equal(fsm.AppendResult(nil, &r), fsm.AppendResult(nil, &again.Results[0])) {
		a.bad("%T: %+v, and of a restored replica %+v", cmd.Body, r, again.Results[0])
	}
	if a.state.Hash() != a.twin.Hash() {
		a.bad("%T: the hashes of a replica and a restored one differ", cmd.Body)
	}
	a.repeated(cmd, r)
	a.fenced(cmd, before, r)
	if down, ok := cmd.Body.(*fsm.NodeDown); ok && doomed {
		if m, _ := a.state.Member(down.Node); !m.Up {
			a.bad("%s was declared dead without proof: %+v", down.Node, down)
		}
	}
	a.keep(applied)
	a.owners()
	if a.sent = append(a.sent, cmd); len(a.sent) > 15 {
		a.sent = a.sent[1:]
	}
	if a.index%8 == 0 {
		if err := a.state.Check(); err != nil {
			a.bad("%v", err)
		}
	}
	if a.dice.IntN(25) == 0 {
		a.restore()
	}
	return r
}

// repeated: a command that comes again gets its first answer or none, and a
// payment is made once.
func (a *alone) repeated(cmd fsm.Command, r fsm.Result) {
	first, again := a.told[cmd.Origin]
	if again && r.Code != fsm.StaleCommand && !bytes.Equal(fsm.AppendResult(nil, &r), fsm.AppendResult(nil, &first)) {
		switch cmd.Body.(type) {
		case *fsm.EndCall, *fsm.NodeUp: // accepted from whoever is down, too
		default:
			a.bad("%T came again and got %+v, first it was %+v", cmd.Body, r, first)
		}
	}
	if again {
		return
	}
	a.told[cmd.Origin] = r
	if top, ok := cmd.Body.(*fsm.TopUp); ok && r.Code == fsm.OK {
		if _, known := a.paid[top.Memo]; !known {
			a.paid[top.Memo] = top.Amount
		}
	}
}

// look returns the call that a command is about, as it is before.
func (a *alone) look(body fsm.Body) (c fsm.Call) {
	switch b := body.(type) {
	case *fsm.Progress:
		c, _ = a.state.Call(b.Call)
	case *fsm.AnswerCall:
		c, _ = a.state.Call(b.Call)
	case *fsm.ExtendCall:
		c, _ = a.state.Call(b.Call)
	case *fsm.EndCall:
		c, _ = a.state.Call(b.Call)
	}
	return c
}

// doomed says whether a command declares a node dead that lives, without proof:
// nobody has seen its process end, and fewer than a majority pledge.
func (a *alone) doomed(body fsm.Body) bool {
	down, ok := body.(*fsm.NodeDown)
	if !ok || down.Exited {
		return false
	}
	from := map[fsm.NodeID]bool{}
	for _, p := range down.Pledges {
		if m, ok := a.state.Member(p.Node); ok && m.Up && m.Incarnation == p.Incarnation && p.Node != down.Node {
			from[p.Node] = true
		}
	}
	m, ok := a.state.Member(down.Node)
	return ok && m.Up && m.Incarnation == down.Incarnation && len(from) < 2
}

// fenced: who does not own a call decides nothing about it.
func (a *alone) fenced(cmd fsm.Command, c fsm.Call, r fsm.Result) {
	var epoch fsm.Epoch
	switch b := cmd.Body.(type) {
	case *fsm.Progress:
		epoch = b.Epoch
	case *fsm.AnswerCall:
		epoch = b.Epoch
	case *fsm.ExtendCall:
		epoch = b.Epoch
	case *fsm.EndCall:
		if epoch = b.Epoch; b.How == fsm.EndFact {
			return
		}
	default:
		return
	}
	if c.ID != (fsm.CallID{}) && epoch != c.Epoch && r.Code == fsm.OK && r.Index == a.index {
		a.bad("%T of epoch %d was accepted, call %x is %s's in epoch %d", cmd.Body, epoch, c.ID[:4], c.Owner, c.Epoch)
	}
}

// keep collects records and counts the originals of each call.
func (a *alone) keep(applied fsm.Applied) {
	a.final.CDRs = append(a.final.CDRs, applied.CDRs...)
	a.final.Transfers = append(a.final.Transfers, applied.Transfers...)
	for _, c := range applied.CDRs {
		if c.Amends == 0 && c.Call != (fsm.CallID{}) {
			if a.cdrs[c.Call]++; a.cdrs[c.Call] > 1 {
				a.bad("call %x has %d CDRs", c.Call[:4], a.cdrs[c.Call])
			}
		}
	}
}

// owners: epochs of addresses only grow, and change with the owner.
func (a *alone) owners() {
	for _, addr := range a.state.Addresses() {
		old, ok := a.spot[addr.IP]
		moved := old.Owner != addr.Owner || old.Incarnation != addr.Incarnation
		if ok && (addr.Epoch < old.Epoch || moved && addr.Epoch == old.Epoch) {
			a.bad("address %s: %s/%d in epoch %d, then %s/%d in epoch %d", addr.IP, old.Owner, old.Incarnation, old.Epoch, addr.Owner, addr.Incarnation, addr.Epoch)
		}
		a.spot[addr.IP] = addr
	}
}

// restore replaces the twin by what a snapshot of it says.
func (a *alone) restore() {
	view := a.twin.Snapshot()
	defer view.Release()
	var b bytes.Buffer
	if _, err := view.WriteTo(&b); err != nil {
		a.bad("snapshot: %v", err)
		return
	}
	twin, err := fsm.Restore(&b)
	if err != nil {
		a.bad("restore: %v", err)
		return
	}
	a.twin = twin
}

// finish ends all calls and gives the books to the checkers.
func (a *alone) finish() []string {
	for _, n := range nodesAlone {
		a.rise(n)
	}
	for _, id := range a.calls {
		if c, ok := a.state.Call(id); ok {
			a.from(c.Owner, &fsm.EndCall{Call: id, Epoch: c.Epoch, How: fsm.EndFact, By: fsm.ByCaller})
		}
	}
	payments := map[string]billing.Amount{}
	for _, t := range a.final.Transfers {
		if t.Kind == fsm.TransferPayment {
			payments[t.Memo] += t.Amount
		}
	}
	for memo, amount := range a.paid {
		if payments[memo] != amount {
			a.bad("payment %s of %v is in the books with %v", memo, amount, payments[memo])
		}
	}
	a.final.Reading = a.books()
	for _, v := range chaos.Check(chaos.History{Finals: []chaos.Final{a.final}}) {
		if v.Check != "one CDR per call" { // nobody made these calls
			a.found = append(a.found, v.String())
		}
	}
	return a.found
}

// books reads the ledger.
func (a *alone) books() chaos.Reading {
	r := chaos.Reading{Node: "alone", Index: a.state.Index(), Hash: a.state.Hash()}
	for _, acct := range a.state.Accounts("", 100) {
		kind := "client:"
		if acct.Type == fsm.Vendor {
			kind = "vendor:"
		}
		r.Accounts = append(r.Accounts, chaos.Account{Name: kind + acct.ID, Currency: acct.Currency, Balance: acct.Balance})
	}
	for _, h := range a.state.Houses() {
		r.Accounts = append(r.Accounts, chaos.Account{Name: h.Name, Currency: h.Currency, Balance: billing.Balance{Funds: h.Amount, Overdraft: true}})
	}
	return r
}

// TestAloneSwarm plays a story of random commands with each seed.
func TestAloneSwarm(t *testing.T) {
	count := *seeds
	if count == 0 {
		count = 300
	}
	for seed := *from; seed < *from+count; seed++ {
		a := newAlone(seed)
		for range 150 {
			a.step()
		}
		if found := a.finish(); len(found) > 0 {
			t.Errorf("repeat with: go test ./chaos -run TestAloneSwarm -from %d -seeds 1\n%s", seed, found[0])
			if slices.Contains([]uint64{0, 1}, count) {
				for _, f := range found[1:] {
					t.Log(f)
				}
			}
			return
		}
	}
}
