package fsm

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"tandem/fsm/fraud"
	"tandem/fsm/number"
)

// watch is what the dynamic blacklist counts beside the records: it follows
// from them.
type watch struct {
	malicious *fraud.Tracker
	noAnswer  *fraud.Tracker
	live      fraud.Live
}

// reindexFraud builds the watch anew, after a restore or a change of the rules.
func (s *State) reindexFraud() {
	s.ix.watch = watch{
		malicious: fraud.NewTracker(s.windowsOf(Malicious)),
		noAnswer:  fraud.NewTracker(s.windowsOf(NoAnswer)),
	}
	s.calls.each(func(_ CallID, c *Call) { s.watchStart(c) })
}

func (s *State) windowsOf(list BlockList) iter.Seq2[fraud.Key, fraud.Window] {
	return func(yield func(fraud.Key, fraud.Window) bool) {
		for _, k := range s.windows.keys() {
			if k.List == uint8(list) && !yield(k, *s.windows.get(k)) {
				return
			}
		}
	}
}

// windowStore lets package fraud keep its windows among the records.
type windowStore struct {
	t *table[fraud.Key, fraud.Window]
}

// Window returns a window.
func (w windowStore) Window(k fraud.Key) (fraud.Window, bool) {
	if v := w.t.get(k); v != nil {
		return *v, true
	}
	return fraud.Window{}, false
}

// SetWindow adds or replaces a window.
func (w windowStore) SetWindow(k fraud.Key, v fraud.Window) { w.t.put(k, v) }

// DropWindow removes a window.
func (w windowStore) DropWindow(k fraud.Key) { w.t.remove(k) }

// counter returns the key under which a number's calls through an account are
// counted.
func (s *State) counter(list BlockList, scope, account, n string) fraud.Key {
	k := fraud.Key{List: uint8(list), Scope: scope, Account: account, Number: n}
	if s.set.CrossAccount {
		k.Account = ""
	}
	return k
}

const uncounted = FlagEmergency | FlagWhite | FlagUncounted

// countAttempt counts an INVITE in the windows of its caller. The attempt that
// trips a rule is refused, whatever else was decided about it.
func (s *State) countAttempt(d *decision, by NodeID, b *StartCall) {
	if d.account == nil || d.flags&uncounted != 0 || d.code == CallerBlocked || d.code == CalleeBlocked {
		return
	}
	if rule := (fraud.Rule{Limit: s.set.ConcurrentLimit}); d.code == OK {
		k := s.counter(Concurrent, "", d.account.ID, d.caller)
		if e, tripped := s.ix.watch.live.Check(k, rule, int64(s.now)); tripped {
			s.blockNumber(k, e, s.set.ConcurrentExpire, by, d.callee)
			d.refuse(CallerLimit, "caller %q: %d calls at once", d.caller, e.Count)
			return
		}
	}
	if s.set.MaliciousLimit == 0 {
		return
	}
	rule := fraud.Rule{Limit: s.set.MaliciousLimit, Within: s.set.MaliciousWindow}
	// A gateway that keeps a list of its own counts what would come to it, and
	// loses only itself.
	for d.code == OK && d.standing[0] {
		k := s.counter(Malicious, d.routes[0].Gateway, d.account.ID, d.caller)
		e, tripped := s.ix.watch.malicious.Count(windowStore{s.windows}, k, rule, int64(s.now))
		if !tripped {
			return
		}
		s.blockNumber(k, e, s.set.MaliciousExpire, by, d.callee)
		d.skipped = append(d.skipped, Skip{Gateway: k.Scope, Reason: "caller blacklisted"})
		d.routes = d.routes[1:]
		copy(d.standing[:], d.standing[1:])
		if len(d.routes) == 0 {
			d.hit = k
			d.refuse(CallerBlocked, "caller %q: %d attempts in %s", d.caller, e.Count, e.Within)
			return
		}
	}
	k := s.counter(Malicious, "", d.account.ID, d.caller)
	if e, tripped := s.ix.watch.malicious.Count(windowStore{s.windows}, k, rule, int64(s.now)); tripped {
		s.blockNumber(k, e, s.set.MaliciousExpire, by, d.callee)
		d.hit = k
		d.refuse(CallerBlocked, "caller %q: %d attempts in %s", d.caller, e.Count, e.Within)
	}
}

// watchStart counts a live call of its caller, watchEnd no longer.
func (s *State) watchStart(c *Call) {
	if s.set.ConcurrentLimit > 0 && c.Flags&uncounted == 0 {
		s.ix.watch.live.Start(s.counter(Concurrent, "", c.Account, c.Caller))
	}
}

