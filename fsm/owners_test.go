package fsm_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tandem/fsm"
)

// owners checks who owns what while nodes come and go. n4 is a witness.
type owners struct {
	*story
	epochs map[string]fsm.Epoch
	lines  map[fsm.NodeID]string
	calls  int
}

var ownerNodes = []fsm.NodeID{"n1", "n2", "n3", "n4"}

// TestOwners: whatever order processes start, die, drain and hand over in, each
// address and each call on it has one owner, which is up as long as any full node
// is, and an epoch that grows whenever that changes.
func TestOwners(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &owners{
			story: newStory(&testing.T{}), epochs: map[string]fsm.Epoch{},
			lines: map[fsm.NodeID]string{"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"},
		}
		o.setUp()
		for _, line := range []string{"topup acme 100", "node n1 at=10.0.0.1", "node n2 at=10.0.0.2", "node n3 at=10.0.0.3", "node n4 witness"} {
			o.run(line)
		}
		node := func(t *rapid.T) fsm.NodeID { return rapid.SampledFrom(ownerNodes).Draw(t, "node") }
		t.Repeat(map[string]func(*rapid.T){
			"": o.check,
			"up": func(t *rapid.T) {
				if n := node(t); n == "n4" {
					o.run("node n4 witness")
				} else {
					o.run(fmt.Sprintf("node %s at=%s", n, o.lines[n]))
				}
			},
			"down":  func(t *rapid.T) { o.run(fmt.Sprintf("down %s exited node=%s", node(t), node(t))) },
			"drain": func(t *rapid.T) { o.run(fmt.Sprintf("drain %s node=%s", node(t), node(t))) },
			"hand over": func(t *rapid.T) {
				o.run(fmt.Sprintf("handover 10.0.0.%d to=%s node=%s", rapid.IntRange(1, 3).Draw(t, "line"), node(t), node(t)))
			},
			"start": func(t *rapid.T) {
				o.calls++
				o.run(fmt.Sprintf("start c%d line=10.0.0.%d node=%s", o.calls, rapid.IntRange(1, 3).Draw(t, "line"), node(t)))
			},
			"end": func(t *rapid.T) {
				if o.calls > 0 {
					o.run(fmt.Sprintf("end c%d node=%s", rapid.IntRange(1, o.calls).Draw(t, "call"), node(t)))
				}
			},
			"time":    func(*rapid.T) { o.now = o.now.Add(7 * time.Second) },
			"restore": func(t *rapid.T) { o.state = copyOf(t, o.state) },
		})
	})
}

// check compares the owners of everything with what has to hold.
func (o *owners) check(t *rapid.T) {
	anyone := false
	for _, m := range o.state.Members() {
		anyone = anyone || m.Up && !m.Witness
	}
	serving := map[string]fsm.Address{}
	for _, a := range o.state.Addresses() {
		o.owned(t, "address "+a.IP, a.Owner, a.Incarnation, anyone)
		o.grown(t, fmt.Sprintf("%s#%s#%d", a.IP, a.Owner, a.Incarnation), a.IP, a.Epoch)
		serving[a.IP] = a
	}
	for _, c := range o.state.Calls(fsm.CallFilter{}, fsm.CallID{}, 0) {
		name := callName(c.ID)
		o.owned(t, "call "+name, c.Owner, c.Incarnation, anyone)
		o.grown(t, fmt.Sprintf("%s#%s#%d", name, c.Owner, c.Incarnation), name, c.Epoch)
		if a, known := serving[c.Line]; known && (a.Owner != c.Owner || a.Incarnation != c.Incarnation) {
			t.Fatalf("call %s on %s is %s#%d's, its address %s#%d's", name, c.Line, c.Owner, c.Incarnation, a.Owner, a.Incarnation)
		}
	}
	for _, n := range ownerNodes {
		for _, id := range o.state.OwnedCalls(n, o.incs[n]) {
			if c, there := o.state.Call(id); !there || c.Owner != n {
				t.Fatalf("%s owns call %s, which is %s's", n, callName(id), c.Owner)
			}
		}
	}
}

func (o *owners) owned(t *rapid.T, what string, n fsm.NodeID, incarnation uint64, anyone bool) {
	m, _ := o.state.Member(n)
	if m.Incarnation != incarnation || m.Witness || anyone && !m.Up {
		t.Fatalf("%s is owned by %s#%d: %+v", what, n, incarnation, m)
	}
}

// grown checks that a thing has another epoch than it ever had with another owner.
func (o *owners) grown(t *rapid.T, owner, thing string, epoch fsm.Epoch) {
	was, seen := o.epochs[owner]
	if last := o.epochs[thing]; epoch < last || !seen && epoch == last {
		t.Fatalf("%s has epoch %d, had %d", owner, epoch, last)
	} else if seen && was > epoch {
		t.Fatalf("%s fell from epoch %d to %d", owner, was, epoch)
	}
	o.epochs[owner], o.epochs[thing] = epoch, epoch
}
