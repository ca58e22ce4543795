package node_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tandem/billing"
	"tandem/fsm"
	"tandem/node/cdr"
	"tandem/node/load"
)

// carrier starts the far end of the lab.
func (l *lab) carrier(ring time.Duration, rtp bool) *load.Carrier {
	l.t.Helper()
	carrier, err := load.NewCarrier(load.CarrierConfig{
		Listen: listen, Addr: netip.MustParseAddrPort(fmt.Sprintf("127.0.0.52:%d", freePort(l.t, "127.0.0.52"))),
		Ring: ring, RTP: rtp,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	run(l.t, carrier.Run)
	return carrier
}

// callers makes the customer of the lab, which calls all nodes in turn.
func (l *lab) callers(cfg load.CallersConfig) *load.Callers {
	l.t.Helper()
	cfg.Listen = listen
	cfg.Addr = netip.MustParseAddrPort(fmt.Sprintf("127.0.0.51:%d", freePort(l.t, "127.0.0.51")))
	cfg.Targets = []netip.AddrPort{l.sip(0), l.sip(1), l.sip(2)}
	callers, err := load.NewCallers(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	return callers
}

// Calls on an account that runs dry while they talk: whatever the spread over
// the nodes, no balance is ever below its limit, each call is charged for what
// it talked, and what is left is less than an increment for each call that was
// live when the money ended.
func TestAccountRunsDry(t *testing.T) {
	l := newLab(t)
	carrier := l.carrier(0, false)
	l.objects(carrier.Addr())
	// 0.06 a minute is 0.001 a second: 0.024 is money for 24 seconds in all.
	const funds = billing.Amount(24_000)
	l.do(0, &fsm.TopUp{Account: "acme", Amount: funds - amount(t, "100"), Adjust: true})
	l.announced()

	poll := l.watchBalance("acme")
	var mu sync.Mutex
	cut := 0
	report, err := l.callers(load.CallersConfig{
		CPS: 40, Calls: 20, Talk: 0,
		OnEnd: func(o load.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			if o.Cut {
				cut++
			} else if o.Status != 402 {
				t.Errorf("neither cut nor refused for money: %+v", o)
			}
		},
	}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Run gives up 10 s after the last call; the rest is cut by then or later.
	l.settled(uint64(report.Placed))
	poll()

	page, err := l.nodes[0].CDRs().Search(t.Context(), cdr.Query{Account: "acme", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var billed billing.Amount
	answered := 0
	for _, r := range page.CDRs {
		billed += r.Fee
		if r.Answered != 0 {
			answered++
		}
		if r.Answered != 0 && r.Fee > r.Rate.Cost(r.Duration) {
			t.Errorf("cdr %d: %v for %v", r.Seq, r.Fee, r.Duration)
		}
	}
	left := funds - billed
	increment := billing.Amount(1000)
	if left < 0 || left >= increment*billing.Amount(answered) {
		t.Errorf("%d calls billed %v of %v: %v left, want less than %v each", answered, billed, funds, left, increment)
	}
	if answered < 2 {
		t.Errorf("only %d calls talked", answered)
	}
	l.same(report.Placed)
}

// watchBalance polls an account on all nodes until the returned function is
// called, and fails when funds that are not there were used.
func (l *lab) watchBalance(account string) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			for i, n := range l.nodes {
				n.View(func(s *fsm.State) {
					if a, ok := s.Account(account); ok && a.Balance.Available() < 0 {
						l.t.Errorf("node %d: available funds of %s are %v", i+1, account, a.Balance.Available())
					}
				})
			}
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() { close(done); <-stopped }
}

// A caller who tries too often is blocked at the same attempt whatever node he
// tries, the block is known everywhere, and it ends by itself.
func TestBlacklistCountsOverAllNodes(t *testing.T) {
	l := newLab(t)
	carrier := l.carrier(0, false)
	l.objects(carrier.Addr())
	const limit, attempts = 30, 40
	l.do(0, &fsm.SetParameter{Name: "SS_BLACK_LIST_CALLER_MALICIOUS_CALL_LIMIT", Value: fmt.Sprint(limit)})
	l.do(1, &fsm.SetParameter{Name: "SS_BLACK_LIST_CALLER_MALICIOUS_CALL_CHECK_INTERVAL", Value: "60"})
	l.do(2, &fsm.SetParameter{Name: "SS_BLACK_LIST_CALLER_MALICIOUS_CALL_EXPIRE", Value: "3"})
	l.announced()

	attack := func(caller string, calls int) load.Report {
		report, err := l.callers(load.CallersConfig{
			CPS: 100, Calls: calls, Talk: 100 * time.Millisecond, Caller: func(int) string { return caller },
		}).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	r := attack("442079460000", attempts)
	if r.Answered != limit-1 || r.Refused[403] != attempts-limit+1 {
		t.Errorf("%d answered, refused %v; want %d and %d times 403", r.Answered, r.Refused, limit-1, attempts-limit+1)
	}
	var block fsm.Block
	for i, n := range l.nodes {
		n.View(func(s *fsm.State) {
			blocks := s.BlocksOf("442079460000")
			if len(blocks) != 1 || blocks[0].Count != limit || blocks[0].Limit != limit {
				t.Errorf("node %d: blocks %+v", i+1, blocks)
				return
			}
			block = blocks[0]
		})
	}
	if d := block.Until.Sub(block.Since); d != 3*time.Second {
		t.Errorf("blocked for %v, want 3s", d)
	}
	l.eventually("the block expires", func() bool {
		gone := true
		for _, n := range l.nodes {
			n.View(func(s *fsm.State) { gone = gone && len(s.BlocksOf("442079460000")) == 0 })
		}
		return gone
	})
	late := l.nodes[0].LogTime().Sub(block.Until)
	if late < 0 || late > time.Second {
		t.Errorf("the block ended %v after its time, want 0 to 1s", late)
	}

	l.do(0, &fsm.PutNumberList{List: fsm.NumberList{Name: "whitelist", Numbers: []string{"442079460001"}}})
	if r := attack("442079460001", attempts); r.Answered != attempts {
		t.Errorf("white-listed: %d of %d answered, refused %v", r.Answered, attempts, r.Refused)
	}
}