// watchEnd also counts calls in a row that the callee did not answer (F147).
func (s *State) watchEnd(c *Call, e ending) {
	if s.set.ConcurrentLimit > 0 && c.Flags&uncounted == 0 {
		s.ix.watch.live.End(s.counter(Concurrent, "", c.Account, c.Caller))
	}
	if s.set.NoAnswerLimit == 0 || c.Flags&(FlagEmergency|FlagWhite) != 0 || !fraud.Countable(c.Callee) {
		return
	}
	scope := ""
	if g := s.routings.get(c.gateway()); g != nil && g.Standalone {
		scope = g.ID
	}
	k := s.counter(NoAnswer, scope, c.Account, c.Callee)
	rang := c.Ringing != 0 && (e.reason == EndCanceled || e.reason == EndTimeout)
	switch {
	case c.Answered != 0:
		s.ix.watch.noAnswer.Reset(windowStore{s.windows}, k)
	case rang || e.reason == EndNoAnswer:
		rule := fraud.Rule{Limit: s.set.NoAnswerLimit, Within: s.set.NoAnswerWindow}
		if ev, tripped := s.ix.watch.noAnswer.Count(windowStore{s.windows}, k, rule, int64(s.now)); tripped {
			s.blockNumber(k, ev, s.set.NoAnswerExpire, e.node, c.Caller)
		}
	}
}

// blockNumber puts a number on a list, with the evidence.
func (s *State) blockNumber(k fraud.Key, e fraud.Evidence, life time.Duration, by NodeID, sample string) {
	if s.blocks.get(k) == nil && s.blocks.count >= maxBlocks {
		return // a full list blocks no more; what is on it expires
	}
	b := Block{
		Number: k.Number, List: BlockList(k.List), Scope: k.Scope, Account: k.Account,
		Since: s.now, Until: s.now.Add(life), LastCall: s.now, Node: by,
		Limit: e.Limit, Count: e.Count, Window: e.Within, First: Time(e.First), Sample: sample,
	}
	s.enlist(k, b)
}

func (s *State) enlist(k fraud.Key, b Block) {
	s.blocks.put(k, b)
	if b.Until != 0 {
		s.ix.blocks.push(dueKey[fraud.Key]{b.Until, k}, struct{}{})
	}
	s.event(Event{Kind: EventBlocked, ID: b.Number})
}

// unlist removes an entry and says so.
func (s *State) unlist(k fraud.Key) {
	if s.blocks.remove(k) {
		s.event(Event{Kind: EventUnblocked, ID: k.Number})
	}
}

// longestBlock bounds an entry with an end: a hundred years.
const longestBlock = 100 * 365 * 24 * time.Hour

// putBlock adds a manual entry, or replaces one (F152).
func (s *State) putBlock(put *PutBlock) Result {
	b := &put.Block
	if err := number.Valid(b.Number); err != nil || b.Number == "" {
		return invalid("number", "%q: digits are needed", b.Number)
	}
	if b.List < Malicious || b.List > Concurrent {
		return invalid("list", "%d: malicious, no-answer or concurrent", b.List)
	}
	if b.Scope != "" && s.routings.get(b.Scope) == nil {
		return invalid("scope", "routing gateway %q is not there", b.Scope)
	}
	if b.Account != "" && s.accounts.get(b.Account) == nil {
		return invalid("account", "%q is not there", b.Account)
	}
	if put.For < 0 {
		return invalid("for", "%s: negative", put.For)
	}
	k := fraud.Key{List: uint8(b.List), Scope: b.Scope, Account: b.Account, Number: b.Number}
	old := s.blocks.get(k)
	if old == nil && s.blocks.count >= maxBlocks {
		return refuse(Full, fmt.Sprintf("%d entries in the dynamic blacklist", maxBlocks))
	}
	n := Block{Number: b.Number, List: b.List, Scope: b.Scope, Account: b.Account, Since: s.now}
	if old != nil {
		n = *old
	}
	n.Manual, n.Memo, n.Until = true, b.Memo, 0
	if !put.Forever {
		n.Until = s.now.Add(cmp.Or(min(put.For, longestBlock), s.set.BlockExpire))
	}
	s.enlist(k, n)
	return Result{}
}

// deleteBlock removes the entries of a number from a list and scope, whichever
// account's traffic made them.
func (s *State) deleteBlock(b *DeleteBlock) Result {
	var found []fraud.Key
	s.blocks.each(func(k fraud.Key, _ *Block) {
		if k.Number == b.Number && k.List == uint8(b.List) && k.Scope == b.Scope {
			found = append(found, k)
		}
	})
	if len(found) == 0 {
		return refuse(NotFound, fmt.Sprintf("number %q is not on the %s list", b.Number, b.List))
	}
	slices.SortFunc(found, fraud.Key.Compare)
	for _, k := range found {
		s.unlist(k)
	}
	return Result{Count: uint64(len(found))}
}

// String returns the name of a list.
func (l BlockList) String() string {
	switch l {
	case Malicious:
		return "malicious"
	case NoAnswer:
		return "no-answer"
	case Concurrent:
		return "concurrent"
	}
	return "unknown"
}

// key returns the key of an entry.
func (b *Block) key() fraud.Key {
	return fraud.Key{List: uint8(b.List), Scope: b.Scope, Account: b.Account, Number: b.Number}
}
