package fsm_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/fsm"
)

// lines are what random stories are made of. Words in braces are drawn.
var lines = []string{
	"start {call} node={node} callee={callee} caller={caller} from={from} age={age}",
	"start {call} node={node} callee={callee} caller={caller} from={from}",
	"start {call} node={node} callee={callee} caller={caller}",
	"ring {call} node={node} cand={small} age={age}",
	"answer {call} node={node} cand={small}",
	"answer {call} node={node} cand=0 age={age}",
	"extend {call} node={node}",
	"extend {call} node={node} slice={small}",
	"end {call} node={node} by=callee age={age}",
	"end {call} node={node} how=decision by=server reason={reason}",
	"end {call} node={node} how=void",
	"end {call} node={node} epoch={small}",
	"beat node={node} silent={call},{call}",
	"beat node={node}",
	"refused count={small} node={node} reason={reason}",
	"topup {account} {amount} node={node} key=tok{small}/{small}",
	"topup {account} {amount} node={node}",
	"account {account} table=std credit=0.{small}",
	"account {account} table=std credit=0.5 calls={small} cps={small} spend={small}",
	"egress carrier-out account=carrier prefixes=49,44 calls={small} standalone",
	"egress other-out account=carrier prefixes=4,49 prio={small} cps={small}",
	"egress third-out account=carrier prefixes={callee} terminate",
	"ingress {account}-in account={account} addr=192.0.2.1{small} calls={small}",
	"health other-out out={age}",
	"delete egress third-out",
	"param SS_BLACK_LIST_MALICIOUS_CALL_LIMIT {limit}",
	"param SS_BLACK_LIST_NO_ANSWER_LIMIT {limit}",
	"param SS_BLACK_LIST_CALLER_CONCURRENT_LIMIT {limit}",
	"param SS_BLACK_LIST_CALLER_MALICIOUS_CALL_CHECK_INTERVAL {small}",
	"param SS_BLACK_LIST_CALLER_MALICIOUS_CALL_EXPIRE {small}",
	"param CENTRAL_CROSS_ACCOUNT {bit}",
	"block {caller} list=no-answer for={age} scope=other-out",
	"delete malicious {caller}",
	"list whitelist {caller}",
	"list emergency {callee}",
	"import std version={small} chunk={bit} 4{small}:0.{small} 49:0.0{small}/6/6+0.001",
	"activate std version={small} rows=2",
	"node {node}",
	"node n1 at=10.0.0.1,10.0.0.11", "node n1 at=10.0.0.1 move=reinvite", "node n2 at=10.0.0.2",
	"node {node} at=10.0.0.{small}",
	"start {call} node={node} line=10.0.0.{small}", "start {call} node={node} line=10.0.0.{small}",
	"legs {call} node={node} line=10.0.0.{small}",
	"handover 10.0.0.{small} to={node} node={node}", "handover 10.0.0.{small} to={node} node={node}",
	"drain {node} node={node}", "undrain {node} node={node}", "remove {node} node={node}",
	"forget day={small} node={node}",
	"orphans {node}", "addresses",
	"phone {callee} account={account} calls={small} contacts={small} node={node}", "delete phone {callee} node={node}",
	"register {callee} sip:{small}@h sip:{small}@h for={age} cseq={small} line=10.0.0.{small} node={node}",
	"register {callee} sip:{small}@h for={age} flow={bit} via=tcp node={node}",
	"unregister {callee} node={node}", "contacts 4915112345",
	"start {call} node={node} callee={callee} phone=44201",
	"down {node} pledges=n1,n2,n3 node={node}",
	"down {node} exited node={node}",
	"package p{bit} time={small}0s price=0.0{small} valid={small}7s priority={small} prefixes=49 node={node}",
	"package p{bit} time=2m node={node}", "delete package p{bit} node={node}",
	"buy {account} p{bit} node={node}", "buy {account} p{bit} node={node}", "purchases {account}", "sums",
	"tick node={node} low={small}0",
	"retry",
	"+{age}", "+{age}", "+700ms", "+70s",
}

