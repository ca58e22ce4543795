package chaos_test

import (
	"fmt"
	"time"

	"tandem/billing"
	"tandem/fsm"
)

// step lets one random thing happen.
func (a *alone) step() {
	switch n := a.dice.IntN(100); {
	case n < 60:
		a.callStep()
	case n < 72:
		a.moneyStep()
	case n < 84:
		a.memberStep()
	case n < 92 && len(a.sent) > 0: // a retry, or a duplicate on its way for long
		a.commit(a.sent[a.dice.IntN(len(a.sent))])
	case n < 96:
		a.at += fsm.Time(a.dice.IntN(int(20 * time.Second / time.Microsecond)))
		a.do(&fsm.Tick{})
	default:
		a.do(&fsm.Beat{Silent: a.calls[max(0, len(a.calls)-a.dice.IntN(3)):]})
	}
}

// someCall draws a call and the epoch that its sender believes in: sometimes an
// old one.
func (a *alone) someCall() (c fsm.Call, epoch fsm.Epoch) {
	if len(a.calls) == 0 {
		return c, 0
	}
	id := a.calls[max(0, len(a.calls)-1-a.dice.IntN(8))]
	c, ok := a.state.Call(id)
	if !ok {
		c.ID, c.Owner, c.Epoch = id, "n1", 1
	}
	if epoch = c.Epoch; epoch > 0 && a.dice.IntN(4) == 0 {
		epoch--
	}
	return c, epoch
}

// callStep lets something happen in a call.
func (a *alone) callStep() {
	node := nodesAlone[a.dice.IntN(len(nodesAlone))]
	c, epoch := a.someCall()
	if c.Owner != "" && a.dice.IntN(6) > 0 {
		node = c.Owner
	}
	switch n := a.dice.IntN(10); {
	case n < 4 || len(a.calls) == 0:
		var id fsm.CallID
		for i := range id {
			id[i] = byte(a.dice.Uint32())
		}
		a.calls = append(a.calls, id)
		a.from(node, &fsm.StartCall{
			Call: id, Source: phone(a.dice.IntN(2)), SourceVia: "udp", Caller: fmt.Sprint(4420, a.dice.IntN(4)), Callee: fmt.Sprint(8613, a.dice.IntN(100)),
			SIPCallID: fmt.Sprintf("%x", id[:6]), Line: "10.0.9." + string(node[1:]),
		})
	case n < 5:
		a.from(node, &fsm.Progress{Call: c.ID, Epoch: epoch, Candidate: uint8(a.dice.IntN(2)), Status: 180})
	case n < 7:
		a.from(node, &fsm.AnswerCall{Call: c.ID, Epoch: epoch, Candidate: uint8(a.dice.IntN(2)), Codec: "PCMA"})
	case n < 8:
		a.from(node, &fsm.ExtendCall{Call: c.ID, Epoch: epoch, Slice: c.Slice + 1})
	default:
		how := []fsm.EndKind{fsm.EndFact, fsm.EndFact, fsm.EndDecision, fsm.EndVoid}[a.dice.IntN(4)]
		by := fsm.ByCaller
		if how == fsm.EndDecision {
			by = fsm.ByServer
		}
		a.from(node, &fsm.EndCall{Call: c.ID, Epoch: epoch, How: how, By: by, SIPStatus: 487})
	}
}

// moneyStep pays, changes prices and blocks numbers.
func (a *alone) moneyStep() {
	account := []string{"acme", "blue"}[a.dice.IntN(2)]
	version := 2 + a.index
	switch a.dice.IntN(4) {
	case 0:
		a.do(&fsm.ImportRates{Table: "sell", Version: version, Rows: []fsm.RateRow{{
			Prefix: "86", Price: billing.Price(1+a.dice.IntN(90)) * 1_000_000, First: 1, Next: 1,
		}}})
		a.do(&fsm.ActivateRates{Table: "sell", Version: version, Rows: 1})
	case 1:
		a.do(&fsm.PutBlock{Block: fsm.Block{Number: fmt.Sprint(4420, a.dice.IntN(4))}, For: 10 * time.Second})
	default:
		a.do(&fsm.TopUp{Account: account, Amount: billing.Amount(1 + a.dice.IntN(300_000)), Memo: fmt.Sprint("p", a.dice.IntN(60))})
	}
}

// memberStep lets nodes die, come back, drain and hand over.
func (a *alone) memberStep() {
	node := nodesAlone[a.dice.IntN(len(nodesAlone))]
	other := nodesAlone[a.dice.IntN(len(nodesAlone))]
	switch a.dice.IntN(6) {
	case 0, 1:
		down := &fsm.NodeDown{Node: node, Incarnation: a.lives[node], Exited: a.dice.IntN(2) == 0}
		for _, n := range nodesAlone {
			if n != node && a.dice.IntN(4) > 0 {
				down.Pledges = append(down.Pledges, fsm.Pledge{Node: n, Incarnation: a.lives[n]})
			}
		}
		a.from(other, down)
	case 2, 3:
		a.rise(node)
	case 4:
		a.from(node, &fsm.HandOver{IP: "10.0.9." + string(other[1:]), To: nodesAlone[a.dice.IntN(3)]})
	default:
		a.do(&fsm.SetDrain{Node: node, On: a.dice.IntN(2) == 0, By: "ann"})
	}
}
