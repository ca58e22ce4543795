package call

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/fsm"
	"tandem/sip"
)

var seeds = flag.Uint64("call.seeds", 80, "number of random stories")

// TestSwarm tells random stories: callers, callees, networks and leaders that do
// what they like, a node that dies and comes back. Whatever happened, in the end
// every call is over exactly once, nothing is held, and no leg is left alone.
func TestSwarm(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newStory(t, seed).tell() })
		})
	}
}

// story is one random run.
type story struct {
	*world
	dice  *rand.Rand
	notes []string
	died  bool
	lossy bool
}

func newStory(t *testing.T, seed uint64) *story {
	s := &story{dice: rand.New(rand.NewPCG(seed, 17))}
	funds := []string{"0.20", "0.50", "10"}[s.dice.IntN(3)]
	s.world = newWorld(t, funds, func(c *Config) { c.Ring = 8 * time.Second })
	if s.lossy = s.dice.IntN(2) == 0; s.lossy {
		dice := rand.New(rand.NewPCG(seed, 18))
		s.lose(func(_, _ netAddrPort, _ []byte) bool { return dice.Float64() < 0.15 })
	}
	for i, gw := range []*phone{s.one, s.two} {
		gw.mu.Lock()
		gw.invite = s.calleeOf(gw, rand.New(rand.NewPCG(seed, 19+uint64(i))))
		gw.mu.Unlock()
	}
	return s
}

func (s *story) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// calleeOf makes a gateway that answers INVITEs as its own dice say.
func (s *story) calleeOf(gw *phone, dice *rand.Rand) func(*sip.Request, *sip.ServerTx) {
	return func(req *sip.Request, tx *sip.ServerTx) {
		if req.ToTag != "" {
			status := []int{200, 488, 481}[dice.IntN(3)]
			gw.hung = gw.hung || status == 481 // it says that the dialog is gone
			gw.reply(tx, gw.state(req).response(status))
			return
		}
		rings := dice.IntN(3) > 0
		final := []int{200, 200, 200, 200, 486, 503, 500, 404, 0}[dice.IntN(9)]
		wait := time.Duration(dice.IntN(6000)) * time.Millisecond
		time.AfterFunc(wait/4, func() {
			if rings {
				res := gw.state(req).response(180)
				gw.reply(tx, res)
			}
		})
		time.AfterFunc(wait, func() {
			gw.mu.Lock()
			canceled := gw.canceled[req.CallID]
			gw.mu.Unlock()
			if final == 0 || canceled {
				return
			}
			res := gw.state(req).response(final)
			if final == 200 {
				res.SetBody(sdpType, []byte(gw.sdp))
				state := req.Invite("callee")
				d, err := state.Dialog(gw.Contact("callee", sip.UDP))
				if err != nil {
					s.t.Error(err)
				}
				gw.mu.Lock()
				gw.dialog = d
				gw.mu.Unlock()
			}
			gw.reply(tx, res)
		})
	}
}

// tell lets things happen for a minute, heals the world and looks at what is left.
func (s *story) tell() {
	s.caller.call("4420")
	start := time.Now()
	for time.Since(start) < time.Minute {
		pause(time.Duration(s.dice.IntN(4000)) * time.Millisecond)
		s.happen(time.Since(start).Round(time.Millisecond))
	}
	s.mute("")
	s.ledger.setDeaf(false)
	pause(5 * time.Second)
	if !s.ended(s.caller) {
		s.caller.hangUp()
	}
	pause(2 * time.Minute)
	s.drainBox()
	s.over()
	s.judge()
	if s.t.Failed() {
		s.t.Logf("story: %q\nmessages:\n%s", s.notes, s.net.transcript())
	}
}

func (s *story) happen(at time.Duration) {
	switch s.dice.IntN(12) {
	case 0:
		s.note("%s cancel", at)
		s.caller.tx.Cancel()
	case 1:
		s.note("%s caller hangs up", at)
		s.caller.hangUp()
	case 2:
		s.note("%s callee hangs up", at)
		s.one.hangUp()
	case 3, 4:
		s.note("%s no leader", at)
		s.ledger.setDeaf(true)
	case 5, 6, 7:
		s.note("%s leader", at)
		s.ledger.setDeaf(false)
		s.drainBox()
	case 8:
		s.note("%s node dies", at)
		s.died = true
		s.restart(time.Duration(s.dice.IntN(3000)) * time.Millisecond)
		s.ledger.setDeaf(false)
	case 9:
		s.note("%s re-INVITE", at)
		if s.caller.inDialog() {
			s.caller.asks(sip.INVITE, sdp(callerAddr, 40000, 2+s.dice.IntN(100)))
		}
	}
}

// drainBox is what the outbox does when there is a leader.
func (s *story) drainBox() {
	s.ledger.mu.Lock()
	box := s.ledger.box
	s.ledger.box = nil
	s.ledger.mu.Unlock()
	for _, body := range box {
		s.ledger.apply(body, time.Now())
	}
}

// ended reports that a phone's dialog is over, or never was.
func (s *story) ended(p *phone) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialog.CallID == "" || p.byes > 0 || p.hung
}

// judge checks what must be true after any story.
func (s *story) judge() {
	finals := 0
	for _, status := range slices.Compact(s.caller.statuses()) {
		if status >= 200 {
			finals++
		}
	}
	if finals > 1 {
		s.t.Errorf("the caller got %d final answers: %v", finals, s.caller.statuses())
	}
	for _, p := range []*phone{s.one, s.two} {
		// A BYE that was lost is not repeated by the next life of the node: the end
		// was committed, so nothing of the call is left in the state.
		if !s.ended(p) && !(s.died && s.lossy) {
			s.t.Errorf("%s has an answered call that nobody ended", p.addr)
		}
	}
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	seen := map[fsm.CallID]int{}
	for _, cdr := range s.ledger.cdrs {
		if cdr.Amends == 0 {
			seen[cdr.Call]++
		}
	}
	for id, n := range seen {
		if n != 1 {
			s.t.Errorf("call %x has %d cdrs", id, n)
		}
	}
	if err := s.ledger.state.Check(); err != nil {
		s.t.Error(err)
	}
}