// draw fills a line in.
func draw(r *rand.Rand) string {
	line := lines[r.IntN(len(lines))]
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for strings.Contains(line, "{") {
		from, rest, _ := strings.Cut(line, "{")
		name, rest, _ := strings.Cut(rest, "}")
		var word string
		switch name {
		case "call":
			word = fmt.Sprint("c", r.IntN(12))
		case "node":
			word = pick("n1", "n2", "n3")
		case "account":
			word = pick("acme", "blue")
		case "callee":
			word = pick("4915112345", "44201", "491", "33", "abc", "112")
		case "caller":
			word = pick("442079460001", "442079460002", "100", "anonymous")
		case "from":
			word = pick("192.0.2.10:5060", "192.0.2.11:5060", "192.0.2.12:5060", "203.0.113.5:1")
		case "age":
			word = fmt.Sprint(r.IntN(20_000), "ms")
		case "amount":
			word = pick("0.10", "1", "2.5", "-0.05", "-1")
		case "reason":
			word = pick("reaped", "no-answer", "canceled", "credit", "unknown-source", "busy")
		case "limit":
			word = pick("None", "2", "3", "5")
		case "bit":
			word = pick("0", "1")
		default:
			word = fmt.Sprint(r.IntN(6))
		}
		line = from + word + rest
	}
	return line
}

// TestLockstep plays random stories on a replica that applies the log and on one
// that is restored from a snapshot now and then. Nobody may tell them apart: not
// by results, records, hashes or bytes.
func TestLockstep(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			lockstep(t, rand.New(rand.NewPCG(seed, 1)), 600)
		})
	}
}

func lockstep(t *testing.T, r *rand.Rand, steps int) {
	fed, restored := newStory(t), newStory(t)
	both := func(line string) {
		t.Helper()
		if a, b := fed.run(line), restored.run(line); a != b {
			t.Fatalf("%s:\n%s\nafter a restore:\n%s", line, a, b)
		}
	}
	for _, line := range []string{"setup", "account blue table=std", "ingress blue-in account=blue addr=192.0.2.12", "topup acme 3", "topup blue 1"} {
		both(line)
	}
	var view *fsm.View
	var hash fsm.Hash
	for i := range steps {
		line := draw(r)
		both(line)
		if r.IntN(20) == 0 {
			restored.state = copyOf(t, restored.state)
		}
		if i%7 == 0 && fed.state.Hash() != restored.state.Hash() {
			t.Fatalf("step %d, %s: the hashes differ", i, line)
		}
		switch {
		case view == nil && r.IntN(15) == 0:
			hash, view = fed.state.Hash(), fed.state.Snapshot()
		case view != nil && r.IntN(15) == 0:
			checkView(t, view, hash)
			view.Release()
			view = nil
		}
	}
	for name, diff := range map[string]string{
		"records":   cmp.Diff(fed.cdrs, restored.cdrs),
		"transfers": cmp.Diff(fed.transfers, restored.transfers),
		"events":    cmp.Diff(fed.events, restored.events),
		"snapshots": cmp.Diff(snapshotOf(t, fed.state), snapshotOf(t, restored.state)),
	} {
		if diff != "" {
			t.Errorf("%s differ:\n%s", name, diff)
		}
	}
}

// checkView compares a view, which others have written over since, with the
// hash that the state had when it was taken.
func checkView(t *testing.T, v *fsm.View, want fsm.Hash) {
	t.Helper()
	if full, kept := v.HashFull(); full != want || kept != want {
		t.Fatalf("view at %d: hash %x, kept %x, want %x", v.Index(), full, kept, want)
	}
	var b bytes.Buffer
	if _, err := v.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	s, err := fsm.Restore(&b)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Hash(); got != want {
		t.Fatalf("restored at %d: hash %x, want %x", v.Index(), got, want)
	}
}

func snapshotOf(t *testing.T, s *fsm.State) []byte {
	t.Helper()
	v := s.Snapshot()
	defer v.Release()
	var b bytes.Buffer
	if _, err := v.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
