package fsm

import (
	"fmt"
	"strings"
	"time"

	"tandem/chaos/plant"
)

const (
	// keyLife is how long an administrative key is remembered (ARCHITECTURE.md, rule 4).
	keyLife = 24 * time.Hour
	// longestAge bounds ages: an outbox that was away for longer tells nothing.
	longestAge = 366 * 24 * time.Hour
)

// command applies one command, unless it was applied before.
func (s *State) command(cmd *Command) Result {
	if up, ok := cmd.Body.(*NodeUp); ok {
		return s.stamp(s.nodeUp(up))
	}
	first, verdict := s.admit(cmd)
	switch verdict {
	case answered:
		return first
	case refused:
		return s.stamp(first)
	case unnumbered:
		return s.stamp(s.keyed(cmd))
	}
	r := s.stamp(s.keyed(cmd))
	s.results.put(resultKey{cmd.Origin.Node, cmd.Origin.Seq}, r)
	return r
}

// stamp adds where in the log a result was decided. A result that was decided
// before keeps its own place.
func (s *State) stamp(r Result) Result {
	if r.Index == 0 {
		r.Index, r.At = s.index, s.now
	}
	return r
}

// verdict is what becomes of a command that arrived.
type verdict uint8

const (
	fresh      verdict = iota // to be applied and remembered
	unnumbered                // to be applied; a repetition would be harmless
	answered                  // applied before: the first result
	refused
)

// admit applies the node's window: results at and above the node's lowest
// unanswered sequence are kept, what is below or comes from a fenced
// incarnation is stale. A fact is the exception: a peer's BYE stays true
// whoever reports it, and a call can only end once (ARCHITECTURE.md, rule 1, 8).
func (s *State) admit(cmd *Command) (Result, verdict) {
	o := &cmd.Origin
	if o.Node == "" || o.Seq == 0 {
		return Result{}, unnumbered
	}
	end, ok := cmd.Body.(*EndCall)
	fact := ok && end.How == EndFact
	m := s.members.get(o.Node)
	if m == nil || !m.Up || m.Incarnation != o.Incarnation {
		if fact {
			return Result{}, unnumbered
		}
		return refuse(StaleCommand, fmt.Sprintf("node %s, incarnation %d is not up", o.Node, o.Incarnation)), refused
	}
	if low := min(o.Low, o.Seq); low > m.Low {
		s.forget(m, low)
		m = s.members.edit(o.Node)
		m.Low = low
	}
	if o.Seq < m.Low {
		if fact {
			return Result{}, unnumbered
		}
		return refuse(StaleCommand, fmt.Sprintf("sequence %d is below %d", o.Seq, m.Low)), refused
	}
	if o.Seq-m.Low >= maxResults {
		return refuse(Full, fmt.Sprintf("sequence %d is %d above the lowest unanswered one", o.Seq, o.Seq-m.Low)), refused
	}
	if r := s.results.get(resultKey{o.Node, o.Seq}); r != nil && !plant.On(plant.DoubleApply) {
		return *r, answered
	}
	if cmd.Deadline != 0 && s.now > cmd.Deadline && !fact {
		return refuse(StaleCommand, fmt.Sprintf("%s past its deadline", s.now.Sub(cmd.Deadline))), refused
	}
	return Result{}, fresh
}

// forget drops the results of a node below low. At most maxResults are kept
// above m.Low, so a jump does no more than that.
func (s *State) forget(m *Member, low uint64) {
	for seq := m.Low; seq < low && seq-m.Low < maxResults; seq++ {
		s.results.remove(resultKey{m.Node, seq})
	}
}

// keyed applies a command under its administrative key, if it has one.
func (s *State) keyed(cmd *Command) Result {
	if cmd.Key == "" || plant.On(plant.DoubleApply) {
		return s.body(cmd)
	}
	hash := s.hasher.body(cmd)
	if k := s.keys.get(cmd.Key); k != nil && s.now < k.At.Add(keyLife) {
		if k.Body != hash {
			return refuse(KeyReused, "the key was used for another request")
		}
		return k.Result
	}
	r := s.stamp(s.body(cmd))
	s.remember(cmd.Key, adminResult{At: s.now, Body: hash, Result: r})
	return r
}

// remember keeps the result of an administrative key. A token that uses more
// than its share loses its oldest.
func (s *State) remember(key string, r adminResult) {
	s.keys.put(key, r)
	s.ix.addKey(key, r.At)
	own := s.ix.keysOf[tokenOf(key)]
	for kept := own.len() - maxKeys; kept > 0; kept-- {
		due, _ := own.top()
		s.forgetKey(due)
	}
}

// forgetKey drops an administrative key, unless it was used again since it was
// due, and its entry in its token's agenda, where it is on top.
func (s *State) forgetKey(due dueKey[string]) {
	token := tokenOf(due.key)
	own := s.ix.keysOf[token]
	if own.len() > 0 {
		if first, _ := own.top(); first == due {
			own.pop()
		}
	}
	if own.len() == 0 {
		delete(s.ix.keysOf, token)
	}
	if r := s.keys.get(due.key); r != nil && r.At == due.at {
		s.keys.remove(due.key)
	}
}

// tokenOf returns the token that scopes an administrative key.
func tokenOf(key string) string {
	token, _, _ := strings.Cut(key, "/")
	return token
}

// body applies what a command asks for.
func (s *State) body(cmd *Command) Result {
	switch b := cmd.Body.(type) {
	case *StartCall:
		return s.startCall(cmd, b)
	case *Progress:
		return s.progress(cmd, b)
	case *AnswerCall:
		return s.answerCall(cmd, b)
	case *ExtendCall:
		return s.extendCall(cmd, b)
	case *EndCall:
		return s.endCall(cmd, b)
	case *UpdateLegs:
		return s.updateLegs(cmd, b)
	case *Beat:
		return s.beat(cmd, b)
	case *Refused:
		return s.refusedCalls(cmd, b)
	case *GatewayHealth:
		return s.gatewayHealth(b)
	case *NodeDown:
		return s.nodeDown(b)
	case *HandOver:
		return s.handOver(cmd, b)
	case *SetDrain:
		return s.setDrain(b)
	case *RemoveMember:
		return s.removeMember(b.Node)
	case *ForgetDays:
		return s.forgetDays(b)
	case *RaiseFeatureLevel:
		return s.raiseLevel(b)
	case *Tick:
		return Result{}
	}
	return s.setting(cmd)
}

// setting applies what operators change.
func (s *State) setting(cmd *Command) Result {
	switch b := cmd.Body.(type) {
	case *PutAccount:
		return s.putAccount(&b.Account)
	case *DeleteAccount:
		return s.deleteAccount(b.ID)
	case *TopUp:
		return s.topUp(b)
	case *PutMappingGateway:
		return s.putMapping(&b.Gateway)
	case *PutRoutingGateway:
		return s.putRouting(&b.Gateway)
	case *DeleteGateway:
		return s.deleteGateway(b)
	case *PutRateTable:
		return s.putRateTable(&b.Table)
	case *DeleteRateTable:
		return s.deleteRateTable(b.ID)
	case *ImportRates:
		return s.importRates(b)
	case *ActivateRates:
		return s.activateRates(b)
	case *SetParameter:
		return s.setParameter(b)
	case *PutBlock:
		return s.putBlock(b)
	case *DeleteBlock:
		return s.deleteBlock(b)
	case *PutNumberList:
		return s.putList(&b.List)
	case *DeleteNumberList:
		return s.deleteList(b.Name)
	case *PutPhone:
		return s.putPhone(&b.Phone)
	case *DeletePhone:
		return s.deletePhone(b.Number)
	case *PutBinding:
		return s.putBinding(cmd, b)
	case *DropBinding:
		return s.dropBinding(b)
	case *PutToken:
		return s.putToken(&b.Token)
	case *DeleteToken:
		return s.deleteToken(b.ID)
	case *PutPackage:
		return s.putPackage(&b.Package)
	case *DeletePackage:
		return s.deletePackage(b.ID)
	case *BuyPackage:
		return s.buyPackage(b)
	}
	return refuse(Unsupported, "unknown command")
}

// eventTime returns when what a command reports happened: its age ago, but not
// before what the call has seen already and not in the future (ARCHITECTURE.md, rule 2).
func (s *State) eventTime(cmd *Command, notBefore Time) Time {
	age := min(max(cmd.Age, 0), longestAge)
	return min(max(s.now.Add(-age), notBefore), s.now)
}
